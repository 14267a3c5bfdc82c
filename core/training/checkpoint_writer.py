"""Checkpoints written in the background: training stands still only while its state is copied.

On CUDA the state is copied on the device, and from there to pinned memory on a stream of its own, while the next steps
are computed. On other devices it is copied to the memory of the CPU at once. Checksums and fsync are a thread's.
"""

import math
import time
from collections.abc import Callable
from threading import Thread
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from core.runs import RunDirectory
from core.training.checkpoint import Position, save_checkpoint

Snapshot = Callable[[], dict[str, Tensor]]
"""Waits until a copy of the state is complete, and returns it, on the CPU."""


class CheckpointWriter:
    """Writer of a run's checkpoints, at most one at a time; a context at whose end no thread is left.

    An error of the thread, such as a full disk, is raised by the next call of `check`, `write` or `wait`.

    Args:
        run: the run, whose only writer the caller is.
        interval: seconds from the end of a write to the next checkpoint.
    """

    def __init__(self, run: RunDirectory, interval: float) -> None:
        self._run, self._interval = run, interval
        self._thread: Thread | None = None
        self._error: Exception | None = None
        self._ended = self._epoch_ended = time.monotonic()

    def is_due(self) -> bool:
        """Return whether a checkpoint is due; not while one is written."""
        return self._seconds_since_last() >= self._interval

    def is_due_at_epoch_end(self) -> bool:
        """Return whether a checkpoint is due at the end of an epoch, rather than in the middle of the next one.

        It comes early by half of the interval at most, so that long epochs are not followed by two in quick succession.
        """
        now = time.monotonic()
        epoch_seconds, self._epoch_ended = now - self._epoch_ended, now
        return self._seconds_since_last() + min(epoch_seconds, self._interval / 2) >= self._interval

    def check(self) -> None:
        """Raise the error with which the last write has ended, if there is one.

        Raises:
            OSError: the checkpoint could not be written.
        """
        if not self._is_writing:
            self.wait()

    def write(
        self,
        tensors: dict[str, Tensor],
        position: Position,
        before: Callable[[], object],
        after: Callable[[], object] = lambda: None,
    ) -> None:
        """Copy the state and begin to write it, after the write before has ended.

        Args:
            tensors: the state, which may change once the call returns.
            position: its position.
            before: called in the thread before the checkpoint is written, for what must be on the disk first.
            after: called in the thread once the checkpoint is on the disk.

        Raises:
            OSError: the checkpoint before could not be written.
        """
        self.wait()
        snapshot = take_snapshot(tensors)

        def save() -> None:
            try:
                copied = snapshot()
                before()
                save_checkpoint(self._run, copied, position)
                after()
            except Exception as error:  # raised where training waits for the write
                self._error = error
            self._ended = time.monotonic()

        self._thread = Thread(target=save, name="checkpoint")
        self._thread.start()

    def wait(self) -> None:
        """Wait until the checkpoint is on the disk.

        Raises:
            OSError: it could not be written.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    @property
    def _is_writing(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _seconds_since_last(self) -> float:
        """Return the seconds since the end of the last write, or since the writer was made; negative during a write."""
        return -math.inf if self._is_writing else time.monotonic() - self._ended

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.wait()
        except Exception:
            if error is None:  # else training has failed already, and for its own reason
                raise


def take_snapshot(tensors: dict[str, Tensor]) -> Snapshot:
    """Copy tensors of one device, which may change once this returns, and return a function that waits for the copy."""
    device = next((value.device for value in tensors.values() if value.device.type == "cuda"), None)
    if device is not None:
        try:
            return _cuda_snapshot(tensors, device)
        except (torch.OutOfMemoryError, torch.AcceleratorError):
            pass  # no room for a copy on the device, or too little memory that can be pinned
    copies = {name: _copy(value, "cpu") for name, value in tensors.items()}
    return lambda: copies


def _cuda_snapshot(tensors: dict[str, Tensor], device: torch.device) -> Snapshot:
    on_device = {name: _copy(value, value.device) for name, value in tensors.items()}
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    copied = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
    with torch.cuda.stream(stream):
        on_host = {name: _to_pinned(value) for name, value in on_device.items()}
        copied.record(stream)

    def wait() -> dict[str, Tensor]:
        copied.synchronize()
        on_device.clear()  # not before, because the stream reads it
        return on_host

    return wait


def _copy(value: Tensor, device: torch.device | str) -> Tensor:
    return value.detach().to(device, copy=True, memory_format=torch.contiguous_format)


def _to_pinned(value: Tensor) -> Tensor:
    if value.device.type != "cuda":
        return value
    return torch.empty(value.shape, dtype=value.dtype, pin_memory=True).copy_(value, non_blocking=True)
