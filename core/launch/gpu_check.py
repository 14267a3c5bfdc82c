"""A check, once for each driver and torch, that torch can compute on the GPUs that the driver lists.

`nvidia-smi` lists GPUs that torch cannot use: torch may be built for CPUs only or for a newer driver, and it may have
no kernels for an old GPU. So `core.training.gpu_check` computes on each in a subprocess. The result is kept in the
user's cache folder under a key of everything that it depends on.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from core.files.atomic import atomic_write
from core.files.sanitize import sanitize
from core.files.untrusted import open_regular
from core.launch.gpus import Gpu, run_limited
from core.launch.subprocess_env import child_environment, module_command

_MODULE: Final = "core.training.gpu_check"
_TIMEOUT: Final = 180.0
_RETRY_SECONDS: Final = 600.0
"""Age at which a problem is checked again that the key does not explain, such as a missing permission."""
_LASTING: Final = ("built for CPUs only", "no kernel image", "too old")
_LIMIT: Final = 1 << 16


class _Kept(msgspec.Struct):
    problems: list[str]
    time: float


def check_gpus(gpus: Sequence[Gpu], *, fresh: bool = False) -> list[str]:
    """Return for each GPU the reason why torch cannot compute on it, or an empty string.

    Args:
        gpus: those that are visible, in torch's order.
        fresh: check again even if a result is kept.
    """
    if not gpus:
        return []
    path = _cache_path(gpus)
    kept = None if fresh or path is None else _read(path, len(gpus))
    if kept is not None:
        return kept
    problems = _run(len(gpus))
    if path is not None:
        with contextlib.suppress(OSError):  # without a cache it is checked each time
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, json.dumps({"problems": problems, "time": time.time()}), fsync=False)
    return problems


def parse_check(text: str, count: int, ending: str) -> list[str]:
    """Return the problem of each GPU, from the output of the check.

    Args:
        text: the lines of `core.training.gpu_check`; other lines are ignored.
        count: number of GPUs that the driver lists.
        ending: the way in which the process ended, for GPUs that it wrote nothing about.
    """
    general, seen, by_number = "", None, dict[int, str]()
    for line in text.splitlines():
        try:
            fields = json.loads(line)
            problem = sanitize(str(fields["problem"]))
            if "device" in fields:
                by_number[int(fields["device"])] = problem
            else:
                general, seen = problem, int(fields["count"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            continue
    if general:
        return [general] * count
    unseen = ending if seen is None else "torch does not see it"
    return [
        by_number.get(number, ending if seen is not None and number < seen else unseen)
        for number in range(count)
    ]


def _run(count: int) -> list[str]:
    try:
        code, output, errors = run_limited(module_command(_MODULE), _TIMEOUT, child_environment())
    except subprocess.TimeoutExpired as error:
        text = error.stdout.decode(errors="replace") if isinstance(error.stdout, bytes) else ""
        return parse_check(text, count, f"torch did not answer within {_TIMEOUT:.0f} s")
    except OSError as error:
        return [f"torch could not be tried ({error.strerror or error})"] * count
    last = (errors.strip().splitlines() or [f"exit code {code}"])[-1]
    return parse_check(output, count, f"torch failed on it ({sanitize(last)})")


def _cache_path(gpus: Sequence[Gpu]) -> Path | None:
    """Return the file of the result; its name follows from all that the result depends on."""
    try:
        import platformdirs  # not needed without a GPU

        folder = platformdirs.user_cache_path("ddpm-tui", appauthor=False)
    except (ImportError, RuntimeError, OSError):  # no home
        return None
    key: list[Any] = [torch_version(), sys.prefix, *((gpu.driver, gpu.name, gpu.uuid) for gpu in gpus)]
    return folder / f"gpu-check-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]}.json"


def torch_version() -> str:
    """Return the version of the installed torch, without importing it; empty if there is none."""
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _read(path: Path, count: int) -> list[str] | None:
    """Return a kept result; None if there is none that is still valid."""
    try:
        with open_regular(path) as file:
            kept = msgspec.json.decode(file.read(_LIMIT), type=_Kept)
    except (OSError, msgspec.MsgspecError, RecursionError):
        return None
    problems, age = [sanitize(problem) for problem in kept.problems], time.time() - kept.time
    is_lasting = all(not problem or any(words in problem for words in _LASTING) for problem in problems)
    return problems if len(problems) == count and (is_lasting or 0 <= age < _RETRY_SECONDS) else None
