"""Immutable snapshots of the runs folder, read in one thread and drawn in another.

A `RunsReader` belongs to one reader thread. Its snapshots can be kept and drawn indefinitely, because metrics are
only ever appended and the arrays are read-only views whose contents never change.

Each poll costs one stat of the runs folder. A queued or live run costs six stats plus the bytes that were appended.
An ended run costs three stats a second, and fewer if there are more than `FULL_RATE_RUNS` of them. Runs are kept in a
heap by their next read, so a poll touches only runs that are due. If many runs are new, a poll ends after
`FIRST_READ_SECONDS` with the newest runs and the number of runs that are still unread.
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
from core.launch.runner_lock import runner_is_alive
from core.runs.directory import RunDirectory
from core.runs.metrics import MetricsTail
from core.runs.status import State, Status
from core.runs.store import RunProblem, RunStore, live_warning
from tui.state.crash_reason import CrashLog
from tui.state.file_watch import EvaluationFile, WatchedDir
from tui.state.job_watch import JobWatch
from tui.state.snapshot import RunSnapshot, Snapshot

Clock = Callable[[], float]

ENDED_INTERVAL = 1.0
LIVENESS_INTERVAL = 0.5
LIST_INTERVAL = 5.0
FIRST_READ_SECONDS = 0.3
"""Seconds after which a poll stops reading new runs and returns those that it has."""
FULL_RATE_RUNS = 500
"""Ended runs that are read every `ENDED_INTERVAL`; more are read less often, so that a poll's cost is bounded."""


@dataclass(slots=True)
class _WatchedRun:
    """State of one run between polls."""

    directory: RunDirectory
    tail: MetricsTail
    samples: WatchedDir
    reverse: WatchedDir
    evaluated: EvaluationFile
    crash_log: CrashLog
    snapshot: RunSnapshot | None = None
    problem: RunProblem | None = None
    status: Status | None = None
    status_signature: FileSignature | None = None
    file_signature: FileSignature | None = None
    is_quiet: bool = False
    next_read: float = -1e18
    next_liveness: float = -1e18

    @property
    def is_crashed(self) -> bool:
        """Return whether the run was found crashed."""
        return self.snapshot is not None and self.snapshot.state is State.CRASHED


@dataclass(slots=True)
class RunsReader:
    """Reads a runs folder and polls it for changes.

    Args:
        root: the runs folder; it may not exist yet.
        now: the wall clock in seconds since the epoch, against which heartbeats are compared.
        monotonic: a monotonic clock in seconds, by which reads are scheduled.
    """

    root: Path
    now: Clock = time.time
    monotonic: Clock = time.monotonic
    _run_store: RunStore = field(init=False)
    _root_dir: WatchedDir = field(init=False)
    _watched: dict[str, _WatchedRun] = field(init=False, default_factory=dict)
    _due: list[tuple[float, str]] = field(init=False, default_factory=list)
    """A heap of the moments at which runs are read next."""
    _unread: list[str] = field(init=False, default_factory=list)
    """Runs that have never been read, the newest last."""
    _runs: dict[str, RunSnapshot] = field(init=False, default_factory=dict)
    """The latest snapshot of each readable run; in order of time unless `_unsorted`."""
    _unsorted: bool = field(init=False, default=False)
    _problems: dict[str, RunProblem] = field(init=False, default_factory=dict)
    _ended_count: int = field(init=False, default=0)
    _last_snapshot: Snapshot | None = field(init=False, default=None)
    _version: int = field(init=False, default=0)
    _runner_alive: bool = field(init=False, default=False)
    _next_runner_check: float = field(init=False, default=-1e18)
    _jobs: JobWatch = field(init=False)

    def __post_init__(self) -> None:
        self.root = Path(self.root)
        self._run_store = RunStore(self.root)
        self._root_dir = WatchedDir(self.root)
        self._jobs = JobWatch(self.root)

    def poll(self) -> Snapshot | None:
        """A new snapshot, or None if nothing changed since the last one; the first poll always returns a snapshot."""
        moment = self.monotonic()
        changed = (
            self._update_listing() if self._root_dir.poll(moment, at_least_every=LIST_INTERVAL) else False
        )
        changed |= self._read_new_runs(moment)
        for due, name in self._pop_due(moment):
            if (watched := self._watched.get(name)) is not None and watched.next_read == due:
                changed |= self._read_run(watched, moment)
        self._jobs.ask(run.status for run in self._runs.values())
        if moment >= self._next_runner_check:
            self._next_runner_check = moment + LIVENESS_INTERVAL
            self._runner_alive = runner_is_alive(self.root) is not False
        if (
            self._last_snapshot is not None
            and not changed
            and self._runner_alive == self._last_snapshot.runner_alive
        ):
            return None
        if self._unsorted:
            order = sorted(self._runs.values(), key=lambda run: (run.file.created, run.id))
            self._runs, self._unsorted = {run.id: run for run in order}, False
        self._last_snapshot = Snapshot(
            runs=tuple(self._runs.values()),
            problems=tuple(self._problems[name] for name in sorted(self._problems)),
            taken_at=self.now(),
            runner_alive=self._runner_alive,
            unread=len(self._unread),
        )
        return self._last_snapshot

    @property
    def anything_live(self) -> bool:
        """True if a run is queued, live or not yet read, so that frequent polls are worth their cost."""
        return bool(self._unread) or self._ended_count < len(self._runs)

    def _pop_due(self, moment: float) -> list[tuple[float, str]]:
        """Remove and return the runs that are due, with the moments at which they were due."""
        due = []
        while self._due and self._due[0][0] <= moment:
            due.append(heapq.heappop(self._due))
        return due

    def _read_new_runs(self, moment: float) -> bool:
        """Read new runs for `FIRST_READ_SECONDS`, the newest first; return whether any was read."""
        started, any_read = self.monotonic(), False
        while self._unread and (not any_read or self.monotonic() - started < FIRST_READ_SECONDS):
            if (watched := self._watched.get(self._unread.pop())) is not None:
                self._read_run(watched, moment)
            any_read = True
        return any_read

    def _update_listing(self) -> bool:
        """Match the watched runs to the folder's entries; return whether any was added or removed."""
        found = {directory.id: directory for directory in self._run_store.runs_by_name()}
        if found.keys() == self._watched.keys():
            return False
        unread = set(self._unread)
        self._unread = [name for name in found if name not in self._watched or name in unread]
        for name in self._watched.keys() - found.keys():
            self._forget(name)
        for name, directory in found.items():
            if name not in self._watched:
                self._watched[name] = _WatchedRun(
                    directory,
                    MetricsTail(directory.metrics_file),
                    WatchedDir(directory.samples),
                    WatchedDir(directory.reverse),
                    EvaluationFile(directory),
                    CrashLog(directory.log),
                )
        return True

    def _forget(self, name: str) -> None:
        """Forget a run that is no longer in the folder."""
        del self._watched[name]
        self._problems.pop(name, None)
        self._drop_snapshot(name)

    def _drop_snapshot(self, name: str) -> None:
        """Remove a run from the snapshots."""
        if (run := self._runs.pop(name, None)) is not None:
            self._ended_count -= run.state.is_ended

    def _schedule_read(self, watched: _WatchedRun, moment: float, *, ended: bool) -> None:
        slowdown = max(1.0, self._ended_count / FULL_RATE_RUNS)
        watched.next_read = moment + ENDED_INTERVAL * slowdown if ended else moment
        heapq.heappush(self._due, (watched.next_read, watched.directory.id))

    def _read_run(self, watched: _WatchedRun, moment: float) -> bool:
        """Read the changes of one run; return whether there were any."""
        run, before = watched.directory, watched.snapshot
        if watched.is_quiet and self._untouched(watched):
            self._schedule_read(watched, moment, ended=True)
            return False
        try:
            status, state = self._read_status(watched, moment)
            current_signature = signature(run.run_file)
            file = (
                run.read() if before is None or current_signature != watched.file_signature else before.file
            )
        except UserError as error:
            return self._store_problem(watched, str(error), moment)
        watched.file_signature = current_signature
        tail_changed = watched.tail.poll()
        sheets_changed, strips_changed = watched.samples.poll(moment), watched.reverse.poll(moment)
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
            warning=live_warning(run, status, now=self.now()) if state.is_live else "",
            pass_rate=watched.evaluated.pass_rate(),
            crash_reason=watched.crash_log.reason() if state is State.CRASHED else "",
            queue=self._jobs.note(status),
        )
        return self._store_snapshot(watched, after, moment)

    def _untouched(self, watched: _WatchedRun) -> bool:
        """Return whether an ended run is unchanged; it can only write again after its status has changed."""
        run = watched.directory
        return (
            signature(run.status_file) == watched.status_signature
            and signature(run.run_file) == watched.file_signature
            and not watched.evaluated.changed()
            and not (watched.is_crashed and watched.crash_log.changed())
        )

    def _read_status(self, watched: _WatchedRun, moment: float) -> tuple[Status, State]:
        """The status and the state derived from it; processes are checked every `LIVENESS_INTERVAL` seconds."""
        known = watched.status
        status = self._current_status(watched)
        if not status.state.is_live:
            return status, status.state
        if status is known and watched.snapshot is not None and moment < watched.next_liveness:
            return status, watched.snapshot.state
        watched.next_liveness = moment + LIVENESS_INTERVAL
        state = watched.directory.effective_state(status, now=self.now())
        if state is State.CRASHED:
            # It may have written its last status and exited between the two reads.
            status = self._current_status(watched)
            state = watched.directory.effective_state(status, now=self.now())
        return status, state

    def _current_status(self, watched: _WatchedRun) -> Status:
        """The status, reread only if its file changed."""
        current = signature(watched.directory.status_file)
        if watched.status is None or current != watched.status_signature:
            watched.status = watched.directory.read_status()
            watched.status_signature = current
        return watched.status

    def _store_snapshot(self, watched: _WatchedRun, after: RunSnapshot, moment: float) -> bool:
        """Store a run's snapshot; return whether it differs visibly from the one before."""
        before, had_problem = watched.snapshot, watched.problem is not None
        ended = after.state.is_ended
        watched.is_quiet = ended and watched.samples.is_settled and watched.reverse.is_settled
        watched.problem = None
        self._schedule_read(watched, moment, ended=ended)
        if before is not None and not had_problem and _looks_same(before, after):
            return False
        self._version += 1
        watched.snapshot = replace(after, version=self._version)
        self._problems.pop(after.id, None)
        self._ended_count += ended - (before is not None and before.state.is_ended)
        self._unsorted |= after.id not in self._runs or before is None or before.file is not after.file
        self._runs[after.id] = watched.snapshot
        return True

    def _store_problem(self, watched: _WatchedRun, message: str, moment: float) -> bool:
        """Store why a run cannot be read; a run whose folder is gone is being deleted and is no problem."""
        name = watched.directory.id
        problem = (
            RunProblem(watched.directory, sanitize(message)) if watched.directory.path.is_dir() else None
        )
        changed = problem != watched.problem or watched.snapshot is not None
        watched.problem, watched.snapshot, watched.is_quiet = problem, None, False
        self._drop_snapshot(name)
        self._problems.pop(name, None)
        if problem is not None:
            self._problems[name] = problem
        self._schedule_read(watched, moment, ended=True)
        return changed


def _looks_same(before: RunSnapshot, after: RunSnapshot) -> bool:
    """Return whether two snapshots look the same on screen, where heartbeats and fractions of seconds do not count."""
    return (
        before.state is after.state
        and before.warning == after.warning
        and before.crash_reason == after.crash_reason
        and before.queue == after.queue
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
