"""What the settings screen lists: the settings with their values, then the commands of each screen with their keys."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from textual.content import Content

from tui.commands import SECTIONS, Command
from tui.settings.keymap import is_default, keys_of_command
from tui.settings.schema import IMAGE_MODES, THEME_NAMES, Settings

LABEL: Final = 18
"""Cells of a setting's name, and of a command's keys."""
VALUE: Final = 13
OFFERED: Final[Mapping[str, Sequence[object]]] = {
    "theme": THEME_NAMES,
    "pictures": IMAGE_MODES,
    "zoom": (1, 2),
    "bell": (True, False),
    "refresh": (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
}
"""The settings and the values that left and right go through."""
DEFAULTS: Final = {name: getattr(Settings(), name) for name in OFFERED}
HINTS: Final = {
    "theme": "colours of the dashboard",
    "pictures": "colours of half-blocks, or Kitty's graphics",
    "zoom": "how many cells wide a pixel is",
    "bell": "ring when a run ends or fails",
    "refresh": "between two looks at runs that train",
}


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A line: a setting, a command, or the heading of some commands."""

    setting: str = ""
    command: Command | None = None
    heading: str = ""


def rows() -> list[SettingRow]:
    """All lines, in order."""
    return [SettingRow(heading="settings"), *(SettingRow(setting=name) for name in OFFERED), *_command_rows()]


def _command_rows() -> Iterator[SettingRow]:
    for name, commands in SECTIONS.items():
        yield SettingRow()
        yield SettingRow(heading=f"keys {'' if name == 'everywhere' else 'of '}{name}")
        yield from (SettingRow(command=command) for command in commands)


def shown(name: str, value: object) -> str:
    """A setting's value as it is written on the screen.

    >>> shown("bell", True), shown("refresh", 0.1), shown("zoom", 2)
    ('on', '0.1 s', '2')
    """
    if isinstance(value, bool):
        return "on" if value else "off"
    if name == "refresh":
        return f"{value:g} s"
    return str(value)


def turned(name: str, value: object, steps: int) -> object:
    """The value that many places further among those offered, round and round, also from one in between."""
    offered = list(OFFERED[name])
    if value in offered:
        return offered[(offered.index(value) + steps) % len(offered)]
    if not isinstance(value, float):
        return offered[0]
    larger = [one for one in offered if isinstance(one, float) and one > value]
    first = len(offered) - len(larger)
    return offered[(first + steps - (steps > 0)) % len(offered)]


def line(
    row: SettingRow,
    value: object,
    keymap: Mapping[str, str],
    display: Callable[[str], str],
    *,
    current: bool = False,
) -> Content:
    """A row as text.

    Args:
        row: what it is about.
        value: of the setting.
        keymap: keys by command id, where they differ from the usual ones.
        display: writes a key as it is shown.
        current: whether the cursor is on it.
    """
    sign = "›" if current else " "
    if row.setting:
        changed = value != DEFAULTS[row.setting]
        told = shown(row.setting, value)
        return Content.assemble(
            (f"{sign}{'*' if changed else ' '}", "bold $text-accent"),
            f"{row.setting:{LABEL}}",
            ("‹ ", "$text-muted"),
            (told, "bold"),
            (" ›" + " " * max(1, VALUE - len(told)), "$text-muted"),
            (HINTS[row.setting], "$text-muted"),
        )
    if row.command is not None:
        changed = not is_default(row.command, keymap)
        keys = " ".join(display(key) for key in keys_of_command(row.command, keymap))
        return Content.assemble(
            (f"{sign}{'*' if changed else ' '}", "bold $text-accent"),
            (f"{keys:{LABEL}}", "bold"),
            " " if len(keys) >= LABEL else "",
            (row.command.text, "$text-muted"),
        )
    return Content.styled(row.heading, "bold $text-primary")
