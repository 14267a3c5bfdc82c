"""Whether torch.compile can work here, and how; `core doctor` asks as well, so torch is not imported."""

import os
import shutil
from typing import Any


def find_compiler() -> str | None:
    """The C++ compiler that torch.compile would use on a CPU: $CXX, else g++, clang++ or c++; None without one."""
    wanted = os.environ.get("CXX")
    return next(filter(None, map(shutil.which, [wanted] if wanted else ["g++", "clang++", "c++"])), None)


def compile_options(kind: str) -> dict[str, Any]:
    """What torch.compile is told on a ``cpu``, or on ``cuda``: there to record CUDA graphs, one a batch size.

    A network as small as ours leaves a GPU waiting for the CPU to start its kernels; a graph starts them all at once.
    Sizes are two at most, of whole batches and of the last one of an epoch, so none is compiled for any size.
    """
    return {"mode": "reduce-overhead", "dynamic": False} if kind == "cuda" else {}
