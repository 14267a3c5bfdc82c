"""Starts a `core evaluate` that goes on when whoever asked for it leaves; how far it is: `core.runs.progress`."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from core.errors import UserError
from core.launch.devices import Plan
from core.launch.subprocess_env import environment_for_children
from core.runs.directory import RunDirectory
from core.runs.process import ProcessIdentity
from core.runs.progress import (
    LOG_NAME,
    EvaluationProgress,
    read_evaluation_progress,
    write_evaluation_progress,
)
from core.runs.results import Evaluation
from core.sampling_names import SAMPLERS_WITH_ETA

THREADS: Final = 1
NICENESS: Final = 10
"""Whoever looks can wait a little; the training beside it should not have to."""
_STARTED: Final[list["subprocess.Popen[bytes]"]] = []


def start_evaluation(runs: Sequence[RunDirectory], plan: Plan, *, like: Evaluation | None = None) -> int:
    """Have runs judged, one after the other, in one process.

    Args:
        runs: runs with checkpoints, of one runs folder; those that somebody judges already are passed over.
        plan: where computing is allowed; its first device is taken.
        like: a judgement that theirs shall be comparable with; None takes what `core evaluate` does unless told.

    Returns:
        How many will be judged.

    Raises:
        UserError: a run cannot be written.
    """
    _STARTED[:] = [process for process in _STARTED if process.poll() is None]
    wanted = [run for run in runs if not _is_evaluated(run)]
    if not wanted:
        return 0
    command = [sys.executable, "-P", "-m", "core", "evaluate", *(str(run.path.absolute()) for run in wanted)]
    command += ["--runs", str(wanted[0].path.parent.absolute()), "--device", plan.first]
    if like is not None:
        command += ["--count", str(like.count), "--heldout", str(like.heldout)]
        command += ["--sampler", like.sampler, "--steps", str(like.steps)]
        command += ["--spacing", like.spacing, "--clip", str(like.clip)]
        command += ["--eta", str(like.eta)] if like.sampler in SAMPLERS_WITH_ETA else []
    environment = environment_for_children() | {"OMP_NUM_THREADS": str(THREADS), "OMP_WAIT_POLICY": "PASSIVE"}
    try:
        with (wanted[0].path / LOG_NAME).open("wb") as log:
            process = subprocess.Popen(
                command,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
            )
        _STARTED.append(process)
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        # It will speak for itself when it comes to each of them.
        if identity := ProcessIdentity.from_pid(process.pid):
            for run in wanted:
                write_evaluation_progress(run, EvaluationProgress(identity=identity))
    except OSError as error:
        raise UserError(
            f"{wanted[0].path}: cannot be judged from here ({error.strerror or error})"
        ) from error
    return len(wanted)


def _is_evaluated(run: RunDirectory) -> bool:
    found = read_evaluation_progress(run)
    return found is not None and not found.error
