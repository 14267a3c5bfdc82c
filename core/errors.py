"""Errors that a user can correct, and the exit codes of the commands that they end."""

EXIT_OK = 0
EXIT_USAGE = 2
EXIT_RUN_FAILED = 3
EXIT_INTERRUPTED = 130

OUT_OF_MEMORY = (
    "out of memory; lower train.batch_size, model.width or sample.count, or run fewer at once (--slots)"
)
"""Error message of a training run that ran out of memory."""

_MEMORY_PHRASES = (
    *("not enough memory", "can't allocate memory", "out of memory", "STATUS_ALLOC_FAILED"),
    *("failed to map segment", "annot allocate memory"),  # of a library that is being loaded
)


class UserError(Exception):
    """A mistake in user input: one line that states what was expected, what was given and what to do next.

    The command line prints the message after ``error:`` and exits with `exit_code`, without a traceback.
    """

    exit_code = EXIT_USAGE


class RunFailedError(UserError):
    """A run ended as ``failed``; the command that waited for it exits with code 3."""

    exit_code = EXIT_RUN_FAILED


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the machine or a GPU ran out of memory. Torch reports that only in the message."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError | ImportError)
        and any(phrase in str(error) for phrase in _MEMORY_PHRASES)
    )
