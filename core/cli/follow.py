"""Following runs until they end: a bar for each on a terminal, a line for each event elsewhere."""

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from core.cli.describe import epoch_line, images_lines, read_epochs, run_json, run_labels
from core.cli.output import duration_text, emit, emit_json, is_terminal, note, number_text, print_error
from core.errors import EXIT_INTERRUPTED, RunFailedError, UserError
from core.files.sanitize import sanitize
from core.launch.engines.start import start, stop
from core.launch.queue import ensure_runner
from core.runs import EpochRecord, MetricsTail, RunDirectory, RunInfo, RunStore, State
from core.runs.monitoring import monitor_title, run_plateau

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

POLL_INTERVAL = 0.2
RUNNER_CHECK_INTERVAL = 5.0
MAX_RUNNER_STARTS = 4
MAX_QUEUED_BARS = 10


class RunsStoppedError(UserError):
    """Runs were stopped before they finished, by Ctrl-C here or by another command."""

    exit_code = EXIT_INTERRUPTED


class Display(Protocol):
    """Display of runs while they are followed."""

    def update(self, info: RunInfo, new: Sequence[EpochRecord]) -> None:
        """Show the run's current state; `new` holds the epochs that have ended since the last call."""

    def write(self, text: str) -> None:
        """Write a line that stays."""


class Follower:
    """Follows runs of one store until all have ended, and stops them at Ctrl-C."""

    def __init__(
        self, store: RunStore, runs: Sequence[RunDirectory], *, device: str = "auto", slots: int | None = None
    ) -> None:
        self._store = store
        self._runs = list(runs)
        self._device = device
        self._slots = slots
        self._tails = {run: MetricsTail(run.metrics_file, epochs_only=True) for run in self._runs}
        self._reported = dict.fromkeys(self._runs, 0)
        self._images_reported: list[list[str]] = []
        for run in self._runs:
            self._new_epochs(run)  # epochs of earlier attempts are not reported again
        self._next_check = time.monotonic() + RUNNER_CHECK_INTERVAL
        self._runners_started = 0

    def wait_until_ended(self, *, as_json: bool) -> None:
        """Have the runs started, follow them until they end, and write the outcome to stdout.

        Ctrl-C stops the runs and waits for their checkpoints; a second Ctrl-C leaves at once.

        Raises:
            RunFailedError: runs failed or crashed; the reason of each is on stderr.
            RunsStoppedError: runs were stopped or removed.
            UserError: no queue runner stays alive to start the runs.
        """
        try:
            for line in start([info.directory for info in self._infos() if info.status.engine != "local"]):
                note(line)
            self._ensure_runners(self._infos())
            with _display(self._infos()) as display:
                self._watch(display)
        except KeyboardInterrupt:
            self._stop()
        infos = self._infos()
        self._note_plateaus(infos)
        if as_json:
            emit_json([run_json(info, read_epochs(info)) for info in infos])
        else:
            for info in infos:
                if info.state is State.FINISHED:
                    emit(str(info.directory.path))
        sys.stdout.flush()
        self._raise_for_state(infos)

    def _infos(self) -> list[RunInfo]:
        """Return the runs that still exist; a removed run is no longer followed."""
        infos = []
        for run in self._runs:
            try:
                infos.append(self._store.info(run))
            except UserError:
                if run.path.exists():
                    raise
        return infos

    def _watch(self, display: Display | None) -> None:
        while True:
            infos = self._infos()
            for info in infos:
                if display is not None:
                    self._report_images(info, display)
                    display.update(info, self._new_epochs(info.directory))
            if all(info.state.is_ended for info in infos):
                return
            if time.monotonic() >= self._next_check:
                self._next_check = time.monotonic() + RUNNER_CHECK_INTERVAL
                self._ensure_runners(infos)
            time.sleep(POLL_INTERVAL)

    def _report_images(self, info: RunInfo, display: Display) -> None:
        """Write counts and notes of the images once for all runs that are trained on the same."""
        lines = images_lines(info)
        if lines and lines not in self._images_reported:
            self._images_reported.append(lines)
            name = sanitize(info.file.config.data.title)
            for line in lines:
                display.write(f"{name}: {line}")

    def _new_epochs(self, run: RunDirectory) -> list[EpochRecord]:
        tail = self._tails[run]
        tail.poll()
        new = [record for record in tail.epochs if record.epoch > self._reported[run]]
        if new:
            self._reported[run] = new[-1].epoch
        return new

    def _ensure_runners(self, infos: Sequence[RunInfo]) -> None:
        """Start a queue runner for queued runs that have none, `MAX_RUNNER_STARTS` times at most."""
        queued = [
            info.directory.path.parent
            for info in infos
            if info.state is State.QUEUED and info.status.engine == "local"
        ]
        for root in dict.fromkeys(queued):
            self._runners_started += ensure_runner(root, self._device, self._slots)
            if self._runners_started > MAX_RUNNER_STARTS:
                raise UserError(f"{root}: no queue runner stays alive; see {root / '.queue.log'}")

    def _stop(self) -> None:
        note("stopping the runs, which write their checkpoints first (Ctrl-C again to leave at once)")
        infos = sorted(self._infos(), key=lambda info: info.state is not State.QUEUED)
        stop([info.directory for info in infos if not info.state.is_ended])
        self._watch(None)

    def _note_plateaus(self, infos: Sequence[RunInfo]) -> None:
        """Note since when finished runs have become no better, unless the end of the run has said so."""
        names = run_labels(infos)
        for info in infos:
            monitor = info.file.config.train.monitor
            plateau = run_plateau(read_epochs(info), monitor)
            if info.state is not State.FINISHED or plateau is None or plateau.verdict == "improving":
                continue
            if plateau.text != info.status.ending:
                note(f"{names[info.id]}: {monitor_title(monitor)} {plateau.text}")

    def _raise_for_state(self, infos: Sequence[RunInfo]) -> None:
        failed = [info for info in infos if info.state in (State.FAILED, State.CRASHED)]
        stopped = [info for info in infos if info.state is State.STOPPED]
        # A finished run that could not be resumed stays finished, with the reason in its status.
        refused = [info for info in infos if info.state is State.FINISHED and info.status.error]
        for info in refused:
            print_error(f"{info.id}: not resumed: {info.status.error}")
        for info in failed:
            print_error(f"{info.id}: {info.state}: {info.status.error or f'see {info.directory.log}'}")
        if stopped:
            ids = " ".join(info.id for info in stopped)
            root = stopped[0].directory.path.parent
            where = "" if root == Path("runs") else f" --runs {root}"
            note(f"to continue: core runs resume{where} {ids}", limit=0)
        if failed:
            raise RunFailedError(f"{len(failed)} of {len(self._runs)} runs failed")
        if refused:
            raise UserError(
                f"{len(refused)} of {len(self._runs)} runs could not be resumed; they stay finished"
            )
        if unfinished := len(self._runs) - len(infos) + len(stopped):
            raise RunsStoppedError(
                f"{unfinished} of {len(self._runs)} runs were stopped or removed before their end"
            )


@contextlib.contextmanager
def _display(infos: Sequence[RunInfo]) -> Iterator[Display]:
    names = run_labels(infos)
    if not is_terminal(sys.stderr):
        yield _LineDisplay(names)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[text]}", markup=False),
        TimeRemainingColumn(compact=True),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, refresh_per_second=5, expand=True, transient=True) as progress:
        yield _BarDisplay(progress, names)


class _LineDisplay:
    """Writes a line for each state that a run enters and each epoch that it ends."""

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names
        self._last_state: dict[str, str] = {}

    def update(self, info: RunInfo, new: Sequence[EpochRecord]) -> None:
        for record in new:
            self._write(info, epoch_line(record, info.status.epochs))
        text = state_text(info)
        if self._last_state.get(info.id) != text:
            self._last_state[info.id] = text
            self._write(info, text)

    def write(self, text: str) -> None:
        note(text)

    def _write(self, info: RunInfo, text: str) -> None:
        note(f"{self._names.get(info.id, info.id)}: {text}")


class _BarDisplay:
    """Shows a bar for each run that is training or starting, and a line for each that has ended."""

    def __init__(self, progress: "Progress", names: dict[str, str]) -> None:
        self._progress = progress
        self._names = names
        self._tasks: dict[str, TaskID] = {}
        self._losses: dict[str, str] = {}
        self._ended: set[str] = set()

    def update(self, info: RunInfo, new: Sequence[EpochRecord]) -> None:
        name = self._names.get(info.id, info.id)
        if info.id not in self._tasks:
            self._tasks[info.id] = self._progress.add_task(name, total=None, text="")
        if new:
            self._losses[info.id] = (
                f"loss {number_text(new[-1].mean)}, held out {number_text(new[-1].heldout)}"
            )
        if info.state.is_ended and info.id not in self._ended:
            self._ended.add(info.id)
            losses = self._losses.get(info.id)
            line = f"{name}: {state_text(info)}" + (f", {losses}" if losses else "")
            self._progress.console.print(sanitize(line), markup=False, highlight=False)
        self._progress.update(
            self._tasks[info.id],
            total=info.status.steps or None,
            completed=info.status.step,
            text=sanitize(self._task_text(info)),
            visible=info.state.is_live
            or (info.state is State.QUEUED and len(self._names) <= MAX_QUEUED_BARS),
        )

    def write(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)

    def _task_text(self, info: RunInfo) -> str:
        if info.state is not State.RUNNING:
            return " ".join(filter(None, (info.state.value, info.status.message)))
        if info.warning:
            return info.warning
        parts = [f"epoch {info.status.epoch}/{info.status.epochs}", self._losses.get(info.id, "")]
        if info.status.images_per_second:
            parts.append(f"{info.status.images_per_second:.0f}/s")
        return ", ".join(filter(None, parts))


def state_text(info: RunInfo) -> str:
    """Describe a run's state, with its reason or progress."""
    status = info.status
    match info.state:
        case State.STARTING:
            return " ".join(
                filter(None, ("starting", f"on {status.device}", status.message and f"({status.message})"))
            )
        case State.STOPPED:
            return f"stopped at step {status.step}"
        case State.FINISHED:
            text = (
                f"finished {status.epoch} epoch{'s' * (status.epoch != 1)} in {duration_text(status.elapsed)}"
            )
            return f"{text}: {status.ending}" if status.ending else text
        case State.FAILED:
            return f"failed: {status.error}"
        case State.CRASHED:
            return "crashed: its process is gone"
        case _:
            return " ".join(filter(None, (info.state.value, info.warning and f"({info.warning})")))
