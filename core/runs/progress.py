"""Progress of evaluations and trajectories: small files that exist while a job of a run is running.

A file is replaced as a whole and deleted when the job is done, so every reader of the run sees the job, wherever it
was started. The file that a launcher writes for a job names the job's process. A failed job leaves its error there.
An evaluation's file is ``evaluating.json``; `core.runs.trajectory` has the trajectories'.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from core.files.atomic import atomic_write
from core.files.sanitize import sanitize
from core.files.untrusted import open_regular
from core.runs.directory import RunDirectory
from core.runs.process import ProcessIdentity, is_alive

FILE_NAME: Final = "evaluating.json"
LOG_NAME: Final = "evaluation.log"
"""Output of a process that was started to evaluate runs, in the folder of the first of them."""
_SIZE_LIMIT: Final = 1 << 16
_WRITE_INTERVAL: Final = 0.25
"""Seconds."""

ProgressCallback = Callable[[str, int, int], None]
"""Takes the name of the current work, and how many of how many parts are done."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Progress of a job: `done` of `total` parts. A non-empty `error` means that the job has ended with it."""

    identity: ProcessIdentity
    done: int = 0
    total: int
    error: str = ""


class EvaluationProgress(Progress, frozen=True, kw_only=True):
    """Progress of an evaluation. `doing` names the current work; it is empty while other runs are evaluated first."""

    doing: str = ""
    total: int = 0


AnyProgress = TypeVar("AnyProgress", bound=Progress)


def write_progress(path: Path, progress: Progress) -> None:
    """Replace a progress file as a whole."""
    atomic_write(path, msgspec.json.encode(progress) + b"\n", fsync=False)


def read_progress(path: Path, kind: type[AnyProgress], *, hint: str = "") -> AnyProgress | None:
    """Read a progress file; None if there is none, or it is damaged.

    Args:
        path: the file.
        kind: the struct to decode.
        hint: appended to the error of a job whose process is gone.
    """
    try:
        with open_regular(path) as file:
            found = msgspec.json.decode(file.read(_SIZE_LIMIT), type=kind)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    error = sanitize(found.error)
    if not error and is_alive(found.identity) is False:
        error = f"its process is gone{hint}"
    return msgspec.structs.replace(found, error=error)


def write_evaluation_progress(run: RunDirectory, progress: EvaluationProgress) -> None:
    """Write the progress of a run's evaluation; do nothing if the run was removed."""
    if run.run_file.exists():
        write_progress(run.path / FILE_NAME, progress)


def read_evaluation_progress(run: RunDirectory) -> EvaluationProgress | None:
    """Read the progress of a run's evaluation, or its error; None if the run is not being evaluated."""
    found = read_progress(run.path / FILE_NAME, EvaluationProgress, hint=f"; {LOG_NAME} may say why")
    return found and msgspec.structs.replace(found, doing=sanitize(found.doing))


@contextlib.contextmanager
def reporting_evaluation(run: RunDirectory) -> Iterator[ProgressCallback]:
    """Publish that this process evaluates a run while the block lasts. Write errors are ignored.

    An error of the block is left in the file only if a launcher had written this process there before.

    Yields:
        A function that updates the progress, cheap enough to call often.
    """
    me, written_at = ProcessIdentity.current(), 0.0
    before = read_evaluation_progress(run)
    is_launched = before is not None and before.identity == me

    def write(progress: EvaluationProgress) -> None:
        with contextlib.suppress(OSError):
            write_evaluation_progress(run, progress)

    def report(doing: str, done: int, total: int) -> None:
        nonlocal written_at
        if time.monotonic() - written_at >= _WRITE_INTERVAL:
            written_at = time.monotonic()
            write(EvaluationProgress(identity=me, doing=doing, done=done, total=total))

    write(EvaluationProgress(identity=me, doing="getting ready"))
    try:
        yield report
    except Exception as error:
        if is_launched:
            message = " ".join(str(error).split()) or type(error).__name__
            write(EvaluationProgress(identity=me, error=message))
        else:
            _clear(run, me)
        raise
    except BaseException:
        _clear(run, me)
        raise
    _clear(run, me)


def _clear(run: RunDirectory, me: ProcessIdentity) -> None:
    """Delete the file, unless another process evaluates the run by now."""
    now = read_evaluation_progress(run)
    if now is not None and now.identity == me:
        with contextlib.suppress(OSError):
            (run.path / FILE_NAME).unlink(missing_ok=True)
