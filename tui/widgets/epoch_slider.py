"""Slider over the epochs that have images, moved by keys, by playback or by the mouse."""

from bisect import bisect_right
from collections.abc import Sequence

from textual.message import Message

from tui.widgets.scrubber import Scrubber


class EpochSlider(Scrubber):
    """Shows the current epoch among those that have images; a click or a drag requests another."""

    class EpochRequested(Message):
        """Posted when an epoch is requested; None follows the latest."""

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
            epochs: the epochs that have images, ascending.
            epoch: the current epoch; None follows the latest.
            playing: playback is running.
        """
        self._epochs = tuple(epochs)
        if not epochs:
            self.show_index(0, 0, head="no images yet")
            return
        index, last = epoch_index(epochs, epoch), epochs[-1]
        mode = "▶ playing" if playing else "latest" if epoch is None else "held"
        head = f"epoch {str(epochs[index]).rjust(len(str(last)))} of {last}"
        self.show_index(index, len(epochs), head=head, tail=f"{mode:9}", lit=playing)

    def request_index(self, index: int) -> None:
        last = index == len(self._epochs) - 1
        self.post_message(self.EpochRequested(None if last else self._epochs[index]))


def epoch_index(epochs: Sequence[int], epoch: int | None) -> int:
    """The index of the current epoch: the last one that is not later than `epoch`.

    >>> epoch_index((1, 5, 10), None), epoch_index((1, 5, 10), 7), epoch_index((1, 5, 10), 0)
    (2, 1, 0)
    """
    if epoch is None:
        return len(epochs) - 1
    return max(0, bisect_right(epochs, epoch) - 1)


def step_epoch(epochs: Sequence[int], epoch: int | None, steps: int) -> int | None:
    """The epoch that many steps further on; None, which follows the latest, from the last one on.

    >>> step_epoch((1, 5, 10), None, -1), step_epoch((1, 5, 10), 1, -1), step_epoch((1, 5, 10), 5, 1)
    (5, 1, None)
    """
    if not epochs:
        return None
    index = max(0, epoch_index(epochs, epoch) + steps)
    return None if index >= len(epochs) - 1 else epochs[index]
