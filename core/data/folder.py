"""Folders of the user's images, and files of many: listed, and split into training and held-out."""

import io
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.data.archive import open_archive, read_in_order, read_member
from core.data.array_file import decode_from_array, list_images
from core.data.decode import (
    Decoded,
    NotAnImageError,
    Reading,
    decode,
    decode_bytes,
    read_head,
    readable_formats,
    unreadable_format,
)
from core.data.recipe import is_archive, is_array_file, is_table_file
from core.data.splitting import path_hash
from core.data.table_file import list_rows, read_row, read_rows
from core.data.torchvision_set import export_if_missing
from core.data.walk import OUTPUTS, is_output, is_output_content, walk_files
from core.errors import UserError

Pixels = NDArray[np.uint8]

CHUNK_PIXELS: Final = 1 << 21
"""Pixels that are worked on at once."""
FOREIGN_SUFFIXES: Final = {
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIF"),
    **dict.fromkeys((".avif", ".avifs"), "AVIF"),
    **dict.fromkeys((".jp2", ".j2k", ".jpf", ".jpx", ".j2c"), "JPEG2000"),
}
"""Suffixes of files in formats that can be read only with some builds and plug-ins of Pillow."""


@dataclass(frozen=True)
class Listing:
    """Files of a folder of images, and the numbers of those that are left out by reason.

    Attributes:
        files: (path relative to the folder, bytes, modification time in ns), sorted by a hash of the path. That order
            looks random, so that any prefix is a fair sample, and an additional file does not change it.
        left_out: numbers of files that cannot be used now, by reason. The fingerprint of a set does not include these
            files, so that another set is made once they can be used.
    """

    files: list[tuple[str, int, int]]
    left_out: Mapping[str, int]

    @property
    def notes(self) -> list[str]:
        """Notes for the user about the files that are left out."""
        return [f"{number} {_files(number)} left out: {reason}" for reason, number in self.left_out.items()]


def image_files(folder: Path, *, leave_out: Path) -> list[tuple[str, int, int]]:
    """List the files of a folder, see `list_folder`."""
    return list_folder(folder, leave_out=leave_out).files


def list_folder(folder: Path, *, leave_out: Path) -> Listing:
    """List the files below a folder that may be images, see `walk_files`, or the images of a file of arrays.

    Raises:
        UserError: the folder cannot be read, or has no files that can be used.
    """
    export_if_missing(folder)
    if is_array_file(folder):
        listed = sorted(list_images(folder), key=lambda image: path_hash(image[0]))
        return Listing(listed, {})
    if is_table_file(folder):
        return Listing(sorted(list_rows(folder), key=lambda image: path_hash(image[0])), {})
    left_out: Counter[str] = Counter()
    found = []
    if is_archive(folder):
        status, archive = folder.stat(), open_archive(folder)
        left_out.update(archive.left_out)
        found = [(name, status.st_size, status.st_mtime_ns) for name in archive.members]
    elif not folder.is_dir():
        raise UserError(f"{folder}: no such folder of images")
    else:
        for path, status in walk_files(folder, leave_out=leave_out, left_out=left_out):
            if reason := _cannot_be_used(path):
                left_out[reason] += 1
            else:
                found.append((path.relative_to(folder).as_posix(), status.st_size, status.st_mtime_ns))
    listing = Listing(sorted(found, key=lambda file: path_hash(file[0])), +left_out)
    if listing.left_out and not found:
        raise UserError(f"{folder}: none of its files can be used; {'; '.join(listing.notes)}")
    if not found:
        kind = "folder" if folder.is_dir() else "archive"
        raise UserError(f"{folder}: an empty {kind}; expected images ({', '.join(readable_formats())})")
    return listing


@dataclass(frozen=True)
class Entry:
    """An image of a listing, or several of them if it is a photograph that is cut into tiles.

    Attributes:
        name: as listed.
        content: of its file, if that was read already.
    """

    name: str
    content: bytes | None = None


def read_entries(source: Path, names: Sequence[str]) -> Iterator[Entry]:
    """Yield entries of `list_folder` in the order in which they are read fastest."""
    if is_archive(source) and open_archive(source).is_sequential:
        for name, content in read_in_order(source, names):
            yield Entry(name, content)
    elif is_table_file(source):
        for name, content in read_rows(source, names):
            yield Entry(name, content)
    else:
        yield from map(Entry, names)


def decode_entry(
    source: Path, entry: Entry, size: int, reading: Reading, *, following: Sequence[str] = ()
) -> Decoded:
    """Decode an entry of `list_folder`.

    Args:
        source: the folder, or the file of images.
        entry: the entry.
        size: as for `core.data.decode.decode`.
        reading: as for `core.data.decode.decode`.
        following: names of entries that will be decoded next, which some archives then read with this one.

    Raises:
        NotAnImageError: as for `core.data.decode.decode`, or it is an output of this program.
        UserError: as for `core.data.decode.decode`.
    """
    if is_array_file(source):
        return decode_from_array(source, entry.name, size, reading)
    if is_archive(source) or is_table_file(source):
        read = partial(read_member, following=following) if is_archive(source) else read_row
        content = read(source, entry.name) if entry.content is None else entry.content
        if is_output_content(io.BytesIO(content)):
            raise NotAnImageError(OUTPUTS)
        return decode_bytes(content, size, reading)
    if is_output(source / entry.name):
        raise NotAnImageError(OUTPUTS)
    return decode(source / entry.name, size, reading)


def to_grey(images: Pixels) -> Pixels:
    """Convert to luma, rounded as in Pillow: uint8 [N, 3, H, W] to [N, 1, H, W]. Greys are unchanged."""
    red, green, blue = (images[:, channel : channel + 1].astype(np.int32) for channel in range(3))
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.uint8)


def batch_slices(count: int, length: int) -> Iterator[slice]:
    """Yield slices of at most `length` that cover 0..count."""
    for start in range(0, count, length):
        yield slice(start, min(start + length, count))


def image_slices(count: int, values: int) -> Iterator[slice]:
    """Yield slices of `count` images, of `values` numbers each, that are worked on at once."""
    yield from batch_slices(count, 1 + CHUNK_PIXELS // values)


def _cannot_be_used(path: Path) -> str:
    """Return why a file cannot be used now, though it may be later; empty if it can be read."""
    if not os.access(path, os.R_OK):
        return "permission denied; make them readable"
    needed = FOREIGN_SUFFIXES.get(path.suffix.lower())
    return unreadable_format(read_head(path)) if needed and needed not in readable_formats() else ""


def _files(number: int) -> str:
    return "file is" if number == 1 else "files are"
