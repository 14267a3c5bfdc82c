"""The lines at the top of every screen during the tour: what to press, and why."""

from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len
from textual.content import Content
from textual.widget import Widget

LINES: Final = 4
MIN_LINES: Final = 2
"""Where there is little room only the title and the key are shown."""


@dataclass(frozen=True, slots=True)
class TourHint:
    """What the tour says now.

    Attributes:
        place: such as 3/12.
        title: what it is about.
        text: why.
        key: what to press.
        what: what that does.
        ways: how to go on and how to leave.
    """

    progress: str
    title: str
    text: str
    key: str
    action: str
    other_keys: str


class TourBar(Widget, can_focus=False):
    """Lies in the padding that its screen has for it, so that screens need not know of it; a click goes on."""

    DEFAULT_CSS = """
    TourBar {
        overlay: screen;
        position: absolute;
        width: 100%;
        background: $panel;
        color: $foreground;
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._hint: TourHint | None = None

    def show(self, told: TourHint, lines: int, above: int) -> None:
        """Say something else.

        Args:
            told: what to say.
            lines: how many there are for it.
            above: how many lines further up than the screen's own first one they end.
        """
        self.styles.height = lines
        self.styles.offset = (0, -lines - above)
        if told != self._hint:
            self._hint = told
            self.refresh()

    def render(self) -> Content:
        told, width, height = self._hint, self.size.width, self.size.height
        if told is None:
            return Content("")
        head = f" tour {told.progress}  "
        room = width - cell_len(head) - cell_len(told.title) - cell_len(told.other_keys) - 1
        lines = [
            Content.assemble(
                (head, "bold $text-accent"),
                (told.title, "bold"),
                (f"{' ' * room}{told.other_keys}" if room > 1 else "", "$text-muted"),
            ).truncate(width)
        ]
        if height >= LINES:
            why = Content(told.text).wrap(width - 2)[: height - MIN_LINES]
            lines += [Content(" ") + one for one in why]
            lines += [Content("")] * (height - MIN_LINES - len(why))
        lines.append(
            Content.assemble(
                (f" {told.key}", "bold $text-primary"), (f"  {told.action}", "$text-muted")
            ).truncate(width)
        )
        return Content("\n").join(lines)

    async def on_click(self) -> None:
        await self.app.run_action("tour")
