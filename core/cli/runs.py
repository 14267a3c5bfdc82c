"""`core runs`: list, show, start, stop, resume, clone, delete and pull runs."""

import time
from collections.abc import Sequence
from pathlib import Path

import click

from core.cli.describe import (
    ROW_ALIGN,
    ROW_HEADERS,
    read_epochs,
    run_details_json,
    run_json,
    run_row,
    run_text,
)
from core.cli.follow import Follower
from core.cli.options import (
    COUNT,
    check_device,
    check_for_engine,
    device_option,
    json_option,
    launch_option,
    no_start_option,
    runs_argument,
    runs_option,
    set_option,
    slots_option,
)
from core.cli.output import confirm, emit, emit_json, format_table, note, stdout_width
from core.cli.pull import pull
from core.data.recipe import hidden_folder_note
from core.errors import UserError
from core.files.environment import require_memory_for_torch
from core.files.sanitize import sanitize
from core.launch import control
from core.launch.engines import start as engines
from core.launch.engines.job_notes import job_notes
from core.launch.engines.settings import clone_settings, launch_settings
from core.runs import RunDirectory, RunStore, State
from core.runs.copies import is_copy

POLL_INTERVAL = 0.1
OPTIONAL_COLUMNS = ("trend", "time", "held out")
"""Columns of the list that are left out in a narrow terminal, in this order."""


@click.group("runs")
def command() -> None:
    """List, show, start, stop, resume, clone, delete or pull runs.

    RUN is an id, an unambiguous prefix of one, the path of a run's folder, or latest.
    """


command.add_command(pull)


@command.command("list")
@runs_option
@click.option(
    "--state",
    "states",
    type=click.Choice([state.value for state in State]),
    multiple=True,
    help="Only list runs in this state; may be repeated.",
)
@json_option
def list_runs(root: Path, states: tuple[str, ...], as_json: bool) -> None:
    """List all runs, oldest first."""
    scan = RunStore(root).scan()
    infos = [info for info in scan.infos if not states or info.state.value in states]
    for problem in scan.problems:
        note(f"{problem.id}: {problem.text}")
    own = [info for info in infos if info.state is State.QUEUED and not is_copy(info.directory.path)]
    notes, silence = job_notes(root, {info.id: info.status for info in own})
    if silence:
        note(silence)
    if as_json:
        emit_json([run_json(info, read_epochs(info), queue=notes.get(info.id)) for info in infos])
    elif infos:
        _emit_table([run_row(info, read_epochs(info), queue=notes.get(info.id)) for info in infos])
    else:
        note(f"{root}: no runs here" + (" in this state" if states else "; start some with: core train"))


@command.command("show")
@click.argument("selector", metavar="RUN", default="latest")
@runs_option
@json_option
def show(selector: str, root: Path, as_json: bool) -> None:
    """Show one run: state, files, configuration; with --json, its epochs too."""
    store = RunStore(root)
    info = store.info(store.find(selector))
    epochs = read_epochs(info)
    if as_json:
        emit_json(run_details_json(info, epochs))
    else:
        emit(run_text(info, epochs))


@command.command("stop")
@runs_argument
@click.option("--all", "everything", is_flag=True, help="Stop all runs that are queued or training.")
@click.option("--no-wait", is_flag=True, help="Do not wait for the workers to write their checkpoints.")
@runs_option
@json_option
def stop(selectors: tuple[str, ...], everything: bool, no_wait: bool, root: Path, as_json: bool) -> None:
    """Stop runs: they finish their step, write a checkpoint and end; queued ones leave the queue."""
    store = RunStore(root)
    runs = _select(store, selectors, everything, exclude=[state for state in State if state.is_ended])
    # Queued runs first, because a slot that a stopping run frees would otherwise start one of them.
    for line in engines.stop(sorted(runs, key=lambda run: store.info(run).state is not State.QUEUED)):
        note(line)
    while not no_wait and any(not store.info(run).state.is_ended for run in runs):
        time.sleep(POLL_INTERVAL)
        if again := [run for run in runs if store.info(run).state is State.QUEUED]:
            engines.stop(again)  # their scheduler ended them at the same moment, and queued them again
    _emit_runs(store, runs, as_json)


@command.command("start")
@runs_argument
@click.option("--all", "everything", is_flag=True, help="Start all runs that are queued.")
@device_option
@slots_option
@launch_option
@click.option("--follow", is_flag=True, help="Follow the runs until they end, as core train does.")
@runs_option
@json_option
def start(
    selectors: tuple[str, ...],
    everything: bool,
    device: str,
    slots: int | None,
    engine: str | None,
    follow: bool,
    root: Path,
    as_json: bool,
) -> None:
    """Start queued runs in the background, and all others that are queued in their folder.

    For runs that were queued with --no-start, or whose queue runner was killed.
    """
    store = RunStore(root)
    runs = _select(
        store, selectors, everything, exclude=[state for state in State if state is not State.QUEUED]
    )
    check_device(device, slots)
    for run in runs:
        note(control.check_startable(run))
    _assign(runs, engine)
    _start_or_follow(store, runs, device=device, slots=slots, follow=follow, as_json=as_json)


@command.command("resume")
@runs_argument
@click.option("--all", "everything", is_flag=True, help="Resume all runs that were stopped or crashed.")
@click.option("--epochs", type=COUNT, metavar="N", help="Train up to N epochs in total.")
@device_option
@slots_option
@launch_option
@click.option("--follow", is_flag=True, help="Follow the runs until they end, as core train does.")
@no_start_option
@runs_option
@json_option
def resume(
    selectors: tuple[str, ...],
    everything: bool,
    epochs: int | None,
    device: str,
    slots: int | None,
    engine: str | None,
    follow: bool,
    no_start: bool,
    root: Path,
    as_json: bool,
) -> None:
    """Resume runs from their last checkpoints, in the background."""
    if follow and no_start:
        raise UserError("give either --follow or --no-start: runs that are not started cannot be followed")
    store = RunStore(root)
    resumable = (State.STOPPED, State.CRASHED)
    runs = _select(store, selectors, everything, exclude=[state for state in State if state not in resumable])
    check_device(device, slots)
    if not no_start:
        require_memory_for_torch()
    for run in runs:
        note(control.resume(run, epochs=epochs))
    _assign(runs, engine)
    if no_start:
        _emit_runs(store, runs, as_json)
    else:
        _start_or_follow(store, runs, device=device, slots=slots, follow=follow, as_json=as_json)


@command.command("clone")
@click.argument("selector", metavar="RUN")
@set_option("Override a setting, for example --set train.seed=1; may be repeated.")
@device_option
@slots_option
@launch_option
@click.option("--follow", is_flag=True, help="Follow the run until it ends, as core train does.")
@runs_option
@json_option
def clone(
    selector: str,
    overrides: tuple[str, ...],
    device: str,
    slots: int | None,
    engine: str | None,
    follow: bool,
    root: Path,
    as_json: bool,
) -> None:
    """Train a new run with the settings of another, in the background, by the same engine."""
    store = RunStore(root)
    old = store.find(selector)
    launch = clone_settings(old)
    if engine not in (None, launch.engine):
        launch = launch_settings({}, engine)
    check_for_engine(launch, device, slots)
    run = control.clone(old.path.parent, old, overrides, launch=launch)
    if text := hidden_folder_note(run.read().config.data.dataset):
        note(text)
    note(f"{sanitize(run.id)}: queued, with the settings of {sanitize(old.id)}")
    _start_or_follow(store, [run], device=device, slots=slots, follow=follow, as_json=as_json)


@command.command("rm")
@runs_argument
@click.option("--all", "everything", is_flag=True, help="Delete all runs that have ended.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@runs_option
@json_option
def remove(selectors: tuple[str, ...], everything: bool, yes: bool, root: Path, as_json: bool) -> None:
    """Delete runs with all their files; one that is training must be stopped first."""
    store = RunStore(root)
    runs = _select(store, selectors, everything, exclude=[state for state in State if not state.is_ended])
    if runs and not yes:
        question = f"Delete {len(runs)} run{'s' * (len(runs) != 1)} with all files?"
        confirm([str(run.path) for run in runs], "delete", question)
    for run in runs:
        note(control.remove(run))
    removed = [run.id for run in runs]
    if as_json:
        emit_json(removed)
    else:
        for name in removed:
            emit(name)


def _select(
    store: RunStore, selectors: Sequence[str], everything: bool, *, exclude: Sequence[State]
) -> list[RunDirectory]:
    """Return the named runs, each once; or with --all, every run whose state is not excluded, without copies."""
    if everything and selectors:
        raise UserError("give either runs or --all, not both")
    if everything:
        found = [info.directory for info in store.infos() if info.state not in exclude]
        own = [run for run in found if not is_copy(run.path)]
        if copies := len(found) - len(own):
            note(f"{copies} cop{'ies' if copies > 1 else 'y'} of runs of another host: left alone")
        return own
    if not selectors:
        raise UserError("which run? Give an id, a prefix of one, a path or latest; or --all")
    return list(dict.fromkeys(store.find(selector) for selector in selectors))


def _assign(runs: Sequence[RunDirectory], engine: str | None) -> None:
    """Hand queued runs to the engine of `--launch`; without it each keeps its own."""
    if engine is not None:
        settings = launch_settings({}, engine)
        for run in runs:
            if run.read_status().engine != engine:
                engines.assign(run, settings)


def _start_or_follow(
    store: RunStore,
    runs: Sequence[RunDirectory],
    *,
    device: str,
    slots: int | None,
    follow: bool,
    as_json: bool,
) -> None:
    """Have queued runs started; then either write them to stdout, or follow them to their end."""
    if follow:
        Follower(store, runs, device=device, slots=slots).wait_until_ended(as_json=as_json)
        return
    for line in engines.start(runs, device=device, slots=slots):
        note(line)
    _emit_runs(store, runs, as_json)


def _emit_table(rows: Sequence[Sequence[str]]) -> None:
    """Write the table, without as many of `OPTIONAL_COLUMNS` as a narrow terminal has no room for."""
    width = stdout_width()
    left_out: set[str] = set()
    while True:
        kept = [i for i, header in enumerate(ROW_HEADERS) if header not in left_out]
        table = format_table(
            [ROW_HEADERS[i] for i in kept],
            [[row[i] for i in kept] for row in rows],
            "".join(ROW_ALIGN[i] for i in kept),
            width=width,
        )
        fits = not width or max(map(len, table.splitlines())) <= width
        if fits or len(left_out) == len(OPTIONAL_COLUMNS):
            emit(table)
            return
        left_out.add(OPTIONAL_COLUMNS[len(left_out)])


def _emit_runs(store: RunStore, runs: Sequence[RunDirectory], as_json: bool) -> None:
    """Write runs to stdout as one JSON list, or as one path per line."""
    if as_json:
        infos = [store.info(run) for run in runs]
        emit_json([run_json(info, read_epochs(info)) for info in infos])
        return
    for run in runs:
        emit(str(run.path))
