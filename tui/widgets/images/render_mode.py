"""Rendering of images as the user has chosen it: with which colours, and how large. Screens subscribe to changes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.signal import Signal
from textual.widget import Widget

from tui.textual_ext.compat import AppMixin
from tui.textual_ext.signals import subscribe_weakly

if TYPE_CHECKING:
    from core.imaging import ColorMode
    from tui.settings.schema import ImageMode
    from tui.terminal.kitty.placements import Placements


@dataclass(frozen=True, slots=True)
class RenderMode:
    """Rendering of all images.

    Attributes:
        mode: true colours, 256 or 16 of them as half-blocks, or letters.
        zoom: cells that a pixel is wide; at 1 a pixel is half a line high, at 2 a line.
        placements: placements of images, where the terminal draws them itself; `mode` is for what has none.
    """

    mode: "ColorMode" = "truecolor"
    zoom: int = 1
    placements: "Placements | None" = None


class RenderModeMixin(AppMixin):
    """Publish changes of the render mode and of the keymap while the app runs."""

    def __init__(self) -> None:
        super().__init__()
        self.render_mode = RenderMode()
        self.render_mode_changed_signal: Signal[RenderMode] = Signal(self, "render mode changed")
        self.keymap_changed_signal: Signal[None] = Signal(self, "keymap changed")

    def set_render_mode(self, mode: RenderMode) -> None:
        """Render all images like this from now on."""
        if mode != self.render_mode:
            self.render_mode = mode
            self.render_mode_changed_signal.publish(mode)


def render_mode_of(widget: Widget) -> RenderMode:
    """The render mode of a widget's app."""
    app = widget.app
    return app.render_mode if isinstance(app, RenderModeMixin) else RenderMode()


def on_render_mode_changed(widget: Widget, act: Callable[[], object]) -> None:
    """Call a method whenever the render mode changes."""
    app = widget.app
    if isinstance(app, RenderModeMixin):
        subscribe_weakly(widget, app.render_mode_changed_signal, act)


def on_keymap_changed(widget: Widget, act: Callable[[], object]) -> None:
    """Call a method whenever commands get other keys, which the screens show."""
    app = widget.app
    if isinstance(app, RenderModeMixin):
        subscribe_weakly(widget, app.keymap_changed_signal, act)


def color_mode(wanted: "ImageMode", color_system: str | None, encoding: str) -> "ColorMode":
    """The colours to draw with.

    Args:
        wanted: the user's setting; `auto` means the terminal's colours, and so does `kitty` for what it cannot draw.
        color_system: the terminal's colours, as Rich found them in COLORTERM and TERM; None where they are unknown,
            which Textual takes for true colours.
        encoding: encoding of what is written to the terminal; half-blocks are in Unicode alone.

    >>> color_mode("auto", "256", "utf-8"), color_mode("auto", "truecolor", "iso8859-1")
    ('256', 'ascii')
    """
    if wanted != "auto" and wanted != "kitty":
        return wanted
    if not encoding.lower().replace("-", "").startswith("utf"):
        return "ascii"
    found: dict[str | None, ColorMode] = {None: "truecolor", "truecolor": "truecolor", "256": "256"}
    return found.get(color_system, "16")
