"""Rectangles of cells at which a screen places its widgets."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.widget import Widget


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle of cells."""

    x: int
    y: int
    width: int
    height: int


def place_widget(widget: "Widget", area: Area | None) -> None:
    """Move a widget to its area, or hide it where there is none."""
    if area is None:
        widget.display = False
        return
    widget.display = True
    widget.styles.offset = (area.x, area.y)
    widget.styles.width = area.width
    widget.styles.height = area.height
