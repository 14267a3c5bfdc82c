"""`core runs pull`: copies of the runs of another host, once or again and again."""

import sys
import time
from pathlib import Path

import click

from core.cli.describe import read_epochs, run_json
from core.cli.options import json_option, runs_option
from core.cli.output import emit, emit_json, note
from core.errors import UserError
from core.runs import RunStore


@click.command("pull")
@click.argument("source", metavar="HOST:DIR")
@click.option(
    "--every",
    type=click.FloatRange(1, 86_400),
    metavar="SECONDS",
    help="Pull again after this time, until ctrl+c.",
)
@click.option("--no-checkpoints", is_flag=True, help="Do not copy checkpoints, which are most of the bytes.")
@runs_option
@json_option
def pull(source: str, every: float | None, no_checkpoints: bool, root: Path, as_json: bool) -> None:
    """Copy what is new in another host's runs folder, over ssh; or in the folder DIR of this machine.

    The copies are followed as if they were local, but can only be stopped, resumed or deleted where the runs are.
    """
    from core.launch.following import follow
    from core.launch.pull import Puller
    from core.launch.rsync import Rsync, Source

    if every is not None and as_json:
        raise UserError("give either --every or --json: the list is written at the end of one pull")
    puller = Puller(Rsync(Source.parse(source), ask=sys.stdin.isatty()), root, checkpoints=not no_checkpoints)

    def wait(seconds: float) -> bool:
        time.sleep(seconds)
        return False

    has_pulled = False
    for attempt in follow(puller, every or 1.0, wait):
        if attempt.result is None:
            if not has_pulled:  # the name of the host or of the folder may be wrong
                raise UserError(attempt.error)
            if attempt.failures == 1:
                note(f"{attempt.error}; trying again")
            continue
        has_pulled, result = True, attempt.result
        for text in result.notes:
            note(text)
        runs = [*result.new, *result.changed]
        if as_json:
            store = RunStore(root)
            emit_json([run_json(info, read_epochs(info)) for info in map(store.info, runs)])
        else:
            for run in runs if every is None else result.new:
                emit(str(run.path))
        numbers = f"{len(result.new)} new, {len(result.changed)} changed, {result.total} in all"
        if every is None or result.new or attempt.recovered:
            note(f"{puller.source}: {numbers}")
        if every is None:
            return
        sys.stdout.flush()
