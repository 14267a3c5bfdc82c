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

MAX_PAUSE = 600.0
"""Seconds between two tries at most, while a host cannot be reached."""


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
    from core.launch.pull import Puller
    from core.launch.rsync import Rsync, Source

    if every is not None and as_json:
        raise UserError("give either --every or --json: the list is written at the end of one pull")
    puller = Puller(Rsync(Source.parse(source), ask=sys.stdin.isatty()), root, checkpoints=not no_checkpoints)
    result = puller.pull()
    runs = [*result.new, *result.changed]
    if as_json:
        store = RunStore(root)
        infos = [store.info(run) for run in runs]
        emit_json([run_json(info, read_epochs(info)) for info in infos])
    failures = 0
    while True:
        for text in result.notes:
            note(text)
        if not as_json and (every is None or failures == 0):
            for run in (*result.new, *result.changed) if every is None else result.new:
                emit(str(run.path))
        if every is None:
            break
        time.sleep(min(every * 2**failures, max(every, MAX_PAUSE)))
        try:
            result = puller.pull()
        except UserError as error:
            if not failures:
                note(f"{error}; trying again")
            failures = min(failures + 1, 20)
        else:
            if failures:
                note(f"{source}: pulled again")
            failures = 0
    numbers = f"{len(result.new)} new, {len(result.changed)} changed, {result.total} in all"
    note(f"{puller.source}: {numbers}")
