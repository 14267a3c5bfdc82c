"""The cores that this process may use, by its affinity and by the quotas of containers; and the processor's name."""

import os
import platform
import re
from pathlib import Path
from typing import Final

_CGROUPS: Final = Path("/sys/fs/cgroup")


def pluralize(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> pluralize(1, "core"), pluralize(2, "core")
    ('1 core', '2 cores')
    """
    return f"{number} {noun}" + "s" * (number != 1)


def find_cores() -> tuple[int, str]:
    """Return the number of cores that this process may use, and a sentence that explains it."""
    installed = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else installed
    quota = _cpu_quota(_CGROUPS, Path("/proc/self/cgroup"))
    if quota is not None and quota < allowed:
        cores = max(1, int(quota))
        return cores, f"{pluralize(cores, 'core')} of {installed}: this container may use {quota:g} of them."
    if allowed < installed:
        return (
            allowed,
            f"{pluralize(allowed, 'core')} of {installed}: this process is confined to them (affinity).",
        )
    return allowed, f"{pluralize(allowed, 'core')}."


def _cpu_quota(root: Path, membership: Path) -> float | None:
    """Return the smallest CPU quota, in cores, of the control groups of this process; None without a quota."""
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    quotas = []
    for line in lines:
        entry = re.fullmatch(r"\d+:([^:]*):(.*)", line)
        if entry is None:
            continue
        controllers, path = entry.groups()
        if not controllers:
            bases = [root, root / "unified"]
        elif "cpu" in controllers.split(","):
            bases = [root / controllers, root / "cpu"]
        else:
            continue
        inside = Path(path.lstrip("/"))
        quotas += [_group_quota(base / part) for base in bases for part in (inside, *inside.parents)]
    return min((quota for quota in quotas if quota), default=None)


def _group_quota(group: Path) -> float | None:
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (group / "cpu.cfs_period_us").read_text(encoding="ascii").strip()
        return int(quota) / int(period) if quota.isdecimal() else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


def cpu_name() -> str:
    """Return the processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    except OSError:
        return platform.processor() or platform.machine()
    return platform.processor() or platform.machine()
