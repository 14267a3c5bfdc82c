"""What the dashboard remembers of a person between two visits: the theme, settings, and folders of pictures."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

import msgspec

from core.config.load import decode, encode_toml, read_toml
from tui.themes import DARK, THEMES

FOLDERS: Final = "folders"
MOST_FOLDERS: Final = 9
SETTINGS: Final = "settings.toml"
PictureMode = Literal["auto", "truecolor", "256", "16", "ascii"]
PICTURE_MODES: Final[tuple[PictureMode, ...]] = get_args(PictureMode)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person has chosen on the settings screen.

    Attributes:
        pictures: the colours that pictures are drawn with; `auto` takes what the terminal has.
        zoom: how many cells wide a pixel is.
        bell: whether the terminal's bell may ring.
        refresh: seconds between two looks at runs that train.
        toured: whether the tour has been offered, which is done once.
    """

    pictures: PictureMode = "auto"
    zoom: Literal[1, 2] = 1
    bell: bool = True
    refresh: Annotated[float, msgspec.Meta(ge=0.1, le=10.0)] = 0.1
    toured: bool = False


def theme_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the theme's name is kept: in the folder that XDG gives for what a program remembers."""
    home = environment.get("XDG_STATE_HOME")
    base = Path(home) if home else Path(environment.get("HOME", "~")).expanduser() / ".local" / "state"
    return base / "ddpm-tui" / "theme"


def read_theme(path: Path | None, environment: Mapping[str, str] = os.environ) -> str:
    """The theme to start with: what `TEXTUAL_THEME` names, else what was chosen last, else the dark one."""
    wanted = [environment.get("TEXTUAL_THEME", "")]
    with contextlib.suppress(OSError, UnicodeDecodeError):
        wanted += [path.read_text(encoding="utf-8").strip()] if path is not None else []
    names = [theme.name for theme in THEMES]
    return next((name for name in wanted if name in names), DARK.name)


def write_theme(path: Path | None, name: str) -> None:
    """Remember a theme; where that cannot be written, it is forgotten with the visit."""
    if path is None:
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\n", encoding="utf-8")


def read_folders(theme: Path | None) -> list[str]:
    """The folders of pictures that a person has looked at, the latest first; they lie beside the theme."""
    if theme is None:
        return []
    with contextlib.suppress(OSError, UnicodeDecodeError):
        lines = theme.with_name(FOLDERS).read_text(encoding="utf-8").splitlines()
        return [line for line in lines if line][:MOST_FOLDERS]
    return []


def remember_folder(theme: Path | None, folder: str) -> None:
    """Remember a folder of pictures; where that cannot be written, it is forgotten with the visit."""
    if theme is None:
        return
    folders = [folder, *(one for one in read_folders(theme) if one != folder)]
    with contextlib.suppress(OSError):
        theme.parent.mkdir(parents=True, exist_ok=True)
        theme.with_name(FOLDERS).write_text("".join(f"{one}\n" for one in folders), encoding="utf-8")


def read_settings(theme: Path | None) -> Settings:
    """The settings, which lie beside the theme; those that nobody has changed where there is no such file.

    Raises:
        UserError: the file is damaged, or has a key or a value that does not exist.
    """
    path = theme.with_name(SETTINGS) if theme is not None else None
    if path is None or not path.exists():
        return Settings()
    return decode(read_toml(path), Settings, source=str(path))


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
        hidden.write_text(encode_toml(settings), encoding="utf-8")
        hidden.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            hidden.unlink(missing_ok=True)
        return f"{path}: cannot be written ({error.strerror or error})"
    return ""
