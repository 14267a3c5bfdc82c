"""Failures of training and sampling, in one line each."""

import errno

from core.errors import GPU_UNUSABLE, OUT_OF_MEMORY, UserError, is_gpu_unusable, is_out_of_memory
from core.runs import DISK_FULL


def failure_text(error: BaseException) -> str:
    """Return a failure in one line, with a remedy if one is known."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError):
        return _os_error_text(error)
    if is_out_of_memory(error):
        return OUT_OF_MEMORY
    text = " ".join(f"{type(error).__name__}: {error}".split("\n")[0].split())
    return f"{text}: {GPU_UNUSABLE}" if is_gpu_unusable(error) else text


def _os_error_text(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    what = f"{where}{error.strerror or error}"
    if error.errno in DISK_FULL:
        return f"{what}: free some space, then resume; it goes on from its last checkpoint"
    if isinstance(error, FileNotFoundError):
        return f"{what}: the run's folder was removed or moved while it trained"
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return f"{what}: make the folder writable again, then resume"
    return f"{what}: fix that, then resume; it goes on from its last checkpoint"
