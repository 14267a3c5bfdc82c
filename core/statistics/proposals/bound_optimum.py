"""Levels that minimise the variational bound in K steps: Watson et al. 2021 (2106.03802), by dynamic programming.

The bound is a sum over the steps, and each term depends on the ends of its step alone. So the best path of K steps to a
level extends the best path of K - 1 steps to another one. The terms are those of Kingma et al. 2021 (eq. 14), for the
variance of the posterior: L(t -> s) = (SNR_s / SNR_t - 1) m_t / 2 in nats a dimension. That the sum decomposes, and
that the minimum is exact, is what the paper's abstract states; the algorithm was checked against all subsets.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from core.errors import UserError
from core.statistics.noise_error import NoiseErrorCurve
from core.statistics.proposals.even_steps import Array, Ends, refine

_CANDIDATES: Final = 401
_MAX_STEPS: Final = 64
"""Steps of the exact minimum; more levels are interpolated between those of so many."""


def bound_optimum(curve: NoiseErrorCurve, ends: Ends, steps: int) -> Array:
    """Choose the levels with the lowest bound among 401 candidates in even steps of the log SNR.

    Args:
        curve: m.
        ends: the ends.
        steps: K. More than 64 levels are interpolated between those of 64 steps.

    Returns:
        [K + 1] log SNRs, rising, both ends included.
    """
    if steps > _MAX_STEPS:
        return refine(bound_optimum(curve, ends, _MAX_STEPS), steps)
    candidates = ends.grid(_CANDIDATES)
    return candidates[cheapest_path(step_costs(curve, candidates), steps)]


def step_costs(curve: NoiseErrorCurve, candidates: Array) -> Array:
    """Compute the cost of a step between any two levels.

    Args:
        curve: m.
        candidates: [N] log SNRs, rising.

    Returns:
        [N, N] nats a dimension for the step from the row's level to the column's; infinite where the log SNR does not
        rise.
    """
    rise = candidates[None, :] - candidates[:, None]
    costs: Array = np.where(rise > 0, np.expm1(np.maximum(rise, 0.0)), np.inf)
    return 0.5 * costs * curve.at(candidates)[:, None]


def cheapest_path(costs: Array, steps: int) -> list[int]:
    """Find the path of exactly K steps from the first to the last of N levels with the lowest sum of costs.

    Args:
        costs: [N, N], of a step from the row's level to the column's.
        steps: K.

    Returns:
        K + 1 indices, rising.

    Raises:
        UserError: not 1 <= K < N.
    """
    last = len(costs) - 1
    if not 1 <= steps <= last:
        raise UserError(f"expected from 1 to {last} steps between {last + 1} levels, got {steps}")
    total = np.full(last + 1, np.inf)
    total[0] = 0.0
    origins = []
    for _ in range(steps):
        sums = total[:, None] + costs
        origins.append(sums.argmin(axis=0))
        total = sums.min(axis=0)
    path = [last]
    for origin in reversed(origins):
        path.append(int(origin[path[-1]]))
    return path[::-1]


def bound_bits(curve: NoiseErrorCurve, levels: Array | Sequence[float]) -> float:
    """Compute the bound's middle terms in bits a dimension.

    L_T and L_0 are left out, because they depend on the ends alone.

    Args:
        curve: m.
        levels: [K + 1] log SNRs, rising.
    """
    log_snr = np.asarray(levels, np.float64)
    terms = 0.5 * np.expm1(np.diff(log_snr)) * curve.at(log_snr[:-1])
    return float(terms.sum()) / math.log(2.0)
