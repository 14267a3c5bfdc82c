"""Processes that outlive the tests that started them, such as queues and workers: ended with the test session.

Queues and workers have sessions of their own, so they survive a test that fails, and pytest if that is killed. All
inherit an environment variable. A process besides pytest waits for its end, even by kill -9, and kills all that have
the variable.
"""

import os
import secrets
import subprocess
import sys

TOKEN = "DDPM_TEST_SESSION"
_watcher: "subprocess.Popen[bytes] | None" = None
"""Kept, because it is never waited for."""


def end_with_this_process() -> None:
    """Have all processes that are started from now on killed once this one has ended, however it ends."""
    os.environ[TOKEN] = secrets.token_hex(8)
    ours, _theirs = os.pipe()
    global _watcher
    _watcher = subprocess.Popen(
        [sys.executable, __file__],
        stdin=ours,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(ours)
    # `_theirs` stays open as long as this process lives.


def main() -> None:
    """Wait for the end of the process that writes to stdin, and kill what it has left behind."""
    sys.stdin.buffer.read()
    import psutil

    for process in psutil.process_iter():
        try:
            if process.environ().get(TOKEN) == os.environ[TOKEN] and process.pid != os.getpid():
                process.kill()
        except (psutil.Error, OSError):
            continue


if __name__ == "__main__":
    main()
