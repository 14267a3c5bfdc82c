"""Environment of a benchmark: hardware, versions, and the load of other programs."""

import importlib.metadata
import os
import platform
import re
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from core.launch.provenance import current_provenance

PACKAGES: Final = ("ddpm-tui", "torch", "numpy")
MAX_OTHER_LOAD: Final = 0.05
"""Share of the cores above which the load of other programs disturbs a measurement."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Hardware and versions, printed with every result."""

    cpu: str
    cores: int
    """Cores that this process may use."""
    instructions: tuple[str, ...]
    """Instruction sets that determine the speed of low-precision arithmetic."""
    memory_gib: float
    gpus: tuple[str, ...]
    system: str
    python: str
    versions: dict[str, str]
    commit: str
    """The commit of the checkout, with ``+changes`` if files differ from it."""

    def lines(self) -> list[str]:
        """Describe the machine in two lines of text."""
        extra = f" ({', '.join(self.instructions)})" if self.instructions else ""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return [
            f"{self.cpu}, {self.cores} cores{extra}, {self.memory_gib:.0f} GiB, {', '.join(self.gpus) or 'no GPU'}",
            f"{self.system}, Python {self.python}, {versions}"
            + (f", {self.commit[:12]}" if self.commit else ""),
        ]

    def slug(self) -> str:
        """The part of a file name that identifies the machine, with a mark for CPUs with bfloat16 instructions."""
        name = self.gpus[0] if self.gpus else self.cpu
        if not self.gpus and "avx512_bf16" in self.instructions:
            name += " bf16"
        return re.sub(r"[^a-z0-9]+", "-", f"{name} {self.cores}".lower()).strip("-")


def describe_machine(packages: Iterable[str] = ()) -> Machine:
    """Describe this machine, with the versions of `PACKAGES` and of `packages`."""
    from core.launch.devices import detect_machine  # needs psutil, which `gpu` does without

    found = detect_machine()
    versions = {}
    for name in (*PACKAGES, *packages):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    cpuinfo = _cpuinfo()
    name = next(device.detail.rpartition(", ")[0] for device in found.devices if device.kind == "cpu")
    return Machine(
        cpu=cpu_name_with_model(name, cpuinfo),
        cores=found.cores,
        instructions=_instructions(cpuinfo),
        memory_gib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30),
        gpus=tuple(gpu_name(device.detail) for device in found.devices if device.kind != "cpu"),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        versions=versions,
        commit=current_provenance().get("commit", ""),
    )


class OtherLoad:
    """Context that measures the load of other programs.

    This process and its children do not count as other programs.
    """

    def __enter__(self) -> Self:
        import psutil  # see `describe_machine`

        self._cores = psutil.cpu_count() or 1
        self._start = time.monotonic(), _busy_seconds(), _own_seconds()
        self.share = 0.0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        began, busy, own = self._start
        passed = time.monotonic() - began
        self.share = other_load_share(_busy_seconds() - busy, _own_seconds() - own, passed, self._cores)

    @property
    def quiet(self) -> bool:
        """True if the load of other programs is small enough."""
        return self.share <= MAX_OTHER_LOAD


def other_load_share(busy: float, own: float, seconds: float, cores: int) -> float:
    """The share of `cores` that other programs kept busy, from times in seconds; clock rounding is clamped to 0..1.

    >>> other_load_share(busy=15.0, own=10.0, seconds=10.0, cores=2)
    0.25
    """
    return min(1.0, max(0.0, (busy - own) / (seconds * cores))) if seconds > 0 else 0.0


def _busy_seconds() -> float:
    """Busy seconds of all cores together."""
    import psutil

    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # Linux includes guest time in `user`.
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return float(sum(times) - idle - guests)


def _own_seconds() -> float:
    """Busy seconds of this process and its children, including those that have ended."""
    import psutil

    total = sum(os.times()[:4])
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def gpu_name(detail: str) -> str:
    """The name of a GPU in its description, without its memory, which is not the same at each measurement.

    >>> gpu_name("NVIDIA H200, 139.1 GiB free")
    'NVIDIA H200'
    """
    return re.sub(r",? *[0-9.]+ [KMG]iB.*", "", detail)


def cpu_name_with_model(name: str, cpuinfo: str) -> str:
    """Add family and model to a CPU name without digits, because virtual machines give many CPUs the same name.

    Args:
        name: as the system gives it.
        cpuinfo: the text of Linux's ``/proc/cpuinfo``.

    >>> cpu_name_with_model("AMD EPYC", "cpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\n")
    'AMD EPYC, family 26, model 2'
    """
    found = re.search(r"^cpu family\s*:\s*(\d+)\nmodel\s*:\s*(\d+)$", cpuinfo, re.MULTILINE)
    return name if not found or re.search(r"\d", name) else f"{name}, family {found[1]}, model {found[2]}"


def _instructions(cpuinfo: str) -> tuple[str, ...]:
    wanted = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "bf16", "sve")
    line = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
    there = set(line[1].split()) if line else set()
    return tuple(name for name in wanted if name in there)


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
