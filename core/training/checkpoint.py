"""Checkpoints: weights, averaged weights, optimizers and position in ONE safetensors file.

One file cannot be half old and half new. Its tensors are named ``model.*``, ``ema.*`` and ``optimizer.I.P.KEY``
(optimizer I, parameter P). Trainings that an older version began also have ``rng``, a generator's state. The header
holds the `Position` as JSON, and a checksum of each tensor and of the position. Nothing is pickled, so a checkpoint
from an untrusted source can be opened.

The checkpoint before the last one is kept as ``previous.safetensors``. It is read if the last one is damaged, and
training then resumes from a little further back and repeats the lost steps exactly. The weights of the best epoch, if a
run keeps them, are a file of the same kind: see `core.training.best_checkpoint`.
"""

import errno
import logging
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import torch
from msgspec import Meta
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from core.config.schema import RunConfig
from core.config.trained_with import TrainedWith
from core.config.unchanged import check_betas
from core.diffusion.gaussian import GaussianDiffusion
from core.errors import UserError
from core.files.atomic import atomic_path
from core.files.outputs import make_folder
from core.files.sanitize import sanitize
from core.files.untrusted import open_regular
from core.files.utf8 import utf8_path
from core.runs import DISK_FULL, RunDirectory
from core.training.network import build_run_network
from core.training.network import load_model_weights as load_model_weights
from core.training.network import make_diffusion as make_diffusion
from core.training.precision import set_up_device

FORMAT_VERSION: Final = 1
_POSITION_KEY: Final = "ddpm-tui"
_CHECKSUMS_KEY: Final = "crc32"

logger = logging.getLogger(__name__)


MAX_SIZE: Final = 4096
"""Pixels a side, as in a data recipe. Larger images in a damaged or hostile file would not fit into the memory."""
Natural = Annotated[int, Meta(ge=0, lt=1 << 53)]
Seeding = Literal["stream", "step"]
CheckpointName = Literal["last", "best"]


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """The position of a training.

    `epoch` epochs are complete, and `batch` batches of the next; `losses` are those batches' losses. `elapsed` is in
    seconds, and `metrics_offset` in bytes of `metrics.jsonl`. `threads` is the number of CPU threads, which decides the
    last bits of every sum; it is 0 on other devices and if unknown. `precision` is ``bf16``, ``tf32`` or ``fp32``, as
    it ran, and empty if unknown. `seeding` is ``step`` if the generator is seeded before each step, and ``stream`` if
    all steps draw from one stream, as in older versions, whose checkpoints have the generator's state.
    """

    format_version: int = FORMAT_VERSION
    epoch: Natural
    batch: Natural
    step: Natural
    losses: list[float]
    noise_error_sums: list[float] = []
    """Sums of those batches' noise-prediction errors, see `core.training.noise_error`; empty in older versions."""
    elapsed: float
    metrics_offset: Natural
    channels: Annotated[int, Meta(ge=1, le=3)]
    size: Annotated[int, Meta(ge=1, le=MAX_SIZE)]
    threads: Annotated[int, Meta(ge=0, le=1 << 16)] = 0
    precision: str = ""
    seeding: Seeding = "stream"
    planned_steps: Natural = 0
    """Steps that fit into `planned_minutes`; 0 without a budget of time, and until its speed has been measured."""
    planned_minutes: float = 0.0
    monitor: str = ""
    """Metric for which weights were kept as the best; empty in other checkpoints."""
    monitored: float = 0.0
    """Its value."""
    trained_with: TrainedWith | None = None
    """Images, betas and settings of the training; None in checkpoints of older versions."""


class _Versioned(msgspec.Struct):
    format_version: int = FORMAT_VERSION


def save_checkpoint(run: RunDirectory, tensors: dict[str, Tensor], position: Position) -> None:
    """Replace the run's checkpoint atomically and keep the previous one; the caller is the run's writer.

    On a full disk the previous checkpoint is deleted to make room.

    Raises:
        OSError: the checkpoint cannot be written; the last one is still there.
    """
    make_folder(run.checkpoint.parent)
    on_cpu, header = encode_checkpoint(tensors, position)
    try:
        _write_checkpoint(run, on_cpu, header)
    except OSError as error:
        if error.errno not in DISK_FULL or not run.previous_checkpoint.exists():
            raise
        run.previous_checkpoint.unlink(missing_ok=True)
        _write_checkpoint(run, on_cpu, header)


def encode_checkpoint(
    tensors: dict[str, Tensor], position: Position
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors on the CPU, and the header of their file, with the position and the checksums."""
    on_cpu = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    text = msgspec.json.encode(position).decode()
    sums = {name: _checksum(value) for name, value in on_cpu.items()} | {
        _POSITION_KEY: zlib.crc32(text.encode())
    }
    return on_cpu, {_POSITION_KEY: text, _CHECKSUMS_KEY: msgspec.json.encode(sums).decode()}


def _write_checkpoint(run: RunDirectory, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    """Write the last checkpoint; at every instant both the last and the previous one are complete."""
    with atomic_path(run.checkpoint) as temporary:
        save_tensors(temporary, tensors, header, named=run.checkpoint)
        old = _link_last(run) if run.checkpoint.exists() else None
    if old is not None:
        os.replace(old, run.previous_checkpoint)


def save_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, str], *, named: Path) -> None:
    """Write tensors to an existing temporary file and keep its permissions.

    Args:
        path: the temporary file.
        tensors: tensors on the CPU.
        header: header of the file.
        named: file that it will replace, for error messages.

    Raises:
        OSError: the file cannot be written.
    """
    mode = path.stat().st_mode
    try:
        with utf8_path(path) as text:
            save_file(tensors, text, metadata=header)
        path.chmod(mode)  # safetensors replaces the file by one that only its owner may read
    except SafetensorError as error:
        raise _as_os_error(error, named) from error


def _link_last(run: RunDirectory) -> Path | None:
    """Make a hidden hard link to the last checkpoint, which a new one is about to replace.

    On a file system without hard links the last checkpoint becomes the previous one at once. Readers then use the
    previous one until the new one is in its place.
    """
    link = run.previous_checkpoint.with_name(f".{run.previous_checkpoint.name}.{os.getpid()}.tmp")
    link.unlink(missing_ok=True)
    try:
        os.link(run.checkpoint, link)
    except OSError:
        os.replace(run.checkpoint, run.previous_checkpoint)
        return None
    return link


def _as_os_error(error: SafetensorError, path: Path) -> OSError:
    """Convert a failed write of safetensors, which has the error number only in its message, to an OSError."""
    number = next((n for n in (*DISK_FULL, errno.EFBIG) if f"os error {n})" in str(error)), errno.EIO)
    return OSError(number, os.strerror(number) if number != errno.EIO else str(error), str(path))


def read_checkpoint(
    run: RunDirectory, prefix: str | tuple[str, ...] = ""
) -> tuple[dict[str, Tensor], Position]:
    """Read the position and the tensors whose names begin with `prefix`, or with one of several, onto the CPU.

    If the last checkpoint is damaged or missing, the previous one is read and a warning is logged.

    Raises:
        UserError: there is no checkpoint, none is intact, or a newer version has written it.
    """
    tensors, position, _ = _read_newest_intact(run, prefix)
    return tensors, position


def read_best_checkpoint(
    run: RunDirectory, prefix: str | tuple[str, ...] = ""
) -> tuple[dict[str, Tensor], Position]:
    """Read the weights that `train.keep_best` keeps, as `read_checkpoint` does.

    Raises:
        UserError: they are not there, damaged, or a newer version has written them.
    """
    try:
        return _read(run.best_checkpoint, prefix)
    except FileNotFoundError:
        raise UserError(
            f"{sanitize(run.id)}: keeps no best checkpoint; train with --set train.keep_best=true, or use the last one"
        ) from None
    except DamagedCheckpointError as error:
        raise UserError(f"{error}; the last checkpoint may be whole: --checkpoint last") from error


def read_named_checkpoint(
    run: RunDirectory, checkpoint: CheckpointName, prefix: str | tuple[str, ...] = ""
) -> tuple[dict[str, Tensor], Position]:
    """Read the last checkpoint or the best one; see `read_checkpoint` and `read_best_checkpoint`."""
    return (read_best_checkpoint if checkpoint == "best" else read_checkpoint)(run, prefix)


def recover_checkpoint(run: RunDirectory) -> tuple[dict[str, Tensor], Position]:
    """Read the checkpoint to resume from, as `read_checkpoint` does; the caller is the run's writer.

    The file that was read becomes the last checkpoint. Otherwise the next save would replace the intact previous
    checkpoint by the damaged last one.

    Raises:
        UserError: see `read_checkpoint`.
    """
    tensors, position, path = _read_newest_intact(run, "")
    if path != run.checkpoint:
        os.replace(path, run.checkpoint)
    return tensors, position


def has_checkpoint(run: RunDirectory) -> bool:
    """Return whether there is a checkpoint to resume from."""
    return run.checkpoint.exists() or run.previous_checkpoint.exists()


def _read_newest_intact(
    run: RunDirectory, prefix: str | tuple[str, ...]
) -> tuple[dict[str, Tensor], Position, Path]:
    problem: Exception | None = None
    try:
        return *_read(run.checkpoint, prefix), run.checkpoint
    except FileNotFoundError:
        reason = f"{run.checkpoint}: is lost"
    except DamagedCheckpointError as error:
        problem, reason = error, str(error)
    try:
        tensors, position = _read(run.previous_checkpoint, prefix)
    except (FileNotFoundError, DamagedCheckpointError) as error:
        if problem is None and isinstance(error, FileNotFoundError):
            raise UserError(
                f"{sanitize(run.id)}: has no checkpoint yet; train it for at least one epoch"
            ) from None
        raise UserError(
            f"{problem or error}; no other one is whole: move {run.checkpoint.parent} away to train from the beginning"
        ) from error
    logger.warning("%s; taking the previous checkpoint, of step %d", reason, position.step)
    return tensors, position, run.previous_checkpoint


def read_position(path: Path) -> Position:
    """Read the position of a file of weights, without its tensors.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: it is damaged, or a newer version has written it.
    """
    return _read(path, "no tensor")[1]


class DamagedCheckpointError(UserError):
    """A file that is cut off, has changed on disk, or is no checkpoint."""


def _read(path: Path, prefix: str | tuple[str, ...]) -> tuple[dict[str, Tensor], Position]:
    try:
        open_regular(path).close()  # safetensors would wait at a pipe
        with utf8_path(path) as named, safe_open(named, framework="pt") as file:
            header = file.metadata() or {}
            if unknown := header.keys() - {_POSITION_KEY, _CHECKSUMS_KEY}:
                # A changed bit may be in the key of the checksums itself.
                raise ValueError(f"its header names {min(unknown)[:40]!r}")
            text = header[_POSITION_KEY]
            sums = (
                msgspec.json.decode(header[_CHECKSUMS_KEY], type=dict[str, int])
                if _CHECKSUMS_KEY in header
                else None
            )
            if sums is not None and zlib.crc32(text.encode()) != sums.pop(_POSITION_KEY):
                raise ValueError("its position has changed since it was written")
            if (version := msgspec.json.decode(text, type=_Versioned).format_version) > FORMAT_VERSION:
                raise UserError(
                    f"{path}: made by a newer ddpm-tui (format {version}, this one reads {FORMAT_VERSION}): upgrade"
                )
            position = msgspec.json.decode(text, type=Position)
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118 (not a dict)
            # Copies, because a view of the mapped file would keep its disk space after it has been replaced.
            tensors = {name: file.get_tensor(name).clone() for name in names}
        if sums is not None:  # older versions wrote no checksums
            _verify_checksums(sums, tensors, prefix)
    except (UserError, FileNotFoundError):
        raise
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError, msgspec.DecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DamagedCheckpointError(f"{path}: not a checkpoint that can be read ({reason})") from error
    return tensors, position


def _verify_checksums(
    sums: Mapping[str, int], tensors: dict[str, Tensor], prefix: str | tuple[str, ...]
) -> None:
    """Raise ValueError if a tensor differs from its checksum, because bits can change on a disk unnoticed."""
    expected = {name: value for name, value in sums.items() if name.startswith(prefix)}
    found = {name: _checksum(value) for name, value in tensors.items()}
    names = sorted(expected.keys() | found.keys())
    if changed := [name for name in names if expected.get(name) != found.get(name)]:
        raise ValueError(f"{changed[0]} has changed since it was written")


def _checksum(value: Tensor) -> int:
    """Return the CRC of a tensor's type, shape and bytes; at 1 GB a second or more, far faster than writing to disk."""
    start = zlib.crc32(f"{value.dtype} {tuple(value.shape)}".encode())
    return zlib.crc32(value.reshape(-1).view(torch.uint8).numpy().data, start) if value.numel() else start


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A trained network in eval mode, ready to sample, with averaged weights if the run keeps them."""

    model: nn.Module
    diffusion: GaussianDiffusion
    config: RunConfig
    position: Position

    @property
    def shape(self) -> tuple[int, int, int]:
        """[C, H, W] of the images."""
        return self.position.channels, self.position.size, self.position.size

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that the network was trained with; empty without labels."""
        return self.position.trained_with.classes if self.position.trained_with else ()

    @property
    def device(self) -> torch.device:
        """Device of the network; the CPU for a network without weights."""
        weight = next(self.model.parameters(), None)
        return torch.device("cpu") if weight is None else weight.device


def load_model(
    run: RunDirectory, device: str | torch.device = "cpu", *, checkpoint: CheckpointName = "last"
) -> LoadedModel:
    """Load the network of a run from its last checkpoint, or from that of its best epoch.

    Raises:
        UserError: the run has no checkpoint that can be read, or its file of betas has changed.
    """
    # A single read, because a live run may replace the file, and the weights must be of one epoch.
    return _load(run, *read_named_checkpoint(run, checkpoint, ("model.", "ema.")), device)


def load_weights(run: RunDirectory, path: Path, device: str | torch.device = "cpu") -> LoadedModel:
    """Load a network of a run from any file of its weights, such as a copy of an earlier checkpoint.

    Raises:
        UserError: the file is not there, damaged, or of another network.
    """
    try:
        tensors, position = _read(path, ("model.", "ema."))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file of weights") from None
    return _load(run, tensors, position, device)


def _load(
    run: RunDirectory, tensors: dict[str, Tensor], position: Position, device: str | torch.device
) -> LoadedModel:
    config = run.read().config
    if position.trained_with is not None:
        check_betas(position.trained_with, config, run_id=sanitize(run.id))
    diffusion, size = make_diffusion(config), position.size
    classes = len(position.trained_with.classes) if position.trained_with else 0
    model = build_run_network(config, diffusion, (position.channels, size, size), classes=classes)
    load_model_weights(model, tensors, "model.", run)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in tensors.items():
            if name.startswith("ema."):
                parameters[name.removeprefix("ema.")].copy_(value)
    set_up_device(torch.device(device), position.precision)
    model.eval().to(device)
    return LoadedModel(model, diffusion, config, position)
