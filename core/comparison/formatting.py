"""Metrics as text: values and intervals, with no more digits than their precision justifies."""

import math
from collections.abc import Iterable, Mapping, Sequence

from core.runs import METRICS, Evaluation
from core.sampling_names import SAMPLERS_WITH_ETA
from core.statistics.estimate import Estimate

MISSING = "–"
MAX_NARROW_WIDTH = 10
"""Characters of a number in a narrow table, of which five columns then fit into 80."""
_CLIPPED: Mapping[object, str] = {"none": " without clipping", "dynamic": " with dynamic thresholds"}
_LOSSES = {"loss": "loss", "heldout": "held out"}


def metric_title(name: str) -> str:
    """Title of a metric or loss at the head of its line, with a percent sign where values are per cent."""
    if name in METRICS:
        return METRICS[name].title + (" %" if METRICS[name].share else "")
    return _LOSSES.get(name, name)


def sampler_text(evaluation: Evaluation) -> str:
    """Sampler of an evaluation, with those of its options that are not the default."""
    if not evaluation.sampler:
        return "from a file"
    eta = f" with eta {evaluation.eta:g}" if evaluation.sampler in SAMPLERS_WITH_ETA else ""
    spacing = f" spaced by {evaluation.spacing}" if evaluation.spacing != "uniform" else ""
    if evaluation.levels:
        spacing = f" at levels from {evaluation.levels[0]:.3g} to {evaluation.levels[-1]:.3g}"
    start = f" from {evaluation.start}" if evaluation.start != "noise" else ""
    guided = f", guided by {evaluation.guidance:g}" if evaluation.guidance != 1.0 else ""
    options = f"{spacing}{start}{_CLIPPED.get(evaluation.clip, '')}{guided}"
    return f"{evaluation.sampler}{eta} in {evaluation.steps:,} steps{options}"


def value_text(name: str, estimate: Estimate | None) -> str:
    """Value alone."""
    value, half = _scaled(name, estimate)
    return MISSING if value is None else _number(value, _decimals(value, half))


def interval_text(name: str, estimate: Estimate | None) -> str:
    """Interval alone, as ``low to high``; an unknown bound is a dash."""
    value, half = _scaled(name, estimate)
    if value is None or estimate is None or (estimate.low is None and estimate.high is None):
        return MISSING
    decimals = _decimals(value, half)
    bounds = [
        MISSING if bound is None else _number(bound * _factor(name), decimals)
        for bound in (estimate.low, estimate.high)
    ]
    return " to ".join(bounds)


def bracket_text(name: str, estimate: Estimate | None) -> str:
    """Value and interval as papers print them, ``value [low, high]``."""
    interval = interval_text(name, estimate)
    value = value_text(name, estimate)
    return value if interval == MISSING else f"{value} [{interval.replace(' to ', ', ')}]"


def short_text(name: str, estimate: Estimate | None, *, exponent: int = 0, digits: int = 2) -> str:
    """Value and half the width of its interval, ``value ±half``: narrow, for many columns.

    Args:
        name: name of the metric.
        estimate: the measured estimate.
        exponent: numbers are in units of ten to this.
        digits: largest number of digits of the half width, 2 or 1; with 0 the half width is left out.
    """
    value, half = _scaled(name, estimate)
    if value is None:
        return MISSING
    value, half = value / 10.0**exponent, None if half is None or not digits else half / 10.0**exponent
    decimals = _decimals(value, half, digits)
    text = _number(value, decimals)
    return text if half is None else f"{text} ±{_number(half, decimals)}"


def scaled_title(name: str, exponent: int) -> str:
    """Title of a metric whose numbers `short_text` gives in units of ten to the exponent."""
    if not exponent:
        return metric_title(name)
    plain = METRICS[name].title if name in METRICS else metric_title(name)
    return f"{plain} 1e{exponent - 2 if _factor(name) > 1 else exponent}"


def scale_exponent(name: str, estimates: Iterable[Estimate | None]) -> int:
    """Exponent in whose units the largest value is below 100, so all are short: 0, or at most -2 for values below 1."""
    values = [_scaled(name, estimate)[0] for estimate in estimates]
    largest = max((abs(value) for value in values if value), default=1.0)
    return min(-2, math.floor(math.log10(largest)) - 1) if largest < 1.0 else 0


def narrow_texts(name: str, estimates: Sequence[Estimate | None]) -> tuple[str, list[str]]:
    """Row of a table of many columns: its title, and each value ± half its interval in some ten characters.

    Args:
        name: name of the metric.
        estimates: one a column; None where nothing was measured.
    """
    exponent = scale_exponent(name, estimates)
    texts = [short_text(name, estimate, exponent=exponent) for estimate in estimates]
    for digits in (1, 0):
        if max(map(len, texts), default=0) > MAX_NARROW_WIDTH:
            texts = [short_text(name, estimate, exponent=exponent, digits=digits) for estimate in estimates]
    return scaled_title(name, exponent), texts


def _factor(name: str) -> float:
    return 100.0 if name in METRICS and METRICS[name].share else 1.0


def _scaled(name: str, estimate: Estimate | None) -> tuple[float | None, float | None]:
    """Return value and half width, in per cent for metrics that are shown so."""
    if estimate is None or estimate.value is None or not math.isfinite(estimate.value):
        return None, None
    factor = _factor(name)
    half = None
    if estimate.low is not None and estimate.high is not None:
        half = (estimate.high - estimate.low) / 2 * factor
    return estimate.value * factor, half


def _decimals(value: float, half: float | None, digits: int = 2) -> int:
    """Number of decimals: three digits in all for a value without interval, else as justified by its half width.

    >>> _decimals(94.22, 1.93), _decimals(94.22, 13.1), _decimals(0.012345, None)
    (1, 0, 4)
    """
    if half and digits:
        size = math.floor(math.log10(half))
        decimals = (1 if digits > 1 and half / 10.0**size < 3.0 else 0) - size
        # At most four digits, however narrow the interval is.
        return max(0, min(decimals, 3 - math.floor(math.log10(abs(value)))) if value else decimals)
    return max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0


def _number(value: float, decimals: int) -> str:
    """Number in fixed point, or with an exponent where fixed point would need many zeros.

    >>> _number(94.216, 1), _number(-0.0000123, 6), _number(-0.01, 1)
    ('94.2', '-1.2e-5', '0.0')
    """
    if decimals > 5:
        digits = max(0, decimals + math.floor(math.log10(abs(value)))) if value else 0
        mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
        return f"{mantissa}e{int(exponent)}" if value else "0"
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if not text.strip("-0.") else text
