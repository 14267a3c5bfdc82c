"""The monitored metric of a run, epoch by epoch: its best epoch, and a verdict on those after it. Torch-free."""

from collections.abc import Sequence
from typing import Final

import msgspec

from core.config.schema import Monitored, TrainConfig
from core.runs.metric_definitions import METRICS
from core.runs.metrics import EpochRecord
from core.statistics.estimate import Estimate
from core.statistics.plateau import Plateau, find_plateau

HELDOUT: Final = "heldout"
MONITORED: Final[tuple[Monitored, ...]] = ("balanced_pass_rate", "area_distance")
"""Metrics of samples that can be monitored."""
_NORMAL_95: Final = 1.959964


def monitored_value(record: EpochRecord, monitor: Monitored) -> Estimate | None:
    """Return the monitored metric of an epoch; None if it was not measured there."""
    if monitor == HELDOUT:
        return Estimate(record.heldout) if record.heldout == record.heldout else None
    estimate = record.quality.get(monitor)
    return estimate if estimate is not None and estimate.value is not None else None


def higher_is_better(monitor: Monitored) -> bool:
    """Return the direction of a monitored metric."""
    return monitor != HELDOUT and METRICS[monitor].better == "higher"


def is_better(value: float, than: float | None, monitor: Monitored) -> bool:
    """Return whether a value of a monitored metric is better than another, or the first."""
    return than is None or (value > than if higher_is_better(monitor) else value < than)


def run_plateau(epochs: Sequence[EpochRecord], monitor: Monitored) -> Plateau | None:
    """Compare the last epochs of a run with its best one; None before the metric was measured.

    Metrics of samples have intervals, of which half the width is taken for 1.96 standard errors. The held-out loss
    is always that of the same images and noise, so only its change from epoch to epoch is noise.
    """
    measured = [
        (record.epoch, value)
        for record in epochs
        if (value := monitored_value(record, monitor)) is not None and value.value is not None
    ]
    errors = [_standard_error(value) for _, value in measured]
    known = [error for error in errors if error is not None]
    return find_plateau(
        [epoch for epoch, _ in measured],
        [value.value for _, value in measured if value.value is not None],
        known if len(known) == len(measured) else None,
        higher_is_better=higher_is_better(monitor),
    )


def plateau_ends(epochs: Sequence[EpochRecord], train: TrainConfig) -> str:
    """Return why `train.stop_on_plateau` ends a training after these epochs; empty if it does not."""
    plateau = run_plateau(epochs, train.monitor) if train.stop_on_plateau else None
    if plateau is None or epochs[-1].epoch - plateau.epoch < train.stop_on_plateau:
        return ""
    return f"no better since epoch {plateau.epoch}" if plateau.verdict == "improving" else plateau.text


def monitor_title(monitor: Monitored) -> str:
    """Name of a monitored metric in a sentence."""
    return "held-out loss" if monitor == HELDOUT else METRICS[monitor].title


def monitor_text(estimate: Estimate, monitor: Monitored) -> str:
    """A value of a monitored metric, with its interval if there is one."""
    share = monitor != HELDOUT

    def number(value: float) -> str:
        return f"{100 * value:.1f}" if share else f"{value:.4g}"

    if estimate.value is None:
        return "–"
    text = number(estimate.value)
    if estimate.low is not None and estimate.high is not None:
        text += f" [{number(estimate.low)}, {number(estimate.high)}]"
    return f"{text} %" if share else text


def plateau_text(epochs: Sequence[EpochRecord], monitor: Monitored) -> str:
    """Describe the best epoch and what came after it, for example for `core runs show`; empty before it is measured."""
    plateau = run_plateau(epochs, monitor)
    if plateau is None:
        return ""
    record = next(one for one in epochs if one.epoch == plateau.epoch)
    value = monitored_value(record, monitor) or Estimate(None)
    return f"{monitor_title(monitor)} {monitor_text(value, monitor)}: {plateau.text}"


def plateau_json(epochs: Sequence[EpochRecord], monitor: Monitored) -> dict[str, object] | None:
    """Return `run_plateau` with stable keys."""
    plateau = run_plateau(epochs, monitor)
    if plateau is None:
        return None
    record = next(one for one in epochs if one.epoch == plateau.epoch)
    return {
        "metric": monitor,
        "epoch": plateau.epoch,
        **msgspec.to_builtins(monitored_value(record, monitor)),
        "later": plateau.later,
        "verdict": plateau.verdict,
        "text": plateau.text,
    }


def _standard_error(estimate: Estimate) -> float | None:
    if estimate.low is None or estimate.high is None:
        return None
    return (estimate.high - estimate.low) / (2 * _NORMAL_95)
