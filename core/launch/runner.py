"""The queue runner: starts workers for queued runs and reaps those that end. Protocol: `core.launch.queue`."""

import contextlib
import itertools
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from core.errors import EXIT_NOT_STARTED, EXIT_OK, OUT_OF_MEMORY, UserError, os_error_text
from core.files.outputs import open_output
from core.files.sanitize import sanitize
from core.files.signature import FileSignature
from core.launch.devices import Plan, Slot
from core.launch.runner_lock import RunnerLock, try_enqueue_lock
from core.launch.subprocess_env import WORKER_MODULE
from core.launch.worker_process import exit_text, signal_name, start_worker, timestamp
from core.runs.copies import is_copy
from core.runs.directory import RunBusyError, RunDirectory
from core.runs.process import host_name
from core.runs.status import State
from core.runs.store import RunInfo, RunStore
from core.runs.withdrawal import withdraw_epochs

_POLL_SECONDS: Final = 0.5
_MAX_FAILURES: Final = 3
_MAX_BACKOFF: Final = 60.0
_LEFTOVER_AGE: Final = 3600.0


@dataclass(frozen=True)
class _Worker:
    """A worker process of this runner, with the signature of the run's status file when it was started."""

    run: RunDirectory
    process: "subprocess.Popen[bytes]"
    slot: Slot
    signature: FileSignature
    log_start: int


@dataclass
class _Backoff:
    """Number of workers that ended before they claimed a run, and the monotonic time of the next try."""

    failures: int = 0
    not_before: float = 0.0


class Runner:
    """Starts workers until nothing is queued or live; must run in the main thread because it handles signals."""

    def __init__(
        self, root: Path, plan: Plan, lock: RunnerLock, *, worker_module: str = WORKER_MODULE
    ) -> None:
        self.root = root.absolute()
        self._plan = plan
        self._lock = lock
        self._worker_module = worker_module
        self._store = RunStore(self.root)
        self._workers: list[_Worker] = []
        self._backoffs: dict[Path, _Backoff] = {}
        self._terminated = False

    def run(self) -> None:
        """Run until nothing is queued or live, the runs folder is gone, or SIGTERM; workers keep running."""
        _log(f"runner {os.getpid()} begins: {self._plan.capacity} at once on {self._device_names()}")
        if self._plan.note:
            _log(self._plan.note)
        _remove_leftovers(self.root)
        with _wakeup_fd(self._terminate) as wakeup_fd:
            while not self._terminated and self._lock.is_ours():
                started = time.monotonic()
                if not self._poll():
                    self._lock.retract()
                    if not self._poll():
                        break
                    self._lock.announce()
                poll_seconds = time.monotonic() - started
                _wait_readable(wakeup_fd, max(_POLL_SECONDS, 20 * poll_seconds))
        _log(f"runner {os.getpid()} ends")

    def _poll(self) -> bool:
        """Reap ended workers and start new ones; return whether anything is queued or live."""
        self._reap()
        with try_enqueue_lock(self.root) as acquired:
            infos = self._store.infos()
        # A copy of a run of another host, which trains it.
        infos = [info for info in infos if info.state.is_ended or not is_copy(info.directory.path)]
        own = {worker.run.path for worker in self._workers}
        others = [info for info in infos if info.directory.path not in own]
        queued = [info for info in others if info.state is State.QUEUED and info.status.engine == "local"]
        foreign = [info for info in others if info.state.is_live and info.status.host == host_name()]
        live = [(worker.slot.device, worker.slot.threads) for worker in self._workers]
        live += [(info.status.device, info.status.threads) for info in foreign]
        if acquired and not self._terminated:
            ready = [info for info in queued if self._may_start(info.directory)]
            training = [*(info for info in infos if info.directory.path in own), *foreign]
            plan, ready = _plan_for(self._plan, ready, training)
            for info, slot in zip(ready, plan.free_slots(live, len(ready)), strict=False):
                if resumable := self._with_previous_threads(info, slot, alone=not live):
                    self._start(info, resumable)
                    live.append((resumable.device, resumable.threads))
        return bool(queued or live or not acquired)

    def _with_previous_threads(self, info: RunInfo, slot: Slot, *, alone: bool) -> Slot | None:
        """Return the slot with the number of threads that a resumed run had before, because then it resumes exactly.

        Returns:
            None where the run has to wait: more threads than the slot has would crowd the others, so the run waits
            until it is alone. On a machine with fewer cores than threads before, the slot as it is.
        """
        threads = info.status.threads
        if slot.device != "cpu" or threads == 0 or threads > self._plan.cores:
            return slot
        if threads > slot.threads and not alone:
            return None
        return replace(slot, threads=threads)

    def _may_start(self, run: RunDirectory) -> bool:
        backoff = self._backoffs.get(run.path)
        return backoff is None or time.monotonic() >= backoff.not_before

    def _start(self, info: RunInfo, slot: Slot) -> None:
        run = info.directory
        try:
            signature = _status_signature(run)
            process, log_start = start_worker(run, info.file, slot, module=self._worker_module)
        except OSError as error:  # the run was removed, or the machine is out of some resource
            _log(f"{run.id}: cannot start a worker ({error})")
            self._back_off(run, f"no worker could be started ({sanitize(os_error_text(error))})")
            return
        _log(f"{run.id}: worker {process.pid} on {slot.device}, {slot.threads} threads")
        self._workers.append(_Worker(run, process, slot, signature, log_start))

    def _reap(self) -> None:
        for worker in list(self._workers):
            code = worker.process.poll()
            if code is not None:
                self._workers.remove(worker)
                _log(f"{worker.run.id}: worker {worker.process.pid} ended ({code})")
                self._handle_exit(worker, code)
                if code < 0:
                    _log_killed(worker.run, code)

    def _handle_exit(self, worker: _Worker, code: int) -> None:
        """Back off or fail a run whose worker never claimed it; otherwise it would be started again without end."""
        run = worker.run
        try:
            untouched = _status_signature(run) == worker.signature
        except OSError:  # removed
            return
        if not untouched:
            self._backoffs.pop(run.path, None)
        elif code in (EXIT_OK, EXIT_NOT_STARTED):
            self._back_off(run, "its worker ended three times without starting the run")
        elif not _fail_if_queued(run, worker.signature, error := exit_text(run, worker.log_start, code)):
            self._back_off(run, error)

    def _back_off(self, run: RunDirectory, error: str) -> None:
        """Retry later, doubling the delay each time; after three failures mark the run as failed.

        If the mark cannot be written, on a full disk or in a read-only folder, retry once a minute.
        """
        backoff = self._backoffs.setdefault(run.path, _Backoff())
        backoff.failures += 1
        backoff.not_before = time.monotonic() + min(_POLL_SECONDS * 2**backoff.failures, _MAX_BACKOFF)
        if backoff.failures >= _MAX_FAILURES:
            try:
                settled = _fail_if_queued(run, _status_signature(run), error)
            except OSError:  # removed
                settled = True
            if settled:
                del self._backoffs[run.path]

    def _terminate(self) -> None:
        self._terminated = True

    def _device_names(self) -> str:
        return ", ".join(device.name for device in self._plan.devices)


def _plan_for(plan: Plan, ready: list[RunInfo], training: Sequence[RunInfo]) -> tuple[Plan, list[RunInfo]]:
    """Return the plan for the next runs, and those of the runs `ready` that it may start now.

    A run that fills a GPU gets one to itself: it waits for an empty one, and those behind it wait for it.
    """
    if plan.slots or plan.devices[0].kind != "cuda":
        return plan, ready
    if any(map(_fills_gpu, [*training, *ready[:1]])):
        return plan.with_own_gpus(), ready
    return plan, list(itertools.takewhile(lambda info: not _fills_gpu(info), ready))


def _fills_gpu(info: RunInfo) -> bool:
    """Return whether a run keeps a GPU busy, so that it gains nothing from another beside it."""
    return info.file.config.model.preset == "thesis"


def _log_killed(run: RunDirectory, code: int) -> None:
    """Record the signal in the log of a worker that was killed, because the worker could not."""
    words = f"--- {timestamp()} the worker was killed by {signal_name(-code)}"
    if code == -signal.SIGKILL:
        words += f"; if nobody did that, the system ran {OUT_OF_MEMORY}"
    with (
        contextlib.suppress(OSError),
        open_output(run.log, append=True) as log,
    ):  # the run is removed, or the disk full
        log.write(f"{words}\n".encode())


def _fail_if_queued(run: RunDirectory, signature: FileSignature, error: str) -> bool:
    """Mark a run as failed if its status file is unchanged; return False if that could not be written."""
    try:
        with run.lock():
            status = run.read_status()
            if status.state is State.QUEUED and _status_signature(run) == signature:
                status = withdraw_epochs(run, status, otherwise=State.FAILED)
                run.write_status(
                    msgspec.structs.replace(status, error=sanitize(error), heartbeat=time.time())
                )
                _log(f"{run.id}: failed ({error})")
    except RunBusyError:
        return True  # claimed by a worker of another runner
    except (UserError, OSError) as problem:
        _log(f"{run.id}: {problem}")
        return not run.status_file.exists()
    return True


def _status_signature(run: RunDirectory) -> FileSignature:
    return FileSignature.from_stat(os.stat(run.status_file))


def _remove_leftovers(root: Path) -> None:
    """Delete hidden folders of an enqueue, clone or remove that was killed, once they are an hour old."""
    for pattern in (".new-*", ".trash-*"):
        for folder in root.glob(pattern):
            with contextlib.suppress(OSError):
                if time.time() - folder.stat().st_ctime > _LEFTOVER_AGE:
                    shutil.rmtree(folder)


@contextlib.contextmanager
def _wakeup_fd(terminate: Callable[[], None]) -> Iterator[int]:
    """Handle SIGTERM, SIGINT and SIGCHLD; yield a file descriptor that becomes readable at each."""
    read_fd, write_fd = os.pipe()
    os.set_blocking(read_fd, False)
    os.set_blocking(write_fd, False)
    old_wakeup = signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
    handlers = {
        signal.SIGTERM: lambda *_: terminate(),
        signal.SIGINT: lambda *_: terminate(),
        signal.SIGCHLD: lambda *_: None,
    }
    old_handlers = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield read_fd
    finally:
        for number, handler in old_handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(old_wakeup)
        os.close(read_fd)
        os.close(write_fd)


def _wait_readable(fd: int, seconds: float) -> None:
    if select.select([fd], [], [], seconds)[0]:
        with contextlib.suppress(BlockingIOError):
            os.read(fd, 4096)


def _log(text: str) -> None:
    # A full disk must not end the runner; its log matters least.
    with contextlib.suppress(OSError):
        print(f"{timestamp()} {sanitize(text)}", flush=True)
