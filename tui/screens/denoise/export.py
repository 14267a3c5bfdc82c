"""Exports of the denoise screen: the reverse process as a strip of states and as an animation.

Makers run in a thread, so each reads files through a cache of its own.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from tui.export.image_files import gif, png, render_wall
from tui.export.item import ExportItem
from tui.screens.denoise.model import MAX_STATES, DenoiseModel
from tui.state.snapshot import RunSnapshot
from tui.state.trajectories import TrajectoryCache
from tui.widgets.images.image_wall import WallColumn
from tui.widgets.images.tile_size import MIN_TILE

DENOISE_MS = 80
"""Milliseconds of a frame."""


def process_items(
    model: DenoiseModel, runs: Sequence[RunSnapshot], *, labels: Mapping[str, str], compute_key: str
) -> list[ExportItem]:
    """Return a strip from noise to image for each run, and an animation of all starting noises.

    Args:
        model: of the screen.
        runs: those shown.
        labels: of the runs, by id.
        compute_key: the key that computes missing trajectories.
    """
    frames = model.frame_count(runs)
    if frames < 2:
        return []
    # A copy, because the user may change the model before the thread draws it.
    model = dataclasses.replace(model, trajectories=TrajectoryCache())

    def at(fraction: float) -> DenoiseModel:
        return dataclasses.replace(model, fraction=fraction)

    def strips() -> bytes:
        done, width = at(1.0), MAX_STATES * MIN_TILE
        columns = [
            done.strip_columns(run, labels[run.id], "", width, compute_key=compute_key, both=True)
            for run in runs
        ]
        return png(render_wall(columns))

    def frame(state: int) -> list[list[WallColumn]]:
        now = at(state / (frames - 1))
        columns = [now.columns(run, labels[run.id], "", compute_key=compute_key) for run in runs]
        return [[column for run_columns in columns for column in run_columns]]

    return [
        ExportItem("denoise.png", strips),
        ExportItem("denoise.gif", lambda: gif(frame, range(frames), DENOISE_MS)),
    ]
