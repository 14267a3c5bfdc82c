"""Sparkline of a whole loss history, in one short line of text."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.imaging.sparkline import NOT_A_NUMBER, sparkline

SAMPLES: Final = 256
"""Losses sampled for each character; more would not change which of eight bars is drawn."""


def loss_sparkline(losses: NDArray[np.floating], width: int) -> str:
    """Draw a loss history on a logarithmic scale, including its last value.

    Long histories are sampled evenly, so the cost does not grow with the length of the training. The last value is
    always sampled, because a training ends where its loss stops being a number. The scale leaves out the first eighth.

    Args:
        losses: the loss of each step [n]; NaN if not finite.
        width: maximum number of characters.

    Returns:
        At most `width` characters, ``·`` for a loss that is not finite.
    """
    max_samples = SAMPLES * max(width, 1)
    if len(losses) > max_samples:
        losses = losses[np.linspace(0, len(losses) - 1, max_samples).astype(np.int64)]
    text = sparkline(losses, width, log=True, scale_start=False)
    if text and not np.isfinite(losses[-1]):
        text = text[:-1] + NOT_A_NUMBER
    return text
