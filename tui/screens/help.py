"""All keys, as they are bound on the screen that asked, and what the signs mean."""

from collections.abc import Iterable
from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from core.runs.status import State
from tui.describe import GLYPHS

KEYS_WIDTH: Final = 12
_TEXTUALS_OWN: Final = ("app.focus_next", "app.focus_previous", "screen.copy_text", "screen.minimize")
SIGNS: Final = (
    (
        "abar_T",
        "share of the picture's power that is left at the last noising step; sampling starts from none",
    ),
    ("SNR_T", "the same as a signal-to-noise ratio, in decibels"),
    ("L_T", "what that costs in the variational bound, in bits per pixel"),
    ("loss", "mean over the last 50 steps; the trend is logarithmic; · marks a loss that was not a number"),
    ("held-out", "loss on pictures that the network never learns from"),
)


class HelpScreen(ModalScreen[None]):
    """Every key of a screen; any of escape, q and ? closes it."""

    CSS_PATH = "help.tcss"
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
            yield Static(_table("Keys", self.keys))
            states = [(GLYPHS[state], str(state)) for state in State if state is not State.CRASHED]
            text = Content("   ").join(Content.assemble((sign, "bold"), f" {word}") for sign, word in states)
            yield Static(
                Content("\n").join([Content(""), Content.styled("States", "bold $text-primary"), text])
            )
            yield Static(_table("\nFigures", SIGNS))
            yield Static(
                Content.styled(
                    "\nEvery key can be rebound: see the README on keys.toml. Every command can also "
                    "be found by name with ctrl+p or a colon.",
                    "$text-muted",
                )
            )

    def action_close(self) -> None:
        self.dismiss()

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)


def keys_of_screen(screen: Screen[Any]) -> list[tuple[str, str]]:
    """Keys and what they do on a screen, keys of one action in one line, as they are bound now."""
    lines: dict[str, list[str]] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        if binding.description and not binding.system and binding.action not in _TEXTUALS_OWN:
            lines.setdefault(binding.description, []).append(screen.app.get_key_display(binding))
    digits = [text for text in lines if text.startswith("Select run ")]
    for text in digits:
        del lines[text]
    listed = [(" ".join(dict.fromkeys(keys)), text) for text, keys in lines.items()]
    return [*listed, ("1-9", "Select the run of that number")] if digits else listed


def _table(title: str, rows: Iterable[tuple[str, str]]) -> Content:
    lines = [Content.styled(title, "bold $text-primary")]
    for sign, text in rows:
        lines.append(Content.assemble((f"{sign:<{KEYS_WIDTH}} ", "bold"), (text, "$text-muted")))
    return Content("\n").join(lines)
