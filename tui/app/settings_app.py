"""Settings, theme and keys of an app: changed while it runs, and kept for later sessions."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from textual import work

from tui.settings.schema import ImageMode, Settings, ThemeName
from tui.settings.themes import THEMES, for_sixteen_colors, full_name, next_theme
from tui.terminal.driver import DiffDriver
from tui.textual_ext.compat import driver_of
from tui.widgets.images.render_mode import RenderMode, RenderModeMixin, color_mode

if TYPE_CHECKING:
    from tui.terminal.kitty.placements import Placements


class SettingsOptions(TypedDict, total=False):
    """Keyword arguments of `SettingsMixin`, which apps pass on."""

    settings: Settings | None
    image_mode: ImageMode | None
    remember: Path | None
    keymap: Mapping[str, str] | None
    keys: Path | None


class SettingsMixin(RenderModeMixin):
    """Apply what the user chooses at once, and write it to the files.

    Args:
        settings: as they were read from the file.
        image_mode: colours of images for this session, whatever the settings say.
        remember: folder of the settings and of the folders of images; None writes nothing.
        keymap: keys by command id, where they differ from the defaults.
        keys: path of `keys.toml`; None writes no keys.
    """

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        image_mode: ImageMode | None = None,
        remember: Path | None = None,
        keymap: Mapping[str, str] | None = None,
        keys: Path | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings or Settings()
        self.image_mode = image_mode
        self.placements: Placements | None = None
        """Placements of images, where the terminal draws them itself; may be set before the app runs."""
        self.remember = remember
        self.keys = keys
        self.keymap = dict(keymap or {})
        self.render_mode = self._wanted_render_mode()
        sixteen = self.console.color_system == "standard"
        for theme in THEMES:
            self.register_theme(for_sixteen_colors(theme) if sixteen else theme)
        requested = os.environ.get("TEXTUAL_THEME", "")
        ours = {theme.name for theme in THEMES}
        self.theme = requested if requested in ours else full_name(self.settings.theme)
        if self.keymap:
            self.set_keymap(self.keymap)

    def _wanted_render_mode(self) -> RenderMode:
        encoding = getattr(sys.__stderr__, "encoding", None) or "utf-8"
        wanted = self.image_mode or self.settings.pictures
        mode = color_mode(wanted, self.console.color_system, encoding)
        placements = self.placements if wanted == "kitty" and mode != "ascii" else None
        return RenderMode(mode, self.settings.zoom, placements)

    def set_render_mode(self, mode: RenderMode) -> None:
        super().set_render_mode(mode)
        if mode.placements is None and self.placements is not None:
            self.placements.clear()

    def apply_settings(self, settings: Settings) -> None:
        """Replace the settings, at once and in the file."""
        from tui.settings.store import write_settings

        before, self.settings = self.settings, settings
        self.set_render_mode(self._wanted_render_mode())
        if settings.pictures == "kitty" != before.pictures and self.placements is None:
            self.detect_graphics()
        self._warn(write_settings(self.remember, before, settings), "settings are not kept")

    @work(group="terminal", exclusive=True)
    async def detect_graphics(self) -> None:
        """Have the terminal draw images itself if it can; otherwise notify the user of the reason."""
        from tui.terminal.kitty.detect import NO_TERMINAL, in_tmux
        from tui.terminal.kitty.placements import Placements

        driver = driver_of(self)
        refusal = (
            await asyncio.to_thread(driver.detect_kitty) if isinstance(driver, DiffDriver) else NO_TERMINAL
        )
        if not refusal:
            self.enable_graphics(Placements(tmux=in_tmux()))
        elif self.settings.pictures == "kitty":
            self._warn(refusal, "settings")

    def enable_graphics(self, placements: "Placements") -> None:
        """Have the terminal draw images at these placements, if the settings ask for that."""
        driver = driver_of(self)
        self.placements = placements if isinstance(driver, DiffDriver) else None
        if isinstance(driver, DiffDriver):
            driver.placements = placements
        self.set_render_mode(self._wanted_render_mode())

    def use_theme(self, name: ThemeName) -> None:
        """Switch to a theme, at once and in the file."""
        self.theme = full_name(name)
        self.apply_settings(replace(self.settings, theme=name))

    def rebind(self, changes: Mapping[str, Sequence[str] | None]) -> None:
        """Give commands other keys, at once and in the file.

        Args:
            changes: keys by command id; None for the defaults.
        """
        from tui.settings.keymap import save_keys

        for name, keys in changes.items():
            self.keymap.pop(name, None)
            if keys is not None:
                self.keymap[name] = ",".join(keys)
        self.set_keymap(self.keymap)
        self.keymap_changed_signal.publish(None)
        self._warn(save_keys(self.keys, changes), "keys are not kept")

    def problems(self) -> tuple[str, ...]:
        """The mistakes in the files of settings and keys, a line each."""
        from core.errors import UserError
        from tui.settings.keymap import read_keymap
        from tui.settings.store import read_settings

        found = read_settings(self.remember)[1]
        try:
            if self.keys is not None:
                read_keymap(self.keys)
        except UserError as error:
            found = (*found, str(error))
        return found

    def bell(self) -> None:
        """Ring, unless the settings forbid it."""
        if self.settings.bell:
            super().bell()

    def action_next_theme(self) -> None:
        self.use_theme(next_theme(self.theme))
        self.notify(f"theme: {self.settings.theme}", timeout=2)

    def action_zoom_images(self) -> None:
        self.apply_settings(replace(self.settings, zoom=1 if self.settings.zoom == 2 else 2))

    def action_toggle_bell(self) -> None:
        self.apply_settings(replace(self.settings, bell=not self.settings.bell))
        rings = self.settings.bell
        self.notify("rings when a run ends or fails" if rings else "silent when a run ends", timeout=2)

    def _warn(self, problem: str, title: str) -> None:
        if problem:
            self.notify(problem, title=title, severity="warning", markup=False, timeout=8)
