"""Folders of settings and keys: those that the platform gives for what a program remembers and for its configuration.

On Linux they follow the XDG base directories. On macOS earlier versions did so too, so their files are carried over.
"""

import contextlib
import os
from pathlib import Path
from typing import Final

from platformdirs import user_config_path, user_state_path

NAME: Final = "ddpm-tui"
KEYS_FILE: Final = "keys.toml"
SETTINGS_FILE: Final = "settings.toml"
OLD_THEME_FILE: Final = "theme"
"""The file that held the theme's name before the theme became one of the settings."""
FOLDERS_FILE: Final = "folders"


def state_dir() -> Path:
    """The folder of the settings and of the folders of images; it may not exist yet."""
    folder = user_state_path(NAME, appauthor=False)
    for name in (SETTINGS_FILE, OLD_THEME_FILE, FOLDERS_FILE):
        _carry_over(Path("~/.local/state", NAME, name), folder / name, "XDG_STATE_HOME")
    return folder


def keys_path() -> Path:
    """The path of `keys.toml`, in the folder for configuration; it may not exist yet."""
    path = user_config_path(NAME, appauthor=False) / KEYS_FILE
    _carry_over(Path("~/.config", NAME, KEYS_FILE), path, "XDG_CONFIG_HOME")
    return path


def _carry_over(old: Path, new: Path, variable: str) -> None:
    """Move a file of an earlier version unless the new one exists; a link becomes a link to the same target.

    Nothing moves where both paths are the same, as on Linux, nor where the user has set the XDG variable, because
    earlier versions used that folder too.
    """
    if os.environ.get(variable):
        return
    with contextlib.suppress(OSError, RuntimeError):  # no home, or no permission: the defaults are used
        old = old.expanduser()
        if new == old or new.exists() or not old.is_file():
            return
        new.parent.mkdir(parents=True, exist_ok=True)
        if old.is_symlink():
            new.symlink_to(old.resolve())
            old.unlink()
        else:
            old.rename(new)
