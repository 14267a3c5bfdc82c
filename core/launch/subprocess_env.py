"""The processes that we start: their command lines and their environments."""

import os
import sys
import sysconfig
from typing import Final

from core.launch.provenance import PACKAGE_PARENT

WORKER_MODULE: Final = "core.training.worker"

_LAUNCHER: Final = "torch.distributed.run"
"""torchrun, which starts the processes of a run on several devices, and ends them all when one fails."""
_THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_INTERFACE_VARIABLES: Final = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")


def module_command(module: str, *arguments: str, processes: int = 1) -> list[str]:
    """Our interpreter with a module, under torchrun where there are several processes."""
    command = [sys.executable, "-P", "-m"]
    if processes > 1:
        command += [_LAUNCHER, "--standalone", "--nproc-per-node", str(processes), "-m"]
    return [*command, module, *arguments]


def child_environment() -> dict[str, str]:
    """Our environment, in which children find `core` whatever their working directory."""
    environment = dict(os.environ)
    if str(PACKAGE_PARENT) not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        paths = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
        if str(PACKAGE_PARENT) not in paths:
            environment["PYTHONPATH"] = os.pathsep.join([*paths, str(PACKAGE_PARENT)])
    return environment


def training_environment(threads: int, *, processes: int = 1) -> dict[str, str]:
    """The environment of a training that is started by `command_line`.

    Args:
        threads: of all its processes together.
        processes: that it consists of; they talk to each other on this host alone.
    """
    environment = child_environment()
    environment.update(dict.fromkeys(_THREAD_VARIABLES, str(max(1, threads // processes))))
    # Of a torchrun that we may be under: our children are no part of that.
    environment.pop("WORLD_SIZE", None)
    if processes > 1:
        environment["PYTHONSAFEPATH"] = "1"  # torchrun hands on no -P
        for name in _INTERFACE_VARIABLES:
            environment.setdefault(name, "lo0" if sys.platform == "darwin" else "lo")
    return environment
