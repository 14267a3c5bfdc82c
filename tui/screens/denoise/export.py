"""What screens have to export beside their looks: walls, processes, tables.

What is promised here is kept in a thread, so each maker reads files through caches of its own.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from tui.export.image_files import gif, png, render_wall
from tui.export.item import ExportItem
from tui.screens.denoise.model import MOST_STATES, DenoiseModel
from tui.state.snapshot import RunSnapshot
from tui.state.trajectories import TrajectoryCache
from tui.widgets.images.gallery import SampleGallery, all_epochs
from tui.widgets.images.image_wall import MIN_TILE, WallColumn

DENOISE_MS = 80


def wall_items(
    runs: Sequence[RunSnapshot],
    epoch: int | None,
    *,
    labels: Mapping[str, str],
    places: Mapping[str, int],
    variables: Mapping[str, str],
) -> list[ExportItem]:
    """The wall of pictures at an epoch, and through all epochs; nothing where there are no pictures.

    Args:
        runs: a column each.
        epoch: whose pictures; None for each run's latest.
        labels: what each run is called, by id.
        places: each run's place, by id, which is its number.
        variables: of the theme.
    """
    epochs = all_epochs(runs)
    gallery = SampleGallery()

    def columns(epoch: int | None) -> list[list[WallColumn]]:
        return [gallery.columns(runs, epoch, labels=labels, places=places, per_run=1, variables=variables)]

    pieces = [ExportItem("wall.png", lambda: png(render_wall(columns(epoch))))] if epochs else []
    if len(epochs) > 1:
        pieces.append(ExportItem("wall.gif", lambda: gif(columns, epochs)))
    return pieces


def process_items(
    shown: DenoiseModel, runs: Sequence[RunSnapshot], *, labels: Mapping[str, str], compute_key: str
) -> list[ExportItem]:
    """From noise to picture: a strip a run, and an animation of all starting noises.

    Args:
        shown: what is looked at.
        runs: those that are.
        labels: what each run is called, by id.
        compute_key: the key that has what is missing computed.
    """
    frames = shown.frames(runs)
    if frames < 2:
        return []

    kept = dataclasses.replace(
        shown, trajectories=TrajectoryCache()
    )  # as it is now, and not as it will be when that is drawn

    def at(share: float) -> DenoiseModel:
        return dataclasses.replace(kept, share=share)

    def strips() -> bytes:
        done, width = at(1.0), MOST_STATES * MIN_TILE
        return png(
            render_wall(
                [
                    done.strip(run, labels[run.id], "", width, compute_key=compute_key, both=True)
                    for run in runs
                ]
            )
        )

    def frame(state: int) -> list[list[WallColumn]]:
        now = at(state / (frames - 1))
        return [
            [
                column
                for run in runs
                for column in now.beside(run, labels[run.id], "", compute_key=compute_key)
            ]
        ]

    return [
        ExportItem("denoise.png", strips),
        ExportItem("denoise.gif", lambda: gif(frame, range(frames), DENOISE_MS)),
    ]
