"""Key bar: one line of keys and their actions, at the foot of each screen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from textual import events
from textual.app import App
from textual.content import Content
from textual.widget import Widget


@dataclass(frozen=True, slots=True)
class KeyHint:
    """A key and its action, which a click runs too. The key bar omits high ranks first if it is too narrow."""

    key: str
    text: str
    action: str
    rank: int = 0

    @property
    def name(self) -> str:
        """The action's name, without namespace and parameters."""
        return self.action.partition("(")[0].rpartition(".")[2]

    @property
    def width(self) -> int:
        """The width in cells."""
        return cell_len(self.key) + 1 + cell_len(self.text)

    def content(self) -> Content:
        """The hint as text."""
        return Content.assemble((self.key, "bold $text-primary"), (f" {self.text}", "$text-muted"))


def refused_actions(app: App[Any]) -> frozenset[str]:
    """The names of the actions that an app refuses everywhere, as a replay does: its `REFUSED_ACTIONS`."""
    return getattr(app, "REFUSED_ACTIONS", frozenset())


class KeyBar(Widget, can_focus=False):
    """Clickable hints, each written as `key word`."""

    def __init__(self, hints: Sequence[KeyHint] = (), *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._hints = tuple(hints)

    def show(self, hints: Sequence[KeyHint]) -> None:
        """Show hints, without those of actions that the app refuses (`refused_actions`)."""
        refused = refused_actions(self.app)
        shown = tuple(hint for hint in hints if hint.name not in refused)
        if shown != self._hints:
            self._hints = shown
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
    """The hints that fit into a width, in their order; low ranks are kept first."""
    kept: list[KeyHint] = []
    room = width - 1
    for hint in sorted(hints, key=lambda hint: hint.rank):
        needed = hint.width + (2 if kept else 0)
        if needed <= room:
            kept.append(hint)
            room -= needed
    return [hint for hint in hints if hint in kept]
