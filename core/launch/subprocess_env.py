"""Command lines, environments and logs of the subprocesses that this package starts."""

import os
import sys
import sysconfig
from pathlib import Path
from typing import Final

from core.files.untrusted import open_regular
from core.launch.provenance import PACKAGE_PARENT

WORKER_MODULE: Final = "core.training.worker"

_TORCHRUN: Final = "torch.distributed.run"
"""Starts the processes of a run on several devices, and ends all of them when one fails."""
_THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
GPU_ORDER: Final = "CUDA_DEVICE_ORDER", "PCI_BUS_ID"
"""Environment variable and value with which CUDA counts GPUs as `nvidia-smi` does; a value of the user's stays."""
_INTERFACE_VARIABLES: Final = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
_SPIN_VARIABLES: Final = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
_SPIN_COUNT: Final = "3000"
"""Rounds for which a thread waits awake for the others before it sleeps. With OpenMP's own 300,000, threads that wait
for one without a core keep the core from it. Without any, each of thousands of short waits puts a thread to sleep. See
"Waiting threads" in docs/speed.md."""
_LOG_TAIL: Final = 1 << 14


def python_command(*arguments: str) -> list[str]:
    """Return a command line of this Python, which never imports modules of the working directory."""
    return [sys.executable, "-P", *arguments]


def module_command(module: str, *arguments: str, processes: int = 1) -> list[str]:
    """Return the command line that runs a module, under torchrun if there are several processes."""
    torchrun = [_TORCHRUN, "--standalone", "--nproc-per-node", str(processes), "-m"]
    return python_command("-m", *(torchrun if processes > 1 else []), module, *arguments)


def child_environment() -> dict[str, str]:
    """Return this process's environment, with `core` importable from every working directory.

    Processes that the child starts, such as those of torchrun and of compilers, do not import modules of the working
    directory either. All count GPUs in the same order.
    """
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    environment.setdefault(*GPU_ORDER)
    if str(PACKAGE_PARENT) not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        paths = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
        if str(PACKAGE_PARENT) not in paths:
            environment["PYTHONPATH"] = os.pathsep.join([*paths, str(PACKAGE_PARENT)])
    return environment


def worker_environment(threads: int, *, processes: int = 1) -> dict[str, str]:
    """Return the environment of a `module_command` that computes.

    Args:
        threads: of all its processes together.
        processes: number of processes of one training; they communicate on this host only.
    """
    environment = child_environment()
    environment.update(dict.fromkeys(_THREAD_VARIABLES, str(max(1, threads // processes))))
    if not any(name in environment for name in _SPIN_VARIABLES):  # the user's own choice wins
        environment["GOMP_SPINCOUNT"] = _SPIN_COUNT
    # This process may run under a torchrun, to which its children do not belong.
    environment.pop("WORLD_SIZE", None)
    if processes > 1:
        for name in _INTERFACE_VARIABLES:
            environment.setdefault(name, "lo0" if sys.platform == "darwin" else "lo")
    return environment


def log_lines(log: Path, start: int = 0) -> list[str]:
    """Return the last lines of a log that are not blank, stripped; none if the log cannot be read.

    Args:
        log: at most its last 16 KiB are read.
        start: byte at which the lines of interest begin.
    """
    try:
        with open_regular(log) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start, size - _LOG_TAIL))
            lines = file.read(_LOG_TAIL).decode("utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [line.strip() for line in lines if line.strip()]
