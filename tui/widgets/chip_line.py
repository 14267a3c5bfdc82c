"""Line of names, each with its marker and colour: chosen ones bright, the others dim."""

from collections.abc import Sequence

from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from tui.settings.series_colors import SeriesStyle

GAP = 2


class ChipLine(Widget, can_focus=False):
    """Names to choose from; a click posts `Clicked`. An error message replaces them."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    ChipLine {
        height: 1;
        width: 1fr;
    }
    """

    class Clicked(Message):
        """Posted when the name at an index is clicked."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._state: tuple[tuple[tuple[SeriesStyle, str, bool], ...], str] = ((), "")

    def show(self, names: Sequence[tuple[SeriesStyle, str, bool]], *, error: str = "") -> None:
        """Show names, or an error message.

        Args:
            names: style, name and whether it is chosen, for each.
            error: the message to show instead; empty shows the names.
        """
        if (tuple(names), error) != self._state:
            self._state = (tuple(names), error)
            self.refresh()

    def render(self) -> Content:
        names, error = self._state
        if error:
            return Content.styled(f" {error}", "$text-error").truncate(self.size.width, ellipsis=True)
        parts = [
            Content.styled(f"{style.marker} {name}", f"bold {style.color}" if chosen else "$text-disabled")
            for style, name, chosen in names
        ]
        return Content.assemble(" ", Content(" " * GAP).join(parts)).truncate(self.size.width, ellipsis=True)

    def on_click(self, event: events.Click) -> None:
        names, error = self._state
        left = 1
        for index, (style, name, _) in enumerate(names):
            width = len(f"{style.marker} {name}")
            if not error and left <= event.x < left + width:
                self.post_message(self.Clicked(index))
            left += width + GAP
