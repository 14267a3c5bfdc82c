"""The app as the settings screen sees it, so that the screen need not import the app."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from textual.signal import Signal
from textual.theme import Theme

from tui.settings.schema import ImageMode, Settings, ThemeName
from tui.widgets.images.render_mode import RenderMode


class SettingsHost(Protocol):
    """Applies settings and keys, and keeps them; `SettingsMixin` implements it."""

    settings: Settings
    image_mode: ImageMode | None
    remember: Path | None
    keymap: dict[str, str]
    keys: Path | None
    render_mode: RenderMode
    render_mode_changed_signal: Signal[RenderMode]
    keymap_changed_signal: Signal[None]
    theme_changed_signal: Signal[Theme]
    theme: Any  # a reactive, which mypy takes for its descriptor

    def apply_settings(self, settings: Settings) -> None:
        """Replace the settings, at once and in the file."""

    def use_theme(self, name: ThemeName) -> None:
        """Switch to a theme, at once and in the file."""

    def rebind(self, changes: Mapping[str, Sequence[str] | None]) -> None:
        """Give commands other keys, at once and in the file."""

    def problems(self) -> tuple[str, ...]:
        """The mistakes in the files of settings and keys, a line each."""
