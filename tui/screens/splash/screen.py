"""First frame, painted before the board and all that draws runs are imported."""

from pathlib import Path

from textual.app import ComposeResult
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static


class Splash(Screen[None]):
    """Top and bottom lines like the board's, with a note that runs are being read; the board replaces it.

    Args:
        root: the runs folder.
    """

    CSS_PATH = "screen.tcss"

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root

    def compose(self) -> ComposeResult:
        yield Static(Content.assemble((" ddpm-tui", "bold $text-primary")), id="top")
        yield Static(Content(f"reading {self._root.name}"), id="status")
        keys = Content.assemble(" ", ("q", "bold $text-primary"), (" quit", "$text-muted"))
        yield Static(keys, id="keys")
