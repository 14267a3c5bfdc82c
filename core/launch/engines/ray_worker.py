"""``python -m core.launch.engines.ray_worker``: the training worker, which ends when the process that started it dies.

Ray kills the processes of a task whose node or worker is gone, but not the processes of those. A training without a
task would keep the run's lock from the task's retry.
"""

import contextlib
import ctypes
import os
import signal
import sys
from typing import Final

from core.launch.subprocess_env import WORKER_MODULE, module_command

_PR_SET_PDEATHSIG: Final = 1


def end_with_parent() -> None:
    """Have the system send SIGTERM to this process when its parent dies, also after an exec. Only Linux can."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    end_with_parent()
    if os.getppid() == 1:  # it has died already
        sys.exit(1)
    command = module_command(WORKER_MODULE, *sys.argv[1:])
    os.execv(command[0], command)
