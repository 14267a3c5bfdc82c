"""Load of this machine: CPU, memory and GPUs.

A `SystemLoadReader` belongs to one thread. NVIDIA's GPUs are read through NVML if the package `nvidia-ml-py` is
installed (the extra `gpu`), else through `nvidia-smi`, and AMD's through `rocm-smi`. The programs take longer, so they
are called less often.
"""

import contextlib
import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from core.files.sanitize import sanitize
from core.launch.gpus import SmiError
from core.launch.nvidia import query_nvidia_smi
from core.launch.rocm import Card, query_rocm_smi

SMI_INTERVAL: Final = 10.0
SMI_TIMEOUT: Final = 5.0
MEBIBYTE: Final = 1 << 20
_QUERY: Final = "name,utilization.gpu,memory.used,memory.total,temperature.gpu"


@dataclass(frozen=True, slots=True)
class GpuLoad:
    """Load of one GPU: utilization from 0 to 1, memory in bytes, temperature in degrees Celsius; None is unknown."""

    name: str
    utilization: float | None
    used: int
    total: int
    temperature: int | None = None


@dataclass(frozen=True, slots=True)
class SystemLoad:
    """Load of the machine: `cpu` is the utilization of all `cores` from 0 to 1; memory is in bytes."""

    cpu: float
    cores: int
    used: int
    total: int
    gpus: tuple[GpuLoad, ...] = ()


class SystemLoadReader:
    """Reads the machine's load; CPU utilization is measured since the previous read."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._read_gpus: Callable[[], tuple[GpuLoad, ...]] | None = None
        self._gpus: tuple[GpuLoad, ...] = ()
        self._next_smi = -1e18

    def read(self) -> SystemLoad:
        """Read the current load; the first call measures the CPU for a tenth of a second."""
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
        """The last answer of `nvidia-smi`, else `rocm-smi`, at most `SMI_INTERVAL` seconds old; empty if both fail."""
        if self._monotonic() >= self._next_smi:
            self._next_smi = self._monotonic() + SMI_INTERVAL
            self._gpus = ()
            with contextlib.suppress(SmiError):
                self._gpus = parse_smi(query_nvidia_smi(_QUERY, SMI_TIMEOUT))
            if not self._gpus:
                with contextlib.suppress(SmiError):
                    self._gpus = tuple(map(_card_load, query_rocm_smi(SMI_TIMEOUT)))
        return self._gpus


def parse_smi(text: str) -> tuple[GpuLoad, ...]:
    """Parse the output of `nvidia-smi`, one GPU per line; values that a GPU does not report are None.

    >>> parse_smi("NVIDIA A100, 37, 2048, 40960, 51")[0].utilization
    0.37
    >>> parse_smi("NVIDIA A2, [N/A], 100, 200, [N/A]")[0].utilization is None, parse_smi("what?")
    (True, ())
    """
    gpus = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 5 and parts[2].isdecimal() and parts[3].isdecimal():
            percent, temperature = (int(part) if part.isdecimal() else None for part in (parts[1], parts[4]))
            gpus.append(
                GpuLoad(
                    sanitize(parts[0]).removeprefix("NVIDIA "),
                    percent / 100 if percent is not None else None,
                    int(parts[2]) * MEBIBYTE,
                    int(parts[3]) * MEBIBYTE,
                    temperature,
                )
            )
    return tuple(gpus)


def _card_load(card: Card) -> GpuLoad:
    gpu, percent = card.gpu, card.utilization
    return GpuLoad(
        sanitize(gpu.name).removeprefix("AMD "),
        percent / 100 if percent is not None else None,
        gpu.total - gpu.free,
        gpu.total,
        card.temperature,
    )


def _nvml_reader() -> Callable[[], tuple[GpuLoad, ...]] | None:
    """A function that reads all GPUs through NVML; None if package or library is missing, or no GPU is found."""
    try:
        nvml: Any = importlib.import_module("pynvml")
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        names = [nvml.nvmlDeviceGetName(handle) for handle in handles]
    except Exception:  # a third-party package with its own exception classes
        return None

    def read() -> tuple[GpuLoad, ...]:
        try:
            return tuple(
                _gpu_load(nvml, handle, name.decode() if isinstance(name, bytes) else name)
                for handle, name in zip(handles, names, strict=True)
            )
        except nvml.NVMLError:  # say a GPU that fell off the bus
            return ()

    return read if handles else None


def _gpu_load(nvml: Any, handle: Any, name: str) -> GpuLoad:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    try:
        utilization = nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
        temperature = nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
    except nvml.NVMLError:  # a MIG slice of a GPU reports neither
        utilization = temperature = None
    return GpuLoad(
        sanitize(name).removeprefix("NVIDIA "), utilization, memory.used, memory.total, temperature
    )
