"""Start and stop of runs by the engine that each of them names."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from core.config.launch import LaunchConfig
from core.errors import UserError
from core.files.sanitize import sanitize
from core.launch import control
from core.launch.engines.registry import open_engine
from core.launch.engines.settings import launch_provenance, stored_settings
from core.launch.queue import ensure_runner
from core.runs.directory import RunDirectory
from core.runs.status import State, Status
from core.runs.store import RunStore

_ARRAYS_NAMED: Final = 8
"""Arrays that the line of a submission names; a queue of Slurm lists all."""
_WRITTEN_AT_ONCE: Final = 8


def start(
    runs: Sequence[RunDirectory],
    *,
    device: str = "auto",
    slots: int | None = None,
    wake: Callable[[Path], object] | None = None,
) -> list[str]:
    """Have queued runs started, each by its engine. A run whose job is in its engine's queue already stays there.

    Args:
        runs: the runs, of any folders; those that are not queued are skipped, except that the local queue is woken.
        device: for the local engine.
        slots: for the local engine.
        wake: starts the local queue of a folder; `ensure_runner` unless given.

    Returns:
        A line for each submission to another engine.

    Raises:
        UserError: an engine is not there or refuses.
    """
    local: dict[Path, None] = {}
    others: dict[tuple[Path, bytes], list[tuple[RunDirectory, Status]]] = defaultdict(list)
    for run in runs:
        status = run.read_status()
        if status.engine == "local":
            local[run.path.parent] = None
        elif status.state is State.QUEUED:
            settings = msgspec.json.encode(stored_settings(run.read(), status.engine))
            others[run.path.parent, settings].append((run, status))
    lines = []
    for (root, settings), found in others.items():
        config = msgspec.json.decode(settings, type=LaunchConfig)
        lines += _submit(root, config, found)
    for root in local:
        if wake is not None:
            wake(root)
        else:
            ensure_runner(root, device, slots)
    return lines


def _submit(root: Path, config: LaunchConfig, runs: Sequence[tuple[RunDirectory, Status]]) -> list[str]:
    engine = open_engine(root, config)
    jobs = [status.job for _, status in runs if status.job]
    known = engine.states(jobs) if jobs else {}
    new = [run for run, status in runs if status.job not in known]
    lines = [
        f"{sanitize(run.id)}: waits in {engine.name} already, as {sanitize(status.job)}"
        for run, status in runs
        if status.job in known
    ]
    if not new:
        return lines
    ids = engine.submit(new)
    _write_jobs(zip(new, ids, strict=True), engine.name)
    arrays = list(dict.fromkeys(job.partition("_")[0] for job in ids if job))
    names = f" {', '.join(arrays[:_ARRAYS_NAMED])}" if arrays else ""
    if len(arrays) > _ARRAYS_NAMED:
        names += f" and {len(arrays) - _ARRAYS_NAMED} more arrays"
    return [*lines, f"{engine.name}{names}: {len(new)} run{'s' * (len(new) != 1)} submitted"]


def _write_jobs(jobs: Iterable[tuple[RunDirectory, str]], engine: str) -> None:
    """Write the id of each run's job, several at once: a file that is replaced waits for the disk."""
    from concurrent.futures import ThreadPoolExecutor  # here, because few commands need it

    with ThreadPoolExecutor(_WRITTEN_AT_ONCE) as threads:
        for _ in threads.map(lambda job: _write_job(job[0], engine, job[1]), jobs):
            pass


def _write_job(run: RunDirectory, engine: str, job: str) -> None:
    """Write the id of a run's job, unless its worker has begun and has done so itself."""
    try:
        with run.lock():
            status = run.read_status()
            if status.state is State.QUEUED and status.engine == engine:
                run.write_status(msgspec.structs.replace(status, job=job), fsync=False)
    except (
        UserError,
        OSError,
    ):  # its worker has it, or the disk is full; the job starts the run nevertheless
        pass


def assign(run: RunDirectory, config: LaunchConfig) -> None:
    """Hand a queued run to an engine, which `start` then calls.

    Raises:
        UserError: the run is not queued, or waits in another engine's queue.
    """
    with run.lock(wait=2.0):
        status, file, name = run.read_status(), run.read(), sanitize(run.id)
        if status.state is not State.QUEUED:
            raise UserError(f"{name}: is {status.state}, so its engine cannot be changed; stop it first")
        if status.job and status.job in open_engine(
            run.path.parent, stored_settings(file, status.engine)
        ).states([status.job]):
            raise UserError(f"{name}: waits in {status.engine} as {sanitize(status.job)}; stop it first")
        kept = {key: text for key, text in file.provenance.items() if key != "launch"}
        provenance = kept | launch_provenance(config)
        run.write_run_file(msgspec.structs.replace(file, provenance=provenance))
        run.write_status(msgspec.structs.replace(status, engine=config.engine, job=""))


def stop(runs: Iterable[RunDirectory]) -> list[str]:
    """Stop runs as `control.stop` does, and their jobs with them: cancel those that wait, signal those that run.

    Returns:
        The action taken for each run, in one line.

    Raises:
        UserError: runs are unreadable or belong to another user, a line for each; all others are stopped. Or an engine
            does not answer; the runs are marked as stopped nevertheless.
    """
    lines, errors = [], []
    jobs: dict[tuple[Path, str], dict[str, RunDirectory]] = defaultdict(dict)
    for run in runs:
        try:
            status = run.read_status()
            lines.append(control.stop(run))
        except UserError as error:
            errors.append(str(error))
            continue
        if status.job and status.engine != "local":
            jobs[run.path.parent, status.engine][status.job] = run
    for (root, name), found in jobs.items():
        try:
            config = stored_settings(next(iter(found.values())).read(), name)
            names = list(found)
            if config.slurm.runs_per_job > 1:
                busy = {
                    info.status.job for info in RunStore(root).infos() if _goes_on(info.directory, info.state)
                }
                names = [job for job in found if job not in busy]
            if names:
                open_engine(root, config).stop(names)
        except UserError as error:
            errors.append(f"{error}; the runs are marked as stopped, and their workers will not train them")
    if errors:
        raise UserError("\n".join(errors))
    return lines


def _goes_on(run: RunDirectory, state: State) -> bool:
    return not state.is_ended and not run.stop_requested()
