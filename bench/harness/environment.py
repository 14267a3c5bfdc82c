"""What a benchmark ran on, and how much of the machine other programs took meanwhile."""

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
import psutil

from core.launch.devices import detect_machine
from core.launch.provenance import current_provenance

PACKAGES: Final = ("ddpm-tui", "torch", "numpy")
QUIET: Final = 0.05
"""The share of the cores that other programs may take before a measurement counts as disturbed."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Hardware and versions, as they are printed with every number."""

    cpu: str
    cores: int
    """That this process may use."""
    instructions: tuple[str, ...]
    """Those that decide how fast small numbers are multiplied."""
    memory_gib: float
    gpus: tuple[str, ...]
    system: str
    python: str
    versions: dict[str, str]
    commit: str
    """Of the checkout, with ``+changes`` if files differ from it."""

    def lines(self) -> list[str]:
        """For a person."""
        extra = f" ({', '.join(self.instructions)})" if self.instructions else ""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return [
            f"{self.cpu}, {self.cores} cores{extra}, {self.memory_gib:.0f} GiB, {', '.join(self.gpus) or 'no GPU'}",
            f"{self.system}, Python {self.python}, {versions}"
            + (f", {self.commit[:12]}" if self.commit else ""),
        ]

    def slug(self) -> str:
        """A file name's part that tells machines apart; a CPU that has instructions for bfloat16 from one without."""
        what = self.gpus[0] if self.gpus else self.cpu
        if not self.gpus and "avx512_bf16" in self.instructions:
            what += " bf16"
        return re.sub(r"[^a-z0-9]+", "-", f"{what} {self.cores}".lower()).strip("-")


def describe(packages: Iterable[str] = ()) -> Machine:
    """The machine, and the versions of what is always measured with, and of `packages`."""
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
        cpu=with_generation(name, cpuinfo),
        cores=found.cores,
        instructions=_instructions(cpuinfo),
        memory_gib=psutil.virtual_memory().total / (1 << 30),
        gpus=tuple(device.detail for device in found.devices if device.kind != "cpu"),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        versions=versions,
        commit=current_provenance().get("commit", ""),
    )


class OtherLoad:
    """Measures, between entering and leaving, how much of the machine programs other than this one took.

    What this process and its children took counts as its own.
    """

    def __enter__(self) -> Self:
        self._start = time.monotonic(), _busy(), _own()
        self.share = 0.0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        began, busy, own = self._start
        passed = time.monotonic() - began
        self.share = share_of_others(_busy() - busy, _own() - own, passed, psutil.cpu_count() or 1)

    @property
    def quiet(self) -> bool:
        """Whether they left this program alone."""
        return self.share <= QUIET


def share_of_others(busy: float, own: float, seconds: float, cores: int) -> float:
    """The share of `cores` that others kept busy; all in seconds. Rounding of the clocks can make it no less than 0.

    >>> share_of_others(busy=15.0, own=10.0, seconds=10.0, cores=2)
    0.25
    """
    return min(1.0, max(0.0, (busy - own) / (seconds * cores))) if seconds > 0 else 0.0


def _busy() -> float:
    """Seconds that all cores together have worked."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # Linux counts what guests take in `user` too.
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return float(sum(times) - idle - guests)


def _own() -> float:
    """Seconds that this process worked, and its children, those that have ended as well."""
    total = sum(os.times()[:4])
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def with_generation(name: str, cpuinfo: str) -> str:
    """The name of a CPU, with its family and model if no number is in it: virtual machines call many alike.

    Args:
        name: as the system gives it.
        cpuinfo: the text of Linux's ``/proc/cpuinfo``.

    >>> with_generation("AMD EPYC", "cpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\n")
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
