"""Canvas: an image on which a mask is painted, with keys or the mouse."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.strip import Strip

from tui.screens.restore.model import Pixels
from tui.textual_ext.strip_widget import StripWidget
from tui.widgets.images.halfblocks import cell_lines
from tui.widgets.images.render_mode import current_render_mode

MAX_SCALE: Final = 4


class Canvas(StripWidget, can_focus=False):
    """An image at a whole number of cells a pixel; of an image that is too large, every n-th pixel.

    Pixels are half a line high. The mouse paints, and erases with another button than the left one.
    """

    ALLOW_SELECT = False
    DEFAULT_CSS = "Canvas { width: auto; height: 1fr; }"

    @dataclass
    class Pressed(Message):
        """The mouse was pressed or dragged on a pixel."""

        row: int
        column: int
        missing: bool

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._image: Pixels = np.zeros((2, 2, 3), np.uint8)
        self._lines: list[list[Segment]] = []
        self._erasing = False
        self.shown_width = 0
        """Cells of the shown image."""

    def show(self, image: Pixels, width: int, height: int) -> None:
        """Show an image in a room of `width` cells and `height` lines."""
        self._image = image
        scale, stride = self.scale_for(image, width, height)
        self._scale, self._stride = scale, stride
        view = image[::stride, ::stride].repeat(scale, axis=0).repeat(scale, axis=1)
        self.styles.width = self.shown_width = view.shape[1]
        self._lines = cell_lines(view, mode=current_render_mode(self).mode)
        self.refresh()

    @staticmethod
    def scale_for(image: Pixels, width: int, height: int) -> tuple[int, int]:
        """Return the cells of a pixel, and the pixels from one that is shown to the next."""
        rows, columns = image.shape[:2]
        scale = min(width // columns, 2 * height // rows, MAX_SCALE)
        if scale >= 1:
            return scale, 1
        return 1, max(-(-columns // max(1, width)), -(-rows // max(1, 2 * height)))

    @property
    def stride(self) -> int:
        """The pixels from one that is shown to the next."""
        return self._stride

    def render_line(self, y: int) -> Strip:
        return (
            Strip(self._lines[y]) if y < len(self._lines) else Strip.blank(self.size.width, self.rich_style)
        )

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self.capture_mouse()
        self._erasing = event.button != 1 or event.shift
        self._paint_at(event)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self.app.mouse_captured is self:
            self._paint_at(event)

    def on_mouse_up(self) -> None:
        self.release_mouse()

    def _paint_at(self, event: events.MouseEvent) -> None:
        """Post the pixel under the mouse. A line holds two rows of pixels, of which the mouse means the upper one."""
        row = 2 * event.y // self._scale * self._stride
        column = event.x // self._scale * self._stride
        height, width = self._image.shape[:2]
        if 0 <= row < height and 0 <= column < width:
            self.post_message(self.Pressed(row, column, not self._erasing))

    _scale = 1
    _stride = 1
