"""Settings of the dashboard, and the folders of images that the user has opened, as they are kept between sessions."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from tui.settings.locations import FOLDERS_FILE, OLD_THEME_FILE, SETTINGS_FILE

MAX_FOLDERS: Final = 9
ThemeName = Literal["dark", "light", "colour-blind", "monochrome"]
THEME_NAMES: Final[tuple[ThemeName, ...]] = get_args(ThemeName)
ImageMode = Literal["auto", "kitty", "truecolor", "256", "16", "ascii"]
IMAGE_MODES: Final[tuple[ImageMode, ...]] = get_args(ImageMode)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The user's choices.

    Attributes:
        theme: colours of the dashboard.
        pictures: colours of the half-blocks that images are drawn with; `auto` means those of the terminal, and
            `kitty` has a terminal that can draw the images themselves.
        zoom: cells that a pixel is wide.
        bell: whether the terminal may ring, as it does when a run ends.
        refresh: seconds between two polls of runs that train.
    """

    theme: ThemeName = "dark"
    pictures: ImageMode = "auto"
    zoom: Literal[1, 2] = 1
    bell: bool = True
    refresh: float = 1.0


def has_settings(folder: Path) -> bool:
    """Return whether a file of settings exists; imports nothing that reads one."""
    return any((folder / name).exists() for name in (SETTINGS_FILE, OLD_THEME_FILE))


def read_folders(folder: Path | None) -> list[str]:
    """Read the folders of images that the user has opened, the latest first.

    Args:
        folder: folder of the settings; None means that nothing is kept.
    """
    if folder is None:
        return []
    with contextlib.suppress(OSError, UnicodeDecodeError):
        lines = (folder / FOLDERS_FILE).read_text(encoding="utf-8").splitlines()
        return [line for line in lines if line][:MAX_FOLDERS]
    return []


def remember_folder(folder: Path | None, images: str) -> None:
    """Put a folder of images first in the list; a list that cannot be written is lost with the session."""
    if folder is None:
        return
    folders = [images, *(known for known in read_folders(folder) if known != images)]
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FOLDERS_FILE).write_text("".join(f"{line}\n" for line in folders), encoding="utf-8")
