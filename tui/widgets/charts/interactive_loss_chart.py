"""Loss chart with pan, zoom and a cursor that reads every line, by keys and by mouse."""

from typing import Final

from textual import events
from textual.message import Message

from tui.widgets.charts.loss_chart import LossChart
from tui.widgets.charts.x_axis import Span, panned, zoomed

ZOOM_STEP: Final = 1.5
"""Magnification of one step of zooming."""


class InteractiveLossChart(LossChart):
    """A `LossChart` with a readout at the cursor.

    The cursor follows the mouse. A click leaves the cursor in place, a drag pans, and the wheel zooms around the mouse.
    """

    class CursorPlaced(Message):
        """Posted when a click places the cursor: x is in the unit of the x axis."""

        def __init__(self, x: float) -> None:
            super().__init__()
            self.x = x

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.show_readout = True
        self.placed_cursor: float | None = None
        """The x of the cursor while the mouse is elsewhere."""
        self._drag_start: tuple[int, Span] | None = None
        self._dragged = False

    def place_cursor(self, x: float | None) -> None:
        """Place the cursor at x; None removes it."""
        self.placed_cursor = self.cursor = x

    def zoom(self, steps: float, at: float | None = None) -> None:
        """Zoom in, or out if `steps` is negative, around x = `at`, else around the cursor."""
        whole = self.full_span()
        if whole is None:
            return
        span = self.span or whole
        if at is None:
            inside = self.placed_cursor is not None and span.low <= self.placed_cursor <= span.high
            at = self.placed_cursor if inside else self.x_at(self.plot_width // 2)
        if at is not None:
            self._set_span(zoomed(span, whole, ZOOM_STEP**steps, at, log=self.log_x), whole)

    def pan(self, share: float) -> None:
        """Move the visible span by a share of its width, to the right if positive."""
        whole = self.full_span()
        if whole is not None and self.span is not None:
            self._set_span(panned(self.span, whole, share, log=self.log_x), whole)

    def step_cursor(self, columns: int) -> None:
        """Move the cursor by columns of cells; a cursor out of sight enters at the end that it moves away from."""
        width = self.plot_width
        column = None if self.placed_cursor is None else self.column_at(self.placed_cursor)
        if column is None:
            column = width if columns < 0 else -1
        x = self.x_at(min(max(0, column + columns), width - 1))
        if x is not None:
            self.place_cursor(x)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._drag_start is not None and event.button:
            column, span = self._drag_start
            self._dragged |= event.x != column
            whole = self.full_span()
            if self._dragged and whole is not None and self.span is not None:
                self._set_span(
                    panned(span, whole, (column - event.x) / max(1, self.plot_width), log=self.log_x), whole
                )
            return
        x = self.x_at_offset(event.x)
        self.cursor = self.placed_cursor if x is None else x

    def on_leave(self, event: events.Leave) -> None:
        self.cursor = self.placed_cursor

    def on_mouse_down(self, event: events.MouseDown) -> None:
        span = self.span or self.full_span()
        if event.button == 1 and span is not None:
            self._drag_start, self._dragged = (event.x, span), False
            self.capture_mouse()

    def on_mouse_up(self, event: events.MouseUp) -> None:
        drag_start, self._drag_start = self._drag_start, None
        self.release_mouse()
        x = self.x_at_offset(event.x)
        if drag_start is not None and not self._dragged and x is not None:
            self.place_cursor(x)
            self.post_message(self.CursorPlaced(x))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.zoom(1, self.x_at_offset(event.x))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.zoom(-1, self.x_at_offset(event.x))

    def _set_span(self, span: Span, whole: Span) -> None:
        tolerance = (whole.high - whole.low) * 1e-9
        is_whole = span.low <= whole.low + tolerance and span.high >= whole.high - tolerance
        self.span = None if is_whole else span
