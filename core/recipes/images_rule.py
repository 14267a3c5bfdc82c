"""The rule of recipe `images`: width, batch size and budget of a training by the number and the size of its images."""

import math
from dataclasses import dataclass
from typing import Final

from core.config.schema import TrainConfig

MIN_STEPS: Final = 3000
"""Steps below which samples of a new set are mostly shapeless."""
MAX_STEPS: Final = 20_000
_PASSES: Final = 400
"""Passes over a set between these two numbers of steps."""
_SHEETS: Final = 60
_BATCHES: Final = ((64, 64), (128, 32))
"""Largest sides with their batch sizes."""
_LARGEST_BATCH: Final = 16
_WIDTHS: Final = ((20_000, 32), (100_000, 48))
"""Numbers of images below which a width suffices, up to 64 pixels."""
_LARGEST_WIDTH: Final = 64
_WIDE_UP_TO: Final = 64
"""Largest side with a wider network; beyond, time is better spent on steps."""


DERIVED: Final = {
    "model.width": ("model.preset",),
    "train.batch_size": (),
    "train.max_steps": ("train.batch_size",),
    "train.epochs": ("train.batch_size",),
    "sample.every": ("train.batch_size",),
    "sample.reverse_every": ("train.batch_size",),
}
"""Settings of the rule, with those that they follow from beside the images."""


@dataclass(frozen=True)
class ImagesRule:
    """Settings that follow from the images."""

    width: int
    batch_size: int
    max_steps: int
    epochs: int
    """So many that they never end the training before `max_steps`."""
    sheet_every: int
    """Epochs between two sheets of samples."""

    def overrides(self, *, is_lean: bool) -> list[str]:
        """Return the settings as for ``--set``; the width is that of the lean network only."""
        return [
            *([f"model.width={self.width}"] if is_lean else []),
            f"train.batch_size={self.batch_size}",
            f"train.max_steps={self.max_steps}",
            f"train.epochs={self.epochs}",
            f"sample.every={self.sheet_every}",
            f"sample.reverse_every={10 * self.sheet_every}",
        ]


def images_rule(count: int, size: int, batch_size: int | None = None) -> ImagesRule:
    """Apply the rule.

    Args:
        count: training images.
        size: their pixels per side.
        batch_size: the user's own; None takes that of the rule.

    >>> images_rule(600, 32)
    ImagesRule(width=32, batch_size=64, max_steps=3750, epochs=375, sheet_every=6)
    """
    wide = size <= _WIDE_UP_TO
    width = next((width for most, width in _WIDTHS if count < most or not wide), _LARGEST_WIDTH)
    batch = batch_size or next((batch for side, batch in _BATCHES if size <= side), _LARGEST_BATCH)
    steps = min(MAX_STEPS, max(MIN_STEPS, _PASSES * count // batch))
    epochs = math.ceil(steps / math.ceil(count / batch))
    return ImagesRule(width, batch, steps, epochs, max(1, round(epochs / _SHEETS)))


def step_limit(train: TrainConfig, count: int) -> tuple[int, str]:
    """Return the most steps of a training without regard to its minutes, and the setting that limits them."""
    in_epochs = train.epochs * math.ceil(count / train.batch_size)
    if train.max_steps and train.max_steps < in_epochs:
        return train.max_steps, "train.max_steps"
    return in_epochs, "train.epochs"
