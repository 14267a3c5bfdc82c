"""True against predicted noise by noise level, as the thesis's training loop plotted both, and their distributions."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from core.figures.figure_data import CannotDrawError, FigureData
from core.figures.images import find_heldout_set
from core.figures.layout import annotate_rows, panel_grid
from core.figures.reverse import epochs_text
from core.figures.style import FAINT, INK, typeset

if TYPE_CHECKING:
    from core.evaluation.metrics.predicted_noise import NoiseHistogram

IMAGES: Final = 32
"""Held-out images of each figure; each of their pixels is a value."""


class PredictedNoise:
    """Histograms of the runs on one data set, the first run of each series, computed from their checkpoints.

    Attributes:
        histograms: by label, one for each level; None for a level that the schedule does not visit.
        caption: number of images, and epochs of the networks.

    Raises:
        CannotDrawError: no run on these data has a checkpoint, or the held-out images are not on this machine.
        UserError: a checkpoint is damaged.
    """

    def __init__(self, data: FigureData, dataset: str) -> None:
        ready = [one for one in data.on(dataset) if one.first.info.directory.checkpoint.exists()]
        if not ready:
            raise CannotDrawError("no run on these data has a checkpoint yet")
        found = find_heldout_set(data, dataset)
        if found is None:
            raise CannotDrawError(
                f"the held-out images of {data.titles[dataset]} are not on this machine; make them with core data make"
            )
        from core.evaluation.metrics.predicted_noise import noise_histograms  # torch takes seconds to import
        from core.training.checkpoint import load_model

        images = np.array(found.heldout[:IMAGES])
        self.histograms: dict[str, list[NoiseHistogram | None]] = {}
        epochs = []
        for one in ready:
            loaded = load_model(one.first.info.directory)
            self.histograms[one.label] = noise_histograms(loaded, images)
            epochs.append(loaded.position.epoch)
        self.caption = f"{len(images)} held-out images with the same noise, {epochs_text(epochs)}."


def draw_scatter(data: FigureData, noise: PredictedNoise) -> tuple[Figure, str]:
    """Draw two-dimensional histograms of true and predicted noise, a row for each level, a column for each series.

    Returns:
        The figure and its caption.
    """
    figure, axes = _grid(data, noise, height=1.05)
    most = max(int(one.counts.max()) for row in noise.histograms.values() for one in row if one is not None)
    for (label, row), column in zip(_ordered(data, noise), axes.T, strict=True):
        for axis, histogram in zip(column, row, strict=True):
            if histogram is None:
                _mark_unvisited(axis)
                continue
            limit = _limit()
            axis.grid(False)
            axis.imshow(
                np.ma.masked_equal(histogram.counts.T, 0), origin="lower", extent=(-limit, limit, -limit, limit),
                norm=LogNorm(1, max(most, 2)), cmap="Greys", interpolation="none", aspect="auto",
            )  # fmt: skip
            axis.plot([-limit, limit], [-limit, limit], color=data.styles[label].color, linewidth=0.7)
            axis.text(
                0.05, 0.93, f"$m$ = {histogram.error:.2g}", transform=axis.transAxes, va="top", fontsize=6.5
            )
    for axis in axes[-1]:
        axis.set_xlabel(r"$\epsilon$")
    for axis in axes[:, 0]:
        axis.set_ylabel(r"$\hat\epsilon$")
    return figure, (
        f"Darkness: number of pixels, logarithmic; line: perfect prediction; m: mean squared error. {noise.caption}"
    )


def draw_distributions(data: FigureData, noise: PredictedNoise) -> tuple[Figure, str]:
    """Draw the distributions of true and predicted noise, a row for each level, a column for each series.

    Returns:
        The figure and its caption.
    """
    figure, axes = _grid(data, noise, height=0.8, top=0.5)
    for (label, row), column in zip(_ordered(data, noise), axes.T, strict=True):
        for axis, histogram in zip(column, row, strict=True):
            if histogram is None:
                _mark_unvisited(axis)
                continue
            limit = _limit()
            x = np.linspace(-limit, limit, len(histogram.true) + 1)
            axis.stairs(histogram.true, x, fill=True, color=FAINT, alpha=0.45, linewidth=0)
            axis.stairs(histogram.predicted, x, color=data.styles[label].color, linewidth=1.0)
    for axis in axes[-1]:
        axis.set_xlabel("noise")
    for axis in axes[:, 0]:
        axis.set_ylabel("density")
    handles = [
        Patch(color=FAINT, alpha=0.45, linewidth=0, label="true noise"),
        Line2D([], [], color=INK, linewidth=1.0, label="predicted noise"),
    ]
    figure.legend(handles=handles, loc="upper center", ncols=2, borderaxespad=0.2)
    return figure, (
        "Where the predicted noise is narrower than the true one, the network predicts its mean and leaves the rest. "
        f"{noise.caption}"
    )


def _ordered(data: FigureData, noise: PredictedNoise) -> "list[tuple[str, list[NoiseHistogram | None]]]":
    return [(label, noise.histograms[label]) for label in data.labels if label in noise.histograms]


def _grid(data: FigureData, noise: PredictedNoise, **lengths: Any) -> tuple[Figure, NDArray[np.object_]]:
    from core.evaluation.metrics.predicted_noise import LEVELS

    ordered = _ordered(data, noise)
    lengths = {"left": 0.5, "right": 0.3, "top": 0.3, "across": 0.1, "down": 0.12, "widest": 1.6} | lengths
    figure, axes = panel_grid(len(LEVELS), len(ordered), sharex=True, sharey="row", **lengths)
    for axis, (label, _) in zip(axes[0], ordered, strict=True):
        axis.set_title(typeset(label), pad=4)
        axis.set_xlim(-_limit(), _limit())
        axis.set_xticks((-2, 0, 2))
    annotate_rows(axes, [f"log SNR {level:g}" for level in LEVELS])
    return figure, axes


def _limit() -> float:
    from core.evaluation.metrics.predicted_noise import LIMIT

    return LIMIT


def _mark_unvisited(axes: Axes) -> None:
    """Mark the panel of a level that the schedule does not visit."""
    axes.grid(False)
    axes.text(
        0.5, 0.5, "not visited", transform=axes.transAxes, ha="center", va="center", color=FAINT, fontsize=7.0
    )
