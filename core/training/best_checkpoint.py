"""Weights of the best epoch, kept beside the last checkpoint as ``best.safetensors``.

They are what sampling needs: the network's tensors ``model.*``, with the averaged weights in place of its own if there
is an average. The best epoch is copied in memory, and written with the next checkpoint: first as a pending file, then
the checkpoint, and then the pending file takes its place. So the best weights are never of a later step than the last
checkpoint, though a kill -9 may fall between the two. A resumed training then knows exactly the epochs that it
had: a pending file of a step that the checkpoint has is put into its place, and one of a later step is removed, because
its epoch will be trained again.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from torch import Tensor

from core.config.schema import TrainConfig
from core.config.trained_with import TrainedWith
from core.errors import UserError
from core.files.atomic import atomic_path, fsync_path
from core.files.outputs import make_folder
from core.runs import DISK_FULL, EpochRecord, RunDirectory
from core.runs.monitoring import is_better, monitored_value
from core.training.checkpoint import Position, encode_checkpoint, read_position, save_tensors
from core.training.loop import Trainer

PENDING_NAME: Final = "pending-best.safetensors"


class BestCheckpoint:
    """Keeper of the best epoch's weights; does nothing unless `train.keep_best` is set.

    Args:
        run: the run, whose only writer the caller is.
        train: its settings.
    """

    def __init__(self, run: RunDirectory, train: TrainConfig) -> None:
        self._run, self._monitor, self._keeps = run, train.monitor, train.keep_best
        self._pending_path = run.best_checkpoint.with_name(PENDING_NAME)
        self._value: float | None = None
        self._copy: tuple[dict[str, Tensor], Position] | None = None

    def resume(self, step: int) -> None:
        """Settle the files of a killed worker, and find the value to beat; without one the next epoch is the best.

        Args:
            step: steps that are done; weights of a later step are removed, because its epoch will be trained again.
        """
        pending = _position(self._pending_path)
        if pending is not None and pending.step <= step:
            os.replace(self._pending_path, self._run.best_checkpoint)
        self._pending_path.unlink(missing_ok=True)
        best = _position(self._run.best_checkpoint)
        if best is None or best.step > step:
            self._run.best_checkpoint.unlink(missing_ok=True)
            best = None
        self._value = best.monitored if best is not None and best.monitor == self._monitor else None

    def on_epoch(self, record: EpochRecord, trainer: Trainer, trained_with: TrainedWith) -> None:
        """Copy the weights if the epoch is better than all before it.

        Args:
            record: the epoch, which has just ended.
            trainer: the training at its end.
            trained_with: inputs of the training.
        """
        estimate = monitored_value(record, self._monitor) if self._keeps else None
        if estimate is None or estimate.value is None:
            return
        if is_better(estimate.value, self._value, self._monitor):
            position = msgspec.structs.replace(
                trainer.position(elapsed=record.elapsed, metrics_offset=0),
                trained_with=trained_with,
                monitor=self._monitor,
                monitored=estimate.value,
            )
            self._value, self._copy = estimate.value, (sampling_weights(trainer), position)

    def writers(
        self, sync: Callable[[], None] = lambda: None
    ) -> tuple[Callable[[], None], Callable[[], None]]:
        """Return what writes the best weights before a checkpoint, and what puts them into their place after it.

        Args:
            sync: called first by the former.
        """
        copied, self._copy = self._copy, None

        def before() -> None:
            sync()
            if copied is not None:
                self._write_pending(*copied)

        return before, self._take_place if copied is not None else lambda: None

    def write(self) -> None:
        """Write the best weights now, because no checkpoint follows, and the last one has their step.

        Raises:
            OSError: they cannot be written.
        """
        before, after = self.writers()
        before()
        after()

    def _write_pending(self, tensors: dict[str, Tensor], position: Position) -> None:
        """Write the pending file; on a full disk delete the previous checkpoint first, as a checkpoint does."""
        make_folder(self._pending_path.parent)
        on_cpu, header = encode_checkpoint(tensors, position)
        for _ in range(2):
            try:
                with atomic_path(self._pending_path) as temporary:
                    save_tensors(temporary, on_cpu, header, named=self._run.best_checkpoint)
                return
            except OSError as error:
                if error.errno not in DISK_FULL or not self._run.previous_checkpoint.exists():
                    raise
                self._run.previous_checkpoint.unlink(missing_ok=True)

    def _take_place(self) -> None:
        os.replace(self._pending_path, self._run.best_checkpoint)
        fsync_path(self._run.best_checkpoint.parent)


def sampling_weights(trainer: Trainer) -> dict[str, Tensor]:
    """Copy the tensors that sampling needs to the CPU, as ``model.*``."""
    with trainer.eval_mode():
        return {
            f"model.{name}": value.detach().cpu().clone()
            for name, value in trainer.model.state_dict().items()
        }


def _position(path: Path) -> Position | None:
    """Return the position of a file of weights; None if it is missing or damaged."""
    with contextlib.suppress(FileNotFoundError, UserError):
        return read_position(path)
    return None
