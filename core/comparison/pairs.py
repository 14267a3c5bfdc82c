"""Tests of the differences between all pairs of rows, held in arrays because a comparison of 300 runs has a million."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, overload

import numpy as np
from numpy.typing import NDArray

from core.comparison.pooling import holm
from core.statistics.estimate import Estimate

ALPHA: Final = 0.05
"""Probability that any of a comparison's claims is wrong."""


@dataclass(frozen=True)
class PairwiseDifference:
    """Test of the difference between two rows on the same data.

    Attributes:
        dataset: data set of both rows.
        metric: name of the metric.
        better: label of the better row.
        worse: label of the worse row.
        difference: better minus worse.
        p: p-value of this pair alone.
        adjusted: p-value corrected for the number of pairs.
    """

    dataset: str
    metric: str
    better: str
    worse: str
    difference: Estimate
    p: float
    adjusted: float

    @property
    def is_significant(self) -> bool:
        """True if the difference is more than noise; the chance that any such claim is wrong is at most `ALPHA`."""
        return self.adjusted < ALPHA


class PairwiseDifferences(Sequence[PairwiseDifference]):
    """All tested pairs, metric by metric and the best rows first. Each is made when it is asked for.

    Args:
        rows: data set and label of each row.
        metrics: names of the metrics.
        indices: uint32 [N, 3]; metric, better row and worse row of each pair; metrics ascend.
        values: float64 [N, 4]; difference, its lower and upper bound, and p.
    """

    def __init__(
        self,
        rows: Sequence[tuple[str, str]],
        metrics: Sequence[str],
        indices: NDArray[np.uint32],
        values: NDArray[np.float64],
    ) -> None:
        self._rows, self._metrics = rows, metrics
        self._indices, self._values = indices, values
        self._adjusted = holm(values[:, 3])
        self._starts = np.searchsorted(indices[:, 0], np.arange(len(metrics) + 1, dtype=np.uint32))

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> PairwiseDifference: ...

    @overload
    def __getitem__(self, index: slice) -> list[PairwiseDifference]: ...

    def __getitem__(self, index: int | slice) -> PairwiseDifference | list[PairwiseDifference]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        metric, better, worse = self._indices[index].tolist()
        value, low, high, p = self._values[index].tolist()
        dataset, label = self._rows[better]
        return PairwiseDifference(
            dataset,
            self._metrics[metric],
            label,
            self._rows[worse][1],
            Estimate(value, low, high),
            p,
            float(self._adjusted[index]),
        )

    def significantly_worse(self, dataset: str, metric: str, better: str) -> set[str]:
        """Return the labels of the rows on a data set that are significantly worse than one, by a metric."""
        row, number = self._rows.index((dataset, better)), self._metrics.index(metric)
        first, last = self._starts[number : number + 2].tolist()
        _, ahead, behind = self._indices[first:last].T
        found = behind[(ahead == row) & (self._adjusted[first:last] < ALPHA)]
        return {self._rows[index][1] for index in found.tolist()}
