"""Dialogs that ask for a text or a key; escape answers None."""

from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from tui.widgets.key_bar import KeyBar, KeyHint


class TextScreen(ModalScreen[str | None]):
    """Asks for a text.

    Args:
        question: the question.
        initial: the initial text.
        error_of: a function that returns the error in a text, or an empty string.
    """

    CSS_PATH = "confirm.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Cancel", show=False)]

    def __init__(self, question: str, initial: str, error_of: Callable[[str], str]) -> None:
        super().__init__()
        self.question = question
        self.initial = initial
        self.error_of = error_of

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(self.question, id="question", markup=False)
            yield Input(self.initial, select_on_focus=True, compact=True, max_length=20)
            yield Static("", id="error", markup=False)
            yield KeyBar([KeyHint("⏎", "accept", "screen.submit"), KeyHint("esc", "cancel", "screen.cancel")])

    def on_input_changed(self, event: Input.Changed) -> None:
        self.query_one("#error", Static).update(self.error_of(event.value))

    def on_input_submitted(self) -> None:
        self.action_submit()

    def action_submit(self) -> None:
        text = self.query_one(Input).value
        if not self.error_of(text):
            self.dismiss(text)

    def action_cancel(self) -> None:
        self.dismiss(None)


class KeyScreen(ModalScreen[str | None]):
    """Takes the next key that is pressed, even if it is bound to a command; escape and a click answer None.

    Args:
        title: the command that the key is for.
        question: the question.
    """

    CSS_PATH = "confirm.tcss"
    AUTO_FOCUS = ""

    def __init__(self, title: str, question: str) -> None:
        super().__init__()
        self.text = title
        self.question = question

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(self.text, id="question", markup=False)
            yield Static(self.question, id="detail", markup=False)

    def on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        self.dismiss(None if event.key == "escape" else event.key)

    def on_click(self) -> None:
        self.dismiss(None)
