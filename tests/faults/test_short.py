"""Short form of the fault harness; `make faults` is the long form."""

import os
import subprocess
import sys

from tests.support import ROOT


def test_a_little_of_each_fault_is_survived() -> None:
    command = [sys.executable, "-m", "tests.faults", "--short"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line[-1:].isdigit()]
    tried, survived, lost = map(int, rows[-1][-3:])
    assert rows[-1][0] == "all"
    assert (tried, lost) == (survived, 0)
    assert tried >= 12
