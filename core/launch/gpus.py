"""The GPUs that torch will show a worker, in torch's order: NVIDIA's as `nvidia-smi` lists them, else AMD's.

Torch calls AMD's GPUs ``cuda`` too. Whether torch can compute on them is another question: `core.launch.gpu_check`.
"""

import contextlib
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

_NUMBER: Final = re.compile(r"\+?[0-9]+")
_KILL_SECONDS: Final = 1.0


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
        code, output, errors = run_limited(command, timeout)
    except FileNotFoundError:
        raise SmiError(f"{program} is not installed") from None
    except subprocess.TimeoutExpired as error:
        raise SmiError(f"{program} did not answer within {timeout:g} s") from error
    except OSError as error:
        raise SmiError(f"{program} did not answer ({error})") from error
    if code != 0:
        words = (errors.strip() or output.strip() or "no reason given").splitlines()[0]
        raise SmiError(f"{program} failed ({words})")
    return output


def run_limited(
    command: Sequence[str], timeout: float, environment: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """Return a program's exit code, stdout and stderr.

    Unlike `subprocess.run` it does not wait for a killed program, because one that waits in a faulty driver never ends.

    Args:
        command: the program and its arguments.
        timeout: seconds to wait, after which the program is killed.
        environment: of the program; None for this process's.

    Raises:
        subprocess.TimeoutExpired: it did not end in time; with its stdout so far, in bytes.
        OSError: it cannot be started.
    """
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    try:
        output, errors = process.communicate(timeout=timeout)
        return process.returncode, output, errors
    finally:
        if process.poll() is None:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_KILL_SECONDS)
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()


def filter_visible(gpus: Sequence[Gpu], visible: str) -> list[Gpu]:
    """Select GPUs as CUDA reads the variable: numbers or prefixes of UUIDs, up to the first entry that is neither.

    Text after a number is ignored, and a list that names a GPU twice shows none. Source: torch/cuda/__init__.py,
    `_parse_visible_devices`.
    """
    shown: list[Gpu] = []
    for entry in visible.split(","):
        key = entry.strip()
        is_uuid = key.startswith(("GPU-", "MIG-"))
        number = str(int(leading[0])) if (leading := _NUMBER.match(key[:20])) else ""
        match = [
            gpu for gpu in gpus if (number and number == gpu.number) or (is_uuid and gpu.uuid.startswith(key))
        ]
        if not match and key.startswith("MIG-"):  # the form of old drivers, which nvidia-smi does not list
            match = [Gpu("", key, "MIG instance", 0, 0)]
        if len(match) != 1:
            break
        if match[0] in shown:
            return []
        shown += match
    return shown


def visible_text(name: str, visible: str, shown: int, total: int) -> str:
    """Return a sentence about the number of GPUs that a variable of visible devices leaves."""
    return f"{name}={visible!r} shows {shown} of {total} GPU{'s' * (total != 1)}."
