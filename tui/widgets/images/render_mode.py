"""How pictures are drawn: with which colours, and how large. What all screens follow when a person changes it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.app import App
from textual.signal import Signal
from textual.widget import Widget

from tui.textual_ext.signals import subscribe_weakly

if TYPE_CHECKING:
    from core.imaging import ColorMode
    from tui.settings.schema import ImageMode
    from tui.terminal.kitty.placements import Placements


@dataclass(frozen=True, slots=True)
class RenderMode:
    """How pictures are drawn.

    Attributes:
        mode: with true colours, 256 or 16 of them as half-blocks, or with letters.
        zoom: how many cells wide a pixel is; at 1 it is half a line high, at 2 a line.
        placements: where the terminal draws pictures itself, their places; `mode` is for what has none.
    """

    mode: "ColorMode" = "truecolor"
    zoom: int = 1
    placements: "Placements | None" = None


class RenderModeMixin(App[None]):
    """An app whose pictures can be drawn otherwise while it runs, and whose keys can be others."""

    def __init__(self) -> None:
        super().__init__()
        self.render_mode = RenderMode()
        self.render_mode_changed_signal: Signal[RenderMode] = Signal(self, "drawing changed")
        self.keymap_changed_signal: Signal[None] = Signal(self, "keys changed")

    def set_render_mode(self, drawing: RenderMode) -> None:
        """Draw all pictures like this from now on."""
        if drawing != self.render_mode:
            self.render_mode = drawing
            self.render_mode_changed_signal.publish(drawing)


def render_mode_of(widget: Widget) -> RenderMode:
    """How pictures are drawn where the widget is."""
    app = widget.app
    return app.render_mode if isinstance(app, RenderModeMixin) else RenderMode()


def on_render_mode_changed(widget: Widget, act: Callable[[], object]) -> None:
    """Do something whenever pictures are drawn otherwise."""
    app = widget.app
    if isinstance(app, RenderModeMixin):
        subscribe_weakly(widget, app.render_mode_changed_signal, act)


def on_keymap_changed(widget: Widget, act: Callable[[], object]) -> None:
    """Do something whenever commands have other keys, which the screens name."""
    app = widget.app
    if isinstance(app, RenderModeMixin):
        subscribe_weakly(widget, app.keymap_changed_signal, act)


def color_mode(wanted: "ImageMode", color_system: str | None, encoding: str) -> "ColorMode":
    """The colours to draw with.

    Args:
        wanted: what was asked for; `auto` takes what the terminal has, and so does `kitty` for what it cannot draw.
        color_system: the terminal's, as Rich found it in COLORTERM and TERM; None where that
            is unknown, which Textual takes for true colours.
        encoding: in which the terminal is written to; half-blocks are in Unicode alone.

    >>> color_mode("auto", "256", "utf-8"), color_mode("auto", "truecolor", "iso8859-1")
    ('256', 'ascii')
    """
    if wanted != "auto" and wanted != "kitty":
        return wanted
    if not encoding.lower().replace("-", "").startswith("utf"):
        return "ascii"
    found: dict[str | None, ColorMode] = {None: "truecolor", "truecolor": "truecolor", "256": "256"}
    return found.get(color_system, "16")
