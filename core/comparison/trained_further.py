"""Test whether a run has trained further since its checkpoint was evaluated or explained; torch-free."""

from typing import Protocol


class Trained(Protocol):
    """A state of a training: an epoch's record, a status, a checkpoint's position, or a measurement of a checkpoint."""

    @property
    def epoch(self) -> int:
        """Epochs so far."""

    @property
    def step(self) -> int:
        """Steps so far."""


def is_before(measured: Trained, last: Trained) -> bool:
    """Return whether a checkpoint, or a measurement of it, is of before the last epoch.

    The checkpoint of an incomplete last epoch, with which a budget of steps or minutes ends, names the complete epochs
    only. Its steps are those of the last epoch. Measurements of older versions have 0 steps.
    """
    return measured.epoch < last.epoch and measured.step < last.step
