"""Withdrawal of a resume: a finished run that could not train further is finished as before."""

import contextlib

import msgspec

from core.errors import UserError
from core.runs.directory import RunDirectory
from core.runs.status import State, Status


def was_finished(status: Status) -> bool:
    """Return whether a run had finished and has not trained since; false once it runs."""
    return status.state in (State.QUEUED, State.STARTING) and 0 < status.finished_epochs == status.epoch


def withdraw_epochs(run: RunDirectory, status: Status, *, otherwise: State) -> Status:
    """Return the status with which a run ends that was queued or starting; the caller holds the run's lock.

    Args:
        run: the run; if it had finished, its `run.toml` gets back the number of epochs that it had.
        status: its status.
        otherwise: the state of a run that had not finished.
    """
    if not was_finished(status):
        return msgspec.structs.replace(status, state=otherwise)
    epochs = status.finished_epochs
    train_epochs = status.finished_train_epochs or epochs  # more than `epochs` if a budget ended the run
    with contextlib.suppress(UserError, OSError):  # the folder may be full, read-only or damaged
        file = run.read()
        train = msgspec.structs.replace(file.config.train, epochs=train_epochs)
        config = msgspec.structs.replace(file.config, train=train)
        run.write_run_file(msgspec.structs.replace(file, config=config))
    return msgspec.structs.replace(status, state=State.FINISHED, epochs=epochs)
