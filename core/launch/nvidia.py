"""NVIDIA's GPUs as CUDA will show them to a worker, according to `nvidia-smi`, with the instances of MIG.

A GPU in MIG mode is divided into instances, and its instances are used in its place. CUDA shows a process only one of
them, the first of those that are visible, and no other GPU beside it. ``CUDA_VISIBLE_DEVICES=MIG-...`` names another.
Source: NVIDIA Multi-Instance GPU User Guide, "CUDA visible devices".
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from core.launch.gpus import Gpu, SmiError, filter_visible, run_smi, visible_text

_VARIABLE: Final = "CUDA_VISIBLE_DEVICES"
_TIMEOUT: Final = 10.0
_QUERY: Final = "index,uuid,name,memory.total,memory.free,driver_version,mig.mode.current"
_GPU_LINE: Final = re.compile(r"GPU \d+: .* \(UUID: (GPU-[^)]+)\)")
_MIG_LINE: Final = re.compile(r"\s+MIG (\S+)\s+Device\s+\d+: \(UUID: (MIG-[^)]+)\)")
_MIG_MEMORY: Final = re.compile(r"(\d+)gb")


def query_nvidia_smi(query: str, timeout: float) -> str:
    """Return the output of `nvidia-smi`, one line for each GPU.

    Args:
        query: names of the fields, separated by commas; see ``nvidia-smi --help-query-gpu``.
        timeout: seconds to wait; a faulty driver may hang.

    Raises:
        SmiError: `nvidia-smi` is not installed, does not answer in time, or fails.
    """
    return run_smi(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader,nounits"], timeout)


def find_gpus(environment: Mapping[str, str]) -> tuple[list[Gpu], str]:
    """Return the GPUs that a process of this environment sees, and a sentence that explains a limit, or nothing."""
    try:
        found = parse_query(query_nvidia_smi(_QUERY, _TIMEOUT))
        has_mig = any(gpu.is_mig for gpu in found)
        instances = parse_list(run_smi(["nvidia-smi", "-L"], _TIMEOUT), found) if has_mig else []
    except SmiError as error:
        return [], f"No NVIDIA GPU: {error}."
    if not found:
        return [], "No NVIDIA GPU: nvidia-smi lists none."
    visible = environment.get(_VARIABLE)
    everything = [*found, *(instance for _, instance in instances)]
    selected = found if visible is None else filter_visible(everything, visible)
    shown = _as_shown_by_cuda(selected, instances)
    sentences = [] if visible is None else [visible_text(_VARIABLE, visible, len(shown), len(found))]
    sentences += [_mig_text(shown, len(instances))] if has_mig else []
    return shown, " ".join(sentences)


def _as_shown_by_cuda(selected: Sequence[Gpu], instances: Sequence[tuple[str, Gpu]]) -> list[Gpu]:
    """Replace each GPU in MIG mode by its instances; of all instances the first is shown, alone."""
    parts: list[Gpu] = []
    for gpu in selected:
        parts += [instance for owner, instance in instances if owner == gpu.uuid] if gpu.is_mig else [gpu]
    return [part for part in parts if part.uuid.startswith("MIG-")][:1] or parts


def parse_query(text: str) -> list[Gpu]:
    """Parse each line of a number and at least four other fields: UUID, name, memory in MiB, driver, MIG mode."""
    gpus = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) >= 5 and parts[0].isdecimal():
            total, free = (int(part) << 20 if part.isdecimal() else 0 for part in parts[3:5])
            driver, mode = [*parts[5:], "", ""][:2]
            gpus.append(Gpu(parts[0], parts[1], parts[2], total, free, driver, mode == "Enabled"))
    return gpus


def parse_list(text: str, gpus: Sequence[Gpu]) -> list[tuple[str, Gpu]]:
    """Parse the output of ``nvidia-smi -L``.

    Args:
        text: a line for each GPU, each followed by lines of its instances.
        gpus: the same GPUs.

    Returns:
        The UUID of a GPU and one of its instances, for each instance. Its memory is that of its profile's name.
    """
    owners = {gpu.uuid: gpu for gpu in gpus}
    owner: Gpu | None = None
    instances = []
    for line in text.splitlines():
        if match := _GPU_LINE.match(line):
            owner = owners.get(match[1])
        elif owner is not None and (match := _MIG_LINE.match(line)):
            size = _MIG_MEMORY.search(match[1])
            memory = int(size[1]) << 30 if size else 0
            name = f"MIG {match[1]} of {owner.name}"
            instances.append((owner.uuid, Gpu("", match[2], name, memory, memory, owner.driver)))
    return instances


def _mig_text(shown: Sequence[Gpu], instances: int) -> str:
    plural = f"{instances} instance" + "s" * (instances != 1)
    if shown and shown[0].uuid.startswith("MIG-"):
        return (
            f"MIG: {plural}, of which a process sees one, here {shown[0].uuid}; "
            "CUDA_VISIBLE_DEVICES=MIG-... names another."
        )
    return f"MIG: {plural}, none of them visible; a GPU in MIG mode is used through an instance."
