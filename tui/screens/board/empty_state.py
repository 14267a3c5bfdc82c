"""Welcome shown while the runs folder is empty, with keys to begin with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from textual.content import Content
from textual.widgets import Static

from core.files.sanitize import sanitize

SUGGESTIONS: Final = {
    "run.start": "train five small diffusion models, one for each noise schedule, on 10,000 images of triangles",
    "tour.go": "take a tour of two minutes",
    "board.schedules": "see what noise schedules do to images",
    "board.datasets": "look at the datasets",
    "run.new": "set up a run of your own",
    "app.settings": "choose colours, sizes and keys",
    "app.help": "list all keys",
}
"""By command id, the most useful first."""
KEY_WIDTH: Final = 5
TEXT_WIDTH: Final = 56


class EmptyState(Static):
    """Welcome text for a new user."""

    def show(self, keys: Mapping[str, Sequence[str]], root: Path) -> None:
        """Show the text.

        Args:
            keys: by command id, as they are bound now.
            root: the runs folder.
        """
        self.update(empty_state_text(keys, root))


def empty_state_text(keys: Mapping[str, Sequence[str]], root: Path) -> Content:
    """Return the welcome text; commands without a key are left out."""
    parts = [Content.styled("Welcome. No runs here yet.", "bold $text-primary"), Content("")]
    for name, text in SUGGESTIONS.items():
        if name in keys:
            first, *rest = Content(text).wrap(TEXT_WIDTH - KEY_WIDTH)
            parts.append(Content.assemble((f"{keys[name][0]:{KEY_WIDTH}}", "bold $text-primary"), first))
            parts += [Content(" " * KEY_WIDTH) + line for line in rest]
    note = f"Runs live in {sanitize(str(root))} and go on training when you leave."
    return Content("\n").join([*parts, Content(""), Content.styled(note, "$text-muted")])
