"""Background jobs: detached processes that compute at low priority and outlive the process that started them.

A job runs one module on one thread. Its progress is in files of the runs (`core.runs.progress`,
`core.runs.trajectory`), and its output in a log.
"""

import atexit
import contextlib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError
from core.files.outputs import make_folder, open_output
from core.files.sanitize import sanitize
from core.imaging.sheet import write_sheet
from core.launch.devices import Plan
from core.launch.subprocess_env import log_lines, module_command, worker_environment
from core.runs.directory import RunDirectory
from core.runs.interventions import Interventions
from core.runs.process import ProcessIdentity
from core.runs.progress import (
    LOG_NAME,
    EvaluationProgress,
    read_evaluation_progress,
    write_evaluation_progress,
)
from core.runs.results import Evaluation
from core.runs.trajectory import Progress, TrajectorySpec, read_trajectory_progress, write_trajectory_progress
from core.sampling_names import SAMPLERS_WITH_ETA

RESTORED_FOLDER: Final = "restored"
NICENESS: Final = 10
"""Added to this process's niceness. The user of a job can wait a little, but the training beside it should not."""

_processes: Final[list["subprocess.Popen[bytes]"]] = []
"""The jobs of this process. Python warns of a `Popen` that is dropped while its process runs."""


@atexit.register
def _leave_jobs() -> None:
    """Leave the jobs to themselves when this process ends; they outlive it on purpose, so Python must not warn."""
    for process in _processes:
        if process.poll() is None:
            process.returncode = 0
    _processes.clear()


@dataclass(frozen=True)
class Job:
    """A detached process and its log; `name` is for messages."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def ended(self) -> bool:
        """True once the process has ended."""
        return self.process.poll() is not None

    @property
    def problem(self) -> str:
        """The last line of the log of a job that failed; empty while the job runs and after success."""
        if not self.process.poll():
            return ""
        lines = log_lines(self.log)
        return sanitize(lines[-1]) if lines else f"{self.name} ended with exit code {self.process.returncode}"

    @property
    def identity(self) -> ProcessIdentity | None:
        """The process, for files that other processes read; None once it has ended."""
        return ProcessIdentity.from_pid(self.process.pid)


def start_job(name: str, module: str, *arguments: str, log: Path) -> Job:
    """Start ``python -P -m MODULE ARGUMENTS`` with one thread, `NICENESS` and a session of its own.

    Args:
        name: of the job, for messages.
        module: to run.
        arguments: its command line.
        log: file for its output, which is replaced.

    Raises:
        OSError: the log cannot be written, or the process not started.
    """
    _processes[:] = [process for process in _processes if process.poll() is None]
    with open_output(log) as output:
        process = subprocess.Popen(
            module_command(module, *arguments),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=worker_environment(threads=1) | {"OMP_WAIT_POLICY": "PASSIVE"},
        )
    _processes.append(process)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)
    return Job(name, process, log)


def start_evaluation(runs: Sequence[RunDirectory], plan: Plan, *, like: Evaluation | None = None) -> int:
    """Start `core evaluate` of runs, one after the other, in one job.

    Args:
        runs: runs with checkpoints, of one runs folder; those that are being evaluated already are skipped.
        plan: where computing is allowed; its first device is used.
        like: an evaluation that the new ones shall be comparable with; None takes the defaults of `core evaluate`.

    Returns:
        The number of runs that will be evaluated.

    Raises:
        UserError: a run cannot be written.
    """
    options: list[str] = []
    if like is not None:
        options += ["--count", str(like.count), "--heldout", str(like.heldout)]
        options += ["--sampler", like.sampler, "--clip", str(like.clip)]
        if like.levels:
            options += ["--levels", ",".join(map(str, like.levels))]
        else:
            options += ["--steps", str(like.steps), "--spacing", like.spacing]
        options += ["--start", like.start] if like.start != "noise" else []
        options += ["--eta", str(like.eta)] if like.sampler in SAMPLERS_WITH_ETA else []
    return _start_command("evaluate", runs, plan, options)


def start_explanation(runs: Sequence[RunDirectory], plan: Plan, *, like: Interventions | None = None) -> int:
    """Start `core explain` of runs on the same data, one after the other, in one job.

    Args:
        runs: runs with checkpoints, of one runs folder; those that are being evaluated already are skipped.
        plan: where computing is allowed; its first device is used.
        like: interventions that the new ones shall be comparable with; None takes the defaults of `core explain`.

    Returns:
        The number of runs that will be sampled.

    Raises:
        UserError: a run cannot be written.
    """
    options = [] if like is None else ["--count", str(like.count), "--seed", str(like.seed)]
    return _start_command("explain", runs, plan, options)


def _start_command(command: str, runs: Sequence[RunDirectory], plan: Plan, options: Sequence[str]) -> int:
    """Start `core COMMAND` of runs that are not being evaluated; return their number."""
    pending = [run for run in runs if not _in_progress(read_evaluation_progress(run))]
    if not pending:
        return 0
    first = pending[0].path
    arguments = [command, *_paths(pending), "--runs", str(first.parent.absolute())]
    arguments += ["--device", plan.first_device, *options]
    try:
        job = start_job("evaluation", "core", *arguments, log=first / LOG_NAME)
        # The job writes the progress of a run itself once it comes to that run.
        if identity := job.identity:
            for run in pending:
                write_evaluation_progress(run, EvaluationProgress(identity=identity))
    except OSError as error:
        raise UserError(f"{first}: cannot be evaluated from here ({error.strerror or error})") from error
    return len(pending)


def start_trajectories(runs: Sequence[RunDirectory], spec: TrajectorySpec, plan: Plan) -> int:
    """Compute and keep the trajectories of runs, one after the other, in one job.

    Args:
        runs: runs with checkpoints; those whose trajectory is being computed already are skipped.
        spec: sampler and number of steps.
        plan: where computing is allowed; its first device is used.

    Returns:
        The number of trajectories that will be computed. The log is ``trajectories/worker.log`` of the first run.

    Raises:
        UserError: a run cannot be written.
    """
    pending = [run for run in runs if not _in_progress(read_trajectory_progress(run, spec))]
    if not pending:
        return 0
    folder = spec.path(pending[0]).parent
    options = [
        "--sampler",
        spec.sampler,
        "--steps",
        str(spec.steps),
        "--device",
        plan.first_device,
        "--threads",
        "1",
    ]
    try:
        make_folder(folder)
        job = start_job(
            "sampling",
            "core.training.trajectory_worker",
            *_paths(pending),
            *options,
            log=folder / "worker.log",
        )
        # The job writes its progress itself once torch is imported, which takes seconds.
        if identity := job.identity:
            for run in pending:
                write_trajectory_progress(run, spec, Progress(identity=identity, total=spec.steps))
    except OSError as error:
        raise UserError(f"{folder}: cannot compute there ({error.strerror or error})") from error
    return len(pending)


def start_restoration(
    run: RunDirectory, image: NDArray[np.uint8], known: NDArray[np.bool_], plan: Plan, *, seed: int = 0
) -> tuple[Job, Path]:
    """Fill in the missing pixels of an image by `core restore --live`.

    Args:
        run: a run with a checkpoint; image, mask, sheet and log are kept in its folder ``restored``.
        image: uint8 [H, W] or [H, W, 3].
        known: bool [H, W], False where a pixel is missing.
        plan: where computing is allowed; its first device is used.
        seed: of the noise.

    Returns:
        The job, and the path of the sheet, which does not exist before the first answers.

    Raises:
        UserError: the run cannot be written.
    """
    folder = run.path / RESTORED_FOLDER
    source, mask, sheet = (folder / name for name in ("image.png", "mask.png", "restored.png"))
    try:
        make_folder(folder)
        sheet.unlink(missing_ok=True)
        write_sheet(source, image[None], columns=1)
        write_sheet(mask, (known * 255).astype(np.uint8)[None], columns=1)
        paths = [str(path.absolute()) for path in (run.path, source)]
        options = ["--mask", str(mask.absolute()), "--out", str(sheet.absolute()), "--live"]
        options += [
            "--runs",
            str(run.path.parent.absolute()),
            "--device",
            plan.first_device,
            "--seed",
            str(seed),
        ]
        job = start_job("restoring", "core", "restore", *paths, *options, log=folder / "worker.log")
    except OSError as error:
        raise UserError(f"{folder}: cannot compute there ({error.strerror or error})") from error
    return job, sheet


def start_fitting(sheets: Sequence[tuple[Path, Path]]) -> Job:
    """Fit triangles to the images of sheets.

    Args:
        sheets: of each the PNG and the file for its fits. The first sheet holds real images, and the log is
            ``worker.log`` beside its fits.

    Raises:
        UserError: a folder cannot be made, or the process not started.
    """
    first_output = sheets[0][1]
    paths = (str(path.absolute()) for pair in sheets for path in pair)
    try:
        first_output.parent.parent.mkdir(parents=True, exist_ok=True)
        for _, output in sheets:
            make_folder(output.parent)
        return start_job(
            "fitting", "core.evaluation.triangle_fit.worker", *paths, log=first_output.parent / "worker.log"
        )
    except OSError as error:
        raise UserError(f"triangles cannot be fitted ({error.strerror or error})") from error


def _paths(runs: Sequence[RunDirectory]) -> list[str]:
    return [str(run.path.absolute()) for run in runs]


def _in_progress(progress: EvaluationProgress | Progress | None) -> bool:
    return progress is not None and not progress.error
