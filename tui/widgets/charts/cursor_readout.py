"""Readout of a chart's cursor: a box with the value of each line at one x."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len

from tui.state.formatting import NOTHING
from tui.widgets.charts.ticks import value_label

MAX_NAME: Final = 16
FRAME_SIZE: Final = 2
"""Lines, and cells, of the frame of a box."""


class Reading(NamedTuple):
    """The values of one run: None if not measured at this x, NaN if not finite."""

    marker: str
    name: str
    loss: float | None
    heldout: float | None


Cell = tuple[str, int | None]
"""Text, and the index of the run that gives its colour; None for labels of the box."""


def readout_box(
    head: str, readings: Sequence[Reading], width: int, height: int, *, both: bool
) -> list[list[Cell]]:
    """The lines of a box, all of one width; none if the box does not fit.

    Args:
        head: the x of the cursor as text.
        readings: one per run, in their order; the last line counts those that do not fit.
        width: maximum number of cells.
        height: maximum number of lines.
        both: show training and held-out losses, in two columns.
    """
    room = height - FRAME_SIZE - (2 if both else 1)
    if room < 1 or not readings:
        return []
    shown = list(readings if len(readings) <= room else readings[: room - 1])
    name = min(MAX_NAME, max((cell_len(one.name) for one in shown), default=0))
    columns = 2 if both else 1
    inner = max(2 + name + 8 * columns, len(head))
    if inner + FRAME_SIZE + 2 > width:
        name = max(0, width - FRAME_SIZE - 2 - 2 - 8 * columns)
        inner = max(2 + name + 8 * columns, len(head))
        if inner + FRAME_SIZE + 2 > width:
            return []
    lines: list[list[Cell]] = [[(head.ljust(inner), None)]]
    if both:
        lines.append([("loss held-out".rjust(inner), None)])
    for index, one in enumerate(shown):
        values = [_loss_text(one.loss), _loss_text(one.heldout)] if both else [_loss_text(one.loss)]
        text = "".join(value.rjust(8) for value in values)
        space = inner - 2 - 8 * columns
        lines.append([(f"{one.marker} {_fit_name(one.name, space)}", index), (text, None)])
    if len(shown) < len(readings):
        lines.append([(f"and {len(readings) - len(shown)} more".ljust(inner), None)])
    framed: list[list[Cell]] = [[("╭" + "─" * (inner + 2) + "╮", None)]]
    framed += [[("│ ", None), *line, (" │", None)] for line in lines]
    return [*framed, [("╰" + "─" * (inner + 2) + "╯", None)]]


def _loss_text(value: float | None) -> str:
    if value is None:
        return NOTHING
    return value_label(value) if value == value else "NaN"


def _fit_name(name: str, width: int) -> str:
    """Pad or cut a name to `width` cells, one cell per character, because a chart's cells hold one character each."""
    name = "".join(char if cell_len(char) == 1 else "?" for char in name)
    return name.ljust(width) if len(name) <= width else name[: max(0, width - 1)] + "…"[:width]
