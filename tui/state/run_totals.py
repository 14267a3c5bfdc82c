"""Totals over runs, kept so that an update only visits runs that are still pending."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from core.runs.status import State
from tui.state.formatting import created_at, training_seconds
from tui.state.snapshot import RunSnapshot


@dataclass(frozen=True, slots=True)
class RunTotals:
    """Totals over runs.

    Attributes:
        count, state_counts, datasets, recipes, schedule_count: over all runs.
        first_queued: the time at which the first run was queued, in seconds since the epoch; 0 without runs.
        pending: the live and the queued runs.
        ended_seconds: seconds of training, summed over ended runs.
        last_heartbeat: the latest heartbeat of ended runs, in seconds since the epoch.
    """

    count: int = 0
    state_counts: Mapping[State, int] = field(default_factory=dict)
    datasets: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ()
    schedule_count: int = 0
    first_queued: float = 0.0
    pending: tuple[RunSnapshot, ...] = ()
    ended_seconds: float = 0.0
    last_heartbeat: float = 0.0

    @classmethod
    def from_runs(cls, runs: Iterable[RunSnapshot]) -> "RunTotals":
        """Compute the totals in one pass over all runs."""
        runs = list(runs)
        counts: dict[State, int] = {}
        for run in runs:
            counts[run.state] = counts.get(run.state, 0) + 1
        ended = [run for run in runs if run.state.is_ended]
        oldest = min(runs, key=lambda run: run.file.created, default=None)
        return cls(
            count=len(runs),
            state_counts=counts,
            datasets=tuple(dict.fromkeys(run.data_title for run in runs)),
            recipes=tuple(dict.fromkeys(run.file.config.recipe for run in runs)),
            schedule_count=len({run.label for run in runs}),
            first_queued=created_at(oldest).timestamp() if oldest is not None else 0.0,
            pending=tuple(run for run in runs if not run.state.is_ended),
            ended_seconds=sum(run.status.elapsed for run in ended),
            last_heartbeat=max((run.status.heartbeat for run in ended), default=0.0),
        )

    def with_progress(self, runs: Mapping[str, RunSnapshot]) -> "RunTotals":
        """The same totals with newer snapshots of the pending runs, by id, whose states must be unchanged."""
        return replace(self, pending=tuple(runs[run.id] for run in self.pending))

    def elapsed(self, now: float) -> float:
        """Seconds for which these runs have been training.

        This is the smaller of the time since the first run was queued and the sum of all training times, so that
        parallel runs count once and pauses before a resume do not count.
        """
        trained = self.ended_seconds + sum(training_seconds(run, now) for run in self.pending)
        last = max(
            (now if run.state.is_live else run.status.heartbeat for run in self.pending),
            default=self.last_heartbeat,
        )
        return max(0.0, min(trained, max(last, self.last_heartbeat) - self.first_queued))
