"""Where exports go: each into a new numbered folder that appears whole, so that nothing is ever overwritten."""

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
    """One file of an export: its name, and what makes its content, which may take seconds or be a `UserError`."""

    name: str
    make: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What became of an export: its folder, the files in it, and why others are not."""

    folder: Path
    names: tuple[str, ...]
    missing: tuple[str, ...]


def write_export(root: Path, name: str, pieces: Sequence[ExportItem]) -> ExportResult:
    """Write an export, as a whole or not at all; pieces that cannot be made are left out.

    Args:
        root: the folder of all exports; made when missing.
        name: what the new folder's name begins with.
        pieces: the files.

    Raises:
        UserError: it cannot be written.
    """
    hidden = root / f".{name}-{os.getpid()}-{secrets.token_hex(4)}.tmp"
    names: list[str] = []
    missing: list[str] = []
    try:
        hidden.mkdir(parents=True)
        for piece in pieces:
            try:
                data = piece.make()
            except UserError as error:
                missing.append(f"{piece.name}: {error}")
                continue
            (hidden / piece.name).write_bytes(data)
            names.append(piece.name)
        return ExportResult(_move_to_free_number(hidden, root, name), tuple(names), tuple(missing))
    except OSError as error:
        said = sanitize(f"{root}: nothing exported ({error.strerror or error})")
        raise UserError(f"{said}; --exports takes another folder") from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)  # it is gone when all went well


def _move_to_free_number(hidden: Path, root: Path, name: str) -> Path:
    """Rename a folder to the first number that is free."""
    for number in range(1, MAX_EXPORTS):
        final = root / f"{name}-{number}"
        if os.path.lexists(final):
            continue
        try:
            os.rename(hidden, final)  # fails where somebody else was faster and put something there
        except OSError:
            if not os.path.lexists(final):
                raise
            continue
        return final
    raise UserError(f"{sanitize(str(root))}: has {MAX_EXPORTS:,} exports of {name} already; move some away")
