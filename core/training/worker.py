"""The worker: ``python -m core.training.worker RUN --device D --threads N``, the one writer of a run's directory.

At SIGTERM, SIGINT or a `control` file it finishes its step, writes a checkpoint and stops. At SIGUSR1 or SIGUSR2, and
with ``--requeue`` at SIGTERM, it does the same, but queues the run again, because a scheduler ends it and not its user.
``--requeue`` also goes on with a run that has failed or whose worker is gone.

The exit code is 0 if the run finished or was stopped by its user, 2 if it could not begin, 3 if it failed, 4 if the run
is not this worker's to start, and 75 if it is queued again.

Checkpoints are written after `train.checkpoint_seconds`, at a stop, at the end, and after the first epoch, so that the
network can soon be sampled. At the end of an epoch one is written if it would otherwise be due within the next epoch.

``torchrun --nproc-per-node N -m core.training.worker RUN --device cuda`` trains the run in N processes, one for each
GPU. Rank 0 is the worker (`run_main`): it holds the run's lock, its pid is the run's, and it alone writes. The other
ranks only compute (`core.training.rank`).
"""

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from core.errors import EXIT_NOT_STARTED, EXIT_OK, EXIT_RUN_FAILED, EXIT_USAGE, UserError
from core.files.sanitize import sanitize
from core.runs import (
    NotQueuedError,
    RunBusyError,
    RunDirectory,
    State,
)
from core.runs.requeue import SupersededError
from core.training import sample_sheets as sample_sheets
from core.training.attempt import REQUEUE_SIGNALS
from core.training.attempt import Worker as Worker
from core.training.distributed import SingleProcess, init_distributed
from core.training.malloc import disable_trim
from core.training.rank import run_rank

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, *REQUEUE_SIGNALS)


def main(arguments: list[str] | None = None) -> int:
    """Run the worker's command line; see the module."""
    parser = argparse.ArgumentParser(prog="python -m core.training.worker", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", "1")))
    parser.add_argument("--requeue", action="store_true", help="go on with whatever is not finished")
    parser.add_argument("--job", default="", help="id of this process's job in the run's engine")
    parser.add_argument("--wait", type=float, default=2.0, help="seconds to wait for the run's lock")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    # For workers that torchrun starts: CUDA reads it at its first use, which is not the import of torch.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    disable_trim()
    run = RunDirectory(options.run)
    received_signals: list[int] = []
    for number in _STOP_SIGNALS:
        signal.signal(number, lambda number, _: received_signals.append(number))
    claim = {"wait": options.wait, "unfinished": options.requeue, "job": options.job}
    try:
        with init_distributed(options.device) as process_group:
            if process_group.rank > 0:
                return run_rank(run, process_group, received_signals)
            return run_main(run, process_group, options.threads, received_signals, **claim)
    except UserError as error:
        print(f"error: {sanitize(str(error))}", file=sys.stderr)
        return EXIT_USAGE


def run_main(
    run: RunDirectory,
    process_group: SingleProcess,
    threads: int,
    received_signals: list[int],
    *,
    unfinished: bool = False,
    **claim: Any,
) -> int:
    """Claim and train a run as rank 0, which most often is the only process; return the exit code.

    Args:
        run: a queued run.
        process_group: the processes that train it.
        threads: OpenMP threads of each process.
        received_signals: stop signals received so far.
        unfinished: take whatever is not finished, and queue it again at SIGTERM.
        claim: further arguments of `RunDirectory.claim`.
    """
    try:
        all_threads = threads * len(process_group.devices.split("+"))
        device = process_group.devices
        with run.claim(device=device, threads=all_threads, unfinished=unfinished, **claim) as status:
            worker = Worker(run, status, process_group, requeue=unfinished)
            for number in _STOP_SIGNALS:
                signal.signal(number, worker.request_stop)
            for received in received_signals:
                worker.request_stop(received)
            try:
                return worker.write_end(worker.train())
            except SupersededError:
                raise
            except Exception as error:  # any failure must reach the run's status
                worker.write_failure(error)
        process_group.abort()
        return EXIT_RUN_FAILED
    except NotQueuedError as error:
        print(sanitize(str(error)))
        return EXIT_OK if unfinished and error.state is State.FINISHED else EXIT_NOT_STARTED
    except (RunBusyError, SupersededError) as error:
        print(sanitize(str(error)))
        return EXIT_NOT_STARTED
    except UserError as error:
        print(f"error: {sanitize(str(error))}", file=sys.stderr)
        return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
