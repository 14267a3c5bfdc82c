"""The queue runner: starts workers for queued runs, buries those that end. Protocol: `core.launch.queue`."""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from core.errors import OUT_OF_MEMORY, UserError
from core.files.sanitize import sanitize
from core.files.signature import FileSignature
from core.files.untrusted import open_regular
from core.launch.devices import Plan, Slot
from core.launch.runner_lock import RunnerLock, between_enqueueings
from core.launch.subprocess_env import WORKER_MODULE, command_line, environment_for_training
from core.runs.directory import RunBusyError, RunDirectory
from core.runs.process import host_name
from core.runs.status import State
from core.runs.store import RunInfo, RunStore

_POLL: Final = 0.5
_STRIKES: Final = 3
_LONGEST_WAIT: Final = 60.0
_TAIL: Final = 1 << 14
_LEFTOVER_AGE: Final = 3600.0


@dataclass(frozen=True)
class _Worker:
    """A process of ours, and the run's status file as it was when we started it."""

    run: RunDirectory
    process: "subprocess.Popen[bytes]"
    slot: Slot
    signature: FileSignature
    log_start: int


@dataclass
class _Strikes:
    """How often a run's worker left without a word, and when to try again (monotonic seconds)."""

    count: int = 0
    not_before: float = 0.0


class Runner:
    """Starts workers until nothing is queued or live; must run in a main thread, for its signals."""

    def __init__(
        self, root: Path, plan: Plan, lock: RunnerLock, *, worker_module: str = WORKER_MODULE
    ) -> None:
        self.root = root.absolute()
        self._plan = plan
        self._lock = lock
        self._worker_module = worker_module
        self._store = RunStore(self.root)
        self._workers: list[_Worker] = []
        self._strikes: dict[Path, _Strikes] = {}
        self._terminated = False

    def run(self) -> None:
        """Work until nothing is left, the runs folder is gone, or SIGTERM; workers are left alone."""
        _say(f"runner {os.getpid()} begins: {self._plan.capacity} at once on {self._devices()}")
        _remove_leftovers(self.root)
        with _waking_signals(self._terminate) as bell:
            while not self._terminated and self._lock.is_ours():
                started = time.monotonic()
                if not self._poll():
                    self._lock.retract()
                    if not self._poll():
                        break
                    self._lock.announce()
                cost = time.monotonic() - started
                _wait(bell, max(_POLL, 20 * cost))
        _say(f"runner {os.getpid()} ends")

    def _poll(self) -> bool:
        """Bury, look and start once; whether there is anything to come back for."""
        self._reap()
        with between_enqueueings(self.root) as quiet:
            infos = self._store.infos()
        own = {worker.run.path for worker in self._workers}
        others = [info for info in infos if info.directory.path not in own]
        queued = [info for info in others if info.state is State.QUEUED]
        live = [(worker.slot.device, worker.slot.threads) for worker in self._workers]
        live += [
            (info.status.device, info.status.threads)
            for info in others
            if info.state.is_live and info.status.host == host_name()
        ]
        if quiet and not self._terminated:
            ready = [info for info in queued if self._may_start(info.directory)]
            for info, slot in zip(ready, self._plan.free(live, len(ready)), strict=False):
                if fitting := self._with_threads_of_before(info, slot, alone=not live):
                    self._start(info, fitting)
                    live.append((fitting.device, fitting.threads))
        return bool(queued or live or not quiet)

    def _with_threads_of_before(self, info: RunInfo, slot: Slot, *, alone: bool) -> Slot | None:
        """The slot with as many threads as a resumed run had, so that it goes on exactly; None: wait for them.

        More than the slot has would crowd the others, so such a run waits until it is alone. On a machine that has
        never had so many cores it takes what there is.
        """
        wanted = info.status.threads
        if slot.device != "cpu" or wanted == 0 or wanted > self._plan.cores:
            return slot
        if wanted > slot.threads and not alone:
            return None
        return replace(slot, threads=wanted)

    def _may_start(self, run: RunDirectory) -> bool:
        strikes = self._strikes.get(run.path)
        return strikes is None or time.monotonic() >= strikes.not_before

    def _start(self, info: RunInfo, slot: Slot) -> None:
        run = info.directory
        command = command_line(
            self._worker_module,
            str(run.path),
            *("--device", slot.device, "--threads", str(slot.threads // slot.processes)),
            processes=slot.processes,
        )
        folder = info.file.provenance.get("directory", "")
        try:
            signature = _signature(run)
            with _open_log(run) as log:
                threads = f"{slot.threads} thread" + "s" * (slot.threads != 1)
                log.write(f"--- {_now()} worker on {slot.device}, {threads}\n".encode())
                log.flush()
                log_start = log.tell()
                process = subprocess.Popen(
                    command,
                    start_new_session=True,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=folder if os.path.isdir(folder) else None,
                    env=_worker_environment(info, slot),
                )
        except OSError as error:  # removed meanwhile, or the machine is out of something
            _say(f"{run.id}: cannot start a worker ({error})")
            self._strike(run, f"no worker could be started ({error.strerror or error})")
            return
        _say(f"{run.id}: worker {process.pid} on {slot.device}, {slot.threads} threads")
        self._workers.append(_Worker(run, process, slot, signature, log_start))

    def _reap(self) -> None:
        for worker in list(self._workers):
            code = worker.process.poll()
            if code is not None:
                self._workers.remove(worker)
                _say(f"{worker.run.id}: worker {worker.process.pid} ended ({code})")
                self._handle_exit(worker, code)
                if code < 0:
                    _log_killed(worker.run, code)

    def _handle_exit(self, worker: _Worker, code: int) -> None:
        """Make sure that a run whose worker never took it is not started for ever."""
        run = worker.run
        try:
            untouched = _signature(run) == worker.signature
        except OSError:  # removed
            return
        if not untouched:
            self._strikes.pop(run.path, None)
        elif code == 0:
            self._strike(run, "its worker ended three times without a word")
        elif not _fail_if_queued(run, worker.signature, words := _last_words(worker, code)):
            self._strike(run, words)

    def _strike(self, run: RunDirectory, error: str) -> None:
        """Try again later, each time after twice as long; after three times say that the run failed.

        Where not even that can be said, on a full disk or in a folder that cannot be written, try once a minute.
        """
        strikes = self._strikes.setdefault(run.path, _Strikes())
        strikes.count += 1
        strikes.not_before = time.monotonic() + min(_POLL * 2**strikes.count, _LONGEST_WAIT)
        if strikes.count >= _STRIKES:
            try:
                said = _fail_if_queued(run, _signature(run), error)
            except OSError:  # removed
                said = True
            if said:
                del self._strikes[run.path]

    def _terminate(self) -> None:
        self._terminated = True

    def _devices(self) -> str:
        return ", ".join(device.name for device in self._plan.devices)


def _worker_environment(info: RunInfo, slot: Slot) -> dict[str, str]:
    environment = environment_for_training(slot.threads, processes=slot.processes)
    environment["PYTHONUNBUFFERED"] = "1"
    if "CUDA_VISIBLE_DEVICES" not in environment:
        environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # the order of nvidia-smi, by which slots were given
    if data := info.file.provenance.get("data_dir"):
        environment["DDPM_DATA"] = data
    return environment


def _open_log(run: RunDirectory) -> BinaryIO:
    """The worker's log, to append to; a link or a pipe in its place is an OSError, not followed or waited at."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    return os.fdopen(os.open(run.log, flags, 0o666), "ab")


def _log_killed(run: RunDirectory, code: int) -> None:
    """Leave word in the log of a worker that was killed and could not."""
    words = f"--- {_now()} the worker was killed by {_signal_name(-code)}"
    if code == -signal.SIGKILL:
        words += f"; if nobody did that, the system ran {OUT_OF_MEMORY}"
    with contextlib.suppress(OSError), _open_log(run) as log:  # the run is removed, or the disk full
        log.write(f"{words}\n".encode())


def _fail_if_queued(run: RunDirectory, signature: FileSignature, error: str) -> bool:
    """Mark a run as failed if its status is still the file that it was; False when that could not be written."""
    try:
        with run.lock():
            status = run.read_status()
            if status.state is State.QUEUED and _signature(run) == signature:
                changes = {"state": State.FAILED, "error": sanitize(error), "heartbeat": time.time()}
                run.write_status(msgspec.structs.replace(status, **changes))
                _say(f"{run.id}: failed ({error})")
    except RunBusyError:
        return True  # a worker that another runner started has it
    except (UserError, OSError) as problem:
        _say(f"{run.id}: {problem}")
        return not run.status_file.exists()
    return True


def _last_words(worker: _Worker, code: int) -> str:
    """How a worker ended, with the last line that it wrote."""
    how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with code {code}"
    try:
        with open_regular(worker.run.log) as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(worker.log_start, size - _TAIL))
            lines = log.read(_TAIL).decode("utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    said = [line.strip() for line in lines if line.strip()]
    # After a worker's error torchrun has its own words, and many.
    last = next(
        (line for line in reversed(said) if line.startswith("error: ")), (said or ["it wrote nothing"])[-1]
    )
    return f"the worker {how} before it began: {last}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _signature(run: RunDirectory) -> FileSignature:
    return FileSignature.from_stat(os.stat(run.status_file))


def _remove_leftovers(root: Path) -> None:
    """Delete what a killed enqueue, clone or remove left hidden, once nobody can be at it any more."""
    for pattern in (".new-*", ".trash-*"):
        for folder in root.glob(pattern):
            with contextlib.suppress(OSError):
                if time.time() - folder.stat().st_ctime > _LEFTOVER_AGE:
                    shutil.rmtree(folder)


@contextlib.contextmanager
def _waking_signals(terminate: Callable[[], None]) -> Iterator[int]:
    """Handle SIGTERM, SIGINT and SIGCHLD; the file descriptor becomes readable at each."""
    bell, ringer = os.pipe()
    os.set_blocking(bell, False)
    os.set_blocking(ringer, False)
    old_wakeup = signal.set_wakeup_fd(ringer, warn_on_full_buffer=False)
    handlers = {
        signal.SIGTERM: lambda *_: terminate(),
        signal.SIGINT: lambda *_: terminate(),
        signal.SIGCHLD: lambda *_: None,
    }
    old_handlers = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield bell
    finally:
        for number, handler in old_handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(old_wakeup)
        os.close(bell)
        os.close(ringer)


def _wait(bell: int, seconds: float) -> None:
    if select.select([bell], [], [], seconds)[0]:
        with contextlib.suppress(BlockingIOError):
            os.read(bell, 4096)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _say(text: str) -> None:
    with contextlib.suppress(
        OSError
    ):  # a full disk must not end the runner: its log is the least that is lost
        print(f"{_now()} {sanitize(text)}", flush=True)
