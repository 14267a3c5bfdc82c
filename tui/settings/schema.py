"""What the dashboard remembers of a person between two visits: settings, and folders of pictures."""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

FOLDERS_FILE: Final = "folders"
SETTINGS_FILE: Final = "settings.toml"
OLD_THEME_FILE: Final = "theme"
"""The file that kept the theme's name before it was a setting like the others."""
MAX_FOLDERS: Final = 9
ThemeName = Literal["dark", "light", "colour-blind", "monochrome"]
THEME_NAMES: Final[tuple[ThemeName, ...]] = get_args(ThemeName)
ImageMode = Literal["auto", "kitty", "truecolor", "256", "16", "ascii"]
IMAGE_MODES: Final[tuple[ImageMode, ...]] = get_args(ImageMode)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a person has chosen.

    Attributes:
        theme: the colours of the dashboard.
        pictures: the colours of the half-blocks that pictures are drawn with; `auto` takes what the terminal has, and
            `kitty` has a terminal that can draw the pictures themselves.
        zoom: how many cells wide a pixel is.
        bell: whether the terminal may ring, as it does when a run ends.
        refresh: seconds between two looks at runs that train.
    """

    theme: ThemeName = "dark"
    pictures: ImageMode = "auto"
    zoom: Literal[1, 2] = 1
    bell: bool = True
    refresh: float = 1.0


def state_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """Where all this is kept: in the folder that XDG gives for what a program remembers."""
    home = environment.get("XDG_STATE_HOME")
    base = Path(home) if home else Path(environment.get("HOME", "~")).expanduser() / ".local" / "state"
    return base / "ddpm-tui"


def has_settings(folder: Path) -> bool:
    """Whether anything was ever chosen; a look that needs nothing of what reads settings."""
    return any((folder / name).exists() for name in (SETTINGS_FILE, OLD_THEME_FILE))


def read_folders(folder: Path | None) -> list[str]:
    """The folders of pictures that a person has looked at, the latest first.

    Args:
        folder: that keeps all this; None keeps nothing.
    """
    if folder is None:
        return []
    with contextlib.suppress(OSError, UnicodeDecodeError):
        lines = (folder / FOLDERS_FILE).read_text(encoding="utf-8").splitlines()
        return [line for line in lines if line][:MAX_FOLDERS]
    return []


def remember_folder(folder: Path | None, pictures: str) -> None:
    """Remember a folder of pictures; where that cannot be written, it is forgotten with the visit."""
    if folder is None:
        return
    folders = [pictures, *(one for one in read_folders(folder) if one != pictures)]
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FOLDERS_FILE).write_text("".join(f"{one}\n" for one in folders), encoding="utf-8")
