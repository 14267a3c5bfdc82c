"""Messages that several screens listen to."""

from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from tui.live import Snapshot


class BoardReady(Message, bubble=False):
    """What the board takes has been imported."""


class SnapshotTaken(Message, bubble=False):
    """The runs folder looks different now; sent to each screen that is open."""

    def __init__(self, snapshot: "Snapshot") -> None:
        super().__init__()
        self.snapshot = snapshot
