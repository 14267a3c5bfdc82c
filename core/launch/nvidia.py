"""The GPUs that CUDA will show a worker, in CUDA's order, according to `nvidia-smi`."""

import os
import subprocess
from typing import Final, NamedTuple

_TIMEOUT: Final = 10.0
_QUERY: Final = "index,uuid,name,memory.total,memory.free"


class NvidiaSmiError(Exception):
    """`nvidia-smi` reported no GPUs; the message is the reason, without a capital letter or full stop."""


class Gpu(NamedTuple):
    """A GPU as reported by `nvidia-smi`; memory in bytes, 0 if it is not reported."""

    number: str
    uuid: str
    name: str
    total: int
    free: int


def query_nvidia_smi(query: str, timeout: float) -> str:
    """Return the output of `nvidia-smi`, one line for each GPU.

    Args:
        query: names of the fields, separated by commas; see ``nvidia-smi --help-query-gpu``.
        timeout: seconds to wait; a faulty driver may hang.

    Raises:
        NvidiaSmiError: `nvidia-smi` is not installed, does not answer in time, or fails.
    """
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        raise NvidiaSmiError("nvidia-smi is not installed") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NvidiaSmiError(f"nvidia-smi did not answer ({error})") from error
    if answer.returncode != 0:
        words = (answer.stderr.strip() or answer.stdout.strip() or "no reason given").splitlines()[0]
        raise NvidiaSmiError(f"nvidia-smi failed ({words})")
    return answer.stdout


def find_gpus() -> tuple[list[Gpu], str]:
    """Return the GPUs that this process and its children may use, and a sentence that explains a limit, or nothing."""
    try:
        found = _parse(query_nvidia_smi(_QUERY, _TIMEOUT))
    except NvidiaSmiError as error:
        return [], f"No NVIDIA GPU: {error}."
    if not found:
        return [], "No NVIDIA GPU: nvidia-smi lists none."
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return found, ""
    shown = _filter_visible(found, visible)
    plural = "s" * (len(found) != 1)
    return shown, f"CUDA_VISIBLE_DEVICES={visible!r} shows {len(shown)} of {len(found)} GPU{plural}."


def _parse(text: str) -> list[Gpu]:
    """Parse each line that has all five fields."""
    gpus = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 5:
            total, free = (int(part) << 20 if part.isdecimal() else 0 for part in parts[3:])
            gpus.append(Gpu(parts[0], parts[1], parts[2], total, free))
    return gpus


def _filter_visible(gpus: list[Gpu], visible: str) -> list[Gpu]:
    """Select GPUs as CUDA reads the variable: indices or uuid prefixes, up to the first entry that is neither."""
    shown: list[Gpu] = []
    for entry in visible.split(","):
        key = entry.strip()
        if key.startswith("MIG-"):
            match = [Gpu("", key, "MIG slice", 0, 0)]
        else:
            match = [
                gpu
                for gpu in gpus
                if key == gpu.number or (key.startswith("GPU-") and gpu.uuid.startswith(key))
            ]
        if len(match) != 1 or match[0] in shown:
            break
        shown += match
    return shown
