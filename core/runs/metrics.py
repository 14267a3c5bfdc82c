"""Metrics of a run, `metrics.jsonl`: appended line by line by one writer, followed by any number of readers.

The key ``k`` distinguishes two kinds of lines::

    {"k":"s","s":1,"e":1,"t":3.2,"l":[0.9,0.8,null]}    losses of epoch e from step s on; null: not finite
    {"k":"e","e":1,"s":78,"t":9.1,"mean":0.5,...}       the end of epoch e; its last step was s
    ..."q":{"balanced_pass_rate":[0.5,0.4,0.6]}}        with metrics of its samples: value and interval

The end of an epoch also has ``"noise":{"n":[...],"x":[...],"m":[...]}``, see `core.statistics.noise_error_bins`:
images, mean log SNR and mean noise-prediction error of each bin. After an epoch with a sheet of samples
``"heldout_noise"`` has the same of the averaged weights on held-out images. Files of older versions have neither.

A line is valid once its newline is written. Other kinds and keys, of a later version, are skipped.
"""

import contextlib
import io
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType

from core.files.atomic import atomic_path
from core.files.outputs import open_no_follow
from core.files.signature import FileSignature
from core.runs.decimate import FloatArray
from core.runs.decimate import minmax_buckets as minmax_buckets
from core.statistics.estimate import Estimate
from core.statistics.noise_error_bins import NoiseErrorBins

_MAX_LINE_BYTES: Final = 1 << 20
_CHUNK_BYTES: Final = 4 << 20
_ANCHOR_BYTES: Final = 64
_MAX_LOSSES_PER_LINE: Final = 4096
_STEPS_LINE_START: Final = b'{"k":"s"'
_Count = Annotated[int, Meta(ge=0, lt=1 << 53)]


class EpochRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Record of the end of an epoch. Losses that were not finite, or not measured, are NaN.

    `step` counts from 1 over the whole training; `elapsed` is seconds of training over all attempts; `mean`,
    `min` and `max` are over the epoch's batch losses. `quality` has metrics of samples that were drawn after the epoch,
    empty if none were evaluated.
    """

    epoch: int
    step: int
    elapsed: float
    mean: float
    min: float
    max: float
    heldout: float
    images_per_second: float
    learning_rate: float
    noise_error: NoiseErrorBins | None = None
    """Over the epoch's training images, by log SNR; None in runs of older versions."""
    heldout_noise_error: NoiseErrorBins | None = None
    """Of the averaged weights, if there are any, on held-out images; None after an epoch without a sheet of samples."""
    quality: dict[str, Estimate] = {}


class _NoiseLine(msgspec.Struct):
    n: list[_Count]
    x: list[float | None]
    m: list[float | None]


class _StepsLine(msgspec.Struct, tag_field="k", tag="s"):
    s: _Count
    e: _Count
    t: float
    l: list[float | None]  # noqa: E741 (the key in the file)


class _EpochLine(msgspec.Struct, tag_field="k", tag="e"):
    e: _Count
    s: _Count
    t: float
    mean: float | None = None
    min: float | None = None
    max: float | None = None
    heldout: float | None = None
    ips: float | None = None
    lr: float | None = None
    noise: _NoiseLine | UnsetType = UNSET
    heldout_noise: _NoiseLine | UnsetType = UNSET
    q: dict[str, tuple[float | None, float | None, float | None]] | UnsetType = UNSET


class _AnyLine(msgspec.Struct):
    k: str


_decode_line = msgspec.json.Decoder(_StepsLine | _EpochLine).decode
_decode_any = msgspec.json.Decoder(_AnyLine).decode
_encode = msgspec.json.Encoder().encode


class MetricsWriter:
    """Writer that appends to a run's metrics. Each line reaches the operating system before the call returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = _open_append(path)

    @property
    def offset(self) -> int:
        """Bytes written so far, which a checkpoint stores for `truncate_to`."""
        return self._file.tell()

    def append_steps(self, first_step: int, epoch: int, elapsed: float, losses: Sequence[float]) -> None:
        """Append the losses of consecutive steps.

        Args:
            first_step: number of the first step, from 1 over the whole training.
            epoch: the epoch of the steps, from 1.
            elapsed: seconds of training up to the last step.
            losses: one per step, rounded to six significant digits.
        """
        for start in range(0, len(losses), _MAX_LOSSES_PER_LINE):
            rounded = [float(f"{loss:.6g}") for loss in losses[start : start + _MAX_LOSSES_PER_LINE]]
            line = _StepsLine(
                s=int(first_step) + start, e=int(epoch), t=round(float(elapsed), 3), l=list(rounded)
            )
            self._append(line)

    def append_epoch(self, record: EpochRecord) -> None:
        """Append the record of an epoch."""
        self._append(
            _EpochLine(
                e=record.epoch,
                s=record.step,
                t=round(record.elapsed, 3),
                mean=record.mean,
                min=record.min,
                max=record.max,
                heldout=record.heldout,
                ips=record.images_per_second,
                lr=record.learning_rate,
                noise=_noise_line(record.noise_error),
                heldout_noise=_noise_line(record.heldout_noise_error),
                q={name: (e.value, e.low, e.high) for name, e in record.quality.items()} or UNSET,
            )
        )

    def truncate_to(self, offset: int) -> None:
        """Truncate to an earlier `offset`, so that a resumed run neither repeats nor skips a step.

        The shorter file is a new file that replaces the old one. A reader in the middle of the old file can therefore
        tell that it must start over, and a kill -9 leaves one of the two files whole.
        """
        self._file.close()
        with atomic_path(self.path) as temporary, self.path.open("rb") as old, temporary.open("wb") as new:
            while remaining := offset - old.tell():
                chunk = old.read(min(remaining, _CHUNK_BYTES))
                if not chunk:  # a power cut lost lines that were written before the checkpoint
                    break
                new.write(chunk)
        self._file = _open_append(self.path)

    def sync(self) -> None:
        """Flush to the disk, so that a checkpoint that is written afterwards can rely on the metrics."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file. The writer cannot be used afterwards."""
        self._file.close()

    def __enter__(self) -> "MetricsWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, line: _StepsLine | _EpochLine) -> None:
        data, start = _encode(line) + b"\n", self.offset
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError:
            # If truncating fails too, the partial line has no newline and so is not valid.
            with contextlib.suppress(OSError):
                self._file.truncate(start)
            raise


class MetricsTail:
    """Reader that follows a run's metrics: each `poll` reads the bytes appended since the last one.

    `steps` and `losses` are read-only views of equal length, with ascending steps. A later poll does not change a view
    that was taken before. `damaged` counts lines that are not valid.

    Args:
        path: the file.
        epochs_only: skip the losses of steps, which are most of the file.
    """

    epochs: list[EpochRecord]
    damaged: int
    last_elapsed: float
    _steps: FloatArray
    _losses: FloatArray
    _count: int
    _offset: int
    _anchor: bytes
    _skip_to_newline: bool
    _seen: FileSignature | None

    def __init__(self, path: Path, *, epochs_only: bool = False) -> None:
        self.path = path
        self._epochs_only = epochs_only
        self._reset()

    @property
    def steps(self) -> FloatArray:
        """Step numbers, float64 [n], from 1 over the whole training."""
        return _read_only(self._steps[: self._count])

    @property
    def losses(self) -> FloatArray:
        """The loss of each step, float64 [n]; NaN where it was not finite."""
        return _read_only(self._losses[: self._count])

    def poll(self) -> bool:
        """Read new lines. Costs one stat if there are none.

        Returns:
            True if anything changed, including that the file was replaced or deleted.
        """
        try:
            found = os.stat(self.path)
        except OSError:
            changed = self._seen is not None
            self._reset()
            return changed
        seen = FileSignature.from_stat(found)
        if seen == self._seen or not stat.S_ISREG(found.st_mode):  # reading a pipe would block
            return False
        try:
            return self._read(seen)
        except OSError:  # deleted or not readable; the next poll finds out
            return False

    def _read(self, seen: FileSignature) -> bool:
        changed = False
        with self.path.open("rb", buffering=0) as file:
            inode, size = os.fstat(file.fileno()).st_ino, os.fstat(file.fileno()).st_size
            if self._seen is not None and (
                inode != self._seen.inode or size < self._offset or not self._is_continuation(file)
            ):
                self._reset()
                changed = True
            self._seen = seen
            file.seek(self._offset)
            rest = b""
            while chunk := file.read(_CHUNK_BYTES):
                block, newline, rest = (rest + chunk).rpartition(b"\n")
                if newline:
                    self._offset += len(block) + 1
                    self._anchor = (self._anchor + block[-_ANCHOR_BYTES:] + newline)[-_ANCHOR_BYTES:]
                    for line in block.split(b"\n"):
                        self._parse_line(line)
                    changed = True
                if len(rest) > _MAX_LINE_BYTES:
                    self._skip_to_newline = True
                    self._offset += len(rest)
                    self._anchor = rest[-_ANCHOR_BYTES:]
                    rest = b""
        return changed

    def _is_continuation(self, file: io.FileIO) -> bool:
        """Return whether the bytes before the offset are those that were read, because an inode may be reused."""
        file.seek(self._offset - len(self._anchor))
        return file.read(len(self._anchor)) == self._anchor

    def _parse_line(self, line: bytes) -> None:
        if self._skip_to_newline or not line:
            self.damaged += self._skip_to_newline
            self._skip_to_newline = False
            return
        if self._epochs_only and line.startswith(_STEPS_LINE_START):
            return
        try:
            decoded = _decode_line(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.damaged += not _is_unknown_kind(line)
            return
        self.last_elapsed = decoded.t
        if isinstance(decoded, _StepsLine):
            self._add_steps(decoded)
        else:
            self._add_epoch(decoded)

    def _add_steps(self, line: _StepsLine) -> None:
        values = np.array(line.l, dtype=np.float64)  # None becomes NaN
        if self._count and line.s <= self._steps[self._count - 1]:
            # A writer went back to an earlier step without truncating. Older views keep their arrays.
            self._count = int(np.searchsorted(self._steps[: self._count], line.s))
            self._steps, self._losses = self._steps.copy(), self._losses.copy()
        end = self._count + len(values)
        if end > len(self._steps):
            capacity = max(1024, 2 * end)
            self._steps = np.concatenate([self._steps[: self._count], np.empty(capacity - self._count)])
            self._losses = np.concatenate([self._losses[: self._count], np.empty(capacity - self._count)])
        self._steps[self._count : end] = np.arange(line.s, line.s + len(values))
        self._losses[self._count : end] = values
        self._count = end

    def _add_epoch(self, line: _EpochLine) -> None:
        record = EpochRecord(
            epoch=line.e,
            step=line.s,
            elapsed=line.t,
            mean=_nan_if_none(line.mean),
            min=_nan_if_none(line.min),
            max=_nan_if_none(line.max),
            heldout=_nan_if_none(line.heldout),
            images_per_second=_nan_if_none(line.ips),
            learning_rate=_nan_if_none(line.lr),
            noise_error=_noise_error(line.noise),
            heldout_noise_error=_noise_error(line.heldout_noise),
            quality={} if line.q is UNSET else {name: Estimate(*values) for name, values in line.q.items()},
        )
        kept = len(self.epochs)
        while kept and self.epochs[kept - 1].epoch >= record.epoch:
            kept -= 1
        if kept < len(self.epochs):
            self.epochs = self.epochs[:kept]
        self.epochs.append(record)

    def _reset(self) -> None:
        self.epochs = []
        self.damaged = 0
        self.last_elapsed = 0.0
        self._steps = self._losses = np.empty(0)
        self._count = 0
        self._offset = 0
        self._anchor = b""
        self._skip_to_newline = False
        self._seen = None


def _open_append(path: Path) -> io.FileIO:
    file = io.FileIO(path, "ab", opener=open_no_follow)
    if file.tell():
        with path.open("rb") as written:
            written.seek(-1, os.SEEK_END)
            if (
                written.read(1) != b"\n"
            ):  # end the partial line of a killed writer, so that it spoils no other
                file.write(b"\n")
    return file


def _read_only(view: FloatArray) -> FloatArray:
    view.flags.writeable = False
    return view


def _noise_line(bins: NoiseErrorBins | None) -> _NoiseLine | UnsetType:
    if bins is None:
        return UNSET
    return _NoiseLine(
        n=list(bins.images),
        x=[round(value, 3) for value in bins.log_snr],
        m=[float(f"{value:.6g}") for value in bins.error],
    )


def _noise_error(line: _NoiseLine | UnsetType) -> NoiseErrorBins | None:
    """Return the bins of a line; None if there are none, or if they are not those of this version."""
    if isinstance(line, UnsetType):
        return None
    log_snr, error = (tuple(_nan_if_none(value) for value in values) for values in (line.x, line.m))
    bins = NoiseErrorBins(tuple(line.n), log_snr, error)
    return bins if bins.is_valid else None


def _nan_if_none(value: float | None) -> float:
    return float("nan") if value is None else value


def _is_unknown_kind(line: bytes) -> bool:
    try:
        return _decode_any(line).k not in ("s", "e")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
