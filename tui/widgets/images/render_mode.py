"""Render mode: the colours and zoom of all images, and the signal of its changes."""

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
    """Colours and zoom of images.

    Attributes:
        mode: half-blocks with true colours, 256 or 16 colours, or letters.
        zoom: width of a pixel in cells; at 1 it is half a line high, at 2 a line.
        placements: placements of images that the terminal draws itself; `mode` applies to images without one.
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


def current_render_mode(widget: Widget) -> RenderMode:
    """The render mode of the widget's app, else the default."""
    app = widget.app
    return app.render_mode if isinstance(app, RenderModeMixin) else RenderMode()


def on_render_mode_changed(widget: Widget, act: Callable[[], object]) -> None:
    """Call `act` whenever the render mode changes."""
    app = widget.app
    if isinstance(app, RenderModeMixin):
        subscribe_weakly(widget, app.render_mode_changed_signal, act)


def on_keymap_changed(widget: Widget, act: Callable[[], object]) -> None:
    """Call `act` whenever the keys of commands change, because screens show them."""
    app = widget.app
    if isinstance(app, RenderModeMixin):
        subscribe_weakly(widget, app.keymap_changed_signal, act)


def color_mode(wanted: "ImageMode", color_system: str | None, encoding: str) -> "ColorMode":
    """The colours to draw with.

    Args:
        wanted: the setting; `auto` takes the colours of the terminal, and so does `kitty` for images without placement.
        color_system: of the terminal, as Rich detected it from COLORTERM and TERM; None if unknown, which Textual
            treats as true colours.
        encoding: the encoding of the terminal's output; half-blocks exist in Unicode only.

    >>> color_mode("auto", "256", "utf-8"), color_mode("auto", "truecolor", "iso8859-1")
    ('256', 'ascii')
    """
    if wanted != "auto" and wanted != "kitty":
        return wanted
    if not encoding.lower().replace("-", "").startswith("utf"):
        return "ascii"
    found: dict[str | None, ColorMode] = {None: "truecolor", "truecolor": "truecolor", "256": "256"}
    return found.get(color_system, "16")
