"""Compiler and options of torch.compile, found without importing torch because `core doctor` uses them too."""

import importlib.util
import os
import shutil
import sysconfig
from pathlib import Path
from typing import Any


def find_compiler() -> str | None:
    """Return the C++ compiler that torch.compile would use on a CPU ($CXX, else g++, clang++ or c++), or None."""
    return _find("CXX", "g++", "clang++", "c++")


def compile_problem(kind: str) -> str:
    """Return the reason why torch.compile cannot be used on a kind of device, or an empty string.

    On ``cuda`` triton compiles a launcher in C for each kernel, with $CC, gcc or clang, and includes Python's headers.
    """
    if kind != "cuda":
        missing = kind == "cpu" and find_compiler() is None
        return "no C++ compiler ($CXX, g++ or clang++) was found" if missing else ""
    if _find("CC", "gcc", "clang") is None:
        return "no C compiler ($CC, gcc or clang) was found"
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    header = Path(sysconfig.get_path("include"), "Python.h")
    return "" if header.is_file() else f"Python's headers are not installed ({header} is missing)"


def _find(variable: str, *names: str) -> str | None:
    wanted = os.environ.get(variable)
    return next(filter(None, map(shutil.which, [wanted] if wanted else names)), None)


def compile_options(kind: str) -> dict[str, Any]:
    """Return the options of torch.compile on ``cpu`` or on ``cuda``, where it records a CUDA graph per batch size.

    With such a small network the GPU waits for the CPU to launch its kernels, but a graph launches all of them at once.
    There are at most two batch sizes, the usual one and that of an epoch's last batch, so no dynamic shapes are needed.
    """
    return {"mode": "reduce-overhead", "dynamic": False} if kind == "cuda" else {}
