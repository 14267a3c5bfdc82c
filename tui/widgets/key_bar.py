"""Key bar: one line of keys and what they do, at the foot of each screen."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.widget import Widget


@dataclass(frozen=True, slots=True)
class KeyHint:
    """A key and what it does, also when clicked; the key bar leaves out high ranks first for want of room."""

    key: str
    text: str
    action: str
    rank: int = 0

    @property
    def width(self) -> int:
        """Cells."""
        return cell_len(self.key) + 1 + cell_len(self.text)

    def content(self) -> Content:
        """The hint as text."""
        return Content.assemble((self.key, "bold $text-primary"), (f" {self.text}", "$text-muted"))


class KeyBar(Widget, can_focus=False):
    """What matters now, as `key word`; each can be clicked."""

    def __init__(self, hints: Sequence[KeyHint] = (), *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._hints = tuple(hints)

    def show(self, hints: Sequence[KeyHint]) -> None:
        if tuple(hints) != self._hints:
            self._hints = tuple(hints)
            self.refresh()

    def render(self) -> Content:
        hints = fitting_hints(self._hints, self.size.width)
        return Content.assemble(" ", Content("  ").join(hint.content() for hint in hints))

    async def on_click(self, event: events.Click) -> None:
        left = 1
        for hint in fitting_hints(self._hints, self.size.width):
            if hint.action and left <= event.x < left + hint.width:
                await self.run_action(hint.action)
                return
            left += hint.width + 2


def fitting_hints(hints: Sequence[KeyHint], width: int) -> list[KeyHint]:
    """The hints that fit into a width, in their order, those of lowest rank first to be kept."""
    kept: list[KeyHint] = []
    room = width - 1
    for hint in sorted(hints, key=lambda hint: hint.rank):
        needed = hint.width + (2 if kept else 0)
        if needed <= room:
            kept.append(hint)
            room -= needed
    return [hint for hint in hints if hint in kept]
