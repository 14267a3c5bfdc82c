"""Metrics of samples by class, and whether triangles are of the kind that was asked for."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.data import ImageSet
from core.data.triangle_kinds import KINDS, classify_kinds
from core.evaluation.metrics import Metrics
from core.evaluation.metrics.distribution import distribution_metrics
from core.evaluation.metrics.shape import ShapeReference
from core.evaluation.triangle_fit.fit import TriangleFits
from core.runs.results import ClassEvaluation
from core.statistics.intervals import proportion

_MIN_IMAGES = 10
"""Samples and held-out images of a class below which their distributions are not compared."""
_SHAPE = ("pass_rate", "near_empty")
_DISTRIBUTION = ("coverage", "mmd")


def label_accuracy(fits: TriangleFits, labels: NDArray[np.int64], classes: Sequence[str]) -> Metrics:
    """Return the share of triangles of the kind that was asked for; near-empty images are of none.

    Args:
        fits: of N images.
        labels: kinds asked for, [N].
        classes: names of the classes; nothing is returned for others than `core.data.triangle_kinds.KINDS`.
    """
    if tuple(classes) != KINDS or not len(labels):
        return {}
    right = classify_kinds(fits.vertices) == labels
    return {"label_accuracy": proportion(int(right.sum()), len(right))}


def evaluate_classes(
    samples: NDArray[np.floating],
    labels: NDArray[np.int64],
    images: ImageSet,
    fits: TriangleFits | None,
    reference: ShapeReference | None,
    heldout: NDArray[np.floating],
) -> tuple[ClassEvaluation, ...]:
    """Return the metrics of each class: of triangles their shape and kind, of other images their distribution.

    Args:
        samples: [N, C, H, W] in [0, 1].
        labels: classes asked for, [N].
        images: the data, with labels.
        fits: of the samples, of triangles.
        reference: thresholds of shape, of triangles.
        heldout: held-out images, [M, C, H, W] in [0, 1], the first ones of the data.
    """
    found = []
    held_labels = images.heldout_labels[: len(heldout)] if images.heldout_labels is not None else None
    for index, name in enumerate(images.classes):
        rows = labels == index
        metrics: Metrics = {}
        if fits is not None and reference is not None and rows.any():
            part = fits.select(rows)
            shape = reference.evaluate(part).metrics
            metrics = {key: shape[key] for key in _SHAPE if key in shape}
            metrics |= label_accuracy(part, labels[rows], images.classes)
        elif fits is None and held_labels is not None:
            real = heldout[held_labels == index]
            if min(rows.sum(), len(real)) >= _MIN_IMAGES:
                measured = distribution_metrics(samples[rows], real, None, None, rng=np.random.default_rng(0))
                metrics = {key: measured[key] for key in _DISTRIBUTION if key in measured}
        found.append(ClassEvaluation(name=name, count=int(rows.sum()), metrics=metrics))
    return tuple(found)
