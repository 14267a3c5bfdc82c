"""Archives of images, zip and tar: listed and decoded as if they were unpacked, without unpacking them to disk."""

import bz2
import contextlib
import functools
import gzip
import io
import itertools
import lzma
import re
import stat
import tarfile
import threading
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final

from core.data.decode import NotAnImageError
from core.errors import UserError, is_machine_error
from core.files.sanitize import sanitize
from core.files.untrusted import open_regular

LINKS: Final = "links in an archive"
UNSAFE_NAMES: Final = "names that lead out of the archive"
ENCRYPTED: Final = "encrypted"
STRANGE: Final = "not plain files"
TOO_LARGE: Final = "too large unpacked"

_MAX_MEMBER: Final = 1 << 28
"""Bytes of a member unpacked; a larger one is no image that would be read."""
_MAX_RATIO: Final = 200
_MAX_UNPACKED: Final = 1 << 30
"""A compressed tar may unpack to this, or to `_MAX_RATIO` times its size; more may be a decompression bomb."""
_WINDOW: Final = 256
_WINDOW_BYTES: Final = 1 << 26
_UNPACK_ERRORS: Final = (
    *(zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error),
    *(EOFError, RuntimeError, ValueError, IndexError, OverflowError),
)
_ENCRYPTED_FLAG: Final = 1
_DRIVE: Final = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, eq=False)
class Archive:
    """Members of an archive that may be images.

    Attributes:
        path: its file.
        members: the members by name, in the order of the archive. Folders that all have in common are not part of the
            names, as if the innermost of them had been given.
        left_out: numbers of members that are never read, by reason.
        is_sequential: whether it is compressed as a whole, so that members are read in the order of the archive.
    """

    path: Path
    members: dict[str, "Member"]
    left_out: Counter[str]
    is_sequential: bool


@dataclass(frozen=True)
class Member:
    """A member: its name in the archive, its first byte in the unpacked tar, and its length in bytes."""

    stored_name: str
    offset: int
    size: int


def open_archive(path: Path) -> Archive:
    """List the members of an archive.

    Raises:
        UserError: it cannot be read, is damaged, or unpacks to so much that it may be a decompression bomb.
    """
    try:
        status = path.stat()
        return _open(path, status.st_size, status.st_mtime_ns)
    except UnicodeDecodeError as error:
        name = error.object[:40].decode(errors="backslashreplace")
        raise UserError(
            f"{path}: the name {name} in it is not UTF-8, though it says so; unpack it and pack it again"
        ) from error
    except OSError as error:
        if is_machine_error(error) or error.errno is not None:
            raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
        raise UserError(f"{path}: not an archive, or a damaged one ({_words(error)})") from error
    except _UNPACK_ERRORS as error:
        raise UserError(f"{path}: not an archive, or a damaged one ({_words(error)})") from error


def read_member(path: Path, name: str, following: Sequence[str] = ()) -> bytes:
    """Read a member as `Archive.members` names it.

    Args:
        path: the archive.
        name: of the member.
        following: names that will be read next; of an archive that is compressed as a whole they are read with it.

    Raises:
        NotAnImageError: the member is damaged.
        UserError: the archive cannot be read.
    """
    archive = open_archive(path)
    member = archive.members[name]
    if archive.is_sequential:
        return _windows.read(archive, name, following)
    try:
        if path.name.lower().endswith(".zip"):
            packed = _open_zip(path, *_stamp(path))
            return packed.read(member.stored_name)
        with open_regular(path) as file:
            file.seek(member.offset)
            return file.read(member.size)
    except OSError as error:
        if is_machine_error(error):
            raise UserError(f"{path}: cannot be read now ({error.strerror or error}); try again") from error
        raise NotAnImageError("damaged in the archive") from error
    except _UNPACK_ERRORS as error:
        raise NotAnImageError("damaged in the archive") from error


def read_in_order(path: Path, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Yield members of an archive that is compressed as a whole, in the order of the archive, in one pass.

    Raises:
        UserError: the archive cannot be read.
    """
    archive = open_archive(path)
    remaining = {archive.members[name].offset: name for name in names}
    try:
        with _open_tar(path) as opened:
            while remaining and (entry := opened.next()) is not None:
                opened.members = []  # type: ignore[attr-defined] # it would keep them all
                name = remaining.pop(entry.offset_data, None)
                if name is not None and (content := opened.extractfile(entry)) is not None:
                    yield name, content.read(_MAX_MEMBER)
    except (OSError, *_UNPACK_ERRORS) as error:
        raise UserError(f"{path}: cannot be read ({_words(error)})") from error


class _Windows:
    """Members of archives that are compressed as a whole, read in passes of many members each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: tuple[object, ...] = ()
        self._contents: dict[str, bytes] = {}

    def read(self, archive: Archive, name: str, following: Sequence[str]) -> bytes:
        key = (archive.path, *_stamp(archive.path))
        with self._lock:
            if self._key != key or name not in self._contents:
                wanted, total = {name}, archive.members[name].size
                for other in itertools.islice(following, _WINDOW):
                    total += archive.members[other].size
                    if total > _WINDOW_BYTES:
                        break
                    wanted.add(other)
                self._key, self._contents = key, dict(read_in_order(archive.path, wanted))
            return self._contents[name]


_windows = _Windows()


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=4)
def _open(path: Path, size: int, modified: int) -> Archive:
    left_out: Counter[str] = Counter()
    is_zip = path.name.lower().endswith(".zip")
    found = _list_zip(path, left_out) if is_zip else _list_tar(path, size, left_out)
    members = {name: member for name, member in found if _is_visible(name)}
    shared = _shared_folders(members)
    return Archive(
        path,
        {name[shared:]: member for name, member in members.items()},
        +left_out,
        not is_zip and not path.name.lower().endswith(".tar"),
    )


@functools.lru_cache(maxsize=2)
def _open_zip(path: Path, size: int, modified: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)  # its members can be read in several threads at once


def _list_zip(path: Path, left_out: Counter[str]) -> Iterator[tuple[str, Member]]:
    for entry in _open_zip(path, *_stamp(path)).infolist():
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if entry.is_dir():
            continue
        if kind == stat.S_IFLNK:
            left_out[LINKS] += 1
        elif kind not in (0, stat.S_IFREG):
            left_out[STRANGE] += 1
        elif entry.flag_bits & _ENCRYPTED_FLAG:
            left_out[ENCRYPTED] += 1
        elif entry.file_size > _MAX_MEMBER:
            left_out[TOO_LARGE] += 1
        elif name := _safe_name(entry.filename, left_out):
            yield name, Member(entry.filename, entry.header_offset, entry.file_size)


def _list_tar(path: Path, size: int, left_out: Counter[str]) -> Iterator[tuple[str, Member]]:
    most = max(_MAX_UNPACKED, _MAX_RATIO * size)
    with _open_tar(path) as opened:
        while (entry := opened.next()) is not None:
            opened.members = []  # type: ignore[attr-defined] # it would keep them all
            if entry.offset_data + entry.size > most:
                raise UserError(
                    f"{path}: unpacks to more than {most >> 20:,} MiB, so it may be a decompression bomb; "
                    "unpack it and give the folder if you trust it"
                )
            if entry.isdir():
                continue
            if entry.issym() or entry.islnk():
                left_out[LINKS] += 1
            elif not entry.isreg() or entry.issparse():
                left_out[STRANGE] += 1
            elif entry.size > _MAX_MEMBER:
                left_out[TOO_LARGE] += 1
            elif name := _safe_name(entry.name, left_out):
                yield name, Member(entry.name, entry.offset_data, entry.size)


@contextlib.contextmanager
def _open_tar(path: Path) -> Iterator[tarfile.TarFile]:
    name = path.name.lower()
    with open_regular(path) as raw:
        unpacked: IO[bytes] | gzip.GzipFile = raw
        if name.endswith((".gz", ".tgz")):
            unpacked = gzip.GzipFile(fileobj=raw)
        elif name.endswith((".bz2", ".tbz2")):
            unpacked = bz2.BZ2File(raw)
        elif name.endswith((".xz", ".txz")):
            unpacked = lzma.LZMAFile(raw)  # noqa: SIM115 (closed below)
        with unpacked, tarfile.open(fileobj=_LimitedReader(unpacked), mode="r:") as opened:
            yield opened


class _LimitedReader(io.RawIOBase):
    """A file that refuses to read more than a member at once, because a header may claim any length."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile) -> None:
        self._file = file

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= _MAX_MEMBER:
            raise tarfile.ReadError("a header that claims too much")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def _safe_name(stored: str, left_out: Counter[str]) -> str:
    """Return the path of a member relative to the archive; empty, and counted, if it leads out of it."""
    name = stored.replace("\\", "/")
    parts = [part for part in PurePosixPath(name).parts if part != "."]
    if name.startswith("/") or ".." in parts or _DRIVE.match(name) or "\0" in name:
        left_out[UNSAFE_NAMES] += 1
        return ""
    return "/".join(parts)


def _is_visible(name: str) -> bool:
    return not any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _shared_folders(names: Iterable[str]) -> int:
    """Return the length of the folders that all names begin with."""
    folders = [name.split("/")[:-1] for name in names]
    if not folders:
        return 0
    lowest, highest = min(folders), max(folders)
    shared = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(lowest, highest, strict=False))
    return sum(len(part) + 1 for part, _ in shared)


def _words(error: Exception) -> str:
    return sanitize(" ".join(str(error).split())) or type(error).__name__
