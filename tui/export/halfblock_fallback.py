"""Pictures that the terminal draws itself as half-blocks, for those who write the screen down."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rich.segment import Segment
from textual.strip import Strip

from core.imaging.resize import fit_image
from tui.widgets.images.halfblocks import cell_lines

if TYPE_CHECKING:
    from tui.terminal.kitty.placements import Placement, Placements


def as_halfblocks(strips: Iterable[Strip], placements: "Placements") -> list[Strip]:
    """Lines of a screen with half-blocks where the terminal was to draw pictures."""
    cells = {sign: cell for place in placements for sign, cell in _cells(place)}
    return [Strip(_segments(strip, cells), strip.cell_length) for strip in strips]


def _cells(place: "Placement") -> Iterator[tuple[str, Segment]]:
    """The stand-ins of a place, and what is in their cells; the picture is in the middle, as the terminal has it."""
    lines = cell_lines(fit_image(place.image, place.columns), lifted=place.raised_black)
    width = sum(len(text) for text, _, _ in lines[0])
    left, top = (place.columns - width) // 2, (place.lines - len(lines)) // 2
    for row, line in zip(place.rows[max(0, top) :], lines, strict=False):
        drawn = (Segment(sign, style) for text, style, _ in line for sign in text)
        yield from zip(row[left:], drawn, strict=False)


def _segments(strip: Strip, cells: dict[str, Segment]) -> Iterator[Segment]:
    for text, style, control in strip:
        if not any(sign in cells for sign in text):
            yield Segment(text, style, control)
            continue
        for sign in text:
            yield cells.get(sign) or Segment(sign, style)
