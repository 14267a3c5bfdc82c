"""A plateau: the epoch since which a metric has become no better, and the size of what followed beside its noise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from core.statistics.student_t import quantile

MIN_LATER: Final = 3
"""Epochs after the best one from which on a verdict is given."""
MAX_LATER: Final = 10
"""Last epochs that are compared with the best one."""
_ERROR: Final = 0.05

Verdict = Literal["improving", "flat", "worse"]


@dataclass(frozen=True)
class Plateau:
    """The best epoch of a training, and a verdict on those after it.

    Attributes:
        epoch: the best epoch, the first of equal ones.
        value: its value.
        later: epochs measured after it.
        verdict: ``improving`` if there are fewer than `MIN_LATER` of these. ``flat`` if they are no better, but within
            noise. ``worse`` if they are worse beyond noise.
    """

    epoch: int
    value: float
    later: int
    verdict: Verdict

    @property
    def text(self) -> str:
        """The verdict in words.

        >>> Plateau(9, 0.03, 6, "flat").text
        'no better since epoch 9, within noise'
        """
        if self.verdict == "improving":
            return f"best in epoch {self.epoch}"
        effect = "within noise" if self.verdict == "flat" else "worse beyond noise"
        return f"no better since epoch {self.epoch}, {effect}"


def find_plateau(
    epochs: Sequence[int],
    values: Sequence[float],
    errors: Sequence[float] | None = None,
    *,
    higher_is_better: bool = False,
) -> Plateau | None:
    """Compare the last epochs of a training with its best one.

    The mean of the last epochs, at most `MAX_LATER`, is compared with the best value by a one-sided t-test. The best is
    the luckiest of n epochs, so the level is 0.05 / n (Bonferroni).

    Without errors, the noise of an epoch is estimated from the differences of successive epochs, which a slow trend
    hardly affects: s^2 = sum d^2 / (2 m) for m differences. Its degrees of freedom, those of a chi-squared variable of
    equal variance, are 2 m^2 / (3 m - 1), because Var(s^2) = sigma^4 (3 m - 1) / m^2 (von Neumann et al. 1941).

    Args:
        epochs: numbers of the epochs, ascending; NaN values are left out.
        values: [n].
        errors: standard errors of the values, [n], independent of each other; None estimates them.
        higher_is_better: the direction.

    Returns:
        None without a value.
    """
    sign = -1.0 if higher_is_better else 1.0
    rows = [row for row in range(len(values)) if math.isfinite(values[row])]
    if not rows:
        return None
    costs = [sign * values[row] for row in rows]
    best = costs.index(min(costs))
    later = len(rows) - best - 1
    verdict: Verdict = "improving"
    if later >= MIN_LATER:
        last = slice(-min(later, MAX_LATER), None)
        tail, own = costs[last], None if errors is None else [errors[row] for row in rows]
        rise = math.fsum(tail) / len(tail) - costs[best]
        if own is None:
            differences = [b - a for a, b in pairwise(tail)]
            count = len(differences)
            variance = math.fsum(d * d for d in differences) / (2 * count)
            error = math.sqrt(variance * (1 + 1 / len(tail)))
            df = 2 * count**2 / (3 * count - 1)
        else:
            error = math.hypot(own[best], math.sqrt(math.fsum(e * e for e in own[last])) / len(tail))
            df = math.inf
        # `quantile` is two-sided, so a one-sided level of a is a confidence of 1 - 2 a.
        limit = quantile(1 - 2 * _ERROR / len(rows), df) * error
        verdict = "worse" if rise > limit else "flat"
    return Plateau(epochs[rows[best]], values[rows[best]], later, verdict)
