"""Keys of commands: the user's own in `keys.toml`, one command a line, and which keys are free."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from textual.binding import Binding
from textual.keys import key_to_character

from core.errors import UserError, did_you_mean
from tui.commands import ALL, NEW_RUN, ON_ALL, SECTIONS, Command

FIXED: Final = {"ctrl+c": "always leaves the dashboard", "ctrl+q": "always leaves the dashboard"}


def read_keymap(path: Path) -> dict[str, str]:
    """Read keys by command, for example ``"run.stop" = "s"`` or ``"run.stop" = ["s", "ctrl+x"]``.

    Returns:
        The keys that differ from the defaults; empty without a file.

    Raises:
        UserError: the file is damaged, or names a command that does not exist.
    """
    if not path.exists():
        return {}
    from core.config.load import read_toml
    from core.config.tables import flatten

    known = {command.id for command in ALL}
    keymap: dict[str, str] = {}
    for name, keys in flatten(read_toml(path)).items():
        if name not in known:
            hint = did_you_mean(name, known) or "see the tables of docs/dashboard.md"
            raise UserError(f"{path}: unknown command {name}; {hint}")
        listed = [keys] if isinstance(keys, str) else keys
        if (
            not isinstance(listed, list)
            or not listed
            or not all(
                isinstance(key, str) and (key == "," or all(map(str.strip, key.split(",")))) for key in listed
            )
        ):
            raise UserError(f'{path}: {name} = {keys!r}: expected a key such as "s", or a list of them')
        keymap[name] = ",".join("comma" if key == "," else key for key in listed)
    return keymap


def save_keys(path: Path | None, changes: Mapping[str, Sequence[str] | None]) -> str:
    """Write the keys of some commands into `keys.toml`; all else in it stays as it is.

    Args:
        path: the file; None writes nothing.
        changes: keys by command id; None for the defaults.

    Returns:
        The reason why that failed; empty when it succeeded.
    """
    if path is None:
        return ""
    from tui.settings.toml_edit import Value, set_value

    try:
        read_keymap(path)
        for name, keys in changes.items():
            value: Value | None = keys[0] if keys is not None and len(keys) == 1 else keys
            set_value(path, name, value)
    except UserError as error:
        return str(error)
    return ""


def keys_of_command(command: Command, keymap: Mapping[str, str]) -> tuple[str, ...]:
    """The keys that a command has now, in Textual's long spelling.

    Args:
        command: the command.
        keymap: keys by command id, where they differ from the defaults.
    """
    return _normalized(keymap.get(command.id) or command.keys)


def is_default(command: Command, keymap: Mapping[str, str]) -> bool:
    """Return whether a command has its default keys."""
    return keys_of_command(command, keymap) == _normalized(command.keys)


def rebound_keys(
    command: Command, key: str, keymap: Mapping[str, str], *, more: bool = False
) -> tuple[str, ...]:
    """The keys of a command once it is given one; escape stays, because it always leads out.

    Args:
        command: the command.
        key: the new key.
        keymap: keys by command id, where they differ from the defaults.
        more: whether the command keeps all its other keys.
    """
    before = keys_of_command(command, keymap)
    kept = before if more else tuple(old for old in before if old == "escape")
    return tuple(dict.fromkeys((*kept, key) if more else (key, *kept)))


def conflict(command: Command, key: str, keymap: Mapping[str, str]) -> str:
    """The reason why a command cannot have a key, in a line that does not name the key; empty when it can.

    Only commands that are active at the same time conflict, so one key may mean different things on different screens.
    Two defaults never conflict.
    """
    if key in FIXED:
        return FIXED[key]
    (section,) = (name for name, commands in SECTIONS.items() if command in commands)
    if command in NEW_RUN and (key_to_character(key) or "\0").isprintable():
        return "is text in a form; a function key, or one with ctrl, is not"
    for other in _active_with(section):
        if other is command or key not in keys_of_command(other, keymap):
            continue
        both_defaults = key in _normalized(command.keys) and key in _normalized(other.keys)
        if not both_defaults:
            return f"is in use by {other.id}: {other.text}"
    return ""


def _active_with(section: str) -> Iterator[Command]:
    """The commands that can be active together with those of a section."""
    if section in ON_ALL:
        yield from ALL
        return
    for name in (section, *ON_ALL):
        yield from SECTIONS[name]


def _normalized(keys: str) -> tuple[str, ...]:
    return tuple(binding.key for binding in Binding.make_bindings([Binding(keys, "")]))
