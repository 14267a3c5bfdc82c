"""Which keys commands have, which of them are free, and keeping the ones that a person has chosen."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from textual.binding import Binding
from textual.keys import key_to_character

from core.errors import UserError
from tui.commands import ALL, NEW_RUN, ON_ALL, SECTIONS, Command
from tui.settings.keys_file import read_keymap
from tui.settings.toml_edit import Value, set_value

FIXED: Final = {"ctrl+c": "always leaves the dashboard", "ctrl+q": "always leaves the dashboard"}


def keys_of_command(command: Command, keymap: Mapping[str, str]) -> tuple[str, ...]:
    """The keys that a command has now, in Textual's long spelling.

    Args:
        command: the command.
        keymap: keys by command id, where they differ from the usual ones.
    """
    return _normalized(keymap.get(command.id) or command.keys)


def is_default(command: Command, keymap: Mapping[str, str]) -> bool:
    """Whether a command has the keys that it came with."""
    return keys_of_command(command, keymap) == _normalized(command.keys)


def rebound_keys(
    command: Command, key: str, keymap: Mapping[str, str], *, more: bool = False
) -> tuple[str, ...]:
    """The keys of a command once it is given one; escape stays, because it always leads out.

    Args:
        command: the command.
        key: the new key.
        keymap: keys by command id, where they differ from the usual ones.
        more: whether it keeps all that it has.
    """
    had = keys_of_command(command, keymap)
    kept = had if more else tuple(one for one in had if one == "escape")
    return tuple(dict.fromkeys((*kept, key) if more else (key, *kept)))


def conflict(command: Command, key: str, keymap: Mapping[str, str]) -> str:
    """Why a command cannot have a key, in a line that does not name the key; empty when it can.

    A key may mean another thing on another screen, so only what can be pressed at the same time is in its way. What the
    dashboard came with is in nobody's way.
    """
    if key in FIXED:
        return FIXED[key]
    (section,) = (name for name, commands in SECTIONS.items() if command in commands)
    if command in NEW_RUN and (key_to_character(key) or "\0").isprintable():
        return "is text in a form; a function key, or one with ctrl, is not"
    for other in _active_with(section):
        if other is command or key not in keys_of_command(other, keymap):
            continue
        came_with_both = key in _normalized(command.keys) and key in _normalized(other.keys)
        if not came_with_both:
            return f"is in use by {other.id}: {other.text}"
    return ""


def save_keys(path: Path | None, changes: Mapping[str, Sequence[str] | None]) -> str:
    """Write the keys of some commands into `keys.toml`; all else in it stays as it is.

    Args:
        path: the file; None keeps nothing.
        changes: keys by command id; None for the usual ones.

    Returns:
        Why that could not be done; empty when it was.
    """
    if path is None:
        return ""
    try:
        read_keymap(path)
        for name, keys in changes.items():
            value: Value | None = keys[0] if keys is not None and len(keys) == 1 else keys
            set_value(path, name, value)
    except UserError as error:
        return str(error)
    return ""


def _active_with(section: str) -> Iterator[Command]:
    """The commands that a key could be for while those of a section are there."""
    if section in ON_ALL:
        yield from ALL
        return
    for name in (section, *ON_ALL):
        yield from SECTIONS[name]


def _normalized(keys: str) -> tuple[str, ...]:
    return tuple(binding.key for binding in Binding.make_bindings([Binding(keys, "")]))
