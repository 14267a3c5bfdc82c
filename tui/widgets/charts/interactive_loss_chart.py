"""The chart of losses to look closer into: pan, zoom, and a cursor that reads every line, by keys and by mouse."""

from typing import Final

from textual import events
from textual.message import Message

from tui.widgets.charts.loss_chart import LossChart
from tui.widgets.charts.x_axis import Span, panned, zoomed

ZOOM_STEP: Final = 1.5
"""How much closer a step of zooming is."""


class InteractiveLossChart(LossChart):
    """A `LossChart` whose cursor reads.

    The mouse reads what it points at; a click leaves the cursor there, a drag moves the curves, and the wheel
    zooms where the mouse is.
    """

    class CursorPlaced(Message):
        """Somebody put the cursor somewhere with the mouse: a place on the x axis, in its unit."""

        def __init__(self, place: float) -> None:
            super().__init__()
            self.x = place

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.show_readout = True
        self.placed_cursor: float | None = None
        """Where the cursor is while the mouse is elsewhere."""
        self._drag_start: tuple[int, Span] | None = None
        self._dragged = False

    def place_cursor(self, place: float | None) -> None:
        """Put the cursor at a place; None takes it away."""
        self.placed_cursor = self.cursor = place

    def zoom(self, steps: float, at: float | None = None) -> None:
        """Look closer, or from further away where `steps` is negative; around a place, else around the cursor."""
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
        """Move what is seen by a share of its width, to later places where it is positive."""
        whole = self.full_span()
        if whole is not None and self.span is not None:
            self._set_span(panned(self.span, whole, share, log=self.log_x), whole)

    def step_cursor(self, columns: int) -> None:
        """Move the cursor by columns of cells; it comes in at the end it is moved away from."""
        width = self.plot_width
        column = None if self.placed_cursor is None else self.column_at(self.placed_cursor)
        if column is None:
            column = width if columns < 0 else -1
        place = self.x_at(min(max(0, column + columns), width - 1))
        if place is not None:
            self.place_cursor(place)

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
        place = self.x_at_offset(event.x)
        self.cursor = self.placed_cursor if place is None else place

    def on_leave(self, event: events.Leave) -> None:
        self.cursor = self.placed_cursor

    def on_mouse_down(self, event: events.MouseDown) -> None:
        span = self.span or self.full_span()
        if event.button == 1 and span is not None:
            self._drag_start, self._dragged = (event.x, span), False
            self.capture_mouse()

    def on_mouse_up(self, event: events.MouseUp) -> None:
        grabbed, self._drag_start = self._drag_start, None
        self.release_mouse()
        place = self.x_at_offset(event.x)
        if grabbed is not None and not self._dragged and place is not None:
            self.place_cursor(place)
            self.post_message(self.CursorPlaced(place))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.zoom(1, self.x_at_offset(event.x))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.zoom(-1, self.x_at_offset(event.x))

    def _set_span(self, span: Span, whole: Span) -> None:
        near = (whole.high - whole.low) * 1e-9
        everything = span.low <= whole.low + near and span.high >= whole.high - near
        self.span = None if everything else span
