"""Bar at the top of every screen during the tour: which key to press, and why."""

from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len
from textual.content import Content
from textual.widget import Widget

LINES: Final = 4
MIN_LINES: Final = 2
"""Lines in a small terminal, which shows only the title and the key."""


@dataclass(frozen=True, slots=True)
class TourHint:
    """Content of the bar.

    Attributes:
        progress: number of the step, such as 3/12.
        title: subject of the step.
        text: reason of the step.
        key: key to press.
        action: effect of the key.
        other_keys: keys that continue and end the tour.
    """

    progress: str
    title: str
    text: str
    key: str
    action: str
    other_keys: str


class TourBar(Widget, can_focus=False):
    """Overlay in the top padding of its screen, which need not know of it; a click continues the tour."""

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

    def show(self, hint: TourHint, lines: int, above: int) -> None:
        """Show another step.

        Args:
            hint: content to show.
            lines: height of the bar.
            above: lines between the bar and the screen's own first line.
        """
        self.styles.height = lines
        self.styles.offset = (0, -lines - above)
        if hint != self._hint:
            self._hint = hint
            self.refresh()

    def render(self) -> Content:
        hint, width, height = self._hint, self.size.width, self.size.height
        if hint is None:
            return Content("")
        head = f" tour {hint.progress}  "
        room = width - cell_len(head) - cell_len(hint.title) - cell_len(hint.other_keys) - 1
        lines = [
            Content.assemble(
                (head, "bold $text-accent"),
                (hint.title, "bold"),
                (f"{' ' * room}{hint.other_keys}" if room > 1 else "", "$text-muted"),
            ).truncate(width, ellipsis=True)
        ]
        if height >= LINES:
            found = list(Content(hint.text).wrap(width - 2))
            why = found[: height - MIN_LINES]
            if len(why) < len(found):
                why[-1] = why[-1].truncate(width - 3) + "…"
            lines += [Content(" ") + line for line in why]
            lines += [Content("")] * (height - MIN_LINES - len(why))
        lines.append(
            Content.assemble(
                (f" {hint.key}", "bold $text-primary"), (f"  {hint.action}", "$text-muted")
            ).truncate(width, ellipsis=True)
        )
        return Content("\n").join(lines)

    async def on_click(self) -> None:
        await self.app.run_action("tour")
