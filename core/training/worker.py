"""The worker: ``python -m core.training.worker RUN --device D --threads N``, the one writer of a run's directory.

SIGTERM, SIGINT or a `control` file make it finish its step, write a checkpoint and stop. It ends with 0 when the run
finished or was stopped, 2 when it could not begin, 3 when the run failed.

``torchrun --nproc-per-node N -m core.training.worker RUN --device cuda`` trains the run in N processes, a GPU each. The
first of them is the worker: it has the run's lock, its pid is the run's, and it alone writes. The others `run_rank`.
"""

import argparse
import contextlib
import errno
import os
import signal
import sys
import time
import traceback
from collections import deque
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import torch

from core.data import load_dataset
from core.errors import (
    EXIT_OK,
    EXIT_RUN_FAILED,
    EXIT_USAGE,
    OUT_OF_MEMORY,
    UserError,
    is_out_of_memory,
)
from core.runs import (
    DISK_FULL,
    EpochRecord,
    MetricsWriter,
    NotQueuedError,
    RunBusyError,
    RunDirectory,
    State,
    Status,
)
from core.training.checkpoint import (
    Position,
    has_checkpoint,
    read_checkpoint,
    save_checkpoint,
    take_checkpoint,
)
from core.training.distributed import SingleProcess, init_distributed
from core.training.loop import EpochReport, StepsReport, Trainer
from core.training.malloc import disable_trim
from core.training.sample_sheets import draw_epoch, draw_missing, draw_noises

_STATUS_SECONDS = 0.5
_RATE_SECONDS = 5.0


class Worker:
    """Carries out one claimed run, from wherever its checkpoint stands."""

    def __init__(self, run: RunDirectory, status: Status, team: SingleProcess) -> None:
        self.run, self.status, self.team = run, status, team
        self.config = run.read().config
        self.stopping = False
        self._written = self._control_looked = 0.0
        self._base_elapsed = 0.0
        self._started = time.monotonic()
        self._pace: deque[tuple[float, int]] = deque()
        self._checkpointed = time.monotonic()

    def stop(self, *_: object) -> None:
        """Ask for a stop; safe in a signal handler."""
        self.stopping = True

    def work(self) -> State:
        """Train to the end or until stopped.

        Returns:
            FINISHED or STOPPED.
        """
        config = self.config
        self._write_status(message="making data", epochs=config.train.epochs)
        images = load_dataset(
            config.data.dataset,
            count=config.data.count,
            progress=lambda done, total: self._heartbeat(
                message=f"making data {100 * done // max(total, 1)}%"
            ),
        )
        self._write_status(message="building the network")
        self.team.all_reduce_max(True)  # the others may begin
        trainer = Trainer(config, images, self.team.device, self.team)
        with MetricsWriter(self.run.metrics_file) as metrics:
            found = take_checkpoint(self.run) if has_checkpoint(self.run) else None
            self.team.all_reduce_max(found is not None)
            if found is not None:
                tensors, position = found
                self._use_threads_of(position)
                trainer.restore(tensors, position, self.run)
                metrics.truncate_to(position.metrics_offset)
                self._base_elapsed = position.elapsed
            else:
                metrics.truncate_to(0)
                draw_noises(self.run, trainer)
            self._started = time.monotonic()
            self._write_status(
                state=State.RUNNING, message="", steps=trainer.steps, epoch=trainer.epoch, step=trainer.step
            )
            draw_missing(self.run, trainer, self._tick)
            for report in trainer.reports(self._stop_requested):
                self._on_report(report, trainer, metrics)
            if trainer.epoch < config.train.epochs:
                self._write_status(state=State.STOPPING, message="writing a checkpoint")
                self._checkpoint(trainer, metrics)
                return State.STOPPED
        return State.FINISHED

    def _use_threads_of(self, position: Position) -> None:
        """Go on with as many threads as before, on which the last bits of each sum depend, where there are cores."""
        cores = os.cpu_count() or 1
        alone_on_cpu = self.team.device.type == "cpu" and self.team.size == 1
        if alone_on_cpu and position.threads not in (0, torch.get_num_threads()):
            if position.threads > cores:
                print(
                    f"{position.threads} threads before, {cores} cores now: what follows may differ in the last bits"
                )
                return
            torch.set_num_threads(position.threads)
            self._write_status(threads=position.threads)

    def _on_report(self, report: StepsReport | EpochReport, trainer: Trainer, metrics: MetricsWriter) -> None:
        if isinstance(report, StepsReport):
            metrics.append_steps(report.first_step, report.epoch, self._elapsed(), report.losses)
            self._heartbeat(epoch=trainer.epoch, step=trainer.step, images_per_second=self._rate(trainer))
            due = time.monotonic() - self._checkpointed >= self.config.train.checkpoint_seconds
            if due and trainer.batch < trainer.batches:
                self._checkpoint(trainer, metrics)
            return
        metrics.append_epoch(
            EpochRecord(
                epoch=report.epoch,
                step=report.step,
                elapsed=self._elapsed(),
                mean=report.mean,
                min=report.min,
                max=report.max,
                heldout=report.heldout,
                images_per_second=self.status.images_per_second,
                learning_rate=report.learning_rate,
            )
        )
        self._write_status(epoch=trainer.epoch, step=trainer.step, fsync=False)
        draw_epoch(self.run, trainer, self._tick)
        self._checkpoint(trainer, metrics)
        self._pace.clear()

    def _tick(self) -> bool:
        self._heartbeat()
        return self._stop_requested() and self.status.epoch < self.config.train.epochs

    def _checkpoint(self, trainer: Trainer, metrics: MetricsWriter) -> None:
        # A step can spoil the weights without its own loss showing it: keep the last good checkpoint then.
        if not trainer.weights_are_finite():
            raise UserError("the weights became NaN or infinite; a lower train.learning_rate may help")
        metrics.sync()  # a power cut must not take lines that the checkpoint has seen
        position = trainer.position(elapsed=self._elapsed(), metrics_offset=metrics.offset)
        save_checkpoint(self.run, trainer.tensors(), position)
        self._checkpointed = time.monotonic()

    def _stop_requested(self) -> bool:
        self._heartbeat()
        now = time.monotonic()
        if not self.stopping and now - self._control_looked >= 1.0:
            self._control_looked = now
            self.stopping = self.run.stop_requested()
        return self.stopping

    def _elapsed(self) -> float:
        return self._base_elapsed + time.monotonic() - self._started

    def _rate(self, trainer: Trainer) -> float:
        now = time.monotonic()
        self._pace.append((now, trainer.step))
        while now - self._pace[0][0] > _RATE_SECONDS and len(self._pace) > 2:
            self._pace.popleft()
        since, step = self._pace[0]
        if now == since:
            return self.status.images_per_second
        size = min(self.config.train.batch_size, len(trainer.x))
        return (trainer.step - step) * size / (now - since)

    def _heartbeat(self, **changes: Any) -> None:
        """A heartbeat, at most twice a second. One that cannot be written is missed, and the training goes on.

        What it says is kept for the next one: with slow steps another heartbeat is always just before.
        """
        self.status = msgspec.structs.replace(self.status, **changes)
        if time.monotonic() - self._written < _STATUS_SECONDS:
            return
        try:
            self._write_status(fsync=False)
        except FileNotFoundError:
            raise  # the run's folder is gone, and there is nothing left to train for
        except OSError as error:
            print(f"the heartbeat could not be written: {error.strerror or error}", file=sys.stderr)

    def _write_status(self, *, fsync: bool = True, **changes: Any) -> None:
        self._written = time.monotonic()
        elapsed = self._elapsed() if self.status.steps or changes.get("steps") else self.status.elapsed
        self.status = msgspec.structs.replace(self.status, **changes, heartbeat=time.time(), elapsed=elapsed)
        self.run.write_status(self.status, fsync=fsync)

    def end(self, state: State, error: str = "") -> None:
        """Write the last status."""
        self._write_status(state=state, message="", error=error, images_per_second=0.0)

    def fail(self, error: Exception) -> None:
        """Say that the run failed and why; in the log alone where its folder cannot be written, or is gone."""
        words = self.team.peer_error(error)
        with contextlib.suppress(OSError):  # the log may be on the same full disk
            print(words, file=sys.stderr) if words else traceback.print_exception(error)
        words = words or explain(error)
        try:
            self.end(State.FAILED, words)
        except OSError as problem:
            with contextlib.suppress(OSError):
                print(f"{words}; and the status could not be written: {explain(problem)}", file=sys.stderr)


def explain(error: BaseException) -> str:
    """A failure in one line, with what to do about it where that is known."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError):
        return _explain_os_error(error)
    if is_out_of_memory(error):
        return OUT_OF_MEMORY
    return " ".join(f"{type(error).__name__}: {error}".split("\n")[0].split())


def _explain_os_error(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    what = f"{where}{error.strerror or error}"
    if error.errno in DISK_FULL:
        return f"{what}: free some space, then resume; it goes on from its last checkpoint"
    if isinstance(error, FileNotFoundError):
        return f"{what}: the run's folder was removed or moved while it trained"
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return f"{what}: make the folder writable again, then resume"
    return f"{what}: mend that, then resume; it goes on from its last checkpoint"


def main(arguments: list[str] | None = None) -> int:
    """The worker's command line; see the module."""
    parser = argparse.ArgumentParser(prog="python -m core.training.worker", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", "1")))
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    disable_trim()
    run = RunDirectory(options.run)
    asked_to_stop: list[int] = []

    def early(number: int, _: FrameType | None) -> None:
        asked_to_stop.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, early)
    try:
        with init_distributed(options.device) as team:
            if team.rank > 0:
                return run_rank(run, team, asked_to_stop)
            return run_main(run, team, options.threads, asked_to_stop)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE


def run_main(run: RunDirectory, team: SingleProcess, threads: int, asked_to_stop: list[int]) -> int:
    """The work of the first process, which most often is the only one; the exit code.

    Args:
        run: to be claimed.
        team: the processes that train it.
        threads: OpenMP threads of each.
        asked_to_stop: signals that came already.
    """
    try:
        with run.claim(device=team.devices, threads=threads * len(team.devices.split("+"))) as status:
            worker = Worker(run, status, team)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, worker.stop)
            worker.stopping = bool(asked_to_stop)
            try:
                worker.end(worker.work())
                return EXIT_OK
            except Exception as error:  # whatever it was, the run must say that it failed, and why
                worker.fail(error)
        team.abort()
        return EXIT_RUN_FAILED
    except (NotQueuedError, RunBusyError) as error:
        print(error)
        return EXIT_OK
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE


def run_rank(run: RunDirectory, team: SingleProcess, asked_to_stop: list[int]) -> int:
    """The work of each process but the first: it computes its share and writes nothing but the log; the exit code.

    Args:
        run: claimed by the first.
        team: the processes that train it.
        asked_to_stop: signals that came already, and those that will.
    """
    try:
        if not any(team.all_reduce_max(False)):
            return EXIT_OK  # the first says why there is nothing to do
        config = run.read().config
        images = load_dataset(config.data.dataset, count=config.data.count)
        trainer = Trainer(config, images, team.device, team)
        if any(team.all_reduce_max(False)):
            trainer.restore(*read_checkpoint(run), run)
        for _ in trainer.reports(lambda: bool(asked_to_stop)):
            pass
        return EXIT_OK
    except Exception as error:  # whatever it was, the first must hear of it
        words = team.peer_error(error)
        with contextlib.suppress(OSError):
            if words:
                print(f"process {team.rank} ends: {words}", file=sys.stderr)
            else:
                traceback.print_exception(error)
        team.abort("" if words else explain(error))
        return EXIT_RUN_FAILED


if __name__ == "__main__":
    sys.exit(main())
