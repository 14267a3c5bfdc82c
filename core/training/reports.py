"""Reports of a training: what `core.training.loop.Trainer.reports` yields, and the error that ends it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import UserError
from core.statistics.noise_error_bins import NoiseErrorBins


@dataclass(frozen=True)
class StepsReport:
    """The losses of consecutive steps; `first_step` is counted from 1 over the whole training."""

    epoch: int
    first_step: int
    losses: list[float]


@dataclass(frozen=True)
class EpochReport:
    """The end of an epoch: mean, minimum and maximum of its batch losses, and the loss on the held-out images.

    `noise_error` is by log SNR, over the training images of the epoch.
    """

    epoch: int
    step: int
    mean: float
    min: float
    max: float
    heldout: float
    learning_rate: float
    noise_error: NoiseErrorBins


class NonFiniteLossError(UserError):
    """The loss became NaN or infinite."""


def check_losses(losses: Sequence[float], first_step: int) -> None:
    """Check the losses of consecutive steps.

    Raises:
        NonFiniteLossError: a loss is NaN or infinite.
    """
    for step, loss in enumerate(losses, start=first_step):
        if not math.isfinite(loss):
            raise NonFiniteLossError(
                f"the loss became {loss} at step {step}; a lower train.learning_rate or precision fp32 may help"
            )
