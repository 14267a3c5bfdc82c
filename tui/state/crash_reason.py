"""The reason of a crash, as the worker or the queue runner left it in the run's log."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.files.sanitize import sanitize
from core.files.signature import FileSignature, signature
from core.launch.subprocess_env import log_lines

_ATTEMPT: Final = re.compile(r"--- \S+( \S+)? worker on ")
"""The line with which each attempt begins."""
_REASONS: Final = (
    re.compile(r"^--- .*the worker was (?P<reason>killed by .*)"),
    re.compile(r"^error: (?P<reason>.*)"),
    re.compile(r"^(?P<reason>.*; and the status could not be written: .*)"),
    re.compile(r"^(?P<reason>(?:\w+\.)*\w*(?:Error|Exception): .*)"),
)


def crash_reason(lines: list[str]) -> str:
    """The reason in the last lines of a log; empty if its last attempt left none.

    >>> crash_reason(["--- 10:15 worker on cpu, 1 thread", "--- 10:16 the worker was killed by SIGSEGV"])
    'killed by SIGSEGV'
    >>> crash_reason(["error: no such file", "--- 10:15 worker on cpu, 1 thread", "epoch 1 loss 0.2"])
    ''
    """
    for line in reversed(lines):
        if _ATTEMPT.match(line):
            break
        for pattern in _REASONS:
            if found := pattern.match(line):
                return sanitize(found["reason"])
    return ""


@dataclass(slots=True)
class CrashLog:
    """The reason in a run's log, read again only when the log changes."""

    log: Path
    _signature: FileSignature | None = None
    _reason: str = ""

    def changed(self) -> bool:
        """Return whether the log has changed since its last reading."""
        return signature(self.log) != self._signature

    def reason(self) -> str:
        """The reason; empty if there is none."""
        current = signature(self.log)
        if current != self._signature:
            self._signature, self._reason = current, crash_reason(log_lines(self.log))
        return self._reason
