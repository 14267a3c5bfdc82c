"""Messages and protocols that several screens share."""

from typing import TYPE_CHECKING, Protocol

from textual.message import Message

if TYPE_CHECKING:
    from tui.state.snapshot import Snapshot


class BoardReady(Message, bubble=False):
    """The board's modules have been imported."""


class SnapshotTaken(Message, bubble=False):
    """The runs folder has changed; posted to each screen that is open."""

    def __init__(self, snapshot: "Snapshot") -> None:
        super().__init__()
        self.snapshot = snapshot


class RunsPulled(Message, bubble=False):
    """Runs of another host were pulled, or could not be: `text` is for the user, and often empty."""

    def __init__(self, text: str, is_problem: bool) -> None:
        super().__init__()
        self.text = text
        self.is_problem = is_problem


class SnapshotSource(Protocol):
    """Reads runs, in one thread."""

    def poll(self) -> "Snapshot | None":
        """A new snapshot, or None when nothing changed since the last; the first poll always returns one."""

    @property
    def anything_live(self) -> bool:
        """True while anything may change soon, so that frequent polling is worth it."""
