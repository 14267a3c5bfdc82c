"""Functions on tables, the nested dictionaries that TOML is parsed into."""

from collections.abc import Mapping
from typing import Any

from core.errors import UserError

Table = dict[str, Any]


def set_key(table: Table, dotted: str, value: Any, *, source: str) -> None:
    """Set ``section.key`` in a table, creating missing sections.

    Args:
        table: changed in place.
        dotted: the key.
        value: its new value.
        source: name of the origin of the key, for the error.

    Raises:
        UserError: the key passes through a value that is not a section.
    """
    *sections, last = dotted.split(".")
    node = table
    for section in sections:
        child = node.setdefault(section, {})
        if not isinstance(child, dict):
            raise UserError(f"{source}: {section} is a value, not a section")
        node = child
    node[last] = value


def flatten(table: Mapping[str, Any], prefix: str = "") -> Table:
    """Convert sections to dotted keys, the inverse of `set_key`.

    >>> flatten({"train": {"epochs": 3}, "recipe": "quick"})
    {'train.epochs': 3, 'recipe': 'quick'}
    """
    flat: Table = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Table:
    """Copy `base` and update it with the keys of `over`, section by section."""
    result = deep_copy(base)
    for key, value in over.items():
        old = result.get(key)
        result[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return result


def deep_copy(table: Mapping[str, Any]) -> Table:
    """Copy a table and its sections; other values are shared."""
    return {key: deep_copy(value) if isinstance(value, Mapping) else value for key, value in table.items()}


def without_none(table: Mapping[str, Any]) -> Table:
    """Copy a table and its sections without the keys that are None, which TOML cannot express."""
    return {
        key: without_none(value) if isinstance(value, dict) else value
        for key, value in table.items()
        if value is not None
    }
