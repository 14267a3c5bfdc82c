"""Short trials of several contenders in turn, and what their rates say.

A machine's speed drifts by more than most differences are worth: its clock, its caches, other people. So contenders
never run one after the other, each for a minute, but in rounds of trials of a second or less; what is compared is
compared within a round.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

Work = Callable[[], float]
"""Does some work, waits until the device has done it, and says how much it was: pictures, steps, operations."""
Rates = dict[str, list[float]]
"""Work a second of each contender, a number a round: as many for each, those of one round at the same place."""

MIN_ROUNDS: Final = 3
TRIAL_SECONDS: Final = 0.7


@dataclass(frozen=True)
class Spread:
    """The median of `n` numbers, and their quartiles."""

    n: int
    median: float
    low: float
    high: float


def summarize(values: Sequence[float]) -> Spread:
    """What is printed of repeated measurements.

    >>> summarize([1.0, 2.0, 3.0, 4.0, 100.0])
    Spread(n=5, median=3.0, low=2.0, high=4.0)

    Raises:
        ValueError: no values.
    """
    if not len(values):
        raise ValueError("no measurement to take a median of")
    low, median, high = np.quantile(np.asarray(values, np.float64), [0.25, 0.5, 0.75]).tolist()
    return Spread(len(values), median, low, high)


def run_interleaved(
    contenders: Mapping[str, Work],
    *,
    seconds: float,
    trial_seconds: float = TRIAL_SECONDS,
    report: Callable[[str], None] = lambda line: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Rates:
    """Let contenders work in turns, until the time is over.

    A first trial of each is a warm-up: it is counted in the time, but in no rate. Every other round runs backwards, and
    each two begin one further on, so that nobody always follows the same one.

    Args:
        contenders: the work of each, by name.
        seconds: for all of it; no round begins that would probably end later, but for the first `MINIMUM_ROUNDS`.
        trial_seconds: a trial ends with the work during which so much time was over.
        report: called with a line now and then.
        clock: seconds that only grow.

    Returns:
        The rates of the rounds.
    """
    start = clock()
    for name, work in contenders.items():
        began = clock()
        _trial(work, trial_seconds, clock)
        report(f"warmed up {name} in {clock() - began:.1f} s")
    rates: Rates = {name: [] for name in contenders}
    names = list(contenders)
    rounds, rounds_start = 0, clock()
    while True:
        now = clock()
        longest = (now - rounds_start) / rounds if rounds else 0.0
        if rounds >= MIN_ROUNDS and now + longest - start > seconds:
            return rates
        for name in turn_order(names, rounds):
            rates[name].append(_trial(contenders[name], trial_seconds, clock))
        rounds += 1
        report(f"round {rounds}, {clock() - start:.0f} of {seconds:.0f} s")


def turn_order(names: Sequence[str], number: int) -> list[str]:
    """Who works in which order in a round, counted from 0."""
    shift = number // 2 % len(names) if names else 0
    turn = [*names[shift:], *names[:shift]]
    return turn[::-1] if number % 2 else turn


def ratios(rates: Rates, of: str, to: str) -> list[float]:
    """How many times faster one contender was than another, in each round."""
    return [a / b for a, b in zip(rates[of], rates[to], strict=True)]


def exponents(sizes: Sequence[float], costs: Sequence[Sequence[float]]) -> list[float]:
    """The p of cost = c size^p, fitted by least squares of logarithms, once for each round.

    Args:
        sizes: [K], at least two that differ.
        costs: [K][rounds], the cost at each size.

    Returns:
        [rounds] exponents.

    Raises:
        ValueError: fewer than two different sizes.
    """
    if len(set(sizes)) < 2:
        raise ValueError(f"an exponent takes at least two different sizes, got {list(sizes)}")
    x = np.log(np.asarray(sizes, np.float64))
    y = np.log(np.asarray(costs, np.float64))
    x = x - x.mean()
    fitted: list[float] = (x @ (y - y.mean(axis=0)) / (x @ x)).tolist()
    return fitted


def _trial(work: Work, seconds: float, clock: Callable[[], float]) -> float:
    done, start = 0.0, clock()
    while True:
        done += work()
        passed = clock() - start
        if passed >= seconds:
            return done / passed if passed > 0 else math.inf
