"""``python -m core.launch.engines.slurm_task FOLDER``: a job of an array, which starts the workers of its runs.

Slurm ends a job with SIGTERM, a while before its time limit or when it is preempted. The workers then write their
checkpoints and queue their runs again, and this process asks Slurm to requeue the job. Whatever else ends a job, such
as the death of its node, Slurm requeues by itself. At its next start the job goes on with all that is not finished.

The exit code is 0 if all runs have finished or were stopped by the user, 3 if one failed, and 75 if the job is to be
requeued.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from core.errors import EXIT_NOT_STARTED, EXIT_OK, EXIT_REQUEUE, EXIT_RUN_FAILED, EXIT_USAGE, UserError
from core.files.sanitize import sanitize
from core.launch.devices import Slot
from core.launch.engines import slurm_commands as slurm
from core.launch.engines.slurm_script import RUNS_FILE
from core.launch.subprocess_env import WORKER_MODULE
from core.launch.worker_process import exit_text, start_worker, timestamp
from core.runs.directory import RunDirectory
from core.runs.status import State
from core.runs.withdrawal import withdraw_epochs

LOCK_WAIT: Final = 90.0
"""Seconds that a worker waits for a run's lock, which that of a node that has died may hold for a minute."""
_POLL_SECONDS: Final = 0.2


@dataclass
class Workers:
    """Workers of some runs, as many side by side as there are CPUs, each on a GPU in turn if there are any.

    Args:
        runs: the runs.
        job: id of the job, for the runs' statuses.
        cpus: CPUs of the job.
        gpus: GPUs of the job. A single run gets all.
        worker_module: module to start instead of the training worker, for tests.
    """

    runs: Sequence[RunDirectory]
    job: str
    cpus: int
    gpus: int
    worker_module: str = WORKER_MODULE
    terminated: bool = False
    codes: dict[RunDirectory, int] = field(default_factory=dict)
    """Exit codes of the workers that have ended."""
    log_starts: dict[RunDirectory, int] = field(default_factory=dict)
    """Byte of each run's log at which its worker's output begins."""
    _live: "dict[RunDirectory, subprocess.Popen[bytes]]" = field(default_factory=dict)

    def terminate(self, *_: object) -> None:
        """Have all workers write their checkpoints and end, and start no more; safe in a signal handler."""
        self.terminated = True

    def run(self) -> None:
        """Start the workers and wait for them."""
        waiting = list(enumerate(self.runs))
        at_once, told = max(1, min(len(waiting), self.cpus)), False
        while waiting or self._live:
            while waiting and len(self._live) < at_once and not self.terminated:
                index, run = waiting.pop(0)
                self._start(run, self._slot(index, at_once))
            if self.terminated:
                waiting.clear()
                if not told:
                    told = True
                    for process in self._live.values():
                        process.send_signal(signal.SIGTERM)
            for run, process in list(self._live.items()):
                if (code := process.poll()) is not None:
                    del self._live[run]
                    self.codes[run] = code
                    log(f"{run.id}: worker {process.pid} ended ({code})")
            if waiting or self._live:
                time.sleep(_POLL_SECONDS)

    def _slot(self, index: int, at_once: int) -> Slot:
        threads = max(1, self.cpus // at_once)
        if not self.gpus:
            return Slot("cpu", threads, index)
        if len(self.runs) == 1 and self.gpus > 1:
            return Slot("+".join(f"cuda:{number}" for number in range(self.gpus)), self.cpus, index)
        return Slot(f"cuda:{index % self.gpus}", threads, index)

    def _start(self, run: RunDirectory, slot: Slot) -> None:
        options = ("--requeue", "--job", self.job, "--wait", str(LOCK_WAIT))
        try:
            process, self.log_starts[run] = start_worker(
                run, run.read(), slot, *options, module=self.worker_module, own_session=False
            )
        except (UserError, OSError) as error:  # the run was removed, or the disk is full
            log(f"{run.id}: no worker could be started ({error})")
            return
        log(f"{run.id}: worker {process.pid} on {slot.device}, {slot.threads} threads")
        self._live[run] = process


def log(text: str) -> None:
    """Write a line to the job's log."""
    print(f"{timestamp()} {sanitize(text)}", flush=True)


def finish(workers: Workers, *, restarts: int, max_requeues: int) -> int:
    """Have the job requeued if runs wait for that, and return its exit code.

    Args:
        workers: the workers, all ended.
        restarts: times that the job was requeued already.
        max_requeues: times that it may be.
    """
    states = {run: state for run in workers.runs if (state := _state(run))}
    waiting = [run for run, state in states.items() if state is State.QUEUED]
    again = [
        run
        for run in waiting
        if workers.terminated or workers.codes.get(run) in (EXIT_REQUEUE, EXIT_NOT_STARTED)
    ]
    for run in set(waiting) - set(again):
        code = workers.codes.get(run)
        _fail(run, "no worker could be started" if code is None else _exit_text(workers, run, code))
        states[run] = State.FAILED
    if workers.terminated:
        again += [run for run, state in states.items() if state is State.CRASHED]
    if again and restarts < max_requeues:
        try:
            slurm.requeue_job(workers.job)
            log("requeued")
        except UserError as error:  # cancelled, or Slurm requeues it by itself
            log(f"not requeued: {error}")
        return EXIT_REQUEUE
    for run in again:
        _fail(run, f"its job was requeued {restarts} times (launch.slurm.max_requeues); resume it to go on")
    bad = {State.FAILED, State.CRASHED} & set(states.values())
    return EXIT_RUN_FAILED if again or bad else EXIT_OK


def _state(run: RunDirectory) -> State | None:
    try:
        return run.effective_state(run.read_status(), now=time.time())
    except UserError as error:  # removed: nothing is left to do
        log(f"{run.id}: {error}")
        return None


def _exit_text(workers: Workers, run: RunDirectory, code: int) -> str:
    return exit_text(run, workers.log_starts.get(run, 0), code)


def _fail(run: RunDirectory, error: str) -> None:
    """Mark a run that no worker trains as failed."""
    log(f"{run.id}: failed: {error}")
    try:
        with run.lock():
            status = run.read_status()
            if status.state is not State.STOPPED:
                status = withdraw_epochs(run, status, otherwise=State.FAILED)
                run.write_status(
                    msgspec.structs.replace(status, error=error, message="", job="", heartbeat=time.time())
                )
    except (UserError, OSError) as problem:
        log(f"{run.id}: {problem}")


def job_id(environment: "os._Environ[str]") -> str:
    """Return the id of the job that this process runs in, as `squeue` shows it."""
    array = environment.get("SLURM_ARRAY_JOB_ID")
    if array:
        return f"{array}_{environment.get('SLURM_ARRAY_TASK_ID', '0')}"
    return environment.get("SLURM_JOB_ID", "")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; see the module."""
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name}", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--gpus", type=int, default=0)
    parser.add_argument("--runs-per-job", type=int, default=1)
    parser.add_argument("--max-requeues", type=int, default=0)
    parser.add_argument("--worker-module", default=WORKER_MODULE, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    root = options.folder.parents[1]
    index = int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))
    try:
        names = (options.folder / RUNS_FILE).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        print(f"error: {options.folder}: cannot be read ({error.strerror or error})", file=sys.stderr)
        return EXIT_USAGE
    first = index * options.runs_per_job
    runs = [RunDirectory(root / name) for name in names[first : first + options.runs_per_job]]
    job, restarts = job_id(os.environ), int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    workers = Workers(runs, job, options.cpus, options.gpus, options.worker_module)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, workers.terminate)
    log(f"job {job or '(none)'}, attempt {restarts + 1}: {len(runs)} runs")
    workers.run()
    code = finish(workers, restarts=restarts, max_requeues=options.max_requeues)
    log(f"job ends with code {code}")
    return code


if __name__ == "__main__":
    sys.exit(main())
