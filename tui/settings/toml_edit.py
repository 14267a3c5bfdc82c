"""One line of a person's own TOML file changed; comments, order and what we do not know stay as they are."""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import tomli
import tomli_w

from core.config.load import read_toml
from core.config.tables import Table, flatten
from core.errors import UserError
from core.files.atomic import atomic_path

Value = str | bool | int | float | Sequence[str]
ELSEWHERE: Final = "stands there together with other settings; change it in the file"


@dataclass(frozen=True, slots=True)
class _Statement:
    """Lines `first` to `last`, without it, that set some keys; a header sets none."""

    first: int
    last: int
    section: tuple[str, ...] = ()
    keys: frozenset[str] = frozenset()
    header: bool = False


def set_value(path: Path, key: str, value: Value | None) -> None:
    """Set one key of a file, or take it out, and replace the file as a whole.

    Args:
        path: the file; it is made where there is none, and a link to it stays a link.
        key: dotted.
        value: None takes the key out.

    Raises:
        UserError: the file is damaged or cannot be written, or the key cannot be changed by itself; it is as it was.
    """
    try:
        path = path.resolve()
        if not path.exists():
            if value is None:
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            old = ""
        else:
            read_toml(path)  # says in its own words what is wrong with it
            old = path.read_bytes().decode()
        new = edited(old, key, value, source=str(path))
        with atomic_path(path) as temporary:
            temporary.write_bytes(new.encode())
            if path.exists():
                shutil.copymode(path, temporary)
    except (OSError, RuntimeError) as error:  # RuntimeError: a link that leads to itself
        said = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be written ({said})") from error


def edited(text: str, key: str, value: Value | None, *, source: str) -> str:
    """The text of a TOML file with one key set, or taken out.

    >>> with_key("# mine\\nzoom = 2  # large\\n", "zoom", 1, source="")
    '# mine\\nzoom = 1  # large\\n'

    Args:
        text: valid TOML.
        key: dotted; it may stand in the file in any of TOML's ways, quoted, dotted or under a header.
        value: None takes the key out.
        source: what to call the text in an error.

    Raises:
        UserError: the key cannot be changed by itself.
    """
    end = "\r\n" if "\r\n" in text else "\n"
    lines = text.replace("\r\n", "\n").split("\n")
    statements = list(_statements(lines))
    mine = [one for one in statements if key in one.keys]
    if any(len(one.keys) > 1 for one in mine):
        raise UserError(f"{source}: {key} {ELSEWHERE}")
    for one in reversed(mine):
        lines[one.first : one.last] = _replaced(lines, one, key, value)
    if not mine and value is not None:
        if lines == [""]:
            lines = [_line(key, value), ""]
        else:
            place = _place(lines, statements)
            lines[place:place] = [_line(key, value)] + ([""] if lines[place:] == [] else [])
    new = "\n".join(lines)
    _verify(text, new, key, value, source)
    return new.replace("\n", end)


def _verify(old: str, new: str, key: str, value: Value | None, source: str) -> None:
    """Nothing but the key is another one now: whatever else a file may hold, it is never lost."""
    wanted = flatten(tomli.loads(old))
    wanted.pop(key, None)
    if value is not None:
        wanted[key] = value if isinstance(value, str | bool | int | float) else list(value)
    try:
        found = flatten(tomli.loads(new))
    except ValueError:
        found = {}
    if found != wanted:
        raise UserError(f"{source}: {key} {ELSEWHERE}")


def _statements(lines: list[str]) -> Iterator[_Statement]:
    """What a valid file says, statement by statement; a value may go over many lines."""
    section: tuple[str, ...] = ()
    first = 0
    while first < len(lines):
        last, table = _whole(lines, first)
        beginning = lines[first].strip()
        if beginning.startswith("["):
            section = tuple(_path(table))
            yield _Statement(first, last, header=True)
        elif table:
            keys = frozenset(flatten(table, "".join(f"{part}." for part in section)))
            yield _Statement(first, last, section, keys)
        first = last


def _whole(lines: list[str], first: int) -> tuple[int, Table]:
    """Where the statement ends that begins at a line, and what it says."""
    for last in range(first + 1, len(lines) + 1):
        with contextlib.suppress(ValueError):
            return last, tomli.loads("\n".join(lines[first:last]))
    return len(lines), {}


def _path(header: object) -> Iterator[str]:
    """The names that a header goes through; a list of tables is nobody's setting, and its name says so."""
    while isinstance(header, dict) and header:
        name, header = next(iter(header.items()))
        yield name if isinstance(header, dict) else f"{name}[]"


def _replaced(lines: list[str], one: _Statement, key: str, value: Value | None) -> list[str]:
    """The lines of a statement with another value; what was remarked at their end stays."""
    remark = _remark(lines[one.first]) if one.last == one.first + 1 else ""
    if value is None:
        return [remark] if remark else []
    name = key.removeprefix("".join(f"{part}." for part in one.section))
    return [_line(name, value) + (f"  {remark}" if remark else "")]


def _remark(line: str) -> str:
    """The comment at the end of a line; empty without one."""
    said = tomli.loads(line)
    for place, sign in enumerate(line):
        if sign == "#":
            with contextlib.suppress(ValueError):
                if tomli.loads(line[:place]) == said:
                    return line[place:]
    return ""


def _place(lines: list[str], statements: list[_Statement]) -> int:
    """Where a new key can stand: after those that are under no header, before the first header's own comments."""
    headers = [one.first for one in statements if one.header]
    loose = [one.last for one in statements if not one.header and not one.section]
    if not headers:
        return len(lines) - 1 if lines[-1] == "" else len(lines)
    if loose and loose[-1] <= headers[0]:
        return loose[-1]
    place = headers[0]
    while place and lines[place - 1].lstrip().startswith("#"):
        place -= 1
    return place


def _line(name: str, value: Value) -> str:
    if isinstance(value, str | bool | int | float):
        return tomli_w.dumps({name: value}).rstrip("\n")
    beginning = tomli_w.dumps({name: ""}).rpartition('""')[0]
    return beginning + "[" + ", ".join(_line("v", one).removeprefix("v = ") for one in value) + "]"
