"""Notes on queued runs of other engines: the job of each, and why it waits."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from core.config.launch import ENGINE_NAMES, LaunchConfig
from core.errors import UserError
from core.files.sanitize import sanitize
from core.launch.engines.base import Job, JobState
from core.launch.engines.registry import open_engine
from core.runs.status import State, Status

LOST = "not in its queue; resume it"


def job_note(status: Status, jobs: "dict[str, Job] | None") -> str:
    """Describe the job of a queued run, as in ``slurm 4711_12: Priority``; empty for a run of the local queue.

    Args:
        status: the run's status.
        jobs: the jobs that its engine knows, by id; None if it has not answered.
    """
    if status.state is not State.QUEUED or status.engine == "local":
        return ""
    name = " ".join(filter(None, (sanitize(status.engine), sanitize(status.job))))
    if jobs is None or not status.job:
        return name
    job = jobs.get(status.job)
    if job is None:
        return f"{name}: {LOST}"
    reason = job.reason if job.state is JobState.PENDING else "starting"
    return f"{name}: {reason}" if reason else name


def look_up_jobs(root: Path, statuses: Iterable[Status]) -> "tuple[dict[str, dict[str, Job] | None], str]":
    """Look up the jobs of all queued runs, with one question to each engine.

    Args:
        root: the runs folder.
        statuses: of runs; those of the local queue are skipped.

    Returns:
        The jobs of each engine by id, None for one that does not answer; and the reason why, or an empty text.
    """
    ids: dict[str, list[str]] = defaultdict(list)
    for status in statuses:
        if status.state is State.QUEUED and status.engine != "local" and status.job:
            ids[status.engine].append(status.job)
    found: dict[str, dict[str, Job] | None] = {}
    problem = ""
    for name, wanted in ids.items():
        engine = next((known for known in ENGINE_NAMES if known == name), None)
        if engine is None:
            continue
        try:
            found[name] = dict(open_engine(root, LaunchConfig(engine=engine)).states(wanted))
        except UserError as error:
            found[name], problem = None, str(error)
    return found, problem


def job_notes(root: Path, statuses: "dict[str, Status]") -> tuple[dict[str, str], str]:
    """Return the note of each run that has one, by the run's id, and why an engine does not answer."""
    found, problem = look_up_jobs(root, statuses.values())
    notes = {name: job_note(status, found.get(status.engine)) for name, status in statuses.items()}
    return {name: note for name, note in notes.items() if note}, problem
