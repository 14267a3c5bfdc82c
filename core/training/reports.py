"""Reports of the training loop."""

from dataclasses import dataclass

from core.errors import UserError


@dataclass(frozen=True)
class StepsReport:
    """The losses of consecutive steps; `first_step` is counted from 1 over the whole training."""

    epoch: int
    first_step: int
    losses: list[float]


@dataclass(frozen=True)
class EpochReport:
    """The end of an epoch: mean, minimum and maximum of its batch losses, and the loss on the held-out images."""

    epoch: int
    step: int
    mean: float
    min: float
    max: float
    heldout: float
    learning_rate: float


class NonFiniteLossError(UserError):
    """The loss became NaN or infinite."""
