"""How busy this machine is: processor, memory and, where there are any, NVIDIA GPUs.

A `SystemLoadReader` belongs to one thread. GPUs are asked through NVML where the package `nvidia-ml-py` is installed
(the extra `gpu`), else through `nvidia-smi`, which takes longer and so is asked less often.
"""

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from core.files.sanitize import sanitize
from core.launch.nvidia import NoAnswerError, ask_smi

SMI_INTERVAL: Final = 10.0
SMI_TIMEOUT: Final = 5.0
MEBIBYTE: Final = 1 << 20
_QUERY: Final = "name,utilization.gpu,memory.used,memory.total,temperature.gpu"


@dataclass(frozen=True, slots=True)
class GpuLoad:
    """One GPU: `share` of the time busy, from 0 to 1; memory in bytes; degrees Celsius. None is not known."""

    name: str
    utilization: float | None
    used: int
    total: int
    temperature: int | None = None


@dataclass(frozen=True, slots=True)
class SystemLoad:
    """The machine at one moment: `cpu` is the share of all `cores` that is busy, from 0 to 1; bytes of memory."""

    cpu: float
    cores: int
    used: int
    total: int
    gpus: tuple[GpuLoad, ...] = ()


class SystemLoadReader:
    """Looks at this machine; the processor's share is that since the look before."""

    def __init__(self, pace: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = pace
        self._read_gpus: Callable[[], tuple[GpuLoad, ...]] | None = None
        self._gpus: tuple[GpuLoad, ...] = ()
        self._next_smi = -1e18

    def read(self) -> SystemLoad:
        """How busy it is now; the first look takes a tenth of a second, to have a share to tell."""
        import psutil

        first = self._read_gpus is None
        if self._read_gpus is None:
            self._read_gpus = _nvml_reader() or self._read_smi
        memory = psutil.virtual_memory()
        return SystemLoad(
            cpu=psutil.cpu_percent(0.1 if first else None) / 100,
            cores=psutil.cpu_count() or 1,
            used=memory.total - memory.available,
            total=memory.total,
            gpus=self._read_gpus(),
        )

    def _read_smi(self) -> tuple[GpuLoad, ...]:
        """What `nvidia-smi` said last; nothing where there is none or it does not answer."""
        if self._monotonic() >= self._next_smi:
            self._next_smi = self._monotonic() + SMI_INTERVAL
            try:
                self._gpus = parse_smi(ask_smi(_QUERY, SMI_TIMEOUT))
            except NoAnswerError:
                self._gpus = ()
        return self._gpus


def parse_smi(text: str) -> tuple[GpuLoad, ...]:
    """The GPUs in the answer of `nvidia-smi`, one a line; what a GPU does not tell is None.

    >>> parse_smi("NVIDIA A100, 37, 2048, 40960, 51")[0].share
    0.37
    >>> parse_smi("NVIDIA A2, [N/A], 100, 200, [N/A]")[0].share is None, parse_smi("what?")
    (True, ())
    """
    gpus = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 5 and parts[2].isdecimal() and parts[3].isdecimal():
            share, degrees = (int(part) if part.isdecimal() else None for part in (parts[1], parts[4]))
            gpus.append(
                GpuLoad(
                    sanitize(parts[0]).removeprefix("NVIDIA "),
                    share / 100 if share is not None else None,
                    int(parts[2]) * MEBIBYTE,
                    int(parts[3]) * MEBIBYTE,
                    degrees,
                )
            )
    return tuple(gpus)


def _nvml_reader() -> Callable[[], tuple[GpuLoad, ...]] | None:
    """What asks NVML; None where the package or the library is missing, or no GPU answers."""
    try:
        nvml: Any = importlib.import_module("pynvml")
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        names = [nvml.nvmlDeviceGetName(handle) for handle in handles]
    except Exception:  # a package from elsewhere, which raises classes of its own
        return None

    def ask() -> tuple[GpuLoad, ...]:
        try:
            return tuple(
                _gpu_load(nvml, handle, name.decode() if isinstance(name, bytes) else name)
                for handle, name in zip(handles, names, strict=True)
            )
        except nvml.NVMLError:  # say a GPU that fell off the bus
            return ()

    return ask if handles else None


def _gpu_load(nvml: Any, handle: Any, name: str) -> GpuLoad:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    try:
        share = nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
        degrees = nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
    except nvml.NVMLError:  # a slice of a GPU tells neither
        share = degrees = None
    return GpuLoad(sanitize(name).removeprefix("NVIDIA "), share, memory.used, memory.total, degrees)
