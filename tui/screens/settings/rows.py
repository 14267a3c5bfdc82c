"""Rows of the settings screen: settings with their values, then the commands of each screen with their keys."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from textual.content import Content

from tui.commands import SECTIONS, Command
from tui.settings.keymap import is_default, keys_of_command
from tui.settings.schema import IMAGE_MODES, THEME_NAMES, Settings

LABEL_WIDTH: Final = 18
"""The width in cells of a setting's name, and of a command's keys."""
VALUE_WIDTH: Final = 13
CHOICES: Final[Mapping[str, Sequence[object]]] = {
    "theme": THEME_NAMES,
    "pictures": IMAGE_MODES,
    "zoom": (1, 2),
    "bell": (True, False),
    "refresh": (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
}
"""The settings, and the values that the left and right keys cycle through."""
DEFAULTS: Final = {name: getattr(Settings(), name) for name in CHOICES}
HINTS: Final = {
    "theme": "colours of the dashboard",
    "pictures": "colours of half-blocks, or Kitty's graphics",
    "zoom": "width of a pixel in cells",
    "bell": "ring when a run ends or fails",
    "refresh": "between two reads of running runs",
}


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A row: a setting, a command, a heading, or empty."""

    setting: str = ""
    command: Command | None = None
    heading: str = ""


def setting_rows() -> list[SettingRow]:
    """All rows, in order."""
    return [SettingRow(heading="settings"), *(SettingRow(setting=name) for name in CHOICES), *_command_rows()]


def _command_rows() -> Iterator[SettingRow]:
    for name, commands in SECTIONS.items():
        yield SettingRow()
        yield SettingRow(heading=f"keys {'' if name == 'everywhere' else 'of '}{name}")
        yield from (SettingRow(command=command) for command in commands)


def value_text(name: str, value: object) -> str:
    """A setting's value as the screen shows it.

    >>> value_text("bell", True), value_text("refresh", 0.1), value_text("zoom", 2)
    ('on', '0.1 s', '2')
    """
    if isinstance(value, bool):
        return "on" if value else "off"
    if name == "refresh":
        return f"{value:g} s"
    return str(value)


def next_value(name: str, value: object, steps: int) -> object:
    """The value `steps` further in the cycle of choices; the current value may lie between two choices."""
    choices = list(CHOICES[name])
    if value in choices:
        return choices[(choices.index(value) + steps) % len(choices)]
    if not isinstance(value, float):
        return choices[0]
    larger = [one for one in choices if isinstance(one, float) and one > value]
    first = len(choices) - len(larger)
    return choices[(first + steps - (steps > 0)) % len(choices)]


def row_text(
    row: SettingRow,
    value: object,
    keymap: Mapping[str, str],
    display: Callable[[str], str],
    *,
    current: bool = False,
) -> Content:
    """A row as text.

    Args:
        row: the row.
        value: the setting's value.
        keymap: keys by command id, where they differ from the default ones.
        display: a function that formats a key.
        current: whether the cursor is on the row.
    """
    sign = "›" if current else " "
    if row.setting:
        changed = value != DEFAULTS[row.setting]
        text = value_text(row.setting, value)
        return Content.assemble(
            (f"{sign}{'*' if changed else ' '}", "bold $text-accent"),
            f"{row.setting:{LABEL_WIDTH}}",
            ("‹ ", "$text-muted"),
            (text, "bold"),
            (" ›" + " " * max(1, VALUE_WIDTH - len(text)), "$text-muted"),
            (HINTS[row.setting], "$text-muted"),
        )
    if row.command is not None:
        changed = not is_default(row.command, keymap)
        keys = " ".join(display(key) for key in keys_of_command(row.command, keymap))
        return Content.assemble(
            (f"{sign}{'*' if changed else ' '}", "bold $text-accent"),
            (f"{keys:{LABEL_WIDTH}}", "bold"),
            " " if len(keys) >= LABEL_WIDTH else "",
            (row.command.text, "$text-muted"),
        )
    return Content.styled(row.heading, "bold $text-primary")
