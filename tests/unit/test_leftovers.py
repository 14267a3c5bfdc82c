"""Processes that tests leave behind."""

import subprocess
import sys
import time

import psutil

from tests.support import ROOT

PROGRAM = """
import subprocess, sys, time
from tests.support.leftovers import end_with_this_process
end_with_this_process()
left = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"], start_new_session=True)
print(left.pid, flush=True)
time.sleep(60)
"""


def test_a_process_with_a_session_of_its_own_ends_with_a_pytest_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, cwd=ROOT) as pytest:
        assert pytest.stdout is not None
        left = psutil.Process(int(pytest.stdout.readline()))
        pytest.kill()
    deadline = time.monotonic() + 30
    while left.is_running() and left.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "it is still there"
        time.sleep(0.01)
