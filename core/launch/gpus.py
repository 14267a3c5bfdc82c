"""The GPUs that torch will show a worker, in torch's order: NVIDIA's as `nvidia-smi` lists them, else AMD's.

Torch calls AMD's GPUs ``cuda`` too. Whether torch can compute on them is another question: `core.launch.gpu_check`.
"""

import os
import subprocess
from collections.abc import Sequence
from typing import NamedTuple


class SmiError(Exception):
    """A program reported no GPUs; the message is the reason, without a capital letter or full stop."""


class Gpu(NamedTuple):
    """A GPU as reported by the vendor's program; memory in bytes, 0 if it is not reported.

    `number` and `uuid` are what the variables of visible devices may contain. `is_mig` is True for a GPU that is
    divided into instances, of which only the instances can be used.
    """

    number: str
    uuid: str
    name: str
    total: int
    free: int
    driver: str = ""
    is_mig: bool = False


def find_gpus() -> tuple[list[Gpu], str]:
    """Return the GPUs that this process and its children may use, and a sentence that explains a limit, or nothing."""
    from core.launch import nvidia, rocm  # both import this module

    found, explanation = nvidia.find_gpus(os.environ)
    if found or not rocm.is_installed():
        return found, explanation
    return rocm.find_gpus(os.environ)


def run_smi(command: Sequence[str], timeout: float) -> str:
    """Return the output of a vendor's program.

    Args:
        command: the program and its arguments.
        timeout: seconds to wait; a faulty driver may hang.

    Raises:
        SmiError: the program is not installed, does not answer in time, or fails.
    """
    program = command[0]
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
        raise SmiError(f"{program} is not installed") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SmiError(f"{program} did not answer ({error})") from error
    if answer.returncode != 0:
        words = (answer.stderr.strip() or answer.stdout.strip() or "no reason given").splitlines()[0]
        raise SmiError(f"{program} failed ({words})")
    return answer.stdout


def filter_visible(gpus: Sequence[Gpu], visible: str) -> list[Gpu]:
    """Select GPUs as CUDA reads the variable: numbers or prefixes of UUIDs, up to the first entry that is neither."""
    shown: list[Gpu] = []
    for entry in visible.split(","):
        key = entry.strip()
        is_uuid = key.startswith(("GPU-", "MIG-"))
        match = [
            gpu
            for gpu in gpus
            if (gpu.number and key == gpu.number) or (is_uuid and gpu.uuid.startswith(key))
        ]
        if not match and key.startswith("MIG-"):  # the form of old drivers, which nvidia-smi does not list
            match = [Gpu("", key, "MIG instance", 0, 0)]
        if len(match) != 1 or match[0] in shown:
            break
        shown += match
    return shown


def visible_text(name: str, visible: str, shown: int, total: int) -> str:
    """Return a sentence about the number of GPUs that a variable of visible devices leaves."""
    return f"{name}={visible!r} shows {shown} of {total} GPU{'s' * (total != 1)}."
