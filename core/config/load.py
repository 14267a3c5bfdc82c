"""Decoding of TOML and ``--set key=value`` to structs. Errors name the file, the key and the nearest valid key."""

import functools
import stat
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import tomli
import tomli_w

from core.config.tables import Table, deep_copy, set_key, without_none
from core.errors import UserError, did_you_mean

T = TypeVar("T", bound=msgspec.Struct)

SIZE_LIMIT: Final = 1 << 20
"""Bytes. Settings are never larger, and parsing a larger file would cost memory before it could be rejected."""


def read_toml(path: Path) -> Table:
    """Parse a TOML file.

    Raises:
        UserError: the file cannot be read, is larger than `SIZE_LIMIT`, is not UTF-8 or is not TOML.
    """
    try:
        found = path.stat()
        # A pipe would block the read. A folder is left to the read, which names it in its error.
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            raise UserError(f"{path}: expected a file, found something else")
        if found.st_size > SIZE_LIMIT:
            raise UserError(f"{path}: {found.st_size:,} bytes; expected TOML of at most {SIZE_LIMIT:,}")
        return tomli.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, or a number of thousands of digits
        raise UserError(f"{path}: not valid TOML ({error})") from error


def encode_toml(value: msgspec.Struct) -> str:
    """Encode a struct as TOML. Keys that are None are left out, and so are None again when decoded."""
    return tomli_w.dumps(without_none(msgspec.to_builtins(value)))


def decode(table: Mapping[str, Any], kind: type[T], *, source: str) -> T:
    """Convert a table to a struct.

    Args:
        table: parsed TOML.
        kind: the type of the struct.
        source: name of the table in errors, usually that of the file.

    Raises:
        UserError: an unknown key, a wrong type or a value out of bounds. The message names `source`, the key, the
            value and, for an unknown key, a similar valid one or all; for an unknown name, the known ones.
    """
    _reject_unknown_keys(table, kind, source, prefix="")
    try:
        return msgspec.convert(_with_legacy_booleans(table, kind), kind)
    except msgspec.ValidationError as error:
        raise UserError(_explain(error, table, kind, source)) from error
    except UnicodeEncodeError as error:  # bytes on the command line that are not text
        raise UserError(f"{source}: {ascii(error.object)[:60]}: expected UTF-8 text") from error


def apply_overrides(table: Mapping[str, Any], assignments: Iterable[str]) -> Table:
    """Copy a table and set each ``section.key=value`` of `assignments`. Values are parsed as TOML, else taken as text.

    Raises:
        UserError: an assignment is not of the form ``key=value`` or passes through a value that is not a section.
    """
    result = deep_copy(table)
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        key = key.strip()
        parts = key.split(".")
        if not separator or not all(parts):
            raise UserError(
                f"--set {assignment}: expected section.key=value, for example --set train.epochs=3"
            )
        set_key(result, key, _parse_value(text.strip()), source=f"--set {assignment}")
    return result


def _parse_value(text: str) -> Any:
    try:
        return tomli.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _reject_unknown_keys(
    table: Mapping[str, Any], kind: type[msgspec.Struct], source: str, prefix: str
) -> None:
    fields = _fields(kind)
    for key, value in table.items():
        name = prefix + key
        if key not in fields:
            hint = did_you_mean(key, fields, prefix) or f"expected one of {', '.join(sorted(fields))}"
            raise UserError(f"{source}: unknown key {name} = {_shorten(value)}; {hint}")
        section = fields[key]
        if section is not None and isinstance(value, Mapping):
            _reject_unknown_keys(value, section, source, prefix=f"{name}.")


def _with_legacy_booleans(table: Mapping[str, Any], kind: type[msgspec.Struct]) -> Table:
    """Copy a table, and replace the booleans of older files by the names that replaced them."""
    fields = _fields(kind)
    names: Mapping[str, tuple[str, str]] = getattr(kind, "LEGACY_BOOLEANS", {})
    result = dict(table)
    for key, value in table.items():
        section = fields[key]
        if section is not None and isinstance(value, Mapping):
            result[key] = _with_legacy_booleans(value, section)
        elif key in names and isinstance(value, bool):
            result[key] = names[key][value]
    return result


@functools.cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, type[msgspec.Struct] | None]:
    """Return the keys of a struct, each with the struct of its section; None for a key that is no section."""
    return {field.encode_name: _struct_type(field.type) for field in msgspec.structs.fields(kind)}


def _struct_type(annotation: Any) -> type[msgspec.Struct] | None:
    for candidate in _alternatives(annotation):
        if isinstance(candidate, type) and issubclass(candidate, msgspec.Struct):
            return candidate
    return None


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    is_union = typing.get_origin(annotation) in (types.UnionType, typing.Union)
    return typing.get_args(annotation) if is_union else (annotation,)


def _choices(kind: type[msgspec.Struct], dotted: str) -> list[str]:
    """Return the choices of a setting that is a literal type; none for other settings."""
    annotation: Any = kind
    for part in dotted.split("."):
        section = _struct_type(annotation)
        fields = msgspec.structs.fields(section) if section is not None else ()
        annotation = next((field.type for field in fields if field.encode_name == part), None)
    literals = [one for one in _alternatives(annotation) if typing.get_origin(one) is typing.Literal]
    return [str(choice) for literal in literals for choice in typing.get_args(literal)]


def _explain(
    error: msgspec.ValidationError, table: Mapping[str, Any], kind: type[msgspec.Struct], source: str
) -> str:
    message, _, path = str(error).partition(" - at `")
    key = path.rstrip("`").removeprefix("$.").removeprefix("$")
    value: Any = table
    for part in key.partition("[")[0].split("."):  # an element of a list is shown in its list
        value = value.get(part) if isinstance(value, Mapping) else None
    message = message[:1].lower() + message[1:]
    if choices := _choices(kind, key):
        message = f"expected one of {', '.join(choices)}"
    return f"{source}: {key} = {_shorten(value)}: {message}" if key else f"{source}: {message}"


def _shorten(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
