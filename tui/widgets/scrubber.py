"""Scrubber: a slider over a sequence, moved by the mouse; its screen binds the keys."""

from typing import Final

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

MIN_TRACK: Final = 8


class Scrubber(Widget, can_focus=False):
    """A knob on a track between two texts; a click or a drag requests another index."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    Scrubber {
        height: 1;
        width: 1fr;
    }
    """

    class IndexRequested(Message):
        """Posted when an index is requested."""

        def __init__(self, scrubber: "Scrubber", index: int) -> None:
            super().__init__()
            self.scrubber = scrubber
            self.index = index

        @property
        def control(self) -> "Scrubber":
            return self.scrubber

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._state: tuple[int, int, str, str, bool] = (0, 0, "", "", False)
        self._track = (0, 0)

    def show_index(self, index: int, count: int, *, head: str, tail: str = "", lit: bool = False) -> None:
        """Show the knob at an index.

        Args:
            index: position of the knob, from 0.
            count: length of the sequence; at 0 only `head` is shown.
            head: text on the left.
            tail: text on the right.
            lit: highlight the text on the right, for example during playback.
        """
        state = (index, count, head, tail, lit)
        if state != self._state:
            self._state = state
            self.refresh()

    def render(self) -> Content:
        index, count, head, tail, lit = self._state
        self._track = (0, 0)
        if not count:
            return Content.styled(f" {head}", "$text-muted").truncate(self.size.width, ellipsis=True)
        head = f" {head}  "
        room = self.size.width - cell_len(head) - cell_len(tail) - 3
        if room < MIN_TRACK:
            text = Content.assemble((head.rstrip(), "bold"), (f"  {tail.rstrip()}", "$text-muted"))
            return text.truncate(self.size.width, ellipsis=True)
        self._track = (cell_len(head), room)
        knob = round(index * (room - 1) / (count - 1)) if count > 1 else room - 1
        return Content.assemble(
            (head, "bold"),
            ("━" * knob, "$primary"),
            ("●", "bold $text-accent"),
            ("─" * (room - knob - 1), "$text-disabled"),
            (f"  {tail} ", "bold $text-accent" if lit else "$text-muted"),
        )

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self.capture_mouse()
        self._request_at(event.x)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if event.button:
            self._request_at(event.x)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        self.release_mouse()

    def request_index(self, index: int) -> None:
        """Post a request for an index."""
        self.post_message(self.IndexRequested(self, index))

    def _request_at(self, x: int) -> None:
        (start, room), count = self._track, self._state[1]
        if room and count:
            share = min(max(0.0, (x - start) / max(1, room - 1)), 1.0)
            self.request_index(round(share * (count - 1)))
