"""The runs folder as immutable snapshots: read in one thread, drawn in another.

A `RunsReader` belongs to one reader thread. What it hands out can be kept and drawn for as long as one likes:
the arrays are read-only views whose contents never change, because metrics are only ever appended.

What a poll costs: one stat of the runs folder; for a run that is queued or live six stats, plus the bytes
that were appended; for an ended run three stats a second, and less often where there are very many. A run is only
touched when its turn has come. Where there is much to read for the first time, a poll ends after a while with
what it has, the newest runs first, and says how many are still unread.
"""

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from core.errors import UserError
from core.files.sanitize import sanitize
from core.files.signature import FileSignature, signature
from core.launch.runner_lock import read_runner
from core.runs.directory import RunDirectory
from core.runs.metrics import MetricsTail
from core.runs.process import effective_state, is_alive, stall_warning
from core.runs.status import State, Status
from core.runs.store import RunProblem, RunStore
from tui.state.file_watch import EvaluationFile, WatchedDir
from tui.state.snapshot import RunSnapshot, Snapshot

Clock = Callable[[], float]

ENDED_INTERVAL = 1.0
LIVENESS_INTERVAL = 0.5
LIST_INTERVAL = 5.0
FIRST_READS = 0.3
"""Seconds after which a poll that reads runs for the first time hands out what it has."""
CALM_RUNS = 500
"""With more ended runs than these, each is looked at less often, so that looking costs the same."""


def runner_is_alive(root: Path) -> bool:
    """Whether somebody starts the runs that are queued in a folder, as far as this machine can tell."""
    runner = read_runner(root)
    return runner is not None and is_alive(runner.identity) is not False


@dataclass(slots=True)
class _Watched:
    """What the reader remembers of one run between polls."""

    directory: RunDirectory
    tail: MetricsTail
    samples: WatchedDir
    reverse: WatchedDir
    evaluated: EvaluationFile
    snapshot: RunSnapshot | None = None
    problem: RunProblem | None = None
    status: Status | None = None
    status_seen: FileSignature | None = None
    file_seen: FileSignature | None = None
    quiet: bool = False
    next_read: float = -1e18
    next_liveness: float = -1e18


@dataclass(slots=True)
class RunsReader:
    """Reads a runs folder; each `poll` says what changed since the one before.

    Args:
        root: the runs folder; it may not exist yet.
        now: the wall clock, seconds since the epoch, by which a heartbeat is judged.
        pace: seconds that only ever rise, by which the reader decides how often to look at what.
    """

    root: Path
    now: Clock = time.time
    pace: Clock = time.monotonic
    _store: RunStore = field(init=False)
    _folder: WatchedDir = field(init=False)
    _watched: dict[str, _Watched] = field(init=False, default_factory=dict)
    _due: list[tuple[float, str]] = field(init=False, default_factory=list)
    """When each run is to be looked at next: a heap."""
    _unread: list[str] = field(init=False, default_factory=list)
    """Runs that have never been read, the newest last."""
    _runs: dict[str, RunSnapshot] = field(init=False, default_factory=dict)
    """The latest snapshot of each readable run; in order of time unless `_unsorted`."""
    _unsorted: bool = field(init=False, default=False)
    _problems: dict[str, RunProblem] = field(init=False, default_factory=dict)
    _ended: int = field(init=False, default=0)
    _last: Snapshot | None = field(init=False, default=None)
    _versions: int = field(init=False, default=0)
    _runner_alive: bool = field(init=False, default=False)
    _next_runner_check: float = field(init=False, default=-1e18)

    def __post_init__(self) -> None:
        self.root = Path(self.root)
        self._store = RunStore(self.root)
        self._folder = WatchedDir(self.root)

    def poll(self) -> Snapshot | None:
        """A new snapshot, or None when nothing changed since the last; the first poll always gives one."""
        moment = self.pace()
        changed = self._list() if self._folder.changed(moment, at_least_every=LIST_INTERVAL) else False
        changed |= self._read_first(moment)
        for due, name in self._read_due(moment):
            if (watched := self._watched.get(name)) is not None and watched.next_read == due:
                changed |= self._read_run(watched, moment)
        if moment >= self._next_runner_check:
            self._next_runner_check = moment + LIVENESS_INTERVAL
            self._runner_alive = runner_is_alive(self.root)
        if self._last is not None and not changed and self._runner_alive == self._last.runner_alive:
            return None
        if self._unsorted:
            order = sorted(self._runs.values(), key=lambda run: (run.file.created, run.id))
            self._runs, self._unsorted = {run.id: run for run in order}, False
        self._last = Snapshot(
            runs=tuple(self._runs.values()),
            problems=tuple(self._problems[name] for name in sorted(self._problems)),
            taken_at=self.now(),
            runner_alive=self._runner_alive,
            unread=len(self._unread),
        )
        return self._last

    @property
    def anything_live(self) -> bool:
        """Whether a run is queued or live, or not yet read, so that looking often is worth it."""
        return bool(self._unread) or self._ended < len(self._runs)

    def _read_due(self, moment: float) -> list[tuple[float, str]]:
        """The runs whose turn it is, and since when."""
        taken = []
        while self._due and self._due[0][0] <= moment:
            taken.append(heapq.heappop(self._due))
        return taken

    def _read_first(self, moment: float) -> bool:
        """Read runs that are new here, the newest first, for as long as nobody minds; whether any was."""
        started, any_read = self.pace(), False
        while self._unread and (not any_read or self.pace() - started < FIRST_READS):
            if (watched := self._watched.get(self._unread.pop())) is not None:
                self._read_run(watched, moment)
            any_read = True
        return any_read

    def _list(self) -> bool:
        """Bring the watched runs in line with the folder's entries; whether that changed anything."""
        found = {directory.id: directory for directory in self._store.runs_by_name()}
        if found.keys() == self._watched.keys():
            return False
        unread = set(self._unread)
        self._unread = [name for name in found if name not in self._watched or name in unread]
        for name in self._watched.keys() - found.keys():
            self._forget(name)
        for name, directory in found.items():
            if name not in self._watched:
                self._watched[name] = _Watched(
                    directory,
                    MetricsTail(directory.metrics_file),
                    WatchedDir(directory.samples),
                    WatchedDir(directory.reverse),
                    EvaluationFile(directory),
                )
        return True

    def _forget(self, name: str) -> None:
        """A run is gone from the folder."""
        del self._watched[name]
        self._problems.pop(name, None)
        self._drop(name)

    def _drop(self, name: str) -> None:
        """There is nothing to show of this run."""
        if (run := self._runs.pop(name, None)) is not None:
            self._ended -= run.state.is_ended

    def _reread(self, watched: _Watched, moment: float, *, ended: bool) -> None:
        calm = max(1.0, self._ended / CALM_RUNS)
        watched.next_read = moment + ENDED_INTERVAL * calm if ended else moment
        heapq.heappush(self._due, (watched.next_read, watched.directory.id))

    def _read_run(self, watched: _Watched, moment: float) -> bool:
        """Read what is new of one run; whether anything was."""
        run, before = watched.directory, watched.snapshot
        if watched.quiet and self._untouched(watched):
            self._reread(watched, moment, ended=True)
            return False
        try:
            status, state = self._read_status(watched, moment)
            file_seen = signature(run.run_file)
            file = run.read() if before is None or file_seen != watched.file_seen else before.file
        except UserError as error:
            return self._fail(watched, str(error), moment)
        watched.file_seen = file_seen
        tail_changed = watched.tail.poll()
        sheets_changed, strips_changed = watched.samples.changed(moment), watched.reverse.changed(moment)
        if before is None:
            before = RunSnapshot(run, file, status, state, watched.tail.steps, watched.tail.losses)
            tail_changed = sheets_changed = strips_changed = True
        after = RunSnapshot(
            run,
            file,
            status,
            state,
            watched.tail.steps if tail_changed else before.steps,
            watched.tail.losses if tail_changed else before.losses,
            tuple(watched.tail.epochs) if tail_changed else before.epochs,
            tuple(run.sample_sheets()) if sheets_changed else before.sheets,
            tuple(run.reverse_strips()) if strips_changed else before.strips,
            warning=stall_warning(status, now=self.now()) if state.is_live else "",
            pass_rate=watched.evaluated.pass_rate(),
        )
        return self._keep(watched, after, moment)

    def _untouched(self, watched: _Watched) -> bool:
        """Whether a run that has ended is as it was; only a new status can make it write again."""
        run = watched.directory
        return (
            signature(run.status_file) == watched.status_seen
            and signature(run.run_file) == watched.file_seen
            and not watched.evaluated.changed()
        )

    def _read_status(self, watched: _Watched, moment: float) -> tuple[Status, State]:
        """The status and what to make of it; a process is looked for twice a second, not at every poll."""
        known = watched.status
        status = self._current_status(watched)
        if not status.state.is_live:
            return status, status.state
        if status is known and watched.snapshot is not None and moment < watched.next_liveness:
            return status, watched.snapshot.state
        watched.next_liveness = moment + LIVENESS_INTERVAL
        state = effective_state(status, now=self.now())
        if state is State.CRASHED:
            # It may have written its last word and left between our two looks.
            status = self._current_status(watched)
            state = effective_state(status, now=self.now())
        return status, state

    def _current_status(self, watched: _Watched) -> Status:
        """The status, read again only if its file changed."""
        seen = signature(watched.directory.status_file)
        if watched.status is None or seen != watched.status_seen:
            watched.status = watched.directory.read_status()
            watched.status_seen = seen
        return watched.status

    def _keep(self, watched: _Watched, after: RunSnapshot, moment: float) -> bool:
        before, had_problem = watched.snapshot, watched.problem is not None
        ended = after.state.is_ended
        watched.quiet = ended and watched.samples.is_settled and watched.reverse.is_settled
        watched.problem = None
        self._reread(watched, moment, ended=ended)
        if before is not None and not had_problem and _same(before, after):
            return False
        self._versions += 1
        watched.snapshot = replace(after, version=self._versions)
        self._problems.pop(after.id, None)
        self._ended += ended - (before is not None and before.state.is_ended)
        self._unsorted |= after.id not in self._runs or before is None or before.file is not after.file
        self._runs[after.id] = watched.snapshot
        return True

    def _fail(self, watched: _Watched, message: str, moment: float) -> bool:
        """Remember why a run cannot be read; a run that is being removed is no problem, it is just gone."""
        name = watched.directory.id
        problem = (
            RunProblem(watched.directory, sanitize(message)) if watched.directory.path.is_dir() else None
        )
        changed = problem != watched.problem or watched.snapshot is not None
        watched.problem, watched.snapshot, watched.quiet = problem, None, False
        self._drop(name)
        self._problems.pop(name, None)
        if problem is not None:
            self._problems[name] = problem
        self._reread(watched, moment, ended=True)
        return changed


def _same(before: RunSnapshot, after: RunSnapshot) -> bool:
    """Whether a person would see no difference: a heartbeat is none, nor is part of a second."""
    return (
        before.state is after.state
        and before.warning == after.warning
        and before.file is after.file
        and before.losses is after.losses
        and before.sheets == after.sheets
        and before.strips == after.strips
        and before.pass_rate == after.pass_rate
        and _same_status(before.status, after.status)
    )


def _same_status(before: Status, after: Status) -> bool:
    if before is after:
        return True
    return int(before.elapsed) == int(after.elapsed) and before == msgspec.structs.replace(
        after, heartbeat=before.heartbeat, elapsed=before.elapsed
    )
