"""Cache of generated data sets on disk: each is built once, atomically, and shared by all processes.

A set is a folder `<name>-<fingerprint8>` of plain arrays and a `recipe.toml` that describes them. It is built under a
hidden name and renamed, so that no reader sees a partial set. If two processes build a set at once, one succeeds and
the other uses its result.
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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import numpy as np
import tomli_w
from numpy.typing import NDArray

from core.config.load import decode, read_toml
from core.config.tables import without_none
from core.data.recipe import FOLDER_DEFAULTS, DataRecipe
from core.errors import UserError, is_machine_error
from core.files.atomic import write_new_file
from core.files.locks import wait_for_flock
from core.files.outputs import make_folder, open_output
from core.files.untrusted import read_npy

GENERATOR_VERSION: Final = 1
"""Increase it whenever the same recipe would give other images, so that old sets are rebuilt."""
RECORD_FILE: Final = "recipe.toml"
TRAIN_FILE: Final = "train.npy"
HELDOUT_FILE: Final = "heldout.npy"
TRAIN_VERTICES_FILE: Final = "train_vertices.npy"
HELDOUT_VERTICES_FILE: Final = "heldout_vertices.npy"
TRAIN_LABELS_FILE: Final = "train_labels.npy"
HELDOUT_LABELS_FILE: Final = "heldout_labels.npy"
_INSTALL_ATTEMPTS: Final = 10

FileList = list[tuple[str, int, int]]
Number = TypeVar("Number", np.uint8, np.float32, np.uint16)


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Content of `recipe.toml`, the description of the arrays beside it. It is written last."""

    fingerprint: str
    count: int
    heldout: int
    channels: int
    size: int
    notes: list[str]
    recipe: DataRecipe
    classes: list[str] = []
    """Names of the classes in order of index; empty without labels."""
    label_stamp: str = ""
    """Size and time of the file that the labels were read from, see `core.data.labels.label_stamp`."""


@dataclass(frozen=True, eq=False)
class CachedSet:
    """Arrays of a valid set, memory-mapped: uint8 [N, C, S, S]."""

    path: Path
    record: Record
    train: NDArray[np.uint8]
    heldout: NDArray[np.uint8]
    train_vertices: NDArray[np.float32] | None
    heldout_vertices: NDArray[np.float32] | None
    """Corners [N, 3, 2] of triangles; None for a folder."""
    train_labels: NDArray[np.uint16] | None = None
    heldout_labels: NDArray[np.uint16] | None = None
    """Class of each image [N]; None without labels."""

    def with_notes(self, notes: Iterable[str]) -> "CachedSet":
        """Return the set with more notes, about what is true now and was not saved with it."""
        record = msgspec.structs.replace(self.record, notes=[*self.record.notes, *notes])
        return replace(self, record=record)


def fingerprint(recipe: DataRecipe, files: FileList) -> str:
    """Hash all settings that affect the pixels. Counts do not, because fewer images are a prefix of more."""
    settings = {
        key: value
        for key, value in msgspec.to_builtins(recipe).items()
        if key not in ("name", "description", "count", "heldout", "augment")
    }
    for name, default in {**FOLDER_DEFAULTS, "labels": None}.items():
        if settings[name] == default:
            del settings[name]  # sets made before there was such a setting keep their fingerprints
    if recipe.kind == "triangles":
        settings["size"] = recipe.side
    settings["canvas"] = recipe.canvas or settings["size"]
    if recipe.storage != "jpeg":
        settings["quality"] = None
    text = json.dumps([GENERATOR_VERSION, settings, files], sort_keys=True)
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def set_dir(data_dir: Path, recipe: DataRecipe, digest: str) -> Path:
    """Return the folder of the set of a recipe with this fingerprint."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", recipe.name).strip("-.")[:60] or "set"
    return data_dir / f"{name}-{digest[:8]}"


def open_set(
    folder: Path, digest: str, *, count: int, heldout: int, label_stamp: str | None = None
) -> CachedSet | None:
    """Open a set if it is complete, has this fingerprint and is large enough; otherwise None.

    A damaged set is None too, because it can be rebuilt.

    Args:
        folder: of the set.
        digest: its fingerprint.
        count: training images that are needed.
        heldout: held-out images that are needed.
        label_stamp: open only a set with labels of this stamp; None needs no labels.

    Raises:
        UserError: the machine cannot read it now. A set that may be intact must not be replaced.
    """
    try:
        record = decode(read_toml(folder / RECORD_FILE), Record, source=str(folder / RECORD_FILE))
        if record.fingerprint != digest or record.count < count or record.heldout < heldout:
            return None
        if label_stamp is not None and not (record.classes and record.label_stamp == label_stamp):
            return None
        tile = (record.channels, record.size, record.size)
        train = _map_array(folder / TRAIN_FILE, (record.count, *tile), np.uint8)
        held = _map_array(folder / HELDOUT_FILE, (record.heldout, *tile), np.uint8)
        labels: tuple[NDArray[np.uint16] | None, NDArray[np.uint16] | None] = None, None
        if record.classes:
            labels = (
                _map_labels(folder / TRAIN_LABELS_FILE, record.count, len(record.classes)),
                _map_labels(folder / HELDOUT_LABELS_FILE, record.heldout, len(record.classes)),
            )
        if record.recipe.kind == "folder":
            return CachedSet(folder, record, train, held, None, None, *labels)
        corners = _map_array(folder / TRAIN_VERTICES_FILE, (record.count, 3, 2), np.float32)
        held_corners = _map_array(folder / HELDOUT_VERTICES_FILE, (record.heldout, 3, 2), np.float32)
    except (UserError, OSError, ValueError, EOFError) as error:
        if is_machine_error(error):
            raise UserError(f"{folder}: cannot be read now ({error}); try again") from error
        return None
    return CachedSet(folder, record, train, held, corners, held_corners, *labels)


def find_set(
    data_dir: Path, digest: str, *, count: int, heldout: int, labelled: bool = False
) -> CachedSet | None:
    """Find the set with this fingerprint, whatever its name, or None if there is none that `open_set` would open.

    With `labelled` a set without labels is passed over.
    """
    known = re.fullmatch(r"[0-9a-f]{64}", digest)  # it may come from the file of a stranger
    for folder in sorted(data_dir.glob(f"*-{digest[:8]}")) if known else ():
        found = open_set(folder, digest, count=count, heldout=heldout)
        if found is not None and (found.record.classes or not labelled):
            return found
    return None


def build_set(
    folder: Path,
    digest: str,
    make: Callable[[Path], Record],
    *,
    count: int,
    heldout: int,
    label_stamp: str | None = None,
) -> CachedSet:
    """Build a set and rename it into place, unless another process has done so meanwhile.

    Args:
        make: writes the arrays into the folder that it is given, and returns their record.
        label_stamp: as for `open_set`.

    Raises:
        UserError: the data folder cannot be written, or the disk is full.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with lock(folder.parent, folder.name) as locked:
            ready = open_set(folder, digest, count=count, heldout=heldout, label_stamp=label_stamp)
            if ready is not None:
                return ready
            if locked:
                # Leftovers of processes that were killed.
                for stale in folder.parent.glob(f".{folder.name}.*"):
                    shutil.rmtree(stale, ignore_errors=True)
            scratch = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
            scratch.mkdir()
            try:
                record = make(scratch)
                write_new_file(scratch / RECORD_FILE, [_encode(record).encode()])
                # A folder may turn out to have fewer images than requested.
                count, heldout = min(count, record.count), min(heldout, record.heldout)
                return _install(
                    scratch, folder, digest, count=count, heldout=heldout, label_stamp=label_stamp
                )
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    except BrokenPipeError:
        # Comes from the progress callback; writing to a file never raises it.
        raise
    except OSError as error:
        raise UserError(
            f"{folder.parent}: the images cannot be saved here ({error.strerror or error}); "
            "free some space, or name another folder in DDPM_DATA"
        ) from error


def write_array(path: Path, shape: tuple[int, ...], chunks: Iterable[NDArray[np.generic]]) -> None:
    """Write a .npy file from chunks of rows, without holding it in memory.

    A full disk raises an OSError; with a memory map it would kill the process.
    """

    def encoded() -> Iterator[bytes]:
        for index, chunk in enumerate(chunks):
            if index == 0:
                yield _header(chunk.dtype, shape)
            yield chunk.tobytes()

    write_new_file(path, encoded())


def _map_array(path: Path, shape: tuple[int, ...], dtype: type[Number]) -> NDArray[Number]:
    array: NDArray[Number] = read_npy(path)
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"{path}: expected {dtype.__name__} {shape}, got {array.dtype} {array.shape}")
    return array


def _encode(record: Record) -> str:
    """Encode a description without the settings of folders that have their defaults, as older versions did."""
    table = without_none(msgspec.to_builtins(record))
    recipe = table["recipe"]
    table["recipe"] = {
        key: value
        for key, value in recipe.items()
        if key not in FOLDER_DEFAULTS or value != FOLDER_DEFAULTS[key]
    }
    return tomli_w.dumps(table)


def _map_labels(path: Path, count: int, classes: int) -> NDArray[np.uint16]:
    labels = _map_array(path, (count,), np.uint16)
    if labels.max(initial=0) >= classes:
        raise ValueError(f"{path}: a label of {labels.max()}; there are {classes} classes")
    return labels


def _header(dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    description = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": description, "fortran_order": False, "shape": shape}
    )
    return buffer.getvalue()


def _install(
    scratch: Path, folder: Path, digest: str, *, count: int, heldout: int, label_stamp: str | None
) -> CachedSet:
    for _ in range(_INSTALL_ATTEMPTS):
        with contextlib.suppress(OSError):
            os.rename(scratch, folder)
        ready = open_set(folder, digest, count=count, heldout=heldout, label_stamp=label_stamp)
        if ready is not None:
            return ready
        # The existing folder is damaged, foreign or too small: it is removed, and the rename retried. A process that
        # has its arrays mapped keeps its view.
        old = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.old")
        with contextlib.suppress(FileNotFoundError):
            os.rename(folder, old)
            shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink()
    raise UserError(f"{folder}: the new images cannot replace it; remove it and try again")


@contextlib.contextmanager
def lock(data_dir: Path, name: str) -> Iterator[bool]:
    """Hold the lock of this name, for building one set; yields False if the file system has no locks."""
    locks = make_folder(data_dir / ".locks")
    with open_output(locks / name) as file:
        try:
            wait_for_flock(file.fileno())
        except UserError:
            yield False
            return
        yield True
