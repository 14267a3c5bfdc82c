"""Training of a run as any rank but 0, which computes its share and writes nothing but its log."""

import contextlib
import sys
import traceback

from core.errors import EXIT_OK, EXIT_RUN_FAILED
from core.runs import RunDirectory
from core.training.checkpoint import read_checkpoint
from core.training.distributed import SingleProcess
from core.training.failures import failure_text
from core.training.inputs import load_images
from core.training.loop import Trainer


def run_rank(run: RunDirectory, process_group: SingleProcess, received_signals: list[int]) -> int:
    """Train a run as any rank but 0, which computes its shard and writes only to the log; return the exit code.

    Args:
        run: the run that rank 0 claims.
        process_group: the processes that train it.
        received_signals: stop signals received so far; later ones are appended.
    """
    try:
        if not any(process_group.all_reduce_max(False)):
            return EXIT_OK  # rank 0 could not claim the run, and reports why
        config = run.read().config
        images = load_images(run)
        trainer = Trainer(config, images, process_group.device, process_group)
        if any(process_group.all_reduce_max(False)):
            trainer.restore(*read_checkpoint(run), run)
        for _ in trainer.reports(lambda: bool(received_signals)):
            pass
        return EXIT_OK
    except Exception as error:  # any failure must reach rank 0
        peer_error = process_group.peer_error(error)
        with contextlib.suppress(OSError):
            if peer_error:
                print(f"process {process_group.rank} ends: {peer_error}", file=sys.stderr)
            else:
                traceback.print_exception(error)
        process_group.abort("" if peer_error else failure_text(error))
        return EXIT_RUN_FAILED
