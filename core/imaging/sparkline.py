"""A series of numbers as one line of text."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

BARS: Final = "▁▂▃▄▅▆▇█"
NOT_A_NUMBER: Final = "·"
_MIDDLE: Final = 3


def sparkline(values: Sequence[float] | NDArray[np.floating], width: int, *, log: bool = True) -> str:
    """Draw a series with the bars ▁▂▃▄▅▆▇█, lowest value lowest.

    Args:
        values: the series; where it is longer than `width`, a bar is the mean of a bucket of neighbours.
        width: the most characters to use.
        log: draw the logarithm, as a loss wants to be seen; values without one get the lowest bar.

    Returns:
        At most `width` characters: ``·`` where a value is NaN or infinite, the middle bar throughout where
        all values are alike, and nothing for an empty series.

    >>> sparkline([8, 4, 2, 1], 4)
    '█▆▃▁'
    """
    series = np.asarray(values, dtype=np.float64).ravel()
    if width < 1 or not series.size:
        return ""
    if series.size > width:
        series = _bucket_means(series, width)
    finite = np.isfinite(series)
    drawn = series.copy()
    if log:
        positive = finite & (series > 0)
        drawn[positive] = np.log(series[positive])
        drawn[finite & ~positive] = drawn[positive].min() if positive.any() else 0.0
    heights = np.full(series.shape, _MIDDLE)
    if finite.any():
        low, high = drawn[finite].min(), drawn[finite].max()
        # Halves, because the range of two huge numbers of opposite sign would overflow.
        spread = high / 2 - low / 2
        if spread > 0:
            share = (drawn[finite] / 2 - low / 2) / spread
            heights[finite] = np.rint(share * (len(BARS) - 1)).astype(np.int64)
    return "".join(
        BARS[height] if good else NOT_A_NUMBER
        for height, good in zip(heights.tolist(), finite.tolist(), strict=True)
    )


def _bucket_means(series: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    starts = np.arange(width) * series.size // width
    counts = np.diff(np.append(starts, series.size))
    with np.errstate(invalid="ignore"):
        return np.add.reduceat(series / np.repeat(counts, counts), starts)
