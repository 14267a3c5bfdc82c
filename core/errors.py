"""The errors that a person can mend, and the exit codes that they end a command with."""

EXIT_OK = 0
EXIT_USAGE = 2
EXIT_RUN_FAILED = 3
EXIT_INTERRUPTED = 130

OUT_OF_MEMORY = (
    "out of memory; lower train.batch_size, model.width or sample.count, or run fewer at once (--slots)"
)
"""What to tell of a training."""

_MEMORY_WORDS = ("not enough memory", "can't allocate memory", "out of memory", "STATUS_ALLOC_FAILED")


class UserError(Exception):
    """A mistake in what a person gave: one line that says what was expected, what came and what to do next.

    The command line prints the message after ``error:`` and ends with `exit_code`, without a traceback.
    """

    exit_code = EXIT_USAGE


class RunFailedError(UserError):
    """A run ended as ``failed``; the command that waited for it ends with code 3."""

    exit_code = EXIT_RUN_FAILED


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of the machine or of a GPU; torch says so in words alone."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _MEMORY_WORDS)
    )
