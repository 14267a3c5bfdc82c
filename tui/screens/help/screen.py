"""Help: the keys of a screen as they are bound now, and the meaning of states and metrics."""

from collections.abc import Iterable
from typing import Any, ClassVar, Final

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from core.runs.status import State
from tui.commands import NUMBERS
from tui.state.formatting import STATE_GLYPHS
from tui.widgets.key_hints import digits_are_bound

KEYS_WIDTH: Final = 12
_TEXTUAL_ACTIONS: Final = ("app.focus_next", "app.focus_previous", "screen.copy_text", "screen.minimize")
STATES: Final = (
    (f"{STATE_GLYPHS[State.QUEUED]} queued", "waiting for a slot"),
    (f"{STATE_GLYPHS[State.STARTING]} starting", "makes images, or compiles"),
    (f"{STATE_GLYPHS[State.RUNNING]} running", "trains"),
    (f"{STATE_GLYPHS[State.STOPPING]} stopping", "writes its checkpoint"),
    (f"{STATE_GLYPHS[State.STOPPED]} stopped", "can be resumed"),
    (f"{STATE_GLYPHS[State.FINISHED]} finished", "has trained all its epochs; resuming asks for more"),
    (
        f"{STATE_GLYPHS[State.FAILED]} failed",
        "ended with an error, which its row and its log tell; can be resumed",
    ),
    (
        f"{STATE_GLYPHS[State.CRASHED]} crashed",
        "its process is gone; goes on from its last checkpoint when resumed",
    ),
)
METRICS: Final = (
    ("loss", "mean over the last epoch; the trend is logarithmic; · is a loss that was not a number"),
    ("held-out", "loss on images that the network is never trained on"),
    ("abar_T", "share of the image's power left at the last noising step; sampling starts from none"),
    ("SNR_T", "the same as a signal-to-noise ratio, in decibels"),
    ("L_T", "what that costs in the variational bound, in bits a dimension"),
)
CLOSING: Final = "esc closes this list, ↑ and ↓ scroll it"
REBINDING: Final = (
    "Every command is also found by name, with ctrl+p or a colon; in the settings each key can be changed."
)


class HelpScreen(ModalScreen[None]):
    """List of a screen's keys; escape, q or ? closes it."""

    CSS_PATH = "screen.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,f1,enter", "close", "Close the help", show=False),
        Binding("j", "scroll(1)", "Scroll down", show=False),
        Binding("k", "scroll(-1)", "Scroll up", show=False),
    ]

    def __init__(self, keys: list[tuple[str, str]]) -> None:
        super().__init__()
        self.keys = keys

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(self._table("Keys", self.keys, CLOSING))
            yield Static(self._table("States", STATES))
            yield Static(self._table("Figures", METRICS))
            yield Static(REBINDING, classes="note")

    def _table(self, title: str, rows: Iterable[tuple[str, str]], note: str = "") -> Table:
        variables = self.app.theme_variables
        table = Table.grid(padding=(0, 2, 0, 0), expand=True)
        table.add_column(width=KEYS_WIDTH, style="bold", no_wrap=True)
        table.add_column(ratio=1, style=variables["text-muted"])
        table.add_row(Text(title, style=f"bold {variables['primary']}"), Text(note))
        for name, text in rows:
            table.add_row(Text(name), Text(text))
        return table

    def action_close(self) -> None:
        self.dismiss()

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)


def key_rows(screen: Screen[Any]) -> list[tuple[str, str]]:
    """Return the keys of a screen as they are bound now, each with its text; keys of one action share a row."""
    lines: dict[str, list[str]] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        if binding.description and not binding.system and binding.action not in _TEXTUAL_ACTIONS:
            lines.setdefault(binding.description, []).append(screen.app.get_key_display(binding))
    for numbers, text in NUMBERS.items():
        if digits_are_bound(screen, numbers):
            for command in numbers:
                del lines[command.text]
            lines[text] = ["1-9"]
    return [(" ".join(dict.fromkeys(keys)), text) for text, keys in lines.items()]
