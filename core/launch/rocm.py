"""AMD's GPUs as ROCm will show them to a worker, and their load, according to `rocm-smi`.

Variables of visible devices: ``ROCR_VISIBLE_DEVICES`` first, then ``HIP_VISIBLE_DEVICES`` (or else
``CUDA_VISIBLE_DEVICES``), which counts those that the first one left. Source: ROCm documentation, "GPU isolation".
"""

import json
import shutil
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from core.launch.gpus import Gpu, SmiError, filter_visible, run_smi, visible_text

_TIMEOUT: Final = 10.0
_COMMAND: Final = (
    *("rocm-smi", "--showproductname", "--showuniqueid", "--showmeminfo", "vram"),
    *("--showuse", "--showtemp", "--showdriverversion", "--json"),
)


class Card(NamedTuple):
    """A GPU with its load: utilization in percent and temperature in degrees Celsius; None is unknown."""

    gpu: Gpu
    utilization: int | None
    temperature: int | None


def is_installed() -> bool:
    """Return whether there is a `rocm-smi`."""
    return shutil.which(_COMMAND[0]) is not None


def query_rocm_smi(timeout: float) -> list[Card]:
    """Return all GPUs of `rocm-smi`.

    Args:
        timeout: seconds to wait; a faulty driver may hang.

    Raises:
        SmiError: `rocm-smi` is not installed, does not answer in time, or fails.
    """
    return parse_json(run_smi(_COMMAND, timeout))


def find_gpus(environment: Mapping[str, str]) -> tuple[list[Gpu], str]:
    """Return the GPUs that a process of this environment sees, and a sentence that explains a limit, or nothing."""
    try:
        found = [card.gpu for card in query_rocm_smi(_TIMEOUT)]
    except SmiError as error:
        return [], f"No AMD GPU: {error}."
    if not found:
        return [], "No AMD GPU: rocm-smi lists none."
    sentences = []
    second = "HIP_VISIBLE_DEVICES" if "HIP_VISIBLE_DEVICES" in environment else "CUDA_VISIBLE_DEVICES"
    for name in ("ROCR_VISIBLE_DEVICES", second):
        if (visible := environment.get(name)) is not None:
            shown = filter_visible(found, visible)
            sentences.append(visible_text(name, visible, len(shown), len(found)))
            found = [gpu._replace(number=str(number)) for number, gpu in enumerate(shown)]
    return found, " ".join(sentences)


def parse_json(text: str) -> list[Card]:
    """Parse the output of ``rocm-smi --json``, which warnings may precede; empty if it is none.

    >>> (card,) = parse_json('{"card0": {"Card Series": "Radeon", "VRAM Total Memory (B)": "9", "GPU use (%)": "7"}}')
    >>> card.gpu.name, card.gpu.free, card.utilization, card.temperature
    ('Radeon', 9, 7, None)
    """
    try:
        found = json.loads(text[text.index("{") :])
        system = found.get("system", {})
        driver = str(system.get("Driver version", "")) if isinstance(system, dict) else ""
        names = [name for name in found if name.startswith("card") and name[4:].isdecimal()]
        return [
            _parse_card(found[name], name[4:], driver) for name in sorted(names, key=lambda n: int(n[4:]))
        ]
    except (ValueError, AttributeError, RecursionError):
        return []


def _parse_card(fields: dict[str, Any], number: str, driver: str) -> Card:
    # The case of the names differs between versions.
    values = {name.lower(): str(value) for name, value in fields.items()}
    total, used = (_number(values.get(f"vram total {word}memory (b)")) or 0 for word in ("", "used "))
    name = next(
        (
            values[key]
            for key in ("card series", "card model", "gfx version")
            if values.get(key, "N/A") != "N/A"
        ),
        "AMD GPU",
    )
    unique = values.get("unique id", "N/A")
    uuid = "" if unique == "N/A" else f"GPU-{unique.removeprefix('0x')}"
    warmth = next((value for key, value in values.items() if key.startswith("temperature")), None)
    gpu = Gpu(number, uuid, name, total, max(0, total - used), driver)
    return Card(gpu, _number(values.get("gpu use (%)")), _number(warmth))


def _number(text: str | None) -> int | None:
    try:
        return int(float(text)) if text is not None else None
    except (ValueError, OverflowError):
        return None
