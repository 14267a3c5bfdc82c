"""The file that keeps the settings. Whatever is wrong in it costs that setting alone, and is said in a line."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from core.config.load import Table, decode, read_toml
from core.errors import UserError
from tui.own_lines import keep
from tui.preferences import PictureMode, Settings, settings_path

REFRESH: Final = (0.1, 10.0)
EXPECTED: Final = {
    "pictures": "auto, truecolor, 256, 16 or ascii",
    "zoom": "1 or 2",
    "bell": "true or false",
    "refresh": "seconds, from 0.1 to 10",
}
"""What a setting may be, in words."""


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pictures: PictureMode = "auto"
    zoom: Literal[1, 2] = 1
    bell: bool = True
    refresh: Annotated[float, msgspec.Meta(ge=REFRESH[0], le=REFRESH[1])] = REFRESH[0]


def read_settings(theme: Path | None) -> tuple[Settings, tuple[str, ...]]:
    """The settings, and what is wrong in their file, a line each; a setting that is wrong is as if never changed."""
    path = settings_path(theme)
    if path is None or not path.exists():
        return Settings(), ()
    try:
        table = read_toml(path)
    except UserError as error:
        return Settings(), (str(error),)
    settings, troubles = Settings(), []
    for key, value in table.items():
        try:
            settings = replace(settings, **{key: checked({key: value}, source=str(path))[key]})
        except UserError as error:
            troubles.append(str(error))
    return settings, tuple(troubles)


def checked(table: Table, *, source: str) -> Table:
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


def write_settings(theme: Path | None, before: Settings, after: Settings) -> str:
    """Keep what is another one now; all else in the file stays as it is.

    Returns:
        Why that could not be done; empty when it was, or when there is no place to keep them.
    """
    path = settings_path(theme)
    if path is None:
        return ""
    try:
        for key in EXPECTED:
            value: Any = getattr(after, key)
            if value != getattr(before, key):
                keep(path, key, value)
    except UserError as error:
        return str(error)
    return ""
