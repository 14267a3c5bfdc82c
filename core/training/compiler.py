"""Whether torch.compile can work here; asked by the training and by `core doctor`, so torch is not imported."""

import os
import shutil


def find_compiler() -> str | None:
    """The C++ compiler that torch.compile would use on a CPU: $CXX, else g++, clang++ or c++; None without one."""
    wanted = os.environ.get("CXX")
    return next(filter(None, map(shutil.which, [wanted] if wanted else ["g++", "clang++", "c++"])), None)
