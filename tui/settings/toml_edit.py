"""Edits of the user's own TOML files: one key changes, and comments, order and unknown keys stay as they are.

tomlkit parses a file into its statements, which are edited here in place. Its own `document[key] = value` puts a new
key behind the comments that belong to the next header, and removes the comment of a key with the key.
"""

import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import tomli
import tomlkit
from tomlkit.items import AoT, Comment, Item, Key, Table, Trivia

from core.config.load import read_toml
from core.config.tables import flatten
from core.errors import UserError
from core.files.atomic import atomic_path

Value = str | bool | int | float | Sequence[str]
Body = list[tuple[Key | None, Item]]
ENTANGLED: Final = "stands there together with other settings; change it in the file"


def set_value(path: Path, key: str, value: Value | None) -> None:
    """Set one key of a file, or remove it, and replace the file as a whole.

    Args:
        path: the file; it is made where there is none, and a link to it stays a link.
        key: dotted.
        value: None removes the key.

    Raises:
        UserError: the file is damaged or cannot be written, or the key cannot be changed alone; the file is as before.
    """
    try:
        path = path.resolve()
        if not path.exists():
            if value is None:
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            old = ""
        else:
            read_toml(path)  # raises an error of its own for a damaged file
            old = path.read_bytes().decode()
        new = edited(old, key, value, source=str(path))
        with atomic_path(path) as temporary:
            temporary.write_bytes(new.encode())
            if path.exists():
                shutil.copymode(path, temporary)
    except (OSError, RuntimeError) as error:  # RuntimeError: a link that leads to itself
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be written ({reason})") from error


def edited(text: str, key: str, value: Value | None, *, source: str) -> str:
    """Return the text of a TOML file with one key set, or removed.

    >>> edited("# mine\\nzoom = 2  # large\\n", "zoom", 1, source="")
    '# mine\\nzoom = 1  # large\\n'

    Args:
        text: valid TOML.
        key: dotted; in the file it may be quoted, dotted or under a header.
        value: None removes the key.
        source: name of the text in an error.

    Raises:
        UserError: the key cannot be changed alone.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    old = text.replace("\r\n", "\n")
    document = tomlkit.parse(old)
    found = [statement for statement in _statements(document.body) if key in statement.keys]
    # tomlkit moves a list of tables together when other tables are in between.
    if any(len(statement.keys) > 1 for statement in found) or tomlkit.dumps(document) != old:
        raise UserError(f"{source}: {key} {ENTANGLED}")
    for statement in reversed(found):
        _replace(statement, key.removeprefix(statement.section), value)
    if not found and value is not None:
        _insert(document.body, key, value, newline_first=old != "" and not old.endswith("\n"))
    new = tomlkit.dumps(document)
    _verify(text, new, key, value, source)
    return new.replace("\n", newline)


class _Statement(NamedTuple):
    """One `name = value`.

    Attributes:
        body: the list of the parser that holds the statement.
        position: index in that list.
        section: names of the headers above, each with a dot behind it.
        keys: dotted keys that the statement sets; several for an inline table.
        item: the value.
    """

    body: Body
    position: int
    section: str
    keys: Collection[str]
    item: Item


def _statements(body: Body, section: str = "") -> Iterator[_Statement]:
    """All statements, also those under headers, except in lists of tables, which hold no settings."""
    for index, (key, item) in enumerate(body):
        if key is None or isinstance(item, AoT):
            continue
        if isinstance(item, Table) and not key.is_dotted():
            yield from _statements(item.value.body, f"{section}{key.key}.")
            continue
        keys = flatten({key.key: item.unwrap()}, section)
        while isinstance(item, Table):  # the parser makes a table of each part of a dotted key but the last
            ((_, item),) = item.value.body
        yield _Statement(body, index, section, keys, item)


def _replace(statement: _Statement, name: str, value: Value | None) -> None:
    """Replace a value, or remove its statement; a comment at the end of a single line stays."""
    trivia = statement.item.trivia
    comment = "" if "\n" in statement.item.as_string() else trivia.comment
    if value is not None:
        new = tomlkit.item(value)
        new.trivia.comment_ws, new.trivia.comment, new.trivia.trail = (
            "  " * bool(comment),
            comment,
            trivia.trail,
        )
        statement.body[statement.position] = tomlkit.key(name), new
    elif comment:
        statement.body[statement.position] = None, Comment(Trivia(comment=comment, trail=trivia.trail))
    else:
        del statement.body[statement.position]


def _insert(body: Body, key: str, value: Value, *, newline_first: bool) -> None:
    """Insert a key after those that are under no header, else before the first header and its comments."""
    new = tomlkit.item(value)
    headers = [at for at, (name, item) in enumerate(body) if name and _is_header(name, item)]
    loose = [at for at, (name, _) in enumerate(body) if name and at not in headers]
    if not headers:
        index = len(body)
        new.trivia.indent = "\n" * newline_first
    elif loose:
        index = loose[-1] + 1
    else:
        index = headers[0]
        while index and isinstance(body[index - 1][1], Comment):
            index -= 1
    body.insert(index, (tomlkit.key(key), new))


def _is_header(name: Key, item: Item) -> bool:
    return isinstance(item, AoT) or (isinstance(item, Table) and not name.is_dotted())


def _verify(old: str, new: str, key: str, value: Value | None, source: str) -> None:
    """Raise an error unless the key alone has changed, so that nothing in a file is ever lost."""
    expected = flatten(tomli.loads(old))
    expected.pop(key, None)
    if value is not None:
        expected[key] = value if isinstance(value, str | bool | int | float) else list(value)
    try:
        found = flatten(tomli.loads(new))
    except ValueError:
        found = {}
    if found != expected:
        raise UserError(f"{source}: {key} {ENTANGLED}")
