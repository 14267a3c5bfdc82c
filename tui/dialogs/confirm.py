"""Dialogs that ask for confirmation or for a number."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from tui.widgets.key_bar import KeyBar, KeyHint


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer: the value that is returned, the key that selects it, and its text."""

    answer: str
    key: str
    text: str


class ConfirmScreen(ModalScreen[str | None]):
    """A question with a key for each answer; escape and q answer None."""

    CSS_PATH = "confirm.tcss"
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "choose('')", "Cancel", show=False)]

    def __init__(self, question: str, detail: str, choices: Sequence[Choice]) -> None:
        super().__init__()
        self.question = question
        self.detail = detail
        self.choices = tuple(choices)

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(self.question, id="question", markup=False)
            yield Static(self.detail, id="detail", markup=False)
            yield KeyBar(
                [
                    KeyHint(choice.key, choice.text, f"screen.choose('{choice.answer}')")
                    for choice in self.choices
                ]
            )

    def on_key(self, event: events.Key) -> None:
        for choice in self.choices:
            if event.character == choice.key or event.key == choice.key:
                event.stop()
                self.dismiss(choice.answer)
                return

    def action_choose(self, answer: str) -> None:
        self.dismiss(answer or None)


class NumberScreen(ModalScreen[int | None]):
    """Asks for a whole number; escape answers None."""

    CSS_PATH = "confirm.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel", show=False)]

    def __init__(self, question: str, *, minimum: int, initial: int) -> None:
        super().__init__()
        self.question = question
        self.minimum = minimum
        self.initial = initial

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(self.question, id="question", markup=False)
            yield Input(str(self.initial), type="integer", select_on_focus=True, compact=True)
            yield Static("", id="error", markup=False)
            yield KeyBar(
                [KeyHint("⏎", "continue", "screen.submit"), KeyHint("esc", "cancel", "screen.cancel")]
            )

    def on_input_submitted(self) -> None:
        self.action_submit()

    def action_submit(self) -> None:
        try:
            number = int(self.query_one(Input).value)
        except ValueError:
            number = -1
        if number < self.minimum:
            self.query_one("#error", Static).update(f"expected a whole number, at least {self.minimum}")
            return
        self.dismiss(number)

    def action_cancel(self) -> None:
        self.dismiss(None)
