"""Sparklines: a series of numbers as one line of text."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

BARS: Final = "▁▂▃▄▅▆▇█"
NOT_A_NUMBER: Final = "·"
_MIDDLE: Final = 3
_START_SHARE: Final = 8
"""The first eighth of a series is its start."""


def sparkline(
    values: Sequence[float] | NDArray[np.floating], width: int, *, log: bool = True, scale_start: bool = True
) -> str:
    """Draw a series with the bars ▁▂▃▄▅▆▇█, the lowest bar for the lowest value.

    Args:
        values: the series; if it is longer than `width`, a bar is the mean of a bucket of neighbours.
        width: maximum number of characters.
        log: draw the logarithm, which suits a loss; values without a logarithm get the lowest bar.
        scale_start: whether the scale covers the first eighth of the bars. Otherwise higher bars there are cut, because
            the first fall of a loss would flatten all that follows.

    Returns:
        At most `width` characters: ``·`` for a value that is NaN or infinite, the middle bar throughout if all values
        are equal, and an empty text for an empty series.

    >>> sparkline([8, 4, 2, 1], 4)
    '█▆▃▁'
    """
    series = np.asarray(values, dtype=np.float64).ravel()
    if width < 1 or not series.size:
        return ""
    if series.size > width:
        series = _bucket_means(series, width)
    finite = np.isfinite(series)
    levels = series.copy()
    if log:
        positive = finite & (series > 0)
        levels[positive] = np.log(series[positive])
        levels[finite & ~positive] = levels[positive].min() if positive.any() else 0.0
    heights = np.full(series.shape, _MIDDLE)
    if finite.any():
        start = 0 if scale_start else series.size // _START_SHARE
        rest = levels[start:][finite[start:]]
        if rest.size > 1 and rest.max() > rest.min():
            levels = np.minimum(levels, max(rest.max(), levels[finite].min()))
        low, high = levels[finite].min(), levels[finite].max()
        # Halved, because the range of two huge numbers of opposite sign would overflow.
        spread = high / 2 - low / 2
        if spread > 0:
            share = (levels[finite] / 2 - low / 2) / spread
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
