"""Decimation of long series to one bucket per column, at a cost that does not grow with their length.

Losses are only appended. Therefore minimum, maximum and sum of each block of 64 steps are computed once and kept. A
column combines whole blocks and, at its two ends, single steps. The result is exact.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Apart from `core.runs.decimate`, which reduces a complete series once: this one keeps partial results between redraws.
BLOCK: Final = 64
MAX_LOSS: Final = 1e30
"""A larger loss has diverged and counts as not finite: sums would overflow, and no axis could show it."""


class MinMaxBuckets(NamedTuple):
    """A series in columns: arrays [columns].

    `low`, `high` and `mean` are over the finite values of a column, NaN if there are none. `finite` is the number of
    finite values and `total` the number of all values.
    """

    low: Floats
    high: Floats
    mean: Floats
    finite: NDArray[np.int64]
    total: NDArray[np.int64]


class BucketedSeries:
    """A growing series y over ascending x, decimated to any number of columns.

    >>> series = BucketedSeries()
    >>> series.update(np.arange(4.0), np.array([1.0, 3.0, np.nan, 5.0]))
    >>> series.buckets(np.array([0.0, 2.0, 4.0])).mean.tolist()
    [2.0, 5.0]
    """

    def __init__(self) -> None:
        self.x: Floats = np.empty(0)
        self.y: Floats = np.empty(0)
        self._blocks = 0
        self._low: Floats = np.empty(0)
        self._high: Floats = np.empty(0)
        self._sum: Floats = np.empty(0)
        self._count: Floats = np.empty(0)
        self._last: tuple[Floats, int, MinMaxBuckets] | None = None

    def update(self, x: Floats, y: Floats) -> None:
        """Set the current series; only values appended since the last call are processed."""
        if len(x) != len(y):
            raise ValueError(f"expected as many x as y, got {len(x)} and {len(y)}")
        if not self._is_extended_by(x, y):
            self._blocks, self._last = 0, None
        self.x, self.y = x, y
        done, ready = self._blocks, len(y) // BLOCK
        if ready <= done:
            return
        self._reserve(ready)
        fresh = y[done * BLOCK : ready * BLOCK].reshape(-1, BLOCK)
        finite = np.abs(fresh) <= MAX_LOSS
        self._low[done:ready] = np.where(finite, fresh, np.inf).min(axis=1)
        self._high[done:ready] = np.where(finite, fresh, -np.inf).max(axis=1)
        self._sum[done:ready] = np.where(finite, fresh, 0.0).sum(axis=1)
        self._count[done:ready] = finite.sum(axis=1)
        self._blocks = ready

    def buckets(self, edges: Floats) -> MinMaxBuckets:
        """Decimate to columns [edges[i], edges[i + 1]); the last column includes its right edge.

        Args:
            edges: ascending, [columns + 1], columns >= 1.
        """
        if self._last is not None and self._last[1] == len(self.x) and np.array_equal(self._last[0], edges):
            return self._last[2]
        cuts = np.searchsorted(self.x, edges, side="left")
        cuts[-1] = np.searchsorted(self.x, edges[-1], side="right")
        start, stop = cuts[:-1], cuts[1:]
        first, last = -(-start // BLOCK), np.minimum(stop // BLOCK, self._blocks)
        spans = last > first
        low = np.full(len(start), np.inf)
        high, total, count = np.full(len(start), -np.inf), np.zeros(len(start)), np.zeros(len(start))
        pieces = [
            (
                np.where(spans, first, 0),
                np.where(spans, last, 0),
                self._low,
                self._high,
                self._sum,
                self._count,
            )
        ]
        for a, b in (
            (start, np.where(spans, first * BLOCK, stop)),
            (np.where(spans, last * BLOCK, stop), stop),
        ):
            picked, a, b = _gather_ranges(a, b)
            values = self.y[picked]
            finite = np.abs(values) <= MAX_LOSS
            pieces.append(
                (
                    a,
                    b,
                    np.where(finite, values, np.inf),
                    np.where(finite, values, -np.inf),
                    np.where(finite, values, 0.0),
                    finite.astype(np.float64),
                )
            )
        for a, b, lows, highs, sums, counts in pieces:
            filled = b > a
            if not filled.any():
                continue
            # reduceat takes pairs: the odd results are of the gaps between two ranges and are dropped.
            pairs = np.stack([a[filled], b[filled]], axis=1).ravel()
            low[filled] = np.minimum(low[filled], _reduce_ranges(np.minimum, lows, pairs))
            high[filled] = np.maximum(high[filled], _reduce_ranges(np.maximum, highs, pairs))
            total[filled] += _reduce_ranges(np.add, sums, pairs)
            count[filled] += _reduce_ranges(np.add, counts, pairs)
        empty = count == 0
        low[empty] = high[empty] = np.nan
        mean = np.divide(total, count, out=np.full(len(start), np.nan), where=~empty)
        found = MinMaxBuckets(low, high, mean, count.astype(np.int64), stop - start)
        self._last = edges.copy(), len(self.x), found
        return found

    def _is_extended_by(self, x: Floats, y: Floats) -> bool:
        """Return whether the previous series begins this one; three of its values are compared."""
        seen = len(self.y)
        if not 0 < seen <= len(y):
            return seen == 0
        return all(
            x[i] == self.x[i] and (y[i] == self.y[i] or (y[i] != y[i] and self.y[i] != self.y[i]))
            for i in (0, seen // 2, seen - 1)
        )

    def _reserve(self, blocks: int) -> None:
        if blocks <= len(self._low):
            return
        room = max(blocks, 2 * len(self._low), 64)
        for name in ("_low", "_high", "_sum", "_count"):
            grown = np.empty(room)
            grown[: self._blocks] = getattr(self, name)[: self._blocks]
            setattr(self, name, grown)


def _gather_ranges(start: NDArray[np.int64], stop: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """Indices of all ranges one after the other, and the start and stop of each range among them."""
    lengths = stop - start
    ends = np.cumsum(lengths)
    begins = ends - lengths
    return np.repeat(start - begins, lengths) + np.arange(int(lengths.sum())), begins, ends


def _reduce_ranges(ufunc: np.ufunc, values: Floats, pairs: NDArray[np.int64]) -> Floats:
    """`ufunc` over values[start:stop] of each pair; pairs ascend, do not overlap, and none is empty."""
    end = int(pairs[-1])
    padded = values[: end + 1] if end < len(values) else np.append(values, 0.0)
    results: Floats = ufunc.reduceat(padded, pairs)[::2]
    return results
