"""The file that keeps the settings; imported when there is one, or one is written, not before the first frame."""

import contextlib
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from core.config.load import decode, encode_toml, read_toml
from tui.preferences import PictureMode, Settings

SETTINGS: Final = "settings.toml"


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pictures: PictureMode = "auto"
    zoom: Literal[1, 2] = 1
    bell: bool = True
    refresh: Annotated[float, msgspec.Meta(ge=0.1, le=10.0)] = 0.1


def read_settings(theme: Path | None) -> Settings:
    """The settings, which lie beside the theme; those that nobody has changed where there is no such file.

    Raises:
        UserError: the file is damaged, or has a key or a value that does not exist.
    """
    path = theme.with_name(SETTINGS) if theme is not None else None
    if path is None or not path.exists():
        return Settings()
    return Settings(**msgspec.structs.asdict(decode(read_toml(path), _File, source=str(path))))


def write_settings(theme: Path | None, settings: Settings) -> str:
    """Keep the settings, all or none of them.

    Returns:
        Why that could not be done; empty when it was, or when there is no place to keep them.
    """
    if theme is None:
        return ""
    path = theme.with_name(SETTINGS)
    hidden = path.with_name(f".{SETTINGS}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden.write_text(encode_toml(_File(**asdict(settings))), encoding="utf-8")
        hidden.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            hidden.unlink(missing_ok=True)
        return f"{path}: cannot be written ({error.strerror or error})"
    return ""
