"""Figures 5.3, 6.1, 6.3 and 6.5: the reverse process, a strip of x_t from T to 0."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from core.comparison.grouping import Member
from core.config import RunConfig
from core.figures.errors import CannotDrawError
from core.figures.figure_data import Series
from core.figures.layout import TileRow, tile_figure
from core.imaging import Sheet, read_sheet
from core.runs.trajectory import state_timesteps

Strip = tuple[int, Sheet]
"""The epoch after which it was drawn, and the sheet: a row of states for each start."""


def strip_of(member: Member) -> Strip | None:
    """The latest strip of a run, if there is one.

    Raises:
        UserError: it is damaged.
    """
    strips = member.info.directory.reverse_strips()
    return (strips[-1][0], read_sheet(strips[-1][1])) if strips else None


def times_shown(config: RunConfig, states: int) -> list[int]:
    """The timesteps of a strip's pictures in the papers' numbers, from T down to 0 for the picture itself.

    Args:
        config: the run's.
        states: pictures in the strip.
    """
    visited = state_timesteps(config)
    shown = np.linspace(0, len(visited) - 1, min(states, len(visited))).round().astype(int)
    return [visited[place] for place in shown]


def draw_strips(series: Sequence[Series]) -> tuple[Figure, str]:
    """A row a schedule, from the same starting noise: the first start of each series' first run.

    Returns:
        The figure, and what to say under it.

    Raises:
        CannotDrawError: no run has a strip.
        UserError: a strip is damaged.
    """
    rows, epochs, times = [], [], []
    for one in series:
        strip = next(filter(None, map(strip_of, one.members)), None)
        if strip is not None:
            epoch, sheet = strip
            rows.append(TileRow(one.label, list(sheet.images[: sheet.columns]), one.style))
            epochs.append(epoch)
            times.append(times_shown(one.first.config, sheet.columns))
    if not rows:
        raise CannotDrawError("no run on these data has a strip of its reverse process yet")
    return tile_figure(rows, _heads(times, rows)), f"From the same noise, {after(epochs)}."


def draw_starts(series: Series) -> tuple[Figure, str]:
    """Figure 5.3: one run's reverse process, a row for each start.

    Raises:
        CannotDrawError: no run has a strip.
        UserError: the strip is damaged.
    """
    strip = next(filter(None, map(strip_of, series.members)), None)
    if strip is None:
        raise CannotDrawError("no run on these data has a strip of its reverse process yet")
    epoch, sheet = strip
    columns = sheet.columns
    rows = [
        TileRow("", list(sheet.images[first : first + columns]))
        for first in range(0, len(sheet.images), columns)
    ]
    times = [times_shown(series.first.config, columns)]
    return tile_figure(rows, _heads(times, rows)), f"One row a start, {after([epoch])}."


def after(epochs: Sequence[int]) -> str:
    """How long runs had learnt, for a caption.

    >>> after([8, 8]), after([8, 14]), after([1])
    ('after 8 epochs', 'after 8 to 14 epochs', 'after 1 epoch')
    """
    low, high = min(epochs), max(epochs)
    if low == high:
        return f"after {low} epoch{'s' * (low != 1)}"
    return f"after {low} to {high} epochs"


def _heads(times: Sequence[Sequence[int]], rows: Sequence[TileRow]) -> list[str]:
    """Timesteps over the columns, where they are the same in all rows; else only the two ends."""
    columns = max(len(row.tiles) for row in rows)
    first = list(times[0])
    if all(list(other) == first for other in times) and len(first) == columns and columns > 1:
        return [f"$t$ = {first[0]}", *map(str, first[1:])]
    return ["$t = T$", *[""] * (columns - 2), "0"] if columns > 1 else [""]
