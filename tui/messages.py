"""Messages that several screens listen to."""

from textual.message import Message

from tui.live import Snapshot


class SnapshotTaken(Message):
    """The runs folder looks different now; sent to each screen that is open."""

    bubble = False

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.snapshot = snapshot
