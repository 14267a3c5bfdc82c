"""Writing of exports: each one atomically into a new numbered folder, so that nothing is overwritten."""

import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import UserError
from core.files.sanitize import sanitize

MAX_EXPORTS: Final = 100_000


@dataclass(frozen=True, slots=True)
class ExportItem:
    """One file of an export: its name, and a function that makes its content.

    The function may take seconds or raise a `UserError`.
    """

    name: str
    make: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class ExportResult:
    """The result of an export: its folder, the files written, and the errors of files that could not be made."""

    folder: Path
    names: tuple[str, ...]
    errors: tuple[str, ...]


def write_export(root: Path, name: str, items: Sequence[ExportItem]) -> ExportResult:
    """Write an export as a whole or not at all; items that cannot be made are left out.

    Args:
        root: the folder of all exports; created if missing.
        name: the prefix of the new folder's name.
        items: the files.

    Raises:
        UserError: the folder cannot be written.
    """
    hidden = root / f".{name}-{os.getpid()}-{secrets.token_hex(4)}.tmp"
    names: list[str] = []
    errors: list[str] = []
    try:
        hidden.mkdir(parents=True)
        for item in items:
            try:
                data = item.make()
            except UserError as error:
                errors.append(f"{item.name}: {error}")
                continue
            (hidden / item.name).write_bytes(data)
            names.append(item.name)
        return ExportResult(_move_to_free_number(hidden, root, name), tuple(names), tuple(errors))
    except OSError as error:
        message = sanitize(f"{root}: nothing exported ({error.strerror or error})")
        raise UserError(f"{message}; --exports takes another folder") from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)  # already renamed if all went well


def _move_to_free_number(hidden: Path, root: Path, name: str) -> Path:
    """Rename a folder to the first free number."""
    for number in range(1, MAX_EXPORTS):
        final = root / f"{name}-{number}"
        if os.path.lexists(final):
            continue
        try:
            os.rename(hidden, final)  # fails if another process has created it since, and put something there
        except OSError:
            if not os.path.lexists(final):
                raise
            continue
        return final
    raise UserError(f"{sanitize(str(root))}: has {MAX_EXPORTS:,} exports of {name} already; move some away")
