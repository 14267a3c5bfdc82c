"""The line in which the words of a filter are typed."""

from textual.widgets import Input


class FilterLine(Input):
    """Takes the key bar's place while words are typed; up and down still move through the runs."""

    DEFAULT_CSS = """
    FilterLine {
        dock: bottom;
        height: 1;
        border: none;
        padding: 0 1;
        display: none;
        &.-open { display: block; }
    }
    """

    def __init__(self) -> None:
        super().__init__(
            compact=True,
            placeholder="words of name, schedule, dataset, state, group; enter keeps them, esc shows all",
            select_on_focus=False,
        )

    def open(self) -> None:
        """Begin to type."""
        self.add_class("-open")
        self.focus()

    def close(self) -> None:
        """Leave what was typed, and give the keys back."""
        self.remove_class("-open")
        if self.has_focus:
            self.screen.set_focus(None)
