"""Compiler and options of torch.compile, found without importing torch because `core doctor` uses them too."""

import os
import shutil
from typing import Any


def find_compiler() -> str | None:
    """Return the C++ compiler that torch.compile would use on a CPU ($CXX, else g++, clang++ or c++), or None."""
    wanted = os.environ.get("CXX")
    return next(filter(None, map(shutil.which, [wanted] if wanted else ["g++", "clang++", "c++"])), None)


def compile_options(kind: str) -> dict[str, Any]:
    """Return the options of torch.compile on ``cpu`` or on ``cuda``, where it records a CUDA graph per batch size.

    With such a small network the GPU waits for the CPU to launch its kernels, but a graph launches all of them at once.
    There are at most two batch sizes, the usual one and that of an epoch's last batch, so no dynamic shapes are needed.
    """
    return {"mode": "reduce-overhead", "dynamic": False} if kind == "cuda" else {}
