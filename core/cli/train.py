"""`core train`: queue the runs of a recipe and follow them until they end."""

from pathlib import Path

import click

from core.cli.describe import read_epochs, run_json
from core.cli.follow import Follower
from core.cli.options import (
    check_for_engine,
    device_option,
    json_option,
    launch_option,
    no_start_option,
    runs_option,
    set_option,
    slots_option,
)
from core.cli.output import emit, emit_json, note
from core.cli.progress import progress_bar
from core.config import encode_toml
from core.config.launch import LaunchConfig
from core.data.check import check_trainable
from core.data.recipe import hidden_folder_note
from core.errors import UserError
from core.launch.engines.settings import launch_settings
from core.launch.engines.start import start
from core.launch.own_images import find_recipe
from core.launch.queue import enqueue
from core.recipes import Recipe
from core.runs import RunStore, make_group


@click.command("train")
@click.argument("recipe", default="quick")
@set_option("Override a setting, for example --set train.epochs=3; a list makes one run per value.")
@runs_option
@device_option
@slots_option
@click.option("--detach", is_flag=True, help="Write the ids of the runs to stdout and return at once.")
@no_start_option
@launch_option
@click.option(
    "--dry-run",
    is_flag=True,
    help="Write the configurations, or slurm's batch script, to stdout; queue nothing.",
)
@json_option
def command(
    recipe: str,
    overrides: tuple[str, ...],
    root: Path,
    device: str,
    slots: int | None,
    detach: bool,
    no_start: bool,
    engine: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train the runs of a recipe, in the foreground or background.

    RECIPE is quick, edm, flow, thesis, the path of a .toml file, or a folder or file of images, which is trained on
    with recipe images. Each run is a separate process that continues when this command is killed or its terminal
    closes. Ctrl-C stops the runs after they write checkpoints.
    At the end, the folders of the finished runs are written to stdout.
    With another engine than local, the command returns once the runs are submitted.
    """
    with progress_bar(recipe, "images") as report:
        fitted = find_recipe(recipe, overrides, device=device, progress=report)
    found = fitted.recipe
    for line in filter(None, (fitted.summary, fitted.warning)):
        note(line)
    launch = launch_settings(found.launch, engine)
    is_local = launch.engine == "local"
    if dry_run:
        emit(_script(found, root, launch))
        return
    check_for_engine(launch, device, slots, starts=not no_start)
    for name in dict.fromkeys(config.data.dataset for config in found.configs):
        if text := hidden_folder_note(name):
            note(text)
    runs = enqueue(root, found.configs, group=make_group(found.name), launch=launch)
    store = RunStore(root)
    note(f"{len(runs)} run{'s' * (len(runs) != 1)} queued in {root} as {runs[0].read().group}")
    if is_local and not (detach or no_start):
        Follower(store, runs, device=device, slots=slots).wait_until_ended(as_json=as_json)
        return
    if not no_start:
        try:
            for line in start(runs, device=device, slots=slots):
                note(line)
        except UserError:
            note("the runs stay queued; to submit them again: core runs start --all")
            raise
    if as_json:
        emit_json([run_json(info, read_epochs(info)) for info in map(store.info, runs)])
    else:
        for run in runs:
            emit(run.id)


def _script(found: Recipe, root: Path, launch: LaunchConfig) -> str:
    """Return the configurations of the runs of a recipe, or the batch script that they would be submitted with."""
    if launch.engine == "local":
        check_trainable(found.configs)
        return "\n".join(encode_toml(config.resolved()) for config in found.configs).rstrip()
    if launch.engine != "slurm":
        raise UserError("--dry-run shows a batch script, so it needs --launch slurm")
    from core.launch.engines.slurm import SlurmEngine

    engine = SlurmEngine(root.absolute(), launch.slurm)
    return engine.script(found.name, len(found.configs)).rstrip()
