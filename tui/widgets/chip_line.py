"""Names in a line, each with its marker and colour: those that are chosen bright, the others dim."""

from collections.abc import Sequence

from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from tui.settings.series_colors import SeriesStyle

GAP = 2


class ChipLine(Widget, can_focus=False):
    """Names to choose from; a click on one asks for it. Something that is wrong takes their place."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    ChipLine {
        height: 1;
        width: 1fr;
    }
    """

    class Clicked(Message):
        """Somebody clicked on the name at a place."""

        def __init__(self, place: int) -> None:
            super().__init__()
            self.index = place

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._state: tuple[tuple[tuple[SeriesStyle, str, bool], ...], str] = ((), "")

    def show(self, names: Sequence[tuple[SeriesStyle, str, bool]], *, wrong: str = "") -> None:
        """Show these.

        Args:
            names: how each is told apart, itself, and whether it is chosen.
            wrong: what is said instead; empty shows the names.
        """
        if (tuple(names), wrong) != self._state:
            self._state = (tuple(names), wrong)
            self.refresh()

    def render(self) -> Content:
        names, wrong = self._state
        if wrong:
            return Content.styled(f" {wrong}", "$text-error").truncate(self.size.width, ellipsis=True)
        parts = [
            Content.styled(f"{style.marker} {name}", f"bold {style.color}" if chosen else "$text-disabled")
            for style, name, chosen in names
        ]
        return Content.assemble(" ", Content(" " * GAP).join(parts)).truncate(self.size.width, ellipsis=True)

    def on_click(self, event: events.Click) -> None:
        names, wrong = self._state
        left = 1
        for place, (style, name, _) in enumerate(names):
            width = len(f"{style.marker} {name}")
            if not wrong and left <= event.x < left + width:
                self.post_message(self.Clicked(place))
            left += width + GAP
