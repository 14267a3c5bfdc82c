"""That a run is being judged, and how far: ``evaluating.json``, which goes when the numbers are there.

Whoever judges a run says so, wherever it was started from, so that everybody who looks at the run can see it. It
is replaced as a whole. One that was asked to judge finds itself named there already, and leaves word when it fails.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from core.files.atomic import atomic_write
from core.files.sanitize import sanitize
from core.runs.directory import RunDirectory
from core.runs.process import ProcessIdentity, is_alive

FILE_NAME: Final = "evaluating.json"
LOG_NAME: Final = "evaluation.log"
"""What a process says that was started to judge runs, in the folder of the first of them."""
_SIZE_LIMIT: Final = 1 << 16
_WRITE_INTERVAL: Final = 0.25

ProgressCallback = Callable[[str, int, int], None]
"""Takes what is being done, and how many of how many are."""


class EvaluationProgress(msgspec.Struct, frozen=True, kw_only=True):
    """Who judges, what is being done, and `done` of `total`; nothing is being done while other runs come first.

    `error` is what went wrong, and then nobody judges any more.
    """

    identity: ProcessIdentity
    doing: str = ""
    done: int = 0
    total: int = 0
    error: str = ""


def write_evaluation_progress(run: RunDirectory, evaluating: EvaluationProgress) -> None:
    """Say that a run is being judged; nothing is said where the run is gone."""
    if run.run_file.exists():
        atomic_write(run.path / FILE_NAME, msgspec.json.encode(evaluating) + b"\n", fsync=False)


def read_evaluation_progress(run: RunDirectory) -> EvaluationProgress | None:
    """How far the judging is, or why it has failed; None when nobody judges the run."""
    try:
        with (run.path / FILE_NAME).open("rb") as file:
            found = msgspec.json.decode(file.read(_SIZE_LIMIT), type=EvaluationProgress)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    error = sanitize(found.error)
    if not error and is_alive(found.identity) is False:
        error = f"its process is gone; {LOG_NAME} may say why"
    return msgspec.structs.replace(found, doing=sanitize(found.doing), error=error)


@contextlib.contextmanager
def reporting_evaluation(run: RunDirectory) -> Iterator[ProgressCallback]:
    """Say that this process judges a run while the block lasts; where it cannot be written, that is no reason to stop.

    Yields:
        A function that says how far it is, cheap enough to call often.
    """
    me, spoken = ProcessIdentity.current(), 0.0
    before = read_evaluation_progress(run)
    asked = before is not None and before.identity == me

    def write(**what: str | int) -> None:
        with contextlib.suppress(OSError):
            write_evaluation_progress(run, EvaluationProgress(identity=me, **what))  # type: ignore[arg-type]  # its own fields

    def say(doing: str, done: int, total: int) -> None:
        nonlocal spoken
        if time.monotonic() - spoken >= _WRITE_INTERVAL:
            spoken = time.monotonic()
            write(doing=doing, done=done, total=total)

    write(doing="getting ready")
    try:
        yield say
    except Exception as error:
        if asked:
            write(error=" ".join(str(error).split()) or type(error).__name__)
        else:
            _clear(run, me)
        raise
    except BaseException:
        _clear(run, me)
        raise
    _clear(run, me)


def _clear(run: RunDirectory, me: ProcessIdentity) -> None:
    """Take back what was said, unless somebody else judges the run too by now."""
    now = read_evaluation_progress(run)
    if now is not None and now.identity == me:
        with contextlib.suppress(OSError):
            (run.path / FILE_NAME).unlink(missing_ok=True)
