"""One attempt at a run: it is trained from its checkpoint or from the beginning, and its files are written."""

import contextlib
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import msgspec

from core.config.trained_with import TrainedWith
from core.data import ImageSet
from core.errors import EXIT_OK, EXIT_REQUEUE, UserError
from core.files.sanitize import sanitize
from core.runs import (
    EpochRecord,
    MetricsTail,
    MetricsWriter,
    RunDirectory,
    State,
    Status,
)
from core.runs.monitoring import plateau_ends
from core.runs.requeue import Fence, without_worker
from core.runs.withdrawal import withdraw_epochs
from core.statistics.estimate import Estimate
from core.training import sample_sheets
from core.training.best_checkpoint import BestCheckpoint
from core.training.budget import planned_text
from core.training.checkpoint import has_checkpoint, recover_checkpoint
from core.training.checkpoint_writer import CheckpointWriter
from core.training.distributed import SingleProcess
from core.training.epoch_samples import sample_evaluator
from core.training.failures import failure_text
from core.training.heldout_noise_error import heldout_noise_error
from core.training.inputs import (
    check_inputs,
    images_shared_with_group,
    inexact_changes,
    record_inputs,
    restore_threads,
)
from core.training.loop import EpochReport, StepsReport, Trainer
from core.training.speed import SpeedMeter

_STATUS_SECONDS = 0.5
REQUEUE_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2)
"""Signals with which schedulers end a job that they will start again."""


class Worker:
    """Trains one claimed run from its checkpoint or from the beginning, and writes its files."""

    def __init__(
        self, run: RunDirectory, status: Status, process_group: SingleProcess, *, requeue: bool = False
    ) -> None:
        self.run, self.status, self.process_group = run, status, process_group
        self.config = run.read().config
        self.stop_requested = False
        self._requeue_signals = (*REQUEUE_SIGNALS, *((signal.SIGTERM,) if requeue else ()))
        self._requeued_by: int | None = None
        self._fence = Fence(run, status)
        self._inputs = TrainedWith()
        self._status_written = self._control_checked = 0.0
        self._elapsed_before = status.elapsed  # seconds, of earlier attempts
        self._started = float("inf")  # while the training is prepared
        self._speed = SpeedMeter()
        self._planned_steps = 0
        self._checkpoints = CheckpointWriter(run, self.config.train.checkpoint_seconds)
        self._best = BestCheckpoint(run, self.config.train)
        self._saved: tuple[int, int] | None = None  # epoch and batch of the last checkpoint
        self._epochs: list[EpochRecord] = []
        self._evaluate_samples: Callable[[], dict[str, Estimate]] = dict
        self._is_last_epoch: Callable[[int], bool] = lambda epoch: epoch == self.config.train.epochs
        self._ending = ("", "")  # setting that ends the training before its epochs, and the reason

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
        """Train to the end of the budget or until stopped; return FINISHED or STOPPED."""
        images = self._load_images()
        self.process_group.all_reduce_max(True)  # the data are there, so the other ranks may begin
        trainer = Trainer(self.config, images, self.process_group.device, self.process_group)
        budget = trainer.budget
        budget.elapsed, self._is_last_epoch = self._elapsed, budget.is_last
        self._evaluate_samples = sample_evaluator(images, trainer, self._heartbeat)
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
            if not budget.is_last(trainer.epoch):
                self._write_status(state=State.STOPPING, message="writing a checkpoint")
                if self._saved != (trainer.epoch, trainer.batch):
                    self._save_checkpoint(trainer, metrics)
                return State.STOPPED
            self._checkpoints.wait()
            self._best.write()  # of an incomplete last epoch, after whose checkpoint its weights were evaluated
        if not self._ending[0] and budget.binding:
            self._ending = budget.binding, f"{budget.binding} is reached"
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
            if threads := restore_threads(position, self.process_group):
                self._write_status(threads=threads)
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
        self._best.resume(trainer.step)
        self._planned_steps = trainer.budget.planned_steps
        tail = MetricsTail(self.run.metrics_file, epochs_only=True)
        tail.poll()
        self._epochs = list(tail.epochs)
        self._end_on_plateau(trainer)
        self._started = time.monotonic()
        self._write_status(
            **self._progress(trainer),
            state=State.RUNNING,
            message="",
            trained_with=self._inputs,
            ended_by="",
            ending="",
        )

    def _progress(self, trainer: Trainer) -> dict[str, Any]:
        """Return the fields of the status that show how far the training is."""
        steps = trainer.budget.expected_steps(trainer.step)
        epochs = max(trainer.epoch, -(-steps // trainer.batches_per_epoch))
        return {"epoch": trainer.epoch, "epochs": epochs, "step": trainer.step, "steps": steps}

    def _end_on_plateau(self, trainer: Trainer) -> None:
        """End the training after the epochs so far if `train.stop_on_plateau` says so."""
        reason = plateau_ends(self._epochs, self.config.train)
        if reason and not trainer.budget.is_last(trainer.epoch):
            trainer.budget.ended_after = trainer.epoch
            self._ending = f"train.stop_on_plateau = {self.config.train.stop_on_plateau}", reason
            print(f"{reason}: training ends, because {self._ending[0]}")

    def _record_precision(self, trainer: Trainer) -> None:
        """Record the precision that runs, which `restore` may have changed."""
        self._inputs = msgspec.structs.replace(self._inputs, precision=trainer.precision)
        if self.config.train.precision == "tf32" != trainer.precision:
            print(f"train.precision tf32: {trainer.device} has no TF32; training in {trainer.precision}")

    def _on_steps(self, report: StepsReport, trainer: Trainer, metrics: MetricsWriter) -> None:
        self._fence.check(at_once=False)
        metrics.append_steps(report.first_step, report.epoch, self._elapsed(), report.losses)
        size = min(self.config.train.batch_size, len(trainer.images))
        steps_per_second = self._speed.measure(time.monotonic(), trainer.step)
        speed = self.status.images_per_second if steps_per_second is None else steps_per_second * size
        if trainer.budget.planned_steps != self._planned_steps:
            self._planned_steps = trainer.budget.planned_steps
            print(planned_text(trainer.budget))
        self._heartbeat(**self._progress(trainer), images_per_second=speed)
        self._checkpoints.check()
        due = self._checkpoints.is_due() or trainer.step == trainer.total_steps
        if due and trainer.batch < trainer.batches_per_epoch:
            self._save_checkpoint(trainer, metrics)

    def _on_epoch(self, report: EpochReport, trainer: Trainer, metrics: MetricsWriter) -> None:
        self._fence.check(at_once=False)
        record = EpochRecord(
            epoch=report.epoch,
            step=report.step,
            elapsed=self._elapsed(),
            mean=report.mean,
            min=report.min,
            max=report.max,
            heldout=report.heldout,
            images_per_second=self.status.images_per_second,
            learning_rate=report.learning_rate,
            quality=self._evaluate_samples(),
            noise_error=report.noise_error,
            heldout_noise_error=(
                heldout_noise_error(trainer, self._heartbeat) if sample_sheets.sheet_due(trainer) else None
            ),
        )
        metrics.append_epoch(record)
        self._epochs.append(record)
        self._write_status(**self._progress(trainer), fsync=False)
        self._best.on_epoch(record, trainer, self._inputs)
        self._end_on_plateau(trainer)
        self._checkpoints.check()
        due = self._checkpoints.is_due_at_epoch_end() or trainer.budget.is_last(trainer.epoch)
        # An incomplete epoch's checkpoint has been written in it, so that more steps can complete it.
        is_complete = trainer.step == trainer.epoch * trainer.batches_per_epoch
        if is_complete and (due or self._saved is None):
            # Before the sheets, which take long and are drawn at the next start if they are missing.
            self._save_checkpoint(trainer, metrics)
        sample_sheets.write_epoch_sheets(self.run, trainer, self._should_stop_sampling)
        self._speed.clear()

    def _should_stop_sampling(self) -> bool:
        """Return whether to give up sampling for a stop; the samples of the last epoch are always completed."""
        self._heartbeat()
        return self._should_stop() and not self._is_last_epoch(self.status.epoch)

    def _save_checkpoint(self, trainer: Trainer, metrics: MetricsWriter) -> None:
        # A step can corrupt the weights while its own loss is finite. Then keep the last good checkpoint.
        if not trainer.weights_are_finite():
            raise UserError("the weights became NaN or infinite; a lower train.learning_rate may help")
        position = trainer.position(elapsed=self._elapsed(), metrics_offset=metrics.offset)
        position = msgspec.structs.replace(position, trained_with=self._inputs)

        def prepare() -> None:
            self._fence.check()
            metrics.sync()  # after a power cut the metrics must not end before the checkpoint

        self._checkpoints.write(trainer.state_dict(), position, *self._best.writers(prepare))
        self._saved = trainer.epoch, trainer.batch

    def _should_stop(self) -> bool:
        self._heartbeat()
        now = time.monotonic()
        if not self.stop_requested and now - self._control_checked >= 1.0:
            self._control_checked = now
            self.stop_requested = self.run.stop_requested()
        return self.stop_requested or bool(self._ending[0])

    def _elapsed(self) -> float:
        return self._elapsed_before + max(0.0, time.monotonic() - self._started)

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
        changes: dict[str, Any] = {}
        if state is State.FINISHED and not error:
            changes = {
                "finished_epochs": self.status.epoch,
                "finished_train_epochs": self.config.train.epochs,
            }
            changes |= dict(zip(("ended_by", "ending"), self._ending, strict=True))
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
