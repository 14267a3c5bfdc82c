"""Plateaus: the best epoch, and a verdict on those after it that is right on noise, trends and rises."""

import math

import numpy as np
import pytest

from core.statistics.plateau import find_plateau

EPOCHS = range(1, 21)


def verdict(values: list[float], **options: object) -> tuple[int, str] | None:
    found = find_plateau(range(1, len(values) + 1), values, **options)  # type: ignore[arg-type]
    return (found.epoch, found.verdict) if found else None


def test_a_falling_loss_is_improving_and_nothing_measured_has_no_verdict() -> None:
    assert verdict([1 / epoch for epoch in EPOCHS]) == (20, "improving")
    assert verdict([math.nan, math.nan]) is None
    assert verdict([math.nan, 2.0, 1.0, 1.5, math.nan, 1.5]) == (3, "improving")


def test_epochs_of_pure_noise_are_called_worse_in_less_than_one_of_twenty_trainings() -> None:
    rng = np.random.default_rng(0)
    found = [verdict(rng.normal(size=20).tolist()) for _ in range(400)]
    decided = [one[1] for one in found if one and one[1] != "improving"]
    assert len(decided) > 250
    assert decided.count("worse") / len(decided) < 0.05


def test_a_loss_that_rises_after_its_best_epoch_is_worse_beyond_noise() -> None:
    rng = np.random.default_rng(1)
    values = [abs(epoch - 8) / 10 + rng.normal() / 100 for epoch in EPOCHS]
    found = find_plateau(EPOCHS, values)
    assert found is not None
    assert (found.epoch, found.later, found.verdict) == (8, 12, "worse")
    assert found.text == "no better since epoch 8, worse beyond noise"


def test_given_errors_decide_instead_of_the_scatter_and_shares_are_better_if_higher() -> None:
    shares = [0.2, 0.5, 0.44, 0.44, 0.44]
    assert verdict(shares, errors=[0.06] * 5, higher_is_better=True) == (2, "flat")
    assert verdict(shares, errors=[0.01] * 5, higher_is_better=True) == (2, "worse")
    # One-sided at 0.05 / 5: z = 2.326. The rise is 0.06, its error e * sqrt(1 + 1/3).
    edge = 0.06 / (2.3263479 * math.sqrt(4 / 3))
    assert verdict(shares, errors=[edge * 1.001] * 5, higher_is_better=True) == (2, "flat")
    assert verdict(shares, errors=[edge * 0.999] * 5, higher_is_better=True) == (2, "worse")


def test_the_degrees_of_freedom_are_those_of_the_estimated_variance() -> None:
    rng = np.random.default_rng(2)
    for count in (2, 5, 9):
        d = np.diff(rng.normal(size=(200_000, count + 1)), axis=1)
        variance = (d * d).sum(1) / (2 * count)
        assert variance.mean() == pytest.approx(1.0, abs=0.02)
        assert 2 / variance.var() == pytest.approx(2 * count**2 / (3 * count - 1), rel=0.05)
