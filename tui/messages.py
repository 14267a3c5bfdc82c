"""Messages that several screens listen to."""

from textual.message import Message

from tui.live import Snapshot


class SnapshotTaken(Message, bubble=False):
    """The runs folder looks different now; sent to each screen that is open."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.snapshot = snapshot
