"""Interleaved trials of several contenders, and statistics of their rates.

The speed of a machine drifts by more than most differences, because of its clock, its caches and other users. Therefore
contenders do not run for a minute each, but in rounds of trials of a second or less. Comparisons are made within a
round.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from core.errors import UserError

Work = Callable[[], float]
"""Performs some work, waits until the device has finished, and returns the amount: images, steps, operations."""
Rates = dict[str, list[float]]
"""Work per second of each contender, one number per round; numbers of one round have the same index."""

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
    """Summarize repeated measurements by their median and quartiles.

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
    failures: dict[str, str] | None = None,
    on_round: Callable[[Rates], object] = lambda rates: None,
) -> Rates:
    """Run contenders in turns until the time is over.

    The first trial of each is a warm-up, which counts in the time but not in the rates. Every other round runs in
    reverse order, and every two rounds start one contender later, so that no contender always follows the same one.

    Args:
        contenders: the work of each, by name.
        seconds: total time. After the first `MIN_ROUNDS`, no round starts that would probably end later.
        trial_seconds: a trial ends with the first work that is done after this time.
        report: called with a line of progress now and then.
        clock: a monotonic clock in seconds.

        on_round: called with the rates so far after each round.
        failures: filled with the error of each contender that fails; the others go on without it.

    Returns:
        The rates of the rounds, of those that did not fail.

    Raises:
        UserError: every contender failed.
    """
    start = clock()
    failures = {} if failures is None else failures
    rates: Rates = {}

    def attempt(name: str) -> float | None:
        try:
            return _trial(contenders[name], trial_seconds, clock)
        except Exception as error:  # of any kind, because it says nothing about the other contenders
            failures[name] = " ".join(f"{type(error).__name__}: {error}".split())
            rates.pop(name, None)
            report(f"{name} failed: {failures[name]}")
            if not contenders.keys() - failures.keys():
                raise UserError(f"{', '.join(contenders)}: failed ({failures[name]})") from error
            return None

    for name in contenders:
        began = clock()
        if attempt(name) is not None:
            rates[name] = []
            report(f"warmed up {name} in {clock() - began:.1f} s")
    names = list(rates)
    rounds, rounds_start = 0, clock()
    while True:
        now = clock()
        longest = (now - rounds_start) / rounds if rounds else 0.0
        if rounds >= MIN_ROUNDS and now + longest - start > seconds:
            return rates
        for name in turn_order(names, rounds):
            rate = attempt(name) if name in rates else None
            if rate is not None:
                rates[name].append(rate)
        rounds += 1
        on_round(rates)
        report(f"round {rounds}, {clock() - start:.0f} of {seconds:.0f} s")


def turn_order(names: Sequence[str], number: int) -> list[str]:
    """The order of contenders in a round, counted from 0."""
    shift = number // 2 % len(names) if names else 0
    turn = [*names[shift:], *names[:shift]]
    return turn[::-1] if number % 2 else turn


def ratios(rates: Rates, of: str, to: str) -> list[float]:
    """The ratio of the rates of two contenders in each round; none if one of them failed."""
    return [a / b for a, b in zip(rates.get(of, ()), rates.get(to, ()), strict=False)]


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
