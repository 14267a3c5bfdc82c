"""Budget of a training: the number of its steps, with which the schedule of the learning rate ends.

Without another limit there are `train.epochs` epochs. `train.max_steps` ends them earlier. With `train.max_minutes` the
number of steps is planned once, from the speed that was measured in a first part of that time, and then stays. It is
stored in the checkpoints, so that a resumed training equals the uninterrupted one.
"""

import time
from collections.abc import Callable
from typing import Final

from core.config.schema import TrainConfig
from core.training.distributed import SingleProcess

MEASURED_SHARE: Final = 0.1
"""Share of the time over which the speed is measured."""
LATEST_SHARE: Final = 0.25
"""Share of the time after which the plan no longer waits for the end of an epoch, nor for that of the warm-up."""


class Budget:
    """Steps of a training, and its learning rate by step.

    Args:
        train: its settings.
        batches_per_epoch: steps of an epoch.
    """

    def __init__(self, train: TrainConfig, batches_per_epoch: int) -> None:
        began = time.monotonic()
        self._train, self._batches = train, batches_per_epoch
        self.epoch_steps = batches_per_epoch * train.epochs
        """Steps of all epochs."""
        self.elapsed: Callable[[], float] = lambda: time.monotonic() - began
        """Returns seconds of training over all attempts."""
        self.planned_steps = 0
        """Steps that fit into the minutes; 0 until they are planned."""
        self.ended_after: int | None = None
        """Epoch after which the caller ends the training, though there are steps left; None if it does not."""
        self._first: tuple[float, int] | None = None  # time and steps from which the speed is measured
        self._last_epoch = 0

    @property
    def total_steps(self) -> int:
        """Steps of the whole training; before `max_minutes` are planned, as many as the other limits allow."""
        return min(limit for limit in (self.epoch_steps, self._train.max_steps, self.planned_steps) if limit)

    @property
    def final_epoch(self) -> int:
        """Epochs in which there are steps; the last may be an incomplete one."""
        return -(-self.total_steps // self._batches)

    @property
    def planned_minutes(self) -> float:
        """The minutes for which `planned_steps` were planned; 0 without a plan."""
        return self._train.max_minutes if self.planned_steps else 0.0

    @property
    def binding(self) -> str:
        """The setting that ends the training before its epochs, as ``key = value``; empty if none does."""
        train, total = self._train, self.total_steps
        if total == self.epoch_steps:
            return ""
        is_max_steps = total == train.max_steps
        return (
            f"train.max_steps = {train.max_steps}"
            if is_max_steps
            else f"train.max_minutes = {train.max_minutes:g}"
        )

    def is_last(self, epoch: int) -> bool:
        """Return whether the training ends with this epoch."""
        return epoch in (self.final_epoch, self.ended_after)

    def restore(self, planned_steps: int, planned_minutes: float) -> None:
        """Take over the plan of a checkpoint, unless the minutes have been changed since."""
        self.planned_steps = planned_steps if planned_minutes == self._train.max_minutes else 0
        self._first = None

    def expected_steps(self, step: int) -> int:
        """Return the number of all steps for progress bars, extrapolated while the minutes are not planned yet."""
        seconds = self.elapsed()
        if not self._needs_plan or not step or seconds <= 0:
            return self.total_steps
        return min(self.total_steps, max(step, int(step * 60 * self._train.max_minutes / seconds)))

    def plan(self, step: int, epoch: int, process_group: SingleProcess) -> bool:
        """Fix the number of steps of `max_minutes` once enough has been measured; return whether that happened now.

        Every process calls it after each flush of losses, and all take the plan of the first.

        Args:
            step: steps that are done.
            epoch: epochs that are done.
            process_group: the processes of the training.
        """
        if not self._needs_plan:
            return False
        own = self._measured_steps(step, epoch) if process_group.rank == 0 else 0
        (self.planned_steps,) = process_group.all_reduce_max(own)
        return self.planned_steps > 0

    @property
    def _needs_plan(self) -> bool:
        return self._train.max_minutes > 0 and not self.planned_steps

    def _measured_steps(self, step: int, epoch: int) -> int:
        """Return the steps that fit into the minutes; 0 if too little has been measured.

        The measured stretch leaves out the first steps, in which a network may be compiled. If it can, it begins and
        ends after the first steps of an epoch, so that held-out losses, samples and checkpoints are in the speed.
        """
        now, limit = self.elapsed(), 60 * self._train.max_minutes
        if self._first is None:
            self._first, self._last_epoch = (now, step), epoch
            return 0 if now < limit else step
        is_epoch_start, self._last_epoch = epoch > self._last_epoch, epoch
        began, first_step = self._first
        enough = now - began >= MEASURED_SHARE * limit and (is_epoch_start or now >= LATEST_SHARE * limit)
        if not enough or (step < self._train.warmup_steps and now < LATEST_SHARE * limit):
            return 0
        speed = (step - first_step) / (now - began)
        return step + max(0, int((limit - now) * speed))

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of the step after `step` steps: warm-up, constant, linear cool-down to zero."""
        train = self._train
        warmup = min(1.0, (step + 1) / train.warmup_steps) if train.warmup_steps else 1.0
        remaining = max(0.0, 1 - step / self.total_steps)
        cooldown = min(1.0, remaining / train.cooldown) if train.cooldown else 1.0
        return train.learning_rate * warmup * cooldown


def planned_text(budget: Budget) -> str:
    """Describe a plan for the log."""
    epochs = budget.final_epoch
    return (
        f"{budget.total_steps:,} steps, in {epochs} epoch{'s' * (epochs != 1)}, are planned for "
        f"train.max_minutes = {budget.planned_minutes:g}, at the measured speed"
    )
