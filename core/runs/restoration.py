"""Restoration in an evaluation: what a run and simple baselines make of degraded images; torch-free."""

from dataclasses import dataclass
from typing import Final

from core.runs.results import Evaluation
from core.statistics.estimate import Estimate

MEAN: Final = "mean of answers"
ANSWER: Final = "one answer"
GAIN: Final = "gain"
_PREFIX: Final = "restoration"


def curve_name(task: str, method: str) -> str:
    """Return the name of the curve that holds the numbers of a method for a task."""
    return f"{_PREFIX}.{task}.{method}"


@dataclass(frozen=True)
class RestorationRow:
    """The numbers of a method for a task, with intervals over images; of a gain only PSNR.

    `psnr` is the mean over images, and `pooled` the PSNR of the mean squared error of all images.
    """

    task: str
    method: str
    psnr: Estimate
    ssim: Estimate
    iou: Estimate
    pooled: Estimate


def restoration_rows(evaluation: Evaluation) -> list[RestorationRow]:
    """Return the rows of an evaluation in the order in which they were measured; empty if they were not."""
    rows = []
    for name, values in evaluation.curves.items():
        prefix, _, rest = name.partition(".")
        task, _, method = rest.partition(".")
        if prefix == _PREFIX and method and len(values) in (3, 12):
            padded = [*values, *[None] * 9]
            found = [Estimate(*padded[start : start + 3]) for start in (0, 3, 6, 9)]
            rows.append(RestorationRow(task, method, *found))
    return rows
