"""Messages that several screens listen to, and where they come from."""

from typing import TYPE_CHECKING, Protocol

from textual.message import Message

if TYPE_CHECKING:
    from tui.state.snapshot import Snapshot


class BoardReady(Message, bubble=False):
    """What the board takes has been imported."""


class RunsTouched(Message):
    """Something was done to runs, or was tried."""


class SnapshotTaken(Message, bubble=False):
    """The runs folder looks different now; sent to each screen that is open."""

    def __init__(self, snapshot: "Snapshot") -> None:
        super().__init__()
        self.snapshot = snapshot


class Source(Protocol):
    """Reads runs, in one thread."""

    def poll(self) -> "Snapshot | None":
        """A new snapshot, or None when nothing changed since the last; the first poll always gives one."""

    @property
    def anything_live(self) -> bool:
        """Whether anything moves, so that looking often is worth it."""
