"""Start, stop, resume, clone and remove runs.

Each command changes a run only while it holds the run's lock, so it cannot race a worker, a queue runner or another
command.
"""

import shutil
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
import tomli

from core.config.launch import LaunchConfig
from core.config.load import apply_overrides, decode, encode_toml
from core.config.schema import RunConfig
from core.config.unchanged import check_unchanged
from core.data.augmentation import without_own_augment
from core.data.check import check_trainable
from core.data.overrides import with_data_recipe
from core.data.trained_images import check_trained_images
from core.errors import UserError
from core.files.sanitize import sanitize
from core.launch.engines.settings import clone_settings, launch_provenance
from core.launch.provenance import (
    config_with_absolute_paths,
    current_provenance,
    run_data_dirs,
    with_absolute_paths,
)
from core.launch.runner_lock import hold_enqueue_lock
from core.runs.copies import reject_copy
from core.runs.directory import DamagedStatusError, RunBusyError, RunDirectory, RunFile
from core.runs.naming import make_group
from core.runs.process import (
    ProcessIdentity,
    host_name,
    is_alive,
    may_hold_lock,
    names_folder,
    send_signal,
)
from core.runs.requeue import without_worker
from core.runs.status import State, Status
from core.runs.store import RunStore
from core.runs.withdrawal import withdraw_epochs

_LOCK_WAIT: Final = 2.0
_PARAMETERS: Final = {"noise_levels": ("noise_mean", "noise_scale"), "loss_weight": ("sigmoid_bias",)}
"""Settings of `[train]` with the parameters of their value."""


def check_startable(run: RunDirectory) -> str:
    """Check that a queue runner will start a run, or has started it: see `core.launch.queue.ensure_runner`.

    Returns:
        The run's state, in one line.

    Raises:
        UserError: the run has ended, or is a copy of a run of another host.
    """
    name = sanitize(run.id)
    reject_copy(run.path, "start", "started")
    state = run.effective_state(run.read_status(), now=time.time())
    if state.is_ended:
        raise UserError(f"{name}: is {state}, not queued; to queue it again: core runs resume {name}")
    return f"{name}: is {state} already" if state.is_live else f"{name}: starts as soon as there is room"


def stop(run: RunDirectory) -> str:
    """Stop a run: take it from the queue, or ask its worker to finish the step, write a checkpoint and end.

    Does not wait for the worker. Stopping a run that has ended is no error.

    Returns:
        The action taken, in one line.

    Raises:
        UserError: the run is unreadable, belongs to another user or is a copy of a run of another host.
    """
    name = sanitize(run.id)
    reject_copy(run.path, "stop", "stopped")
    deadline = time.monotonic() + _LOCK_WAIT
    while True:
        status = run.read_status()
        state = run.effective_state(status, now=time.time())
        if state.is_ended:
            return f"{name}: nothing to stop, it is {state}"
        if state.is_live and status.host != host_name():
            run.request_stop()
            return f"{name}: asked its worker on {sanitize(status.host)} to stop"
        try:
            with run.lock():
                if run.read_status() != status:
                    continue
                status = withdraw_epochs(run, status, otherwise=State.STOPPED)
                run.write_status(without_worker(status, status.state, epochs=status.epochs))
        except RunBusyError:
            if state.is_live:
                return _ask_worker(run, status)
            # A worker is claiming the run; its status will name the worker in a moment.
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.01)
            continue
        if state.is_live:
            # A worker holds the lock all its life, so the status names some other process.
            return f"{name}: nothing to stop, no process trains it"
        return f"{name}: taken from the queue"


def _ask_worker(run: RunDirectory, status: Status) -> str:
    """Signal the worker of a run whose lock is held, or ask by a file if it cannot be proved which process it is."""
    name, worker = sanitize(run.id), ProcessIdentity.from_status(status)
    if (
        status.engine != "local"
    ):  # its scheduler sends signals too, and only the file tells the user's stop from those
        run.request_stop()
        return f"{name}: asked its worker (pid {status.pid}) to stop"

    def is_worker(pid: int) -> bool:
        return names_folder(pid, run.path) and may_hold_lock(pid, run.lock_file)

    try:
        if send_signal(worker, signal.SIGTERM, proof=is_worker):
            return f"{name}: asked its worker (pid {status.pid}) to stop"
    except PermissionError:
        raise UserError(f"{name}: its worker (pid {status.pid}) belongs to another user") from None
    if not is_alive(worker):
        return f"{name}: nothing to stop, its worker has just ended"
    run.request_stop()
    return f"{name}: asked its worker to stop"


def resume(run: RunDirectory, *, epochs: int | None = None) -> str:
    """Put an ended run back into the queue; its worker will resume from the last checkpoint.

    A run that is queued stays queued, because its runner may have been killed and the user wants it to be started.

    A queue runner must be there to start the run: see `core.launch.queue.ensure_runner`.

    Args:
        run: a stopped, failed, crashed, queued or, with more epochs, finished run.
        epochs: total number of epochs to train; must not be lower than before.

    Returns:
        The action taken, in one line.

    Raises:
        UserError: the run is live, has nothing left to do, `epochs` is too small, or its images, betas or settings have
            changed since its checkpoint; or it is a copy of a run of another host.
    """
    name = sanitize(run.id)
    reject_copy(run.path, "resume", "resumed")
    _refuse_training(run, _status_or_new(run))
    with run.lock(wait=_LOCK_WAIT):
        file, status = run.read(), _status_or_new(run)
        state = _refuse_training(run, status)
        wanted = file.config.train.epochs if epochs is None else epochs
        if wanted < file.config.train.epochs:
            raise UserError(
                f"{name}: --epochs {wanted}: expected at least the {file.config.train.epochs} that it has"
            )
        if (
            state is State.FINISHED
            and status.ended_by
            and status.ended_by == _limit(file.config, status.ended_by)
        ):
            raise UserError(
                f"{name}: has finished: {status.ending}; raise that in {run.run_file}, or set it to 0, then resume"
            )
        if state is State.FINISHED and status.epoch >= wanted and not status.ended_by:
            done = status.epoch  # more than `wanted` if run.toml was edited
            epochs_text = f"{done} epoch{'s' * (done != 1)}"
            more = done + max(1, done // 2)
            raise UserError(f"{name}: has finished its {epochs_text}; give it more, say --epochs {more}")
        if state is State.QUEUED and wanted == file.config.train.epochs:
            return f"{name}: is queued already, from epoch {status.epoch} of {wanted}"
        _check_inputs(run, file, status)
        if wanted != file.config.train.epochs:
            train = msgspec.structs.replace(file.config.train, epochs=wanted)
            config = msgspec.structs.replace(file.config, train=train)
            run.write_run_file(msgspec.structs.replace(file, config=config))
        run.clear_control()
        # If killed before this line, only the run's number of epochs has changed, and another resume completes it.
        finished = status.epoch if state is State.FINISHED else status.finished_epochs
        status = msgspec.structs.replace(status, finished_epochs=finished)
        run.write_status(without_worker(status, State.QUEUED, epochs=wanted))
    if state in (State.FAILED, State.CRASHED):  # the last checkpoint may be of an earlier epoch
        start = "its last checkpoint" if _has_checkpoint(run) else "the beginning"
        return f"{name}: queued again, from {start}, to epoch {wanted}"
    return f"{name}: queued again, from epoch {status.epoch} of {wanted}"


def clone(
    root: Path | str, run: RunDirectory, overrides: Iterable[str] = (), *, launch: LaunchConfig | None = None
) -> RunDirectory:
    """Queue a new run with the configuration of an existing one.

    Args:
        root: the runs folder for the new run.
        run: the existing run, in any state.
        overrides: changes, each ``section.key=value``. Another ``model.preset`` brings its own width, unless the
            existing run's width was not its preset's or ``model.width`` is changed too. In the same way another
            ``data.dataset`` brings its own augmentation, and other noise levels or another loss weight bring their own
            parameters.
        launch: the engine that starts the new run; that of the existing one unless given.

    Returns:
        The new run, in a group of its own.

    Raises:
        UserError: the existing run is unreadable, an override is wrong, or the new run could not be trained: see
            `check_trainable`.
    """
    old = run.read()
    table = tomli.loads(encode_toml(without_own_augment(config_with_absolute_paths(old)).unresolved()))
    overrides = list(overrides)
    for key, parameters in _PARAMETERS.items():
        if any(one.partition("=")[0].strip() == f"train.{key}" for one in overrides):
            for parameter in parameters:
                table["train"].pop(parameter, None)
    config = with_absolute_paths(
        decode(apply_overrides(table, overrides), RunConfig, source=f"clone of {sanitize(run.id)}")
    )
    check_trainable([config])
    config = with_data_recipe(config)
    launch = launch or clone_settings(run)
    provenance = {**current_provenance(), **launch_provenance(launch), "cloned_from": old.id}
    with hold_enqueue_lock(Path(root), for_runner=launch.engine == "local"):
        group = RunStore(root).unused_group(make_group(config.recipe))
        return RunDirectory.create(
            root, config, group=group, provenance=provenance, tags=old.tags, engine=launch.engine
        )


def remove(run: RunDirectory) -> str:
    """Delete a run and all its files; it disappears in one step before its files are deleted.

    Args:
        run: an ended, queued or unreadable run.

    Returns:
        The action taken, in one line.

    Raises:
        UserError: the run is live, cannot be deleted, or is a copy of a run that another host still has.
    """
    name = sanitize(run.id)
    reject_copy(run.path, "rm", "deleted")
    _refuse_live(run)
    with run.lock(wait=_LOCK_WAIT):
        _refuse_live(run)
        trash = run.move_to_trash()
    try:
        if trash.is_symlink():  # delete the link, not the run that it points to
            trash.unlink()
        else:
            shutil.rmtree(trash)
    except OSError as error:
        raise UserError(f"{trash}: cannot be deleted ({error.strerror or error})") from error
    return f"{name}: removed"


def _status_or_new(run: RunDirectory) -> Status:
    """Return the run's status, or for a damaged one (as a power cut leaves it) the status of a crashed run.

    The caller holds the lock before it relies on the status, because a live worker would hold that lock.
    """
    try:
        return run.read_status()
    except DamagedStatusError:
        return Status(state=State.CRASHED, epochs=run.read().config.train.epochs)


def _limit(config: RunConfig, ended_by: str) -> str:
    """Return the setting that ended a run as it is in its configuration now, as ``key = value``."""
    key = ended_by.partition(" = ")[0]
    value = getattr(config.train, key.removeprefix("train."), None)
    return f"{key} = {value:g}" if isinstance(value, float) else f"{key} = {value}"


def _has_checkpoint(run: RunDirectory) -> bool:
    return run.checkpoint.exists() or run.previous_checkpoint.exists()


def _check_inputs(run: RunDirectory, file: RunFile, status: Status) -> None:
    """Refuse to resume a checkpoint whose images, betas or settings have changed, before the run is queued."""
    if status.trained_with is None or not _has_checkpoint(run):
        return
    config = config_with_absolute_paths(file)
    check_unchanged(status.trained_with, config, run_id=sanitize(run.id))
    try:
        check_trained_images(config.data.dataset, status.trained_with, run_data_dirs(file))
    except UserError as error:
        raise UserError(f"{sanitize(run.id)}: {error}") from error


def _refuse_training(run: RunDirectory, status: Status) -> State:
    """Return the state of a run that no worker trains."""
    state = run.effective_state(status, now=time.time())
    if state.is_live:
        raise UserError(f"{sanitize(run.id)}: is {state} already; only a run that has ended can be resumed")
    return state


def _refuse_live(run: RunDirectory) -> None:
    try:
        state = run.effective_state(run.read_status(), now=time.time())
    except UserError:
        return  # unreadable; if it has a worker nevertheless, that worker holds the lock
    if state.is_live:
        raise UserError(f"{sanitize(run.id)}: is {state}; stop it before removing it")
