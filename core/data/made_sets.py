"""Made sets on disk: listed with their sizes and whether their images are still the same, and removed."""

import os
import re
import secrets
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from core.config.load import decode, read_toml
from core.data import cache
from core.data.folder import image_files
from core.data.making import set_fingerprint
from core.data.recipe import DataRecipe, data_recipe_names, find_data_recipe
from core.errors import UserError, did_you_mean, is_machine_error
from core.files.locks import try_flock

_NAME: Final = re.compile(r"[^.].*-[0-9a-f]{8}")
_LEFTOVER: Final = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.(tmp|old)")


class SetState(StrEnum):
    """State of a made set, compared with its recipe and its folder or file of images."""

    CURRENT = "current"
    RECIPE_CHANGED = "its recipe has changed"
    FOLDER_CHANGED = "its images have changed"
    FOLDER_GONE = "its images are gone or cannot be read"
    UNREADABLE = "cannot be read now"
    DAMAGED = "damaged"
    LEFTOVER = "left over from a making that was killed"

    @property
    def is_outdated(self) -> bool:
        """True if no new training would take the set, as far as is known."""
        return self not in (SetState.CURRENT, SetState.FOLDER_GONE, SetState.UNREADABLE)


@dataclass(frozen=True)
class MadeSet:
    """A folder of a made set.

    Attributes:
        path: the folder.
        record: its description; None if it is damaged or left over.
        state: its state.
        size: bytes on disk.
        made_at: time of the making, in seconds since 1970.
    """

    path: Path
    record: cache.Record | None
    state: SetState
    size: int
    made_at: float

    @property
    def source(self) -> str:
        """The folder or file of images of the set, else the name of its recipe; empty if it is unknown."""
        if self.record is None:
            return ""
        return self.record.recipe.path or self.record.recipe.name


def list_made_sets(data_dir: Path) -> list[MadeSet]:
    """List all made sets of a data folder, sorted by name; folders of other kinds are left out.

    Raises:
        UserError: the data folder cannot be read.
    """
    try:
        folders = sorted(path for path in data_dir.iterdir() if path.is_dir() and not path.is_symlink())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{data_dir}: cannot be read ({error.strerror or error})") from error
    return [made for folder in folders if (made := _read(folder, data_dir)) is not None]


def select_made_sets(sets: Sequence[MadeSet], names: Sequence[str], data_dir: Path) -> list[MadeSet]:
    """Return the sets that are meant by names of sets, or by recipes or folders from which sets were made.

    Raises:
        UserError: a name is of no set.
    """
    selected: dict[Path, MadeSet] = {}
    for name in names:
        path = Path(name)
        found = [one for one in sets if name == one.path.name or path.absolute() == one.path.absolute()]
        found = found or _made_from(sets, name, data_dir)
        if not found:
            hint = f"{did_you_mean(name, [one.path.name for one in sets])} See".lstrip()
            raise UserError(
                f"no made set called {name!r}, and none was made from it; {hint} core data list --made"
            )
        selected |= {one.path: one for one in found}
    return list(selected.values())


def remove_made_set(made: MadeSet) -> None:
    """Remove a set; it disappears in one step. A process that has its images open keeps them.

    Raises:
        UserError: it cannot be removed.
    """
    hidden = made.path.with_name(f".{made.path.name.strip('.')}.{secrets.token_hex(4)}.old")
    try:
        os.rename(made.path, hidden)
        shutil.rmtree(hidden)
    except OSError as error:
        raise UserError(f"{made.path}: cannot be removed ({error.strerror or error})") from error


def _made_from(sets: Sequence[MadeSet], name: str, data_dir: Path) -> list[MadeSet]:
    try:
        recipe = find_data_recipe(name, data_dir)
    except UserError:
        # The recipe may be gone, or the folder.
        return [one for one in sets if name in (one.source, one.record.recipe.name if one.record else "")]
    return [
        one
        for one in sets
        if one.record is not None
        and (one.record.recipe.kind, one.record.recipe.path) == (recipe.kind, recipe.path)
        and (one.record.recipe.name == recipe.name or recipe.kind == "folder")
    ]


def _read(folder: Path, data_dir: Path) -> MadeSet | None:
    record = None
    if leftover := _LEFTOVER.fullmatch(folder.name):
        if _is_being_made(data_dir, leftover["name"]):
            return None
        state = SetState.LEFTOVER
    elif _NAME.fullmatch(folder.name) and all(
        (folder / name).exists() for name in (cache.RECORD_FILE, cache.TRAIN_FILE)
    ):
        record, state = _read_record(folder, data_dir)
    else:
        return None
    files = [status for path in folder.rglob("*") if (status := _status(path)) is not None]
    size = sum(status.st_size for status in files if stat.S_ISREG(status.st_mode))
    found = _status(folder)
    return MadeSet(folder, record, state, size, found.st_mtime if found is not None else 0.0)


def _read_record(folder: Path, data_dir: Path) -> tuple[cache.Record | None, SetState]:
    try:
        source = folder / cache.RECORD_FILE
        record = decode(read_toml(source), cache.Record, source=str(source))
        found = cache.open_set(folder, record.fingerprint, count=1, heldout=1)
    except UserError as error:
        return None, SetState.UNREADABLE if is_machine_error(error) else SetState.DAMAGED
    if found is None or not folder.name.endswith(f"-{record.fingerprint[:8]}"):
        return None, SetState.DAMAGED
    return record, _state(record, data_dir)


def _state(record: cache.Record, data_dir: Path) -> SetState:
    recipe = record.recipe
    files: cache.FileList = []
    if recipe.kind == "folder":
        try:
            files = image_files(Path(recipe.path or "."), leave_out=data_dir)
            is_same = set_fingerprint(recipe, files) == record.fingerprint
        except UserError:
            return SetState.FOLDER_GONE
        if not is_same:
            return SetState.FOLDER_CHANGED
    now = _recipe_now(recipe, data_dir)
    if now is not None and set_fingerprint(now, files) != record.fingerprint:
        return SetState.RECIPE_CHANGED
    return SetState.CURRENT


def _recipe_now(recipe: DataRecipe, data_dir: Path) -> DataRecipe | None:
    """Return the recipe that has the name of a set's recipe now, if it makes the same kind of images; else None."""
    if recipe.name not in data_recipe_names(data_dir):
        return None
    try:
        now = find_data_recipe(recipe.name, data_dir)
    except UserError:
        return None
    return now if (now.kind, now.path) == (recipe.kind, recipe.path) else None


def _is_being_made(data_dir: Path, name: str) -> bool:
    """Return whether a process holds the lock of a set, which it does while it makes the set."""
    try:
        handle = os.open(data_dir / ".locks" / name, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        return not try_flock(handle)
    except UserError:
        return True  # without locks nobody knows
    finally:
        os.close(handle)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:
        return None
