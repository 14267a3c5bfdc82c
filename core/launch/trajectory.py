"""Starts the process that computes a `core.runs.trajectory`, which then goes on whoever asked for it leaves."""

import subprocess
import sys
from typing import Final

from core.errors import UserError
from core.launch.devices import Plan
from core.launch.runner import environment_for_children
from core.runs.directory import RunDirectory
from core.runs.process import ProcessIdentity
from core.runs.trajectory import Progress, Walk, read_progress, write_progress

MODULE: Final = "core.training.trajectory"
THREADS: Final = 1
_STARTED: Final[list["subprocess.Popen[bytes]"]] = []


def start_walk(run: RunDirectory, walk: Walk, plan: Plan) -> bool:
    """Have a walk computed and kept, unless somebody is at it already.

    Args:
        run: a run with a checkpoint.
        walk: how to get from noise to picture.
        plan: where computing is allowed; its first device is taken.

    Returns:
        Whether a process was started; its words go to ``trajectories/worker.log``.

    Raises:
        UserError: the run cannot be written.
    """
    _STARTED[:] = [process for process in _STARTED if process.poll() is None]
    progress = read_progress(run, walk)
    if progress is not None and not progress.error:
        return False
    command = [sys.executable, "-P", "-m", MODULE, str(run.path), "--sampler", walk.sampler]
    command += ["--steps", str(walk.steps), "--device", plan.devices[0].name, "--threads", str(THREADS)]
    environment = environment_for_children() | {"OMP_NUM_THREADS": str(THREADS), "OMP_WAIT_POLICY": "PASSIVE"}
    try:
        walk.path(run).parent.mkdir(exist_ok=True)
        with (walk.path(run).parent / "worker.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
            )
    except OSError as error:
        raise UserError(f"{run.path}: cannot compute there ({error.strerror or error})") from error
    _STARTED.append(process)
    # It will speak for itself once torch is imported, which takes seconds.
    if identity := ProcessIdentity.of(process.pid):
        write_progress(run, walk, Progress(identity=identity, total=walk.steps))
    return True
