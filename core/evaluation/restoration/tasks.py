"""The fixed tasks of `core evaluate --only restoration`: a degradation each, and its baselines."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from core.diffusion.restoration.operators import AveragePool, GaussianBlur, Identity, Jpeg, Mask, Operator
from core.evaluation.restoration.baselines import (
    TV_WEIGHTS,
    bicubic,
    biharmonic_fill,
    median_filter,
    nearest_fill,
    total_variation,
    wiener,
)
from core.evaluation.restoration.restore import ROUNDING
from core.statistics.gaussian_sampling import MAX_DIMENSIONS

Numbers = NDArray[np.float64]

_TUNING_IMAGES: Final = 64
_WIENER_IMAGES: Final = 10_000


@dataclass(frozen=True)
class Task:
    """A degradation of images.

    Attributes:
        name: as in the metric's name.
        operator: made for images with this side.
        sigma: standard deviation of the noise, in [0, 1].
    """

    name: str
    operator: Callable[[int], Operator]
    sigma: float = 0.0

    def degrade(self, x: Numbers) -> Numbers:
        """Degrade images [N, C, S, S] in [0, 1] without noise. Missing pixels are 0.5."""
        operator = self.operator(x.shape[-1])
        y = operator.forward(torch.from_numpy((2.0 * x - 1.0).astype(np.float32)))
        found: Numbers = (y.numpy().astype(np.float64) + 1.0) / 2.0
        return found


TASKS: Final = (
    Task("half", lambda size: _mask(size, slice(None), slice(size // 2, None))),
    Task("box", lambda size: _mask(size, *[slice(size // 2 - size // 5, size // 2 + size // 5)] * 2)),
    Task("noise", lambda size: Identity(), 0.25),
    Task("down", lambda size: AveragePool(2)),
    Task("blur", lambda size: GaussianBlur(size / 16.0, size), 0.01),
    Task("jpeg", lambda size: Jpeg(10)),
)
"""Right half and box in the middle missing, noise, x2 down, blur of 1/16 of the side with noise, and JPEG."""


def baselines(
    task: Task, y: Numbers, noisy_train: Callable[[Numbers], Numbers], train: Numbers
) -> dict[str, Numbers]:
    """Restore images without a network, by each baseline that suits the task.

    Args:
        task: the task.
        y: degraded images.
        noisy_train: degrades images with the noise of the task, to tune the weight of total variation.
        train: training images [N, C, S, S] in [0, 1].

    Returns:
        Images like the training images, by the name of the baseline.
    """
    size = train.shape[-1]
    operator = task.operator(size)
    found: dict[str, Numbers] = {}
    if isinstance(operator, Mask):
        known = operator.known[0, 0].numpy() > 0
        found["nearest"] = nearest_fill(y, known)
        found["biharmonic"] = biharmonic_fill(y, known)
    elif isinstance(operator, AveragePool):
        factor = operator.factor
        found["nearest"] = y.repeat(factor, axis=2).repeat(factor, axis=3)
        found["bicubic"] = bicubic(y, factor)
    else:
        found["none"] = y.clip(0.0, 1.0)
        found["median"] = median_filter(y).clip(0.0, 1.0)
        tuning = train[:_TUNING_IMAGES]
        noisy = noisy_train(tuning)
        errors = [np.square(total_variation(noisy, weight) - tuning).mean() for weight in TV_WEIGHTS]
        found["TV"] = total_variation(y, TV_WEIGHTS[int(np.argmin(errors))]).clip(0.0, 1.0)
    if train[0].size <= MAX_DIMENSIONS:
        sigma = max(task.sigma, ROUNDING / 2.0)
        found["Wiener"] = wiener(y, train[:_WIENER_IMAGES], task.degrade, sigma)
    return found


def _mask(size: int, rows: slice, columns: slice) -> Mask:
    known = torch.ones((1, 1, size, size))
    known[..., rows, columns] = 0.0
    return Mask(known)
