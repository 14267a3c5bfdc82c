"""p-values and quantiles of the normal distribution and of Student's t, without scipy."""

import functools
import math
import sys
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

_NORMAL: Final = NormalDist()
_TINY: Final = 1e-300
_MAX_TERMS: Final = 500


def two_sided_p(statistic: float, df: float) -> float:
    """Compute the probability that a standard normal (infinite `df`) or a Student's t is at least this far from 0.

    Args:
        statistic: of either sign.
        df: degrees of freedom, greater than 0.

    >>> round(two_sided_p(1.959964, math.inf), 6), round(two_sided_p(12.7062, 1), 6)
    (0.05, 0.05)
    """
    if math.isinf(df):
        return math.erfc(abs(statistic) / math.sqrt(2.0))
    if math.isinf(statistic):
        return 0.0
    square = statistic * statistic
    return _incomplete_beta(df / (df + square), square / (df + square), df / 2.0, 0.5)


def two_sided_ps(statistics: NDArray[np.float64], df: float) -> NDArray[np.float64]:
    """Compute `two_sided_p` of each statistic in an array, many times faster where `df` is infinite."""
    distances = np.abs(statistics)
    if math.isinf(df):
        return np.fromiter(map(math.erfc, (distances / math.sqrt(2.0)).tolist()), np.float64, len(distances))
    return np.array([two_sided_p(one, df) for one in distances.tolist()], np.float64)


@functools.lru_cache(maxsize=256)
def quantile(confidence: float, df: float) -> float:
    """Compute the distance from 0 within which a standard normal or a Student's t lies with this probability.

    Args:
        confidence: above 0 and below 1.
        df: degrees of freedom; infinite for the normal.

    >>> round(quantile(0.95, math.inf), 6), round(quantile(0.95, 1), 4)
    (1.959964, 12.7062)
    """
    if math.isinf(df):
        return _NORMAL.inv_cdf(0.5 + confidence / 2.0)
    alpha = 1.0 - confidence
    low, high = 0.0, 1.0
    while two_sided_p(high, df) > alpha:
        low, high = high, 2.0 * high
    while high - low > 4.0 * sys.float_info.epsilon * high:
        middle = (low + high) / 2.0
        low, high = (middle, high) if two_sided_p(middle, df) > alpha else (low, middle)
    return (low + high) / 2.0


def _incomplete_beta(x: float, rest: float, a: float, b: float) -> float:
    """Compute the regularised incomplete beta function I_x(a, b).

    Args:
        x: from 0 to 1.
        rest: 1 - x, which a subtraction here could round to 0.
        a: above 0.
        b: above 0.

    Reference: DLMF 8.17.22, a continued fraction, from the side on which it converges fast.
    """
    if x <= 0.0 or rest <= 0.0:
        return 0.0 if x <= 0.0 else 1.0
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    )
    if x < (a + 1.0) / (a + b + 2.0):
        return front * _continued_fraction(x, a, b) / a
    return 1.0 - front * _continued_fraction(rest, b, a) / b


def _continued_fraction(x: float, a: float, b: float) -> float:
    """Compute 1 / (1 + d1 / (1 + d2 / (1 + ...))) by the modified method of Lentz."""
    c, d = 1.0, 1.0 / _nonzero(1.0 - (a + b) * x / (a + 1.0))
    value = d
    for m in range(1, _MAX_TERMS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _nonzero(1.0 + term * d)
            c = _nonzero(1.0 + term / c)
            value *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return value


def _nonzero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
