"""Generated sets on disk: made once, whole or not at all, and shared by all processes.

A set is a folder `<name>-<fingerprint8>` of plain arrays and a `recipe.toml` that says what they are. It is
made under a hidden name and renamed, so that nobody ever sees half of one; of two processes that make it at
once, one wins and the other takes the winner's.
"""

import contextlib
import hashlib
import io
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.config.load import decode, encode_toml, read_toml
from core.data.recipe import DataRecipe
from core.errors import UserError
from core.files.atomic import write_new_file
from core.files.locks import wait_for_flock
from core.files.untrusted import read_npy

GENERATOR_VERSION: Final = 1
"""Raise it whenever the same recipe would give other pictures: old sets are then made anew."""
RECORD_FILE: Final = "recipe.toml"
TRAIN_FILE: Final = "train.npy"
HELDOUT_FILE: Final = "heldout.npy"
TRAIN_VERTICES_FILE: Final = "train_vertices.npy"
HELDOUT_VERTICES_FILE: Final = "heldout_vertices.npy"
_INSTALL_ATTEMPTS: Final = 10

FileList = list[tuple[str, int, int]]
Number = TypeVar("Number", np.uint8, np.float32)


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `recipe.toml` says of the arrays beside it; it is written last."""

    fingerprint: str
    count: int
    heldout: int
    channels: int
    size: int
    notes: list[str]
    recipe: DataRecipe


@dataclass(frozen=True, eq=False)
class CachedSet:
    """Arrays of a valid set, mapped, not loaded: uint8 [N, C, S, S]."""

    path: Path
    record: Record
    train: NDArray[np.uint8]
    heldout: NDArray[np.uint8]
    train_vertices: NDArray[np.float32] | None
    heldout_vertices: NDArray[np.float32] | None
    """Corners [N, 3, 2] of triangles, None for a folder."""


def fingerprint(recipe: DataRecipe, files: FileList) -> str:
    """A hash of all that decides the pixels; not of the counts, as fewer pictures are a prefix of more."""
    matters = {
        key: value
        for key, value in msgspec.to_builtins(recipe).items()
        if key not in ("name", "description", "count", "heldout")
    }
    matters["canvas"] = recipe.canvas or recipe.size
    if recipe.storage != "jpeg":
        matters["quality"] = None
    text = json.dumps([GENERATOR_VERSION, matters, files], sort_keys=True)
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def set_dir(data_dir: Path, recipe: DataRecipe, mark: str) -> Path:
    """Where the set of a recipe with this fingerprint lives."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", recipe.name).strip("-.")[:60] or "set"
    return data_dir / f"{name}-{mark[:8]}"


def open_set(folder: Path, mark: str, *, count: int, heldout: int) -> CachedSet | None:
    """A set that is whole, made from this very recipe and large enough; None if it is not.

    A damaged set is None too: it can always be made anew.
    """
    try:
        record = decode(read_toml(folder / RECORD_FILE), Record, source=str(folder / RECORD_FILE))
        if record.fingerprint != mark or record.count < count or record.heldout < heldout:
            return None
        tile = (record.channels, record.size, record.size)
        train = _map_array(folder / TRAIN_FILE, (record.count, *tile), np.uint8)
        tested = _map_array(folder / HELDOUT_FILE, (record.heldout, *tile), np.uint8)
        if record.recipe.kind == "folder":
            return CachedSet(folder, record, train, tested, None, None)
        corners = _map_array(folder / TRAIN_VERTICES_FILE, (record.count, 3, 2), np.float32)
        tested_corners = _map_array(folder / HELDOUT_VERTICES_FILE, (record.heldout, 3, 2), np.float32)
    except (UserError, OSError, ValueError, EOFError):
        return None
    return CachedSet(folder, record, train, tested, corners, tested_corners)


def build_set(
    folder: Path,
    mark: str,
    make: Callable[[Path], Record],
    *,
    count: int,
    heldout: int,
) -> CachedSet:
    """Have a set made and put it in its place, unless somebody else has done so meanwhile.

    Args:
        make: fills the folder it is given with arrays and returns their record.

    Raises:
        UserError: the data folder cannot be written, or the disk is full.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _lock(folder) as locked:
            ready = open_set(folder, mark, count=count, heldout=heldout)
            if ready is not None:
                return ready
            if locked:
                # Left by processes that were killed.
                for stale in folder.parent.glob(f".{folder.name}.*"):
                    shutil.rmtree(stale, ignore_errors=True)
            scratch = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
            scratch.mkdir()
            try:
                record = make(scratch)
                write_new_file(scratch / RECORD_FILE, [encode_toml(record).encode()])
                # A folder may turn out to have fewer pictures than were hoped for.
                count, heldout = min(count, record.count), min(heldout, record.heldout)
                return _install(scratch, folder, mark, count=count, heldout=heldout)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    except BrokenPipeError:
        # Of whoever reads the progress; no file does that.
        raise
    except OSError as error:
        raise UserError(
            f"{folder.parent}: the pictures cannot be kept here ({error.strerror or error}); "
            "free some space, or name another folder in DDPM_DATA"
        ) from error


def write_array(path: Path, shape: tuple[int, ...], chunks: Iterable[NDArray[np.generic]]) -> None:
    """Write one .npy file from chunks of rows, without ever holding it in memory.

    A full disk is an OSError here; a memory map would be a killed process.
    """

    def pieces() -> Iterator[bytes]:
        for index, chunk in enumerate(chunks):
            if index == 0:
                yield _header(chunk.dtype, shape)
            yield chunk.tobytes()

    write_new_file(path, pieces())


def _map_array(path: Path, shape: tuple[int, ...], dtype: type[Number]) -> NDArray[Number]:
    array: NDArray[Number] = read_npy(path)
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"{path}: expected {dtype.__name__} {shape}, got {array.dtype} {array.shape}")
    return array


def _header(dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    description = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": description, "fortran_order": False, "shape": shape}
    )
    return buffer.getvalue()


def _install(scratch: Path, folder: Path, mark: str, *, count: int, heldout: int) -> CachedSet:
    for _ in range(_INSTALL_ATTEMPTS):
        with contextlib.suppress(OSError):
            os.rename(scratch, folder)
        ready = open_set(folder, mark, count=count, heldout=heldout)
        if ready is not None:
            return ready
        # What stands in the way is damaged, foreign or too small: away with it, and once more. A process that
        # has it mapped keeps its own view.
        away = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.old")
        with contextlib.suppress(FileNotFoundError):
            os.rename(folder, away)
            shutil.rmtree(away, ignore_errors=True) if away.is_dir() else away.unlink()
    raise UserError(f"{folder}: the new pictures cannot be put in its place; remove it and try again")


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """Hold the right to make one set; yields False where the file system has no locks."""
    locks = folder.parent / ".locks"
    locks.mkdir(exist_ok=True)
    with (locks / folder.name).open("wb") as file:
        try:
            wait_for_flock(file.fileno())
        except UserError:
            yield False
            return
        yield True
