"""Tests of all pairs of rows at once, against one pair after another."""

import itertools
import math

import numpy as np
import pytest

from core.comparison.compare import ComparisonRow, _pairs
from core.comparison.pooling import CONFIDENCE, Score
from core.config import RunConfig
from core.runs import METRICS
from core.statistics.estimate import Estimate
from core.statistics.student_t import quantile, two_sided_p
from tests.support.evaluated_runs import evaluation

METRIC = "pass_rate"


class Member:
    """The part of a member that decides which rows are compared."""

    config = RunConfig()

    def __init__(self, count: int) -> None:
        self.evaluation = evaluation(count=count) if count else None


def rows_of_every_kind(count: int) -> list[ComparisonRow]:
    rng = np.random.default_rng(5)
    rows = []
    for index in range(count):
        below, above = (None if rng.random() < 0.1 else float(rng.choice([0.0, rng.random()])) for _ in "12")
        value = Estimate(None if rng.random() < 0.05 else float(rng.random()))
        score = Score(value, below, above, float(rng.choice([3, math.inf])))
        protocols = rng.choice([0, 100, 100, 100, 200], size=rng.choice([1, 1, 1, 2]))
        rows.append(
            ComparisonRow(
                label=f"r{index}",
                dataset=str(rng.choice(["high", "low"])),
                schedule="linear",
                seeds=(0,),
                members=tuple(Member(int(one)) for one in protocols),  # type: ignore[arg-type]
                scores={METRIC: score} if rng.random() < 0.9 else {},
                terminal=None,
            )
        )
    return rows


def plain_difference(one: Score, other: Score) -> tuple[float, float, float, float] | None:
    sides = (one.error_below, other.error_above, one.error_above, other.error_below)
    if one.estimate.value is None or other.estimate.value is None or None in sides:
        return None
    down, up = math.hypot(*sides[:2]), math.hypot(*sides[2:])
    delta = one.estimate.value - other.estimate.value
    error = down if delta > 0 else up
    if not 0.0 < error < math.inf:
        return None
    df = min(one.df, other.df)
    reach = quantile(CONFIDENCE, df)
    return delta, delta - reach * down, delta + reach * up, two_sided_p(delta / error, df)


def test_all_pairs_at_once_are_those_of_one_after_another() -> None:
    assert METRICS[METRIC].better == "higher"
    rows = rows_of_every_kind(50)
    measured = [row for row in rows if METRIC in row.scores]
    values = [row.scores[METRIC].estimate.value for row in measured]
    order = sorted(
        range(len(measured)), key=lambda i: (values[i] is None, 0.0 if values[i] is None else -values[i])
    )
    expected = {}
    for better, worse in itertools.combinations([measured[index] for index in order], 2):
        protocols = {one.protocol for row in (better, worse) for one in row.evaluations}
        if better.dataset == worse.dataset and len(protocols) < 2:
            delta = plain_difference(better.scores[METRIC], worse.scores[METRIC])
            if delta is not None:
                expected[better.label, worse.label] = delta
    found = _pairs(rows)
    assert [(pair.better, pair.worse) for pair in found] == list(expected)
    assert len(expected) > 100
    for pair, numbers in zip(found, expected.values(), strict=True):
        one = pair.difference
        assert (one.value, one.low, one.high, pair.p) == pytest.approx(numbers, rel=1e-12, abs=1e-15)
