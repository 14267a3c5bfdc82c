"""Slurm's commands: sbatch, squeue, scancel and scontrol, with their errors in one line. None needs accounting."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from core.errors import UserError
from core.files.sanitize import sanitize
from core.launch.engines.base import Job, JobState
from core.launch.subprocess_env import child_environment

TIMEOUT: Final = 30.0
"""Seconds to wait for Slurm, which answers slowly while it schedules thousands of jobs."""
DEFAULT_MAX_ARRAY: Final = 1001
_WORDS_PER_CALL: Final = 400
_ID: Final = re.compile(r"\d+(_\d+)?")
_LINE: Final = re.compile(r"\d[^|]*\|[A-Z_]+\|")
_PENDING: Final = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD")


class SlurmError(UserError):
    """Slurm refuses, or does not answer; the message has its own words."""


def require_command(name: str) -> None:
    """Check that one of Slurm's commands is installed.

    Raises:
        SlurmError: it is not.
    """
    if shutil.which(name) is None:
        raise SlurmError(
            f"{name}: not found; run this where Slurm's commands are, such as a cluster's login node, "
            "or train here with --launch local"
        )


def run_command(*words: str, cwd: Path | None = None, timeout: float = TIMEOUT) -> str:
    """Run one of Slurm's commands, and return what it wrote.

    Raises:
        SlurmError: it is not installed, fails or does not end in time.
    """
    name = words[0]
    require_command(name)
    try:
        done = subprocess.run(
            words,
            cwd=cwd,
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{name}: Slurm did not answer within {timeout:g} s; try again later") from None
    except OSError as error:
        raise SlurmError(f"{name}: cannot be started ({error.strerror or error})") from error
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        words_of_slurm = "; ".join(dict.fromkeys(_without_prefix(line, name) for line in lines))
        raise SlurmError(f"{name}: {sanitize(words_of_slurm) or f'ended with code {done.returncode}'}")
    return done.stdout


def submit_script(script: Path) -> str:
    """Submit a script from its folder, and return the id of its array.

    Raises:
        SlurmError: Slurm refuses.
    """
    answer = run_command(
        "sbatch", "--parsable", "--chdir", str(script.parent), script.name, cwd=script.parent
    )
    found = answer.strip().partition(";")[0]  # a cluster's name may follow
    if not found.isdecimal():
        raise SlurmError(f"sbatch: expected the number of a job, got {sanitize(answer.strip())[:80]!r}")
    return found


def max_array_size() -> int:
    """Return the number of jobs that one array may have (``MaxArraySize``).

    Raises:
        SlurmError: Slurm does not answer.
    """
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", run_command("scontrol", "show", "config"), re.MULTILINE)
    return max(1, int(match[1])) if match else DEFAULT_MAX_ARRAY


def find_jobs(ids: Sequence[str], *, timeout: float = TIMEOUT) -> dict[str, Job]:
    """Look up jobs of arrays with one squeue; those that have ended are left out.

    Raises:
        SlurmError: Slurm does not answer, or with something else than jobs.
    """
    wanted = {one for one in ids if _ID.fullmatch(one)}
    arrays = sorted({one.partition("_")[0] for one in wanted})
    if not arrays:
        return {}
    command = ("squeue", "--noheader", "--array", "--format=%i|%T|%r", "--jobs", ",".join(arrays))
    try:
        lines = run_command(*command, timeout=timeout).splitlines()
    except SlurmError as error:
        if "Invalid job id" in str(error):  # all of them have ended, and Slurm has forgotten them
            return {}
        raise
    lines = [line.strip() for line in lines if line.strip()]
    if lines and not any(map(_LINE.match, lines)):  # otherwise all jobs would seem to have ended
        raise SlurmError(f"squeue: expected jobs, got {sanitize(lines[0])[:80]!r}")
    jobs = {}
    for line in lines:
        name, _, rest = line.partition("|")
        state, _, reason = rest.partition("|")
        if name in wanted:
            pending = state in _PENDING
            reason = sanitize(reason) if pending and reason not in ("None", "") else ""
            jobs[name] = Job(name, JobState.PENDING if pending else JobState.RUNNING, reason)
    return jobs


def cancel_jobs(ids: Sequence[str]) -> None:
    """Take pending jobs from the queue, and send a SIGTERM to the script of those that run.

    Raises:
        SlurmError: Slurm does not answer.
    """
    names = [one for one in dict.fromkeys(ids) if _ID.fullmatch(one)]
    for start in range(0, len(names), _WORDS_PER_CALL):
        some = names[start : start + _WORDS_PER_CALL]
        for options in (("--state=PENDING",), ("--state=RUNNING", "--batch", "--signal=TERM")):
            _scancel(*options, *some)


def requeue_job(name: str) -> None:
    """End a job, and queue it again.

    Raises:
        SlurmError: Slurm refuses.
    """
    run_command("scontrol", "requeue", name)


def _scancel(*words: str) -> None:
    try:
        run_command("scancel", *words)
    except SlurmError as error:
        # A job that has ended meanwhile is no error.
        if not re.search("Invalid job id|already (completing|completed)|Job/step already", str(error)):
            raise


def _without_prefix(line: str, name: str) -> str:
    return re.sub(rf"^({name}|slurm_load_jobs|scontrol)?:?\s*(error:)?\s*", "", line)
