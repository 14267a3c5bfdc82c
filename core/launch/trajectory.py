"""Starts the process that computes `core.runs.trajectory`, which goes on when whoever asked for it leaves."""

import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from core.errors import UserError
from core.launch.devices import Plan
from core.launch.subprocess_env import environment_for_children
from core.runs.directory import RunDirectory
from core.runs.process import ProcessIdentity
from core.runs.trajectory import Progress, TrajectorySpec, read_trajectory_progress, write_trajectory_progress

MODULE: Final = "core.training.trajectory_worker"
THREADS: Final = 1
_STARTED: Final[list["subprocess.Popen[bytes]"]] = []


def start_trajectories(runs: Sequence[RunDirectory], spec: TrajectorySpec, plan: Plan) -> int:
    """Have the walks of some runs computed and kept, one after the other, in one process.

    Args:
        runs: runs with checkpoints; those of which somebody computes this walk already are passed over.
        walk: how to get from noise to picture.
        plan: where computing is allowed; its first device is taken.

    Returns:
        How many will be computed; what the process says goes to ``trajectories/worker.log`` of the first.

    Raises:
        UserError: a run cannot be written.
    """
    _STARTED[:] = [process for process in _STARTED if process.poll() is None]
    wanted = [run for run in runs if not _is_computed(run, spec)]
    if not wanted:
        return 0
    command = [sys.executable, "-P", "-m", MODULE, *(str(run.path.absolute()) for run in wanted)]
    command += ["--sampler", spec.sampler, "--steps", str(spec.steps)]
    command += ["--device", plan.first, "--threads", str(THREADS)]
    environment = environment_for_children() | {"OMP_NUM_THREADS": str(THREADS), "OMP_WAIT_POLICY": "PASSIVE"}
    folder = spec.path(wanted[0]).parent
    try:
        folder.mkdir(exist_ok=True)
        with (folder / "worker.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
            )
        _STARTED.append(process)
        # It will speak for itself once torch is imported, which takes seconds.
        if identity := ProcessIdentity.from_pid(process.pid):
            for run in wanted:
                write_trajectory_progress(run, spec, Progress(identity=identity, total=spec.steps))
    except OSError as error:
        raise UserError(f"{folder}: cannot compute there ({error.strerror or error})") from error
    return len(wanted)


def _is_computed(run: RunDirectory, spec: TrajectorySpec) -> bool:
    progress = read_trajectory_progress(run, spec)
    return progress is not None and not progress.error
