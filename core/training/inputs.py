"""Inputs of a run: its images, which all runs of a group share and which stay the same for the run's whole life."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from typing import TypedDict

import torch

from core.config.schema import RunConfig
from core.config.trained_with import TrainedWith, fixed_settings
from core.config.unchanged import check_unchanged, config_betas_digest
from core.data import ImageSet, default_data_dir, load_dataset
from core.data.cache import lock
from core.data.trained_images import ImagesChangedError, find_set_for_count, load_trained_images
from core.errors import UserError
from core.files.sanitize import sanitize
from core.files.untrusted import open_regular
from core.runs import RunDirectory, RunFile, RunStore
from core.runs.directory import SIZE_LIMIT
from core.training.checkpoint import Position, has_checkpoint, read_checkpoint
from core.training.distributed import SingleProcess

_NO_TENSORS = "position only"


class _Loading(TypedDict):
    """Arguments that all functions that load images have."""

    progress: Callable[[int, int], None] | None
    labels: bool


def load_images(run: RunDirectory, progress: Callable[[int, int], None] | None = None) -> ImageSet:
    """Load the images of a run: those of its earlier attempts, else of another run of its group, else of its data set.

    Raises:
        UserError: there are no such images, or not any more.
    """
    file = run.read()
    data = file.config.data
    own, of_group = _own_record(run), _record_of_group(run, file)
    how: _Loading = {"progress": progress, "labels": data.labels}
    # With another name in run.toml the set of that name is loaded. `check_inputs` refuses it if its images differ.
    if own is not None and own.fingerprint and own.dataset in ("", data.dataset):
        try:
            return load_trained_images(data.dataset, own, count=data.count, **how)
        except ImagesChangedError:
            if has_checkpoint(run):
                raise
            # It has trained nothing yet, so it may begin with other images.
    if of_group is not None:
        count, record = of_group
        if count == data.count:
            return load_trained_images(data.dataset, record, count=count, **how)
        found = find_set_for_count(record.fingerprint, data.count, default_data_dir())
        if found is not None and (found.classes or not data.labels):
            return found
    return load_dataset(data.dataset, count=data.count, **how)


@contextlib.contextmanager
def images_shared_with_group(
    run: RunDirectory, progress: Callable[[int, int], None] | None = None
) -> Iterator[ImageSet]:
    """Load the images of a run, while no other run of the group does the same.

    In the context the caller writes the record into the run's status, where the next run of the group finds it.

    Raises:
        UserError: see `load_images`.
    """
    dataset = run.read().config.data.dataset
    name = f"first-{hashlib.sha256(dataset.encode(errors='surrogateescape')).hexdigest()[:16]}"
    with contextlib.ExitStack() as stack:
        # Without a lock two runs that start at once may make different sets of a folder that is just changing.
        with contextlib.suppress(OSError):
            default_data_dir().mkdir(parents=True, exist_ok=True)
            stack.enter_context(lock(default_data_dir(), name))
        yield load_images(run, progress)


def record_inputs(config: RunConfig, images: ImageSet, device: str) -> TrainedWith:
    """Return the record of the inputs of a training.

    Args:
        config: the run's configuration.
        images: its images.
        device: kind of the device, for example ``cuda``.

    Raises:
        UserError: the file of betas cannot be read.
    """
    return TrainedWith(
        dataset=config.data.dataset,
        fingerprint=images.fingerprint,
        pixels=images.pixels_digest,
        train=len(images.train),
        heldout=len(images.heldout),
        channels=images.channels,
        size=images.size,
        notes=images.notes,
        betas=config_betas_digest(config),
        settings=fixed_settings(config),
        torch=str(torch.__version__),
        device=device,
        classes=images.classes if config.data.labels else (),
        labels=images.labels_digest if config.data.labels else "",
    )


def inexact_changes(before: TrainedWith | None, now: TrainedWith) -> list[str]:
    """Describe changes with which a training can be resumed, but not bit for bit."""
    if before is None:
        return []
    last_bits = "what follows may differ in the last bits"
    changes = (
        ("PyTorch ", before.torch, now.torch, last_bits),
        # Each kind of device has a random number generator of its own.
        (
            "",
            before.device,
            now.device,
            "what follows is not bit for bit the same, because other noise is drawn",
        ),
        ("precision ", before.precision, now.precision, "what follows is rounded otherwise"),
    )
    return [
        f"{name}{old} before, {name}{new} now: {effect}"
        for name, old, new, effect in changes
        if old and old != new
    ]


def check_inputs(run: RunDirectory, config: RunConfig, position: Position, now: TrainedWith) -> None:
    """Refuse to resume from a checkpoint that was trained with other inputs.

    Args:
        run: the run.
        config: its configuration now.
        position: the position of the checkpoint.
        now: the record of the inputs now.

    Raises:
        UserError: images, betas or settings differ.
    """
    run_id, before = sanitize(run.id), position.trained_with
    if before is not None:
        check_unchanged(before, config, run_id=run_id)
        if before.pixels and before.pixels != now.pixels:
            is_other_set = before.dataset not in ("", now.dataset)
            now_text = (
                f"run.toml says data.dataset = {sanitize(now.dataset)} now, with"
                if is_other_set
                else "now there are"
            )
            raise UserError(
                f"{run_id}: its checkpoint was trained on {before.images_text}; {now_text} {now.images_text}"
                f"{' that differ' if before.images_text == now.images_text else ''}. Put the old images back, or "
                f"train a new run: core runs clone {run_id}"
            )
        if before.labels != now.labels and before.labels:
            raise UserError(
                f"{run_id}: its checkpoint was trained on {len(before.classes)} classes; the labels of {now.dataset} "
                f"differ now. Put the old labels back, or train a new run: core runs clone {run_id}"
            )
    if (position.channels, position.size) != (now.channels, now.size):
        shape = f"{position.size}x{position.size} in {'colour' if position.channels == 3 else 'grey'}"
        raise UserError(
            f"{run_id}: its checkpoint was trained on images of {shape}; now there are {now.images_text}. "
            f"Put the old images back, or train a new run: core runs clone {run_id}"
        )
    if position.epoch > config.train.epochs:
        raise UserError(
            f"{run_id}: has trained {position.epoch} epochs, but run.toml says train.epochs = {config.train.epochs}: "
            f"expected at least {position.epoch}"
        )
    if 0 < (most := config.train.max_steps) < position.step:
        raise UserError(
            f"{run_id}: has trained {position.step} steps, but run.toml says train.max_steps = {most}: "
            f"expected at least {position.step}, or 0 for no limit"
        )
    _check_steps(run_id, config, position, now)


def _check_steps(run_id: str, config: RunConfig, position: Position, now: TrainedWith) -> None:
    """Compare the number of steps with that of the epochs, for checkpoints of older versions, which have no record."""
    batches = -(-now.train // config.train.batch_size)
    if position.step == position.epoch * batches + position.batch and position.batch <= batches:
        return
    per_epoch = (position.step - position.batch) / position.epoch if position.epoch else position.batch
    before = int(per_epoch * config.train.batch_size)
    raise UserError(
        f"{run_id}: its checkpoint was trained in {per_epoch:g} steps an epoch, which is about {before:,} images in "
        f"batches of {config.train.batch_size}; now there are {batches} steps, of {now.images_text}. Put the old "
        f"images or batch size back, or train a new run: core runs clone {run_id}"
    )


def _own_record(run: RunDirectory) -> TrainedWith | None:
    """Return the record of the checkpoint, else of the status; None if the run has never started."""
    if has_checkpoint(run):
        _, position = read_checkpoint(run, _NO_TENSORS)
        if position.trained_with is not None:
            return position.trained_with
    with contextlib.suppress(UserError):
        return run.read_status().trained_with
    return None


def _record_of_group(run: RunDirectory, file: RunFile) -> tuple[int | None, TrainedWith] | None:
    """Return data.count and the record of another run of the group with the same data set, if one has started."""
    for other in RunStore(run.path.parent).runs_by_name():
        if other.id == run.id or not _mentions(other, file.group):
            continue
        with contextlib.suppress(UserError):
            found, record = other.read(), other.read_status().trained_with
            same = found.group == file.group and found.config.data.dataset == file.config.data.dataset
            if same and record is not None and record.fingerprint:
                return found.config.data.count, record
    return None


def _mentions(run: RunDirectory, group: str) -> bool:
    """Return whether a run's file contains the name of the group; far faster than parsing it."""
    with contextlib.suppress(OSError), open_regular(run.run_file) as opened:
        return group.encode() in opened.read(SIZE_LIMIT)
    return False


def restore_threads(position: Position, process_group: SingleProcess) -> int:
    """Use as many threads as before if there are enough cores, because the last bits of every sum depend on it.

    Returns:
        The number of threads if it has been changed, else 0.
    """
    cores = os.cpu_count() or 1
    alone_on_cpu = process_group.device.type == "cpu" and process_group.world_size == 1
    if not alone_on_cpu or position.threads in (0, torch.get_num_threads()):
        return 0
    if position.threads > cores:
        print(
            f"{position.threads} threads before, {cores} cores now: what follows may differ in the last bits"
        )
        return 0
    torch.set_num_threads(position.threads)
    return position.threads
