"""One line to go through the epochs that have pictures: with keys, by playing, or with the mouse."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

MIN_TRACK: Final = 8


class EpochSlider(Widget, can_focus=False):
    """Shows which epoch's pictures are seen, of those that there are; a click or a drag asks for another."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    EpochSlider {
        height: 1;
        width: 1fr;
    }
    """

    class Sought(Message):
        """Somebody asked for an epoch; None is the latest, whatever it will be."""

        def __init__(self, epoch: int | None) -> None:
            super().__init__()
            self.epoch = epoch

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._epochs: tuple[int, ...] = ()
        self._epoch: int | None = None
        self._playing = False
        self._track = (0, 0)

    def show(self, epochs: Sequence[int], epoch: int | None, *, playing: bool = False) -> None:
        """Show a state.

        Args:
            epochs: those that have pictures, ascending.
            epoch: the one that is seen; None follows the latest.
            playing: whether it moves on by itself.
        """
        state = (tuple(epochs), epoch, playing)
        if state != (self._epochs, self._epoch, self._playing):
            self._epochs, self._epoch, self._playing = state
            self.refresh()

    def render(self) -> Content:
        if not self._epochs:
            return Content.assemble((" no pictures yet", "$text-muted"))
        place = position(self._epochs, self._epoch)
        last = self._epochs[-1]
        word = str(self._epochs[place]).rjust(len(str(last)))
        head = f" epoch {word} of {last}  "
        mode = "▶ playing" if self._playing else "latest" if self._epoch is None else "held"
        tail = f"  {mode:9} "
        room = self.size.width - cell_len(head) - cell_len(tail)
        if room < MIN_TRACK:
            self._track = (0, 0)
            return Content.assemble((head.rstrip(), "bold"), (f"  {mode}", "$text-muted"))
        self._track = (cell_len(head), room)
        knob = (
            round(place * (room - 1) / max(1, len(self._epochs) - 1)) if len(self._epochs) > 1 else room - 1
        )
        return Content.assemble(
            (head, "bold"),
            ("━" * knob, "$primary"),
            ("●", "bold $text-accent"),
            ("─" * (room - knob - 1), "$text-disabled"),
            (tail, "bold $text-accent" if self._playing else "$text-muted"),
        )

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self.capture_mouse()
        self._seek(event.x)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if event.button:
            self._seek(event.x)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        self.release_mouse()

    def _seek(self, x: int) -> None:
        start, room = self._track
        if not room or not self._epochs:
            return
        share = min(max(0.0, (x - start) / max(1, room - 1)), 1.0)
        place = round(share * (len(self._epochs) - 1))
        last = place == len(self._epochs) - 1
        self.post_message(self.Sought(None if last else self._epochs[place]))


def position(epochs: Sequence[int], epoch: int | None) -> int:
    """The place of the epoch that is seen among those that there are: the last one that is not later.

    >>> position((1, 5, 10), None), position((1, 5, 10), 7), position((1, 5, 10), 0)
    (2, 1, 0)
    """
    if epoch is None:
        return len(epochs) - 1
    return max(0, bisect_right(epochs, epoch) - 1)


def moved(epochs: Sequence[int], epoch: int | None, places: int) -> int | None:
    """The epoch so many places on; None, which follows the latest, from the last one on.

    >>> moved((1, 5, 10), None, -1), moved((1, 5, 10), 1, -1), moved((1, 5, 10), 5, 1)
    (5, 1, None)
    """
    if not epochs:
        return None
    place = max(0, position(epochs, epoch) + places)
    return None if place >= len(epochs) - 1 else epochs[place]
