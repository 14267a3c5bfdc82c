"""One line to go through the epochs that have pictures: with keys, by playing, or with the mouse."""

from bisect import bisect_right
from collections.abc import Sequence

from textual.message import Message

from tui.widgets.scrubber import Scrubber


class EpochSlider(Scrubber):
    """Shows which epoch's pictures are seen, of those that there are; a click or a drag asks for another."""

    class EpochRequested(Message):
        """Somebody asked for an epoch; None is the latest, whatever it will be."""

        def __init__(self, epoch: int | None) -> None:
            super().__init__()
            self.epoch = epoch

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._epochs: tuple[int, ...] = ()
        self.show((), None)

    def show(self, epochs: Sequence[int], epoch: int | None, *, playing: bool = False) -> None:
        """Show a state.

        Args:
            epochs: those that have pictures, ascending.
            epoch: the one that is seen; None follows the latest.
            playing: whether it moves on by itself.
        """
        self._epochs = tuple(epochs)
        if not epochs:
            self.show_index(0, 0, head="no pictures yet")
            return
        place, last = epoch_index(epochs, epoch), epochs[-1]
        mode = "▶ playing" if playing else "latest" if epoch is None else "held"
        head = f"epoch {str(epochs[place]).rjust(len(str(last)))} of {last}"
        self.show_index(place, len(epochs), head=head, tail=f"{mode:9}", lit=playing)

    def seek(self, place: int) -> None:
        last = place == len(self._epochs) - 1
        self.post_message(self.EpochRequested(None if last else self._epochs[place]))


def epoch_index(epochs: Sequence[int], epoch: int | None) -> int:
    """The place of the epoch that is seen among those that there are: the last one that is not later.

    >>> epoch_index((1, 5, 10), None), epoch_index((1, 5, 10), 7), epoch_index((1, 5, 10), 0)
    (2, 1, 0)
    """
    if epoch is None:
        return len(epochs) - 1
    return max(0, bisect_right(epochs, epoch) - 1)


def step_epoch(epochs: Sequence[int], epoch: int | None, places: int) -> int | None:
    """The epoch so many places on; None, which follows the latest, from the last one on.

    >>> step_epoch((1, 5, 10), None, -1), step_epoch((1, 5, 10), 1, -1), step_epoch((1, 5, 10), 5, 1)
    (5, 1, None)
    """
    if not epochs:
        return None
    place = max(0, epoch_index(epochs, epoch) + places)
    return None if place >= len(epochs) - 1 else epochs[place]
