"""Files below a folder of images: links are followed once, and outputs of this program are left out and counted."""

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from core.errors import UserError
from core.files.untrusted import open_regular
from core.imaging.sheet import LAYOUT_KEY, PROGRAM

OUTPUTS: Final = "outputs of runs (samples, figures, exports)"
BROKEN_LINKS: Final = "broken links"
CIRCULAR_LINKS: Final = "links to a folder above, or to one that is read already"
STRANGE_FILES: Final = "not plain files"

_OUTPUT_NAMES: Final = re.compile(r"(samples|denoised|epoch)-.*\.png", re.IGNORECASE)
_OUTPUT_FOLDERS: Final = frozenset(("exports", "figures", "report", "samples", "reverse"))
_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_MAX_CHUNKS: Final = 32
_MAX_TEXT: Final = 1 << 16
_HEAD: Final = 1 << 11

Identity = tuple[int, int]


def walk_files(
    folder: Path, *, leave_out: Path, left_out: Counter[str]
) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield all regular files below a folder, except hidden ones, those below `leave_out` and outputs of this program.

    A link to a folder is followed, after all real folders, unless it leads to a folder that contains this one or that
    was read already. So no file is found twice.

    Args:
        folder: the folder.
        leave_out: a folder below it that is skipped.
        left_out: counts what else is left out, by reason.

    Raises:
        UserError: a folder cannot be read.
    """
    above = {_identity(parent) for parent in folder.resolve().parents}
    seen: set[Identity | None] = {_identity(leave_out), None} - {_identity(folder)}
    folders, links = [folder], list[Path]()
    while folders or links:
        if folders:
            parent = folders.pop()
        else:
            links.sort()
            parent = links.pop(0)
            if (identity := _identity(parent)) in above or identity in seen:
                left_out[CIRCULAR_LINKS] += 1
                continue
        if (identity := _identity(parent)) in seen:
            continue
        seen.add(identity)
        entries = [entry for entry in _entries(parent) if not entry.name.startswith(".")]
        if _is_output_folder({entry.name for entry in entries}):
            left_out[OUTPUTS] += sum(len(names) for *_, names in os.walk(parent))
            continue
        for entry in entries:
            path = parent / entry.name
            status = _status(path)
            if status is None:
                left_out[BROKEN_LINKS] += entry.is_symlink()
            elif stat.S_ISDIR(status.st_mode):
                (links if entry.is_symlink() else folders).append(path)
            elif not stat.S_ISREG(status.st_mode):
                left_out[STRANGE_FILES] += 1
            elif _may_be_output(path) and is_output(path):
                left_out[OUTPUTS] += 1
            else:
                yield path, status


def is_output(path: Path) -> bool:
    """Return whether a PNG or GIF says in its metadata that this program wrote it."""
    try:
        with open_regular(path) as file:
            return is_output_content(file)
    except OSError:
        return False


def is_output_content(file: BinaryIO) -> bool:
    """Return whether the content of a file is an output, see `is_output`.

    Raises:
        OSError: it cannot be read.
    """
    head = file.read(_HEAD)
    if head.startswith(b"GIF8"):
        return b"\x21\xfe" + bytes([len(PROGRAM)]) + PROGRAM.encode() in head
    if not head.startswith(_PNG_SIGNATURE):
        return False
    file.seek(len(_PNG_SIGNATURE))
    for _ in range(_MAX_CHUNKS):
        length, kind = int.from_bytes(file.read(4)), file.read(4)
        if kind in (b"IDAT", b"IEND", b"") or length > _MAX_TEXT:
            return False
        data = file.read(length + 4)[:-4]
        if kind in (b"tEXt", b"iTXt") and _is_output_text(*data.partition(b"\0")[::2]):
            return True
    return False


def _is_output_text(key: bytes, value: bytes) -> bool:
    return key == LAYOUT_KEY.encode() or (key == b"Software" and value.startswith(PROGRAM.encode()))


def _is_output_folder(names: set[str]) -> bool:
    """Return whether a folder with these names is a run, a made set or an export of the dashboard."""
    return (
        "run.toml" in names
        or {"status.json", "metrics.jsonl"} <= names
        or {"recipe.toml", "train.npy"} <= names
        or {"screen.svg", "screen.png"} <= names
    )


def _may_be_output(path: Path) -> bool:
    """Return whether a file is where this program writes by default, because looking into each file takes long."""
    return bool(_OUTPUT_NAMES.fullmatch(path.name)) or not _OUTPUT_FOLDERS.isdisjoint(path.parts[-3:-1])


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror})") from error


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        # A dangling link, or a file that was deleted meanwhile.
        return None


def _identity(folder: Path) -> Identity | None:
    status = _status(folder)
    return None if status is None else (status.st_dev, status.st_ino)
