"""The chart of losses to look closer into: pan, zoom, and a cursor that reads every line, by keys and by mouse."""

from typing import Final

from textual import events
from textual.message import Message

from tui.widgets.charts.loss_chart import LossChart
from tui.widgets.charts.x_axis import Span, panned, zoomed

STEP: Final = 1.5
"""How much closer a step of zooming is."""


class InteractiveLossChart(LossChart):
    """A `LossChart` whose cursor reads.

    The mouse reads what it points at; a click leaves the cursor there, a drag moves the curves, and the wheel
    zooms where the mouse is.
    """

    class Pointed(Message):
        """Somebody put the cursor somewhere with the mouse: a place on the x axis, in its unit."""

        def __init__(self, place: float) -> None:
            super().__init__()
            self.place = place

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.reads = True
        self.held: float | None = None
        """Where the cursor is while the mouse is elsewhere."""
        self._grabbed: tuple[int, Span] | None = None
        self._dragged = False

    def hold(self, place: float | None) -> None:
        """Put the cursor at a place; None takes it away."""
        self.held = self.cursor = place

    def zoom(self, steps: float, at: float | None = None) -> None:
        """Look closer, or from further away where `steps` is negative; around a place, else around the cursor."""
        whole = self.whole()
        if whole is None:
            return
        span = self.span or whole
        if at is None:
            inside = self.held is not None and span.low <= self.held <= span.high
            at = self.held if inside else self.x_at(self.plot_width // 2)
        if at is not None:
            self._set_cursor(zoomed(span, whole, STEP**steps, at, log=self.log_x), whole)

    def pan(self, share: float) -> None:
        """Move what is seen by a share of its width, to later places where it is positive."""
        whole = self.whole()
        if whole is not None and self.span is not None:
            self._set_cursor(panned(self.span, whole, share, log=self.log_x), whole)

    def step_cursor(self, columns: int) -> None:
        """Move the cursor by columns of cells; it comes in at the end it is moved away from."""
        width = self.plot_width
        column = None if self.held is None else self.column_of(self.held)
        if column is None:
            column = width if columns < 0 else -1
        place = self.x_at(min(max(0, column + columns), width - 1))
        if place is not None:
            self.hold(place)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._grabbed is not None and event.button:
            column, span = self._grabbed
            self._dragged |= event.x != column
            whole = self.whole()
            if self._dragged and whole is not None and self.span is not None:
                self._set_cursor(
                    panned(span, whole, (column - event.x) / max(1, self.plot_width), log=self.log_x), whole
                )
            return
        place = self.x_under(event.x)
        self.cursor = self.held if place is None else place

    def on_leave(self, event: events.Leave) -> None:
        self.cursor = self.held

    def on_mouse_down(self, event: events.MouseDown) -> None:
        span = self.span or self.whole()
        if event.button == 1 and span is not None:
            self._grabbed, self._dragged = (event.x, span), False
            self.capture_mouse()

    def on_mouse_up(self, event: events.MouseUp) -> None:
        grabbed, self._grabbed = self._grabbed, None
        self.release_mouse()
        place = self.x_under(event.x)
        if grabbed is not None and not self._dragged and place is not None:
            self.hold(place)
            self.post_message(self.Pointed(place))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.zoom(1, self.x_under(event.x))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.zoom(-1, self.x_under(event.x))

    def _set_cursor(self, span: Span, whole: Span) -> None:
        near = (whole.high - whole.low) * 1e-9
        everything = span.low <= whole.low + near and span.high >= whole.high - near
        self.span = None if everything else span
