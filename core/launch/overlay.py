"""Starts the process that fits triangles to pictures, with one thread and a low priority."""

import contextlib
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import UserError
from core.files.sanitize import sanitize
from core.launch.subprocess_env import child_environment

LOG: Final = "worker.log"
MODULE: Final = "core.evaluation.triangle_fit.worker"
_TAIL: Final = 4096
_STARTED: Final[list["subprocess.Popen[bytes]"]] = []


@dataclass(frozen=True)
class Fitting:
    """A process that fits triangles, as long as somebody waits for it."""

    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def problem(self) -> str:
        """Why it failed, in a line; empty while it works and when all went well."""
        if not self.process.poll():
            return ""
        lines: list[str] = []
        with contextlib.suppress(OSError), self.log.open("rb") as file:
            lines = file.read(_TAIL).decode(errors="replace").splitlines()
        return sanitize(lines[-1]) if lines else f"fitting ended with exit code {self.process.returncode}"


def start_fitting(sheets: Sequence[tuple[Path, Path]]) -> Fitting:
    """Have triangles fitted to the pictures of sheets.

    Args:
        sheets: of each the PNG and the file to keep the fits in; the first one is of real pictures, and beside its
            fits lies what the process says.

    Raises:
        UserError: a folder cannot be made, or the process not started.
    """
    command = [
        sys.executable,
        "-P",
        "-m",
        MODULE,
        *(str(path.absolute()) for pair in sheets for path in pair),
    ]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    log = sheets[0][1].parent / LOG
    _STARTED[:] = [process for process in _STARTED if process.poll() is None]
    try:
        for _, output in sheets:
            output.parent.mkdir(parents=output is sheets[0][1], exist_ok=True)
        with log.open("wb") as file:
            process = subprocess.Popen(
                command,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=child_environment() | threads,
            )
    except OSError as error:
        raise UserError(f"triangles cannot be fitted ({error.strerror or error})") from error
    # Held on to, because Python complains of a process that is forgotten while it runs.
    _STARTED.append(process)
    return Fitting(process, log)
