"""The hosts that a file system's locks reach, as far as its mount tells."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Final

MODE_VARIABLE: Final = "DDPM_LOCK"
"""Environment variable: ``lease`` uses leases everywhere, ``flock`` nowhere. Otherwise the mount decides."""
_MOUNTS: Final = Path("/proc/self/mountinfo")
_LOCAL_OPTIONS: Final = {
    "nfs": ("nolock", "local_lock=all", "local_lock=flock"),
    "nfs4": ("nolock", "local_lock=all", "local_lock=flock"),
    "lustre": ("localflock",),
}
_LOCAL_SYSTEMS: Final = ("fuse.sshfs", "fuse.rclone", "fuse.s3fs", "fuse.gcsfuse")
"""File systems of networks whose locks the kernel keeps for this host alone."""


class Reach(StrEnum):
    """Reach of an flock."""

    EVERYWHERE = "everywhere"
    THIS_HOST = "this host only"


def lock_reach(folder: Path) -> tuple[Reach, str]:
    """Return whether locks in a folder reach all hosts that see it, and the kind of its file system.

    A file system that says nothing, or that belongs to this host, counts as one whose locks reach all that see it.
    """
    kind, options = _mount(folder)
    mode = os.environ.get(MODE_VARIABLE)
    if mode in ("lease", "flock"):
        return (Reach.THIS_HOST if mode == "lease" else Reach.EVERYWHERE), f"{kind}, {MODE_VARIABLE}={mode}"
    found = [one for one in _LOCAL_OPTIONS.get(kind, ()) if one in options]
    if found:
        return Reach.THIS_HOST, f"{kind} with {found[0]}"
    return (Reach.THIS_HOST if kind in _LOCAL_SYSTEMS else Reach.EVERYWHERE), kind


def _mount(folder: Path) -> tuple[str, set[str]]:
    """Return the kind of the file system that a folder is on, and its options; empty if unknown."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        path = os.path.realpath(folder)
    except OSError:
        return "", set()
    best: tuple[int, str, set[str]] = (-1, "", set())
    for line in lines:
        # 36 35 98:0 /root /mount/point rw,noatime shared:1 - nfs4 server:/export rw,local_lock=none
        left, separator, right = line.partition(" - ")
        fields, others = left.split(), right.split()
        if not separator or len(fields) < 6 or not others:
            continue
        point = fields[4].replace("\\040", " ")
        is_inside = path == point or path.startswith(point.rstrip("/") + "/")
        if is_inside and len(point) >= best[0]:
            best = (
                len(point),
                others[0],
                {*fields[5].split(","), *(others[2].split(",") if others[2:] else ())},
            )
    return best[1], best[2]
