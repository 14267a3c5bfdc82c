"""``python -m core.launch.engines.ray_task RUN --job ID``: the part of a Ray task that knows runs: it starts a worker.

It ends with its parent, a process of Ray. The worker then writes a checkpoint and queues its run again, and Ray retries
the task. The exit code is 0 if the run has ended or belongs to another engine, 75 if it should go on in another
worker, and 2 if no worker could begin, with the reason as the last line.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from core.errors import EXIT_OK, EXIT_REQUEUE, EXIT_USAGE, UserError
from core.files.sanitize import sanitize
from core.launch.devices import Slot
from core.launch.engines.ray_worker import end_with_parent
from core.launch.worker_process import exit_text, start_worker
from core.runs.directory import RunDirectory
from core.runs.status import State
from core.runs.withdrawal import withdraw_epochs

LOCK_WAIT: Final = 90.0
"""Seconds that a worker waits for a run's lock, which one whose task has died may still hold."""
WORKER: Final = "core.launch.engines.ray_worker"


def slot(cpus: float, gpus: float) -> Slot:
    """Return the slot of a task; Ray shows it only its own GPUs, so they count from 0."""
    threads = max(1, int(cpus))
    if gpus <= 0:
        return Slot("cpu", threads, 0)
    return Slot("+".join(f"cuda:{index}" for index in range(max(1, int(gpus)))), threads, 0)


def train(run: RunDirectory, job: str, cpus: float, gpus: float) -> int:
    """Train a run until its worker ends; return the exit code of the module."""
    if not run.path.is_dir() and not run.path.parent.is_dir():
        print(f"{run.path.parent}: is not visible at this node; the runs folder must be shared by all nodes")
        return EXIT_USAGE
    status = run.read_status()
    if status.engine != "ray" or status.state in (State.FINISHED, State.STOPPED):
        return EXIT_OK
    options = ("--requeue", "--job", job, "--wait", str(LOCK_WAIT))
    signals: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: signals.append(number))
    try:
        process, log_start = start_worker(
            run, run.read(), slot(cpus, gpus), *options, module=WORKER, own_session=False
        )
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        if signals:
            process.terminate()
        code = process.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
    state = run.effective_state(run.read_status(), now=time.time())
    if state in (State.FINISHED, State.STOPPED, State.FAILED):
        return EXIT_OK
    if code in (EXIT_OK, EXIT_USAGE, 1) and state is State.QUEUED:
        print(exit_text(run, log_start, code))
        return EXIT_USAGE
    print(f"worker ended with code {code}")
    return EXIT_REQUEUE


def mark_failed(run: RunDirectory, job: str, error: str) -> None:
    """Mark a run as failed that no worker trains and no retry will go on with."""
    with run.lock():
        status = run.read_status()
        if status.engine == "ray" and status.state is State.QUEUED and status.job in ("", job):
            status = withdraw_epochs(run, status, otherwise=State.FAILED)
            changes = {"error": sanitize(error), "message": "", "job": "", "heartbeat": time.time()}
            run.write_status(msgspec.structs.replace(status, **changes))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; see the module."""
    parser = argparse.ArgumentParser(prog="python -m core.launch.engines.ray_task", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--job", default="")
    parser.add_argument("--cpus", type=float, default=1.0)
    parser.add_argument("--gpus", type=float, default=0.0)
    parser.add_argument("--failed", metavar="ERROR", help="only mark the run as failed, with this reason")
    options = parser.parse_args(arguments)
    run = RunDirectory(options.run)
    if os.getppid() == 1 and options.failed is None:  # the parent died before it could be told
        return EXIT_REQUEUE
    try:
        if options.failed is None:
            return train(run, options.job, options.cpus, options.gpus)
        mark_failed(run, options.job, options.failed)
    except (UserError, OSError) as error:
        print(sanitize(str(error)))
        return EXIT_USAGE
    return EXIT_OK


if __name__ == "__main__":
    end_with_parent()
    sys.exit(main())
