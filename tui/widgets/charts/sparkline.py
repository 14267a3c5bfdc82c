"""The whole history of a loss as one short line of text."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.imaging.sparkline import NOT_A_NUMBER, sparkline

SAMPLES: Final = 256
"""Losses that are looked at for each character; more would not change which of eight bars is drawn."""


def loss_sparkline(losses: NDArray[np.floating], width: int) -> str:
    """Draw a loss history on a logarithmic scale, its last value always in sight.

    Long histories are sampled evenly, so the cost does not grow with the length of the training; only the
    last value is always looked at, because a training ends where its loss stops being a number.

    Args:
        losses: the loss of each step [n]; NaN where it was not finite.
        width: the most characters to use.

    Returns:
        At most `width` characters, ``·`` where a loss was not finite.
    """
    most = SAMPLES * max(width, 1)
    if len(losses) > most:
        losses = losses[np.linspace(0, len(losses) - 1, most).astype(np.int64)]
    text = sparkline(losses, width, log=True)
    if text and not np.isfinite(losses[-1]):
        text = text[:-1] + NOT_A_NUMBER
    return text
