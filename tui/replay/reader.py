"""Reader of recorded runs: yields the snapshots that `tui.state.reader.RunsReader` would have at the replayed time."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from core.runs.status import State
from tui.replay.clock import ReplayClock
from tui.replay.recording import Recording
from tui.state.snapshot import RunSnapshot, Snapshot

MAX_IDLE_SECONDS: Final = 5.0
"""Seconds that are played of an interval in which no run trains; the rest is skipped."""


class Timeline:
    """Map from seconds of a replay to the wall clock of its runs, without intervals in which nothing trained.

    Args:
        recordings: at least one.
    """

    def __init__(self, recordings: Sequence[Recording]) -> None:
        self._pieces: list[tuple[float, float]] = []
        """Beginning of each piece: in the replay, and on the wall clock."""
        played, until = 0.0, min(recording.queued for recording in recordings)
        for started, ended in sorted((recording.started, recording.ended) for recording in recordings):
            if started > until or not self._pieces:
                begin = max(until, started - MAX_IDLE_SECONDS)
                self._pieces.append((played, begin))
                until = begin
            if ended > until:
                played += ended - until
                until = ended
        self.length = played
        self._end = max(recording.ended for recording in recordings)

    def wall_clock(self, position: float) -> float:
        """The wall clock at a position of the replay; at its end all runs have ended."""
        if position >= self.length:
            return self._end
        played, began = next(piece for piece in reversed(self._pieces) if piece[0] <= max(0.0, position))
        return began + max(0.0, position) - played


@dataclass(slots=True)
class ReplayReader:
    """Source of snapshots of recorded runs at the time of a clock.

    Args:
        recordings: the runs.
        timeline: timeline of the runs.
        clock: clock of the replay.
    """

    recordings: Sequence[Recording]
    timeline: Timeline
    clock: ReplayClock
    _last: Snapshot | None = field(init=False, default=None)
    _versions: int = field(init=False, default=0)

    def poll(self) -> Snapshot | None:
        """A new snapshot, or None when nothing changed since the last; the first poll always returns one."""
        now = self.timeline.wall_clock(self.clock.position)
        before = self._last.runs if self._last is not None else ()
        runs = tuple(
            self._reuse_unchanged(recording.at(now), before[index] if before else None)
            for index, recording in enumerate(self.recordings)
        )
        if before and all(new is old for new, old in zip(runs, before, strict=True)):
            return None
        waiting = any(run.state is State.QUEUED for run in runs)
        self._last = Snapshot(runs, taken_at=now, runner_alive=waiting)
        return self._last

    @property
    def anything_live(self) -> bool:
        """True while the clock advances, so that frequent polling is worth it."""
        return self.clock.playing

    def _reuse_unchanged(self, new: RunSnapshot, old: RunSnapshot | None) -> RunSnapshot:
        """Return the old snapshot, or a new one with its arrays, where they are equal, as a live reader does."""
        if old is None:
            self._versions += 1
            return replace(new, version=self._versions)
        same_steps = len(new.losses) == len(old.losses)
        same = (
            same_steps
            and new.state is old.state
            and int(new.status.elapsed) == int(old.status.elapsed)
            and (new.status.epoch, new.status.step) == (old.status.epoch, old.status.step)
            and (len(new.sheets), len(new.strips)) == (len(old.sheets), len(old.strips))
        )
        if same:
            return old
        self._versions += 1
        if same_steps:
            new = replace(new, steps=old.steps, losses=old.losses)
        return replace(new, version=self._versions)
