"""One line to go through a row of places: with the mouse here, with keys where it is shown."""

from typing import Final

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

MIN_TRACK: Final = 8


class Scrubber(Widget, can_focus=False):
    """A knob on a track, words on both sides; a click or a drag asks for another place."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    Scrubber {
        height: 1;
        width: 1fr;
    }
    """

    class IndexRequested(Message):
        """Somebody asked for a place."""

        def __init__(self, scrubber: "Scrubber", place: int) -> None:
            super().__init__()
            self.scrubber = scrubber
            self.index = place

        @property
        def control(self) -> "Scrubber":
            return self.scrubber

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._state: tuple[int, int, str, str, bool] = (0, 0, "", "", False)
        self._track = (0, 0)

    def show_index(self, place: int, count: int, *, head: str, tail: str = "", lit: bool = False) -> None:
        """Show a place.

        Args:
            place: where the knob is, from 0.
            count: how many places there are; without any, only the words are shown.
            head: what is said on the left.
            tail: and on the right.
            lit: whether the right is set off, say because it plays.
        """
        state = (place, count, head, tail, lit)
        if state != self._state:
            self._state = state
            self.refresh()

    def render(self) -> Content:
        place, count, head, tail, lit = self._state
        self._track = (0, 0)
        if not count:
            return Content.styled(f" {head}", "$text-muted")
        head = f" {head}  "
        room = self.size.width - cell_len(head) - cell_len(tail) - 3
        if room < MIN_TRACK:
            return Content.assemble((head.rstrip(), "bold"), (f"  {tail.rstrip()}", "$text-muted"))
        self._track = (cell_len(head), room)
        knob = round(place * (room - 1) / (count - 1)) if count > 1 else room - 1
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

    def request_index(self, place: int) -> None:
        """Ask for a place."""
        self.post_message(self.IndexRequested(self, place))

    def _request_at(self, x: int) -> None:
        (start, room), count = self._track, self._state[1]
        if room and count:
            share = min(max(0.0, (x - start) / max(1, room - 1)), 1.0)
            self.request_index(round(share * (count - 1)))
