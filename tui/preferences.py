"""What the dashboard remembers of a person between two visits: the theme, settings, and folders of pictures."""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from tui.themes import DARK, THEMES

FOLDERS: Final = "folders"
SETTINGS: Final = "settings.toml"
MOST_FOLDERS: Final = 9
PictureMode = Literal["auto", "truecolor", "256", "16", "ascii"]
PICTURE_MODES: Final[tuple[PictureMode, ...]] = get_args(PictureMode)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a person has chosen.

    Attributes:
        pictures: the colours that pictures are drawn with; `auto` takes what the terminal has.
        zoom: how many cells wide a pixel is.
        bell: whether the terminal may ring, as it does when a run ends.
        refresh: seconds between two looks at runs that train.
    """

    pictures: PictureMode = "auto"
    zoom: Literal[1, 2] = 1
    bell: bool = True
    refresh: float = 0.1


def theme_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the theme's name is kept: in the folder that XDG gives for what a program remembers."""
    home = environment.get("XDG_STATE_HOME")
    base = Path(home) if home else Path(environment.get("HOME", "~")).expanduser() / ".local" / "state"
    return base / "ddpm-tui" / "theme"


def settings_path(theme: Path | None) -> Path | None:
    """Where the settings are kept: beside the theme."""
    return theme.with_name(SETTINGS) if theme is not None else None


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
