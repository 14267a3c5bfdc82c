"""The file that keeps the settings. Whatever is wrong in it costs that setting alone, and is said in a line."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from core.config.load import Table, decode, read_toml
from core.errors import UserError
from tui.settings.locations import OLD_THEME_FILE, SETTINGS_FILE
from tui.settings.schema import THEME_NAMES, ImageMode, Settings, ThemeName
from tui.settings.toml_edit import set_value

REFRESH: Final = (0.1, 10.0)
MAX_THEME_BYTES: Final = 40
"""Bytes of the old file of a theme; no name is longer."""
EXPECTED: Final = {
    "theme": f"{', '.join(THEME_NAMES[:-1])} or {THEME_NAMES[-1]}",
    "pictures": "auto, kitty, truecolor, 256, 16 or ascii",
    "zoom": "1 or 2",
    "bell": "true or false",
    "refresh": "seconds, from 0.1 to 10",
}
"""What a setting may be, in words."""


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    theme: ThemeName = "dark"
    pictures: ImageMode = "auto"
    zoom: Literal[1, 2] = 1
    bell: bool = True
    refresh: Annotated[float, msgspec.Meta(ge=REFRESH[0], le=REFRESH[1])] = REFRESH[0]


def read_settings(folder: Path | None) -> tuple[Settings, tuple[str, ...]]:
    """The settings, and what is wrong in their file, a line each; a setting that is wrong is as if never changed."""
    if folder is None or not (path := folder / SETTINGS_FILE).exists():
        return Settings(), ()
    try:
        table = read_toml(path)
    except UserError as error:
        return Settings(), (str(error),)
    settings, problems = Settings(), []
    for key, value in table.items():
        try:
            settings = replace(settings, **{key: validated({key: value}, source=str(path))[key]})
        except UserError as error:
            problems.append(str(error))
    return settings, tuple(problems)


def validated(table: Table, *, source: str) -> Table:
    """Settings as they are meant, from a table of some of them.

    Raises:
        UserError: a key or a value does not exist; the message says what was expected.
    """
    try:
        known: Table = msgspec.structs.asdict(decode(table, _File, source=source))
    except UserError as error:
        expected = [EXPECTED[key] for key in table if key in EXPECTED]
        if not expected:
            raise
        (key, value), *_ = table.items()
        shown = "true" if value is True else "false" if value is False else repr(value)[:60]
        raise UserError(f"{source}: {key} = {shown}: expected {expected[0]}") from error
    return {key: known[key] for key in table}


def load_settings(folder: Path) -> tuple[Settings, tuple[str, ...]]:
    """As `read_settings`, once the theme is taken over from the file of its own that first kept it."""
    wrong = _migrate_theme(folder)
    settings, problems = read_settings(folder)
    return settings, tuple(dict.fromkeys((*wrong, *problems)))


def _migrate_theme(folder: Path) -> tuple[str, ...]:
    """Make the theme a setting like the others; then the file of its own is gone.

    Returns:
        Why that could not be done, in a line; the file is as it was.
    """
    from core.files.untrusted import open_regular

    old, path = folder / OLD_THEME_FILE, folder / SETTINGS_FILE
    if not old.exists():
        return ()
    try:
        if not (path.exists() and "theme" in read_toml(path)):
            with open_regular(old) as file:
                name = file.read(MAX_THEME_BYTES).decode(errors="replace").strip().removeprefix("ddpm-")
            if name not in THEME_NAMES:
                return (f"{old}: {name!r}: expected {EXPECTED['theme']}; delete it, and choose a theme",)
            set_value(path, "theme", name)
        old.unlink()
    except UserError as error:
        return (str(error),)
    except OSError as error:
        return (f"{old}: cannot be taken over into {SETTINGS_FILE} ({error.strerror or error})",)
    return ()


def write_settings(folder: Path | None, before: Settings, after: Settings) -> str:
    """Keep what is another one now; all else in the file stays as it is.

    Returns:
        Why that could not be done; empty when it was, or when there is no place to keep them.
    """
    if folder is None:
        return ""
    try:
        for key in EXPECTED:
            value: Any = getattr(after, key)
            if value != getattr(before, key):
                set_value(folder / SETTINGS_FILE, key, value)
    except UserError as error:
        return str(error)
    return ""
