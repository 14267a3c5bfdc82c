"""A worker that trains nothing: it follows the queue's protocol and behaves as the run's recipe name asks.

The real queue runner starts it in place of `core.training.worker`. The behaviours:

- ``quick`` finishes at once.
- ``patient`` runs until SIGTERM or a control file and is then stopped, or with ``--requeue`` queued again at SIGTERM;
  also after five minutes, in case the tests that started it are gone.
- ``broken`` fails before it claims the run, ``mortal`` is killed before, and ``silent`` exits with 0 before.
- ``failing`` claims the run and fails.
- ``gated`` writes its pid to `at-the-gate` in the run's folder, waits for a file `gate`, then claims and finishes.

Each worker that claimed the run appends a line to `lives`, so tests can count the starts.
"""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

import msgspec

from core.errors import EXIT_REQUEUE, UserError
from core.runs import NotQueuedError, RunBusyError, RunDirectory, State
from core.runs.requeue import without_worker

PATIENCE = 300.0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--device")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--requeue", action="store_true")
    parser.add_argument("--job", default="")
    options, _ = parser.parse_known_args()
    run = RunDirectory(options.run)
    # Not a threading.Event: setting one in a signal handler deadlocks if the handler interrupts its wait.
    terminated: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: terminated.append(number))
    deadline = time.monotonic() + PATIENCE
    behaviour = run.read().config.recipe
    if behaviour == "broken":
        raise ImportError("no module named \x1b[31mtroch")
    if behaviour == "silent":
        return 0
    if behaviour == "mortal":
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "gated":
        with (run.path / "at-the-gate").open("a") as waiting:
            waiting.write(f"{os.getpid()}\n")
        while not (run.path / "gate").exists() and run.path.exists() and time.monotonic() < deadline:
            time.sleep(0.005)
    try:
        with run.claim(
            device=options.device, threads=options.threads, unfinished=options.requeue, job=options.job
        ) as status:
            with (run.path / "lives").open("a") as lives:
                seen = os.environ["OMP_NUM_THREADS"], os.environ.get("DDPM_DATA", "-"), os.getcwd()
                lives.write(" ".join([str(os.getpid()), options.device, str(options.threads), *seen]) + "\n")
            status = msgspec.structs.replace(status, state=State.RUNNING, message="", heartbeat=time.time())
            run.write_status(status)
            while (
                behaviour == "patient"
                and not terminated
                and not run.stop_requested()
                and time.monotonic() < deadline
            ):
                time.sleep(0.01)
            if options.requeue and terminated and not run.stop_requested():
                run.write_status(
                    without_worker(
                        status, State.QUEUED, epochs=status.epochs, message="ended", job=status.job
                    )
                )
                return EXIT_REQUEUE
            end = {"patient": State.STOPPED, "failing": State.FAILED}.get(behaviour, State.FINISHED)
            run.write_status(
                msgspec.structs.replace(status, state=end, epoch=status.epochs, heartbeat=time.time())
            )
    except (RunBusyError, NotQueuedError) as error:
        print(error)
        return 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
