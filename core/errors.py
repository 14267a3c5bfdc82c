"""Errors that a user can correct, and the exit codes of the commands that they end."""

import errno
import os
from collections.abc import Iterable

EXIT_OK = 0
EXIT_USAGE = 2
EXIT_RUN_FAILED = 3
EXIT_NOT_STARTED = 4
"""Of a worker: the run is not its own to start, because another trains it or because it is not queued."""
EXIT_REQUEUE = 75
"""Of a worker with ``--requeue``: the run has a checkpoint and is queued again; start another worker (EX_TEMPFAIL)."""
EXIT_INTERRUPTED = 130

OUT_OF_MEMORY = (
    "out of memory; lower train.batch_size, model.width or sample.count, or run fewer at once (--slots)"
)
"""Error message of a training run that ran out of memory."""
GPU_UNUSABLE = "torch cannot compute on this GPU; see core doctor, or use --device cpu"
"""Error message of a computation on a GPU without a fitting torch or driver; torch's own words precede it."""
WORKING_DIRECTORY_DELETED = "the working directory was deleted; go to another one with cd"

_SIMILAR = 0.5
"""Least share of equal characters, from 0 to 1 as difflib counts it, of a name that is suggested for another."""
_DAMAGE_CODES = (None, errno.EINVAL, errno.EOVERFLOW)
"""Error numbers of damaged files: libraries' own errors have none, and offsets in damaged files lead to the others."""
_MISSING_CODES = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)
_MEMORY_PHRASES = (
    *("not enough memory", "can't allocate memory", "out of memory", "STATUS_ALLOC_FAILED"),
    *("failed to map segment", "annot allocate memory"),  # of a library that is being loaded
)
_GPU_PHRASES = (
    *("no kernel image is available", "not compiled with CUDA enabled", "driver on your system is too old"),
    *("Found no NVIDIA driver", "No CUDA GPUs are available", "No HIP GPUs are available"),
    *("driver version is insufficient", "invalid device ordinal", "device kernel image is invalid"),
    *("not linked with support for cuda", "no CUDA-capable device is detected", "invalid device function"),
    "forward compatibility was attempted",
)


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Return ``did you mean NAME?`` with the nearest of the valid names, or an empty text if none is similar.

    Args:
        name: what the user gave.
        known: the valid names.
        prefix: what precedes the nearest name in the question, such as ``train.``.
    """
    import difflib  # most commands suggest nothing

    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=_SIMILAR)
    return f"did you mean {prefix}{nearest[0]}?" if nearest else ""


class UserError(Exception):
    """A mistake in user input: one line that states what was expected, what was given and what to do next.

    The command line prints the message after ``error:`` and exits with `exit_code`, without a traceback.
    """

    exit_code = EXIT_USAGE


class RunFailedError(UserError):
    """A run ended as ``failed``; the command that waited for it exits with code 3."""

    exit_code = EXIT_RUN_FAILED


def os_error_text(error: OSError) -> str:
    """Return an error of the system in one line, with the file that it is about and a remedy if one is known.

    >>> os_error_text(OSError(errno.ENOSPC, "No space left on device", "runs/worker.log"))
    'runs/worker.log: No space left on device'
    """
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "too many open files; allow more with ulimit -n, or close other programs"
    if error.errno == errno.ENOENT and not error.filename and not _has_directory():
        return WORKING_DIRECTORY_DELETED
    words = error.strerror or str(error)
    # Python may name a descriptor in place of a file.
    has_path = isinstance(error.filename, str | os.PathLike) and bool(error.filename)
    return f"{os.fspath(error.filename)}: {words}" if has_path else words


def _has_directory() -> bool:
    try:
        return bool(os.getcwd())
    except OSError:
        return False


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the machine or a GPU ran out of memory. Torch reports that only in the message."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError | ImportError)
        and any(phrase in str(error) for phrase in _MEMORY_PHRASES)
    )


def is_gpu_unusable(error: BaseException) -> bool:
    """Return whether torch cannot compute on a GPU at all. Torch reports that only in the message."""
    return isinstance(error, RuntimeError | AssertionError) and any(
        phrase in str(error) for phrase in _GPU_PHRASES
    )


def is_machine_error(error: BaseException) -> bool:
    """Return whether the machine failed and not the file that was read, so that nothing about the file may be kept.

    That is no memory, no descriptors, no permission or a failing disk, the latter three also as the cause of another
    error. A missing or damaged file is none.
    """
    if isinstance(error, OSError):
        missing = error.errno in _DAMAGE_CODES or error.errno in _MISSING_CODES
        return not missing or "out of memory" in str(error)
    cause = error.__cause__
    return isinstance(error, MemoryError) or (isinstance(cause, OSError) and is_machine_error(cause))
