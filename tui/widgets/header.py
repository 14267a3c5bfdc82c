"""Header: the top line with the state of the runs that are shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rich.cells import cell_len
from textual.content import Content
from textual.widget import Widget

from core.runs.status import State
from tui.state.follower import Follower
from tui.state.formatting import (
    approx_duration,
    devices_text,
    hms,
    images_per_second,
    pluralize,
    seconds_left,
    shorten,
)
from tui.state.run_totals import RunTotals
from tui.state.snapshot import RunSnapshot
from tui.widgets.fitted_text import ELLIPSIS

PROGRAM_NAME: Final = "ddpm-tui"
SEPARATOR: Final = " · "
GAP: Final = "   "
DATASET_CELLS: Final = 20
"""Cells of a dataset's name, so that a long one leaves room for the other facts."""
STATES: Final = (
    State.FAILED,
    State.CRASHED,
    State.RUNNING,
    State.STARTING,
    State.STOPPING,
    State.QUEUED,
    State.STOPPED,
    State.FINISHED,
)
"""States in the order in which runs are counted."""


@dataclass(frozen=True, slots=True)
class Headline:
    """Parts of the top line: title, facts, extras and a warning on the left, figures on the right.

    If the line is too narrow, extras are dropped first, then all figures but the last two, then facts from the end.
    An ellipsis follows extras that are not all of them.
    """

    title: str = ""
    facts: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    warning: str = ""


class Header(Widget, can_focus=False):
    """The name of the program, the shown runs, and the speed and duration of their training."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._headline = Headline()

    def show(self, headline: Headline) -> None:
        if headline != self._headline:
            self._headline = headline
            self.refresh()

    def render(self) -> Content:
        return headline_content(self._headline, self.size.width)


def headline_content(headline: Headline, width: int) -> Content:
    """The top line in `width` cells."""
    facts = [*([headline.title] if headline.title else []), *headline.facts]
    extras, figures, warning = list(headline.extras), list(headline.figures), headline.warning

    def left() -> str:
        return SEPARATOR.join(description()) + (f"  {warning}" if warning else "")

    def description() -> list[str]:
        is_partial = 0 < len(extras) < len(headline.extras)
        return [*facts, *extras, *([ELLIPSIS] if is_partial else [])]

    def too_wide() -> bool:
        return len(f" {PROGRAM_NAME}  ") + cell_len(left()) + 2 + cell_len(GAP.join(figures)) + 1 > width

    while too_wide() and extras:
        extras.pop()
    while too_wide() and len(figures) > 2:
        del figures[0]
    while too_wide() and len(facts) > 1:
        facts.pop()
    while too_wide() and len(figures) > 1:
        del figures[0]
    right = GAP.join(figures)
    space = max(2, width - len(f" {PROGRAM_NAME}  ") - cell_len(left()) - cell_len(right) - 1)
    return Content.assemble(
        (f" {PROGRAM_NAME}  ", "bold $text-primary"),
        (SEPARATOR.join(description()), "bold"),
        (f"  {warning}" if warning else "", "$text-warning"),
        " " * space,
        f"{right} ",
    ).truncate(width, ellipsis=True)


def make_headline(
    totals: RunTotals,
    *,
    title: str,
    now: float,
    runner_alive: bool,
    problems: int,
    dated: bool = False,
    order: str = "",
    unread: int = 0,
    follower: Follower | None = None,
) -> Headline:
    """Compose the top line for some runs.

    Args:
        totals: totals of the shown runs.
        title: the name of their group.
        now: the wall clock.
        runner_alive: a queue runner starts the queued runs.
        problems: number of run folders that cannot be read.
        dated: include the time of queueing, which distinguishes groups.
        order: the order of the runs, as text.
        unread: number of runs that have not been read yet.
        follower: pulls the runs from another host, whose own runner starts them.
    """
    counts, pending = totals.state_counts, totals.pending
    datasets = totals.datasets
    facts = []
    if totals.count:
        names = " ".join(shorten(name, DATASET_CELLS) for name in datasets)
        facts.append(names if len(datasets) < 3 else pluralize(len(datasets), "dataset"))
        different = totals.schedule_count == totals.count
        facts.append(pluralize(totals.count, "schedule" if different else "run"))
    where = devices_text(pending)
    if where:
        facts.append(where)
    extras = [follower.text] if follower is not None and follower.text else []
    extras += [order] if order else []
    extras += [f"{counts[state]:,} {state}" for state in STATES if state in counts]
    if dated and totals.count:
        extras.insert(0, f"{datetime.fromtimestamp(totals.first_queued):%b %d %H:%M}")
    rate, left = images_per_second(pending), seconds_left(pending)
    figures = [f"{approx_duration(left)} left"] if left is not None else []
    if rate:
        figures.append(f"{rate:,.0f} img/s")
    if totals.count:
        figures.append(hms(totals.elapsed(now)))
    warning = ""
    if unread:
        warning = f"reading {unread:,} more"
    elif follower is not None and follower.warning:
        warning = follower.warning
    elif _is_idle(pending) and not (runner_alive or follower):
        warning = "queue is idle"
    elif problems:
        warning = f"{pluralize(problems, 'run')} unreadable"
    return Headline(title, tuple(facts), tuple(extras), tuple(figures), warning)


def _is_idle(pending: Sequence[RunSnapshot]) -> bool:
    """Return whether runs wait in the queue of this machine, and none trains."""
    waits = any(run.state is State.QUEUED and not run.queue for run in pending)
    return waits and not any(run.state.is_live for run in pending)
