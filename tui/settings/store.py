"""Reading and writing `settings.toml`; a mistake in it costs that setting alone, and is reported in one line."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from core.config.load import decode, read_toml
from core.config.tables import Table
from core.errors import UserError
from tui.settings.locations import OLD_THEME_FILE, SETTINGS_FILE
from tui.settings.schema import THEME_NAMES, ImageMode, Settings, ThemeName

REFRESH: Final = (0.1, 10.0)
MAX_THEME_BYTES: Final = 40
"""Bytes that are read of the file that held the theme alone; no name is longer."""
EXPECTED: Final = {
    "theme": f"{', '.join(THEME_NAMES[:-1])} or {THEME_NAMES[-1]}",
    "pictures": "auto, kitty, truecolor, 256, 16 or ascii",
    "zoom": "1 or 2",
    "bell": "true or false",
    "refresh": "seconds, from 0.1 to 10",
}
"""Allowed values of each setting, in words."""


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    theme: ThemeName = "dark"
    pictures: ImageMode = "auto"
    zoom: Literal[1, 2] = 1
    bell: bool = True
    refresh: Annotated[float, msgspec.Meta(ge=REFRESH[0], le=REFRESH[1])] = REFRESH[0]


def read_settings(folder: Path | None) -> tuple[Settings, tuple[str, ...]]:
    """Read the settings, and the mistakes in their file, a line each; a wrong setting keeps its default."""
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
    """Return some settings with their proper types.

    Raises:
        UserError: a key or a value is not allowed; the message names those that are.
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
    """Read the settings after moving the theme into them from the file that held it in earlier versions."""
    failures = _migrate_theme(folder)
    settings, problems = read_settings(folder)
    return settings, tuple(dict.fromkeys((*failures, *problems)))


def _migrate_theme(folder: Path) -> tuple[str, ...]:
    """Move the theme from its own file into the settings, and delete that file.

    Returns:
        The reason why that failed, in a line; the file is then as before.
    """
    old, path = folder / OLD_THEME_FILE, folder / SETTINGS_FILE
    if not old.exists():
        return ()
    from core.files.untrusted import open_regular
    from tui.settings.toml_edit import set_value

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
    """Write the settings that have changed; all else in the file stays as it is.

    Returns:
        The reason why that failed; empty when it succeeded, or without a folder.
    """
    if folder is None:
        return ""
    from tui.settings.toml_edit import set_value

    try:
        for key in EXPECTED:
            value: Any = getattr(after, key)
            if value != getattr(before, key):
                set_value(folder / SETTINGS_FILE, key, value)
    except UserError as error:
        return str(error)
    return ""
