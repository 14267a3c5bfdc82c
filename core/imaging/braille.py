"""Charts of braille characters, with two columns and four rows of dots in each cell of a terminal.

Letters of shapes: h rows and w columns of cells; dots are [4 h, 2 w].
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Extents = tuple[NDArray[np.floating], NDArray[np.floating]]

DOT_COLUMNS: Final = 2
DOT_ROWS: Final = 4
NO_SERIES: Final = -1
_BLANK: Final = 0x2800
_BITS: Final = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.uint8)
# A table of all 256 characters, because indexing is faster than calling chr.
_CHARS: Final = np.array([" ", *(chr(_BLANK + bits) for bits in range(1, 256))])


def braille_chart(
    series: Sequence[Extents],
    height: int,
    y_range: tuple[float, float],
    log_y: bool = False,
) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
    """Draw each series as a vertical stroke from its lowest to its highest value in every column of dots.

    The cost depends on the size of the chart only, because a long series is first reduced to one extent per column.
    Where series cross, the dots of all are drawn, and the last series owns the cell.

    Args:
        series: (lowest, highest) [2 w] of each series, of equal length; NaN leaves a column empty.
        height: h.
        y_range: values at the lower and the upper edge, at which strokes are cut off.
        log_y: the axis is logarithmic; values without a logarithm are not drawn.

    Returns:
        Characters [h, w], a space where there is no dot; and the index of the series that owns each cell [h, w], -1 for
        none.

    Raises:
        ValueError: the range is empty, or not positive on a logarithmic axis.
    """
    low, high = y_range
    if not (np.isfinite(low) and np.isfinite(high) and low < high and (low > 0 or not log_y)):
        raise ValueError(f"expected a range from a lower to a higher value, above 0 if log_y, got {y_range}")
    columns = max((len(lowest) for lowest, _ in series), default=0)
    width = -(-columns // DOT_COLUMNS)
    owner = np.full((height, width), NO_SERIES, dtype=np.int64)
    bits = np.zeros((height, width), dtype=np.uint8)
    for index, (lowest, highest) in enumerate(series):
        if not (lowest <= highest).any():
            continue
        series_bits = _to_bits(_strokes(lowest, highest, height * DOT_ROWS, width, (low, high), log_y))
        owner[series_bits > 0] = index
        bits |= series_bits
    return _CHARS[bits], owner


def _strokes(
    lowest: NDArray[np.floating],
    highest: NDArray[np.floating],
    rows: int,
    width: int,
    y_range: tuple[float, float],
    log_y: bool,
) -> NDArray[np.bool_]:
    """Compute the dots of one series [rows, 2 width]."""
    columns = len(lowest)
    low, high = np.asarray(lowest, dtype=np.float64), np.asarray(highest, dtype=np.float64)
    # Comparisons with NaN are false, so an empty column is not visible.
    visible = (low <= y_range[1]) & (high >= y_range[0]) & (low <= high)
    low, high = np.maximum(low[visible], y_range[0]), np.minimum(high[visible], y_range[1])
    bottom, top = y_range
    if log_y:
        low, high, bottom, top = np.log(low), np.log(high), np.log(bottom), np.log(top)
    first = np.full(columns, rows)
    last = np.full(columns, -1)
    # Halved, because the difference of two huge numbers of opposite sign would overflow.
    scale = rows / (top / 2 - bottom / 2)
    first[visible] = np.minimum((top / 2 - high / 2) * scale, rows - 1)
    last[visible] = np.minimum((top / 2 - low / 2) * scale, rows - 1)
    down = np.arange(rows)[:, None]
    dots = np.zeros((rows, width * DOT_COLUMNS), dtype=np.bool_)
    dots[:, :columns] = (down >= first) & (down <= last)
    return dots


def _to_bits(dots: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Pack the dots of each cell into the number of its braille pattern: [4 h, 2 w] to [h, w]."""
    dot_bytes = dots.view(np.uint8)
    bits = np.zeros((dots.shape[0] // DOT_ROWS, dots.shape[1] // DOT_COLUMNS), dtype=np.uint8)
    # Eight passes over bytes, because a sum of products would first convert every dot to a large integer.
    for (row, column), bit in np.ndenumerate(_BITS):
        bits |= dot_bytes[row::DOT_ROWS, column::DOT_COLUMNS] * bit
    return bits
