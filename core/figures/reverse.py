"""Figures 5.3, 6.1, 6.3 and 6.5: the reverse process as strips of x_t from T to 0."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from core.comparison.grouping import Member
from core.config import RunConfig
from core.figures.figure_data import CannotDrawError, Series
from core.figures.layout import TileRow, tile_figure
from core.imaging import Sheet, read_sheet
from core.runs.trajectory import state_timesteps

Strip = tuple[int, Sheet]
"""The epoch after which a strip was drawn, and its sheet: one row of states per starting noise."""


def latest_strip(members: Sequence[Member]) -> Strip | None:
    """Read the latest strip of the first run that has one.

    Raises:
        UserError: the strip is damaged.
    """
    for member in members:
        if strips := member.info.directory.reverse_strips():
            epoch, path = strips[-1]
            return epoch, read_sheet(path)
    return None


def shown_timesteps(config: RunConfig, states: int) -> list[int]:
    """Return the timesteps of a strip's images in the papers' numbering, from T down to 0 for the sample.

    Args:
        config: the run's configuration.
        states: number of images in a row of the strip.
    """
    visited = state_timesteps(config)
    shown = np.linspace(0, len(visited) - 1, min(states, len(visited))).round().astype(int)
    return [visited[index] for index in shown]


def draw_strips(series: Sequence[Series]) -> tuple[Figure, str]:
    """Draw one row per schedule, all from the same starting noise: the first of the first run that has a strip.

    Returns:
        The figure and its caption.

    Raises:
        CannotDrawError: no run has a strip.
        UserError: a strip is damaged.
    """
    rows, epochs, times = [], [], []
    for one in series:
        strip = latest_strip(one.members)
        if strip is not None:
            epoch, sheet = strip
            rows.append(TileRow(one.label, list(sheet.images[: sheet.columns]), one.style))
            epochs.append(epoch)
            times.append(shown_timesteps(one.first.config, sheet.columns))
    if not rows:
        raise CannotDrawError("no run on these data has a strip of its reverse process yet")
    return tile_figure(rows, _timestep_heads(times, rows)), f"From the same noise, {epochs_text(epochs)}."


def draw_strip(series: Series) -> tuple[Figure, str]:
    """Draw figure 5.3: the reverse process of one run, one row per starting noise.

    Returns:
        The figure and its caption.

    Raises:
        CannotDrawError: no run has a strip.
        UserError: the strip is damaged.
    """
    strip = latest_strip(series.members)
    if strip is None:
        raise CannotDrawError("no run on these data has a strip of its reverse process yet")
    epoch, sheet = strip
    columns = sheet.columns
    rows = [
        TileRow("", list(sheet.images[first : first + columns]))
        for first in range(0, len(sheet.images), columns)
    ]
    times = [shown_timesteps(series.first.config, columns)]
    return tile_figure(
        rows, _timestep_heads(times, rows)
    ), f"One row per starting noise, {epochs_text([epoch])}."


def epochs_text(epochs: Sequence[int]) -> str:
    """State the epochs that runs were trained for, for a caption.

    >>> epochs_text([8, 8]), epochs_text([8, 14]), epochs_text([1])
    ('after 8 epochs', 'after 8 to 14 epochs', 'after 1 epoch')
    """
    low, high = min(epochs), max(epochs)
    if low == high:
        return f"after {low} epoch{'s' * (low != 1)}"
    return f"after {low} to {high} epochs"


def _timestep_heads(times: Sequence[Sequence[int]], rows: Sequence[TileRow]) -> list[str]:
    """Return column heads: the timesteps if they are the same in all rows, else only the two ends."""
    columns = max(len(row.tiles) for row in rows)
    first = list(times[0])
    if all(list(other) == first for other in times) and len(first) == columns and columns > 1:
        return [f"$t$ = {first[0]}", *map(str, first[1:])]
    return ["$t = T$", *[""] * (columns - 2), "0"] if columns > 1 else [""]
