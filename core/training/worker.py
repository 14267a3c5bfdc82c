"""The worker: ``python -m core.training.worker RUN --device D --threads N``, the one writer of a run's directory.

At SIGTERM, SIGINT or a `control` file it finishes its step, writes a checkpoint and stops. At SIGUSR1 or SIGUSR2, and
with ``--requeue`` at SIGTERM, it does the same, but queues the run again, because a scheduler ends it and not its user.
``--requeue`` also goes on with a run that has failed or whose worker is gone.

The exit code is 0 if the run finished or was stopped by its user, 2 if it could not begin, 3 if it failed, 4 if the run
is not this worker's to start, and 75 if it is queued again.

Checkpoints are written after `train.checkpoint_seconds`, at a stop, at the end, and after the first epoch, so that the
network can soon be sampled. At the end of an epoch one is written if it would otherwise be due within the next epoch.

``torchrun --nproc-per-node N -m core.training.worker RUN --device cuda`` trains the run in N processes, one for each
GPU. Rank 0 is the worker (`run_main`): it holds the run's lock, its pid is the run's, and it alone writes. The other
ranks only compute (`core.training.rank`).
"""

import argparse
import contextlib
import os
import signal
import sys
import time
import traceback
from collections import deque
from pathlib import Path
from typing import Any

import msgspec
import torch

from core.config.trained_with import TrainedWith
from core.data import ImageSet
from core.errors import EXIT_NOT_STARTED, EXIT_OK, EXIT_REQUEUE, EXIT_RUN_FAILED, EXIT_USAGE, UserError
from core.files.sanitize import sanitize
from core.runs import (
    EpochRecord,
    MetricsWriter,
    NotQueuedError,
    RunBusyError,
    RunDirectory,
    State,
    Status,
)
from core.runs.requeue import Fence, SupersededError, without_worker
from core.runs.withdrawal import withdraw_epochs
from core.training import sample_sheets
from core.training.checkpoint import Position, has_checkpoint, recover_checkpoint
from core.training.checkpoint_writer import CheckpointWriter
from core.training.distributed import SingleProcess, init_distributed
from core.training.failures import failure_text
from core.training.inputs import (
    check_inputs,
    images_shared_with_group,
    inexact_changes,
    record_inputs,
)
from core.training.loop import EpochReport, StepsReport, Trainer
from core.training.malloc import disable_trim
from core.training.rank import run_rank

_STATUS_SECONDS = 0.5
_SPEED_WINDOW_SECONDS = 5.0
_REQUEUE_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2)
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, *_REQUEUE_SIGNALS)


class Worker:
    """Trains one claimed run from its checkpoint or from the beginning, and writes its files."""

    def __init__(
        self, run: RunDirectory, status: Status, process_group: SingleProcess, *, requeue: bool = False
    ) -> None:
        self.run, self.status, self.process_group = run, status, process_group
        self.config = run.read().config
        self.stop_requested = False
        self._requeue_signals = (*_REQUEUE_SIGNALS, *((signal.SIGTERM,) if requeue else ()))
        self._requeued_by: int | None = None
        self._fence = Fence(run, status)
        self._inputs = TrainedWith()
        self._status_written = self._control_checked = 0.0
        self._elapsed_before = status.elapsed  # seconds, of earlier attempts
        self._started = float("inf")  # while the training is prepared
        self._recent_steps: deque[tuple[float, int]] = deque()  # times and steps, for the speed
        self._checkpoints = CheckpointWriter(run, self.config.train.checkpoint_seconds)
        self._saved: tuple[int, int] | None = None  # epoch and batch of the last checkpoint

    def request_stop(self, number: int = signal.SIGTERM, *_: object) -> None:
        """Request a stop at a signal; safe in a signal handler."""
        if number in self._requeue_signals:
            self._requeued_by = number
        self.stop_requested = True

    @property
    def is_requeued(self) -> bool:
        """True if a scheduler has ended the training, and the user has not asked for a stop as well."""
        return self._requeued_by is not None and not self.run.stop_requested()

    def train(self) -> State:
        """Train to the last epoch or until stopped; return FINISHED or STOPPED."""
        images = self._load_images()
        self.process_group.all_reduce_max(True)  # the data are there, so the other ranks may begin
        trainer = Trainer(self.config, images, self.process_group.device, self.process_group)
        if trainer.compile_problem:
            print(f"train.compile is left out: {trainer.compile_problem}")
        with MetricsWriter(self.run.metrics_file) as metrics, self._checkpoints:
            self._resume_or_begin(trainer, metrics)
            sample_sheets.write_missing_sheets(self.run, trainer, self._should_stop_sampling)
            for report in trainer.reports(self._should_stop):
                if isinstance(report, StepsReport):
                    self._on_steps(report, trainer, metrics)
                else:
                    self._on_epoch(report, trainer, metrics)
            if trainer.epoch < self.config.train.epochs:
                self._write_status(state=State.STOPPING, message="writing a checkpoint")
                if self._saved != (trainer.epoch, trainer.batch):
                    self._save_checkpoint(trainer, metrics)
                return State.STOPPED
        return State.FINISHED

    def _load_images(self) -> ImageSet:
        """Load the images and write into the status what the run is trained with."""
        self._write_status(message="making data", epochs=self.config.train.epochs)

        def report(done: int, total: int) -> None:
            self._heartbeat(message=f"making data {100 * done // max(total, 1)}%")

        with images_shared_with_group(self.run, report) as images:
            self._inputs = record_inputs(self.config, images, self.process_group.device.type)
            # With a checkpoint the inputs are compared first, so that a refused resume leaves the record as it was.
            first: dict[str, Any] = {} if has_checkpoint(self.run) else {"trained_with": self._inputs}
            self._write_status(message="building the network", **first)
        for text in images.notes:
            print(f"{images.name}: {text}")
        return images

    def _resume_or_begin(self, trainer: Trainer, metrics: MetricsWriter) -> None:
        """Restore the checkpoint and cut the metrics to its position, or begin with the sheet of initial noise."""
        checkpoint = recover_checkpoint(self.run) if has_checkpoint(self.run) else None
        self.process_group.all_reduce_max(checkpoint is not None)
        if checkpoint is not None:
            tensors, position = checkpoint
            self._restore_threads(position)
            check_inputs(self.run, self.config, position, self._inputs)
            trainer.restore(tensors, position, self.run)
            self._record_precision(trainer)
            for text in inexact_changes(position.trained_with, self._inputs):
                print(text)
            metrics.truncate_to(position.metrics_offset)
            self._elapsed_before, self._saved = position.elapsed, (trainer.epoch, trainer.batch)
        else:
            self._record_precision(trainer)
            self._elapsed_before = 0.0
            metrics.truncate_to(0)
            sample_sheets.write_noise_sheet(self.run, trainer)
        sample_sheets.remove_later_sheets(self.run, trainer.epoch)
        self._started = time.monotonic()
        self._write_status(
            state=State.RUNNING,
            message="",
            steps=trainer.total_steps,
            epoch=trainer.epoch,
            step=trainer.step,
            trained_with=self._inputs,
        )

    def _record_precision(self, trainer: Trainer) -> None:
        """Record the precision that runs, which `restore` may have changed."""
        self._inputs = msgspec.structs.replace(self._inputs, precision=trainer.precision)
        if self.config.train.precision == "tf32" != trainer.precision:
            print(f"train.precision tf32: {trainer.device} has no TF32; training in {trainer.precision}")

    def _restore_threads(self, position: Position) -> None:
        """Use as many threads as before if there are enough cores, because the last bits of every sum depend on it."""
        cores = os.cpu_count() or 1
        alone_on_cpu = self.process_group.device.type == "cpu" and self.process_group.world_size == 1
        if alone_on_cpu and position.threads not in (0, torch.get_num_threads()):
            if position.threads > cores:
                print(
                    f"{position.threads} threads before, {cores} cores now: what follows may differ in the last bits"
                )
                return
            torch.set_num_threads(position.threads)
            self._write_status(threads=position.threads)

    def _on_steps(self, report: StepsReport, trainer: Trainer, metrics: MetricsWriter) -> None:
        self._fence.check(at_once=False)
        metrics.append_steps(report.first_step, report.epoch, self._elapsed(), report.losses)
        speed = self._images_per_second(trainer)
        self._heartbeat(epoch=trainer.epoch, step=trainer.step, images_per_second=speed)
        self._checkpoints.check()
        if self._checkpoints.is_due() and trainer.batch < trainer.batches_per_epoch:
            self._save_checkpoint(trainer, metrics)

    def _on_epoch(self, report: EpochReport, trainer: Trainer, metrics: MetricsWriter) -> None:
        self._fence.check(at_once=False)
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
        self._checkpoints.check()
        due = self._checkpoints.is_due_at_epoch_end()
        if due or self._saved is None or trainer.epoch == self.config.train.epochs:
            # Before the sheets, which take long and are drawn at the next start if they are missing.
            self._save_checkpoint(trainer, metrics)
        sample_sheets.write_epoch_sheets(self.run, trainer, self._should_stop_sampling)
        self._recent_steps.clear()

    def _should_stop_sampling(self) -> bool:
        """Return whether to give up sampling for a stop; the samples of the last epoch are always completed."""
        self._heartbeat()
        return self._should_stop() and self.status.epoch < self.config.train.epochs

    def _save_checkpoint(self, trainer: Trainer, metrics: MetricsWriter) -> None:
        # A step can corrupt the weights while its own loss is finite. Then keep the last good checkpoint.
        if not trainer.weights_are_finite():
            raise UserError("the weights became NaN or infinite; a lower train.learning_rate may help")
        position = trainer.position(elapsed=self._elapsed(), metrics_offset=metrics.offset)
        position = msgspec.structs.replace(position, trained_with=self._inputs)

        def prepare() -> None:
            self._fence.check()
            metrics.sync()  # after a power cut the metrics must not end before the checkpoint

        self._checkpoints.write(trainer.state_dict(), position, prepare)
        self._saved = trainer.epoch, trainer.batch

    def _should_stop(self) -> bool:
        self._heartbeat()
        now = time.monotonic()
        if not self.stop_requested and now - self._control_checked >= 1.0:
            self._control_checked = now
            self.stop_requested = self.run.stop_requested()
        return self.stop_requested

    def _elapsed(self) -> float:
        return self._elapsed_before + max(0.0, time.monotonic() - self._started)

    def _images_per_second(self, trainer: Trainer) -> float:
        now = time.monotonic()
        self._recent_steps.append((now, trainer.step))
        while now - self._recent_steps[0][0] > _SPEED_WINDOW_SECONDS and len(self._recent_steps) > 2:
            self._recent_steps.popleft()
        since, step = self._recent_steps[0]
        if now == since:
            return self.status.images_per_second
        size = min(self.config.train.batch_size, len(trainer.images))
        return (trainer.step - step) * size / (now - since)

    def _heartbeat(self, **changes: Any) -> None:
        """Write the status at most twice a second; if that fails, the heartbeat is skipped and training continues.

        Changes are kept for the next heartbeat. With slow steps, one without changes always comes just before.
        """
        self.status = msgspec.structs.replace(self.status, **changes)
        if time.monotonic() - self._status_written < _STATUS_SECONDS:
            return
        try:
            self._write_status(fsync=False)
        except FileNotFoundError:
            raise  # the run's folder is gone
        except OSError as error:
            print(f"the heartbeat could not be written: {error.strerror or error}", file=sys.stderr)

    def _write_status(self, *, fsync: bool = True, **changes: Any) -> None:
        self._fence.check(at_once=False)
        self._status_written = time.monotonic()
        changes |= {"heartbeat": time.time(), "elapsed": self._elapsed()}
        self.status = msgspec.structs.replace(self.status, **changes)
        self.run.write_status(self.status, fsync=fsync)

    def write_end(self, state: State) -> int:
        """Write the status with which the training has ended, and return the exit code."""
        if state is State.FINISHED or not self.is_requeued:
            self.write_final_status(state)
            return EXIT_OK
        assert self._requeued_by is not None
        reason = f"ended by {signal.Signals(self._requeued_by).name} after a checkpoint"
        self._fence.check()
        old = self.status
        self.status = without_worker(old, State.QUEUED, epochs=old.epochs, message=reason, job=old.job)
        self.run.write_status(self.status)
        print(f"{reason}; queued again")
        return EXIT_REQUEUE

    def write_final_status(self, state: State, error: str = "") -> None:
        """Write the last status."""
        changes: dict[str, Any] = {"finished_epochs": self.status.epoch} if state is State.FINISHED else {}
        self._write_status(state=state, message="", error=error, images_per_second=0.0, **changes)

    def write_failure(self, error: Exception) -> None:
        """Write that the run failed and why; only to the log if its folder is gone or cannot be written.

        Raises:
            SupersededError: another worker has the run.
        """
        self._fence.check()
        peer_error = self.process_group.peer_error(error)
        with contextlib.suppress(OSError):  # the log may be on the same full disk
            print(sanitize(peer_error), file=sys.stderr) if peer_error else traceback.print_exception(error)
        reason = peer_error or failure_text(error)
        try:
            self.status = withdraw_epochs(self.run, self.status, otherwise=State.FAILED)
            self.write_final_status(self.status.state, reason)
        except OSError as problem:
            with contextlib.suppress(OSError):
                unwritten = f"the status could not be written: {failure_text(problem)}"
                print(f"{reason}; and {unwritten}", file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Run the worker's command line; see the module."""
    parser = argparse.ArgumentParser(prog="python -m core.training.worker", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", "1")))
    parser.add_argument("--requeue", action="store_true", help="go on with whatever is not finished")
    parser.add_argument("--job", default="", help="id of this process's job in the run's engine")
    parser.add_argument("--wait", type=float, default=2.0, help="seconds to wait for the run's lock")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    # For workers that torchrun starts: CUDA reads it at its first use, which is not the import of torch.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    disable_trim()
    run = RunDirectory(options.run)
    received_signals: list[int] = []
    for number in _STOP_SIGNALS:
        signal.signal(number, lambda number, _: received_signals.append(number))
    claim = {"wait": options.wait, "unfinished": options.requeue, "job": options.job}
    try:
        with init_distributed(options.device) as process_group:
            if process_group.rank > 0:
                return run_rank(run, process_group, received_signals)
            return run_main(run, process_group, options.threads, received_signals, **claim)
    except UserError as error:
        print(f"error: {sanitize(str(error))}", file=sys.stderr)
        return EXIT_USAGE


def run_main(
    run: RunDirectory,
    process_group: SingleProcess,
    threads: int,
    received_signals: list[int],
    *,
    unfinished: bool = False,
    **claim: Any,
) -> int:
    """Claim and train a run as rank 0, which most often is the only process; return the exit code.

    Args:
        run: a queued run.
        process_group: the processes that train it.
        threads: OpenMP threads of each process.
        received_signals: stop signals received so far.
        unfinished: take whatever is not finished, and queue it again at SIGTERM.
        claim: further arguments of `RunDirectory.claim`.
    """
    try:
        all_threads = threads * len(process_group.devices.split("+"))
        device = process_group.devices
        with run.claim(device=device, threads=all_threads, unfinished=unfinished, **claim) as status:
            worker = Worker(run, status, process_group, requeue=unfinished)
            for number in _STOP_SIGNALS:
                signal.signal(number, worker.request_stop)
            for received in received_signals:
                worker.request_stop(received)
            try:
                return worker.write_end(worker.train())
            except SupersededError:
                raise
            except Exception as error:  # any failure must reach the run's status
                worker.write_failure(error)
        process_group.abort()
        return EXIT_RUN_FAILED
    except NotQueuedError as error:
        print(sanitize(str(error)))
        return EXIT_OK if unfinished and error.state is State.FINISHED else EXIT_NOT_STARTED
    except (RunBusyError, SupersededError) as error:
        print(sanitize(str(error)))
        return EXIT_NOT_STARTED
    except UserError as error:
        print(f"error: {sanitize(str(error))}", file=sys.stderr)
        return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
