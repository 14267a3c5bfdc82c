"""Calls of rsync: one direction, from a folder of another host over ssh, or from a folder of this machine."""

import contextlib
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import UserError
from core.files.sanitize import sanitize

MIN_VERSION: Final = (3, 1, 3)
"""First version that compares the nanoseconds of times, without which a file that changes twice a second is missed."""
VANISHED: Final = 24
"""Exit code of rsync: files were deleted while it read the folder."""

_CONNECTION_CODES: Final = (255, 12)
"""Exit codes of rsync where ssh ended early: of ssh itself, or that of rsync if it noticed first."""
_HOST: Final = re.compile(
    r"([A-Za-z0-9_][A-Za-z0-9_.+-]*@)?([A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+(%\w+)?\])"
)
_UNSAFE: Final = re.compile(r"[^\w./~+@%=,:-]")
"""Characters that the shell of the other host could take for its own."""
_CONNECT_SECONDS: Final = 20
_STALL_SECONDS: Final = 60
"""Seconds without data after which rsync gives up."""
_POLL_SECONDS: Final = 0.1
_CONSEQUENCE: Final = re.compile(r"^rsync error:|^rsync: .*(connection unexpectedly closed|Broken pipe)")
"""Lines that follow from an error, and do not name it."""


@dataclass(frozen=True)
class Source:
    """A runs folder to read from. `host` is empty for one of this machine, whose `folder` is an absolute path."""

    host: str
    folder: str

    @classmethod
    def parse(cls, text: str) -> "Source":
        """Parse ``[USER@]HOST:DIR``, or the path of a folder of this machine. A colon after a slash is of a path.

        Raises:
            UserError: a shell, ssh or rsync could take the host or the folder for something else.
        """
        host, colon, folder = text.partition(":")
        if text.startswith("["):  # the colons of an IPv6 address
            host, colon, folder = (text.partition("]:")[0] + "]", *text.partition("]:")[1:])
        shown = sanitize(text, limit=200)
        if not colon or "/" in host:
            if not text or "\0" in text:
                raise UserError("expected HOST:DIR or a folder, got an empty name")
            return cls("", os.path.abspath(text))
        if not _HOST.fullmatch(host):
            raise UserError(
                f"{shown}: expected [USER@]HOST:DIR with the name of a host, which begins with a letter or a digit; "
                "for a folder whose name has a colon give ./NAME"
            )
        if not folder:
            raise UserError(f"{shown}: expected HOST:DIR, got no folder; for the home folder give {host}:.")
        if folder.startswith((":", "//", "-")):
            raise UserError(f"{shown}: expected a folder after HOST:, reached by ssh; no rsync server")
        if unsafe := _UNSAFE.search(folder):
            raise UserError(
                f"{shown}: the folder has a {unsafe[0]!r}, which the shell of {host} would read; "
                "make a link without it there, and give that"
            )
        return cls(host, folder.rstrip("/") or "/")

    def __str__(self) -> str:
        return f"{self.host}:{self.folder}" if self.host else self.folder


class Interrupted(Exception):
    """The call was ended by `Rsync.cancel`."""


class Rsync:
    """Calls of rsync for one source; `cancel` ends the running one from another thread.

    Args:
        source: the folder to read from.
        ask: whether ssh may ask for a password in the terminal.

    Raises:
        UserError: there is no rsync, or too old a one.
    """

    def __init__(self, source: Source, *, ask: bool = False) -> None:
        self.source = source
        self._ssh = ["ssh", "-o", f"ConnectTimeout={_CONNECT_SECONDS}"]
        self._ssh += [] if ask else ["-o", "BatchMode=yes"]
        self._ask = ask
        self._cancelled = threading.Event()
        _check_version()

    def cancel(self) -> None:
        """End the running call, and refuse all later ones."""
        self._cancelled.set()

    def copy(self, target: Path, *options: str, partly: bool = False) -> None:
        """Copy files of the source that differ. Files appear under their names whole, unless `options` say otherwise.

        Args:
            target: folder of this machine.
            options: further options.
            partly: do not raise if only some files could not be read.

        Raises:
            UserError: rsync or ssh failed, with its own words in one line.
            Interrupted: by `cancel`.
        """
        base = ["--recursive", "--times", "--omit-dir-times", "--modify-window=-1", "--chmod=Du+rwx,Fu+rw"]
        base += [f"--timeout={_STALL_SECONDS}", "--ignore-missing-args"]
        if self.source.host:
            base += ["--compress", "--skip-compress=png/safetensors", "-e", " ".join(self._ssh)]
        command = ["rsync", *base, *options, "--", f"{self.source}/".replace("//", "/"), f"{target}/"]
        code, output = self._call(command)
        if code not in (0, VANISHED) and not (partly and code == 23):
            raise UserError(f"{self.source}: {_reason(code, output, self.source)}")

    def clock_skew(self) -> float:
        """Return the seconds that the clock of the other host is ahead; 0 if it cannot be asked."""
        if not self.source.host:
            return 0.0
        before = time.time()
        code, output = self._call([*self._ssh, "--", self.source.host, "date", "+%s"])
        after = time.time()
        with contextlib.suppress(ValueError, IndexError):
            there = float(output.split()[-1])
            if code == 0 and abs(there) < 1e11:
                # Whole seconds: half of one is the mean of the part that was cut off.
                skew = there + 0.5 - (before + after) / 2
                return skew if abs(skew) > 1.0 + (after - before) / 2 else 0.0
        return 0.0

    def _call(self, command: Sequence[str]) -> tuple[int, str]:
        """Run a command; return its exit code, and what it wrote."""
        if self._cancelled.is_set():
            raise Interrupted
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env={**os.environ, "LC_ALL": "C"},
                # Without a terminal, ssh cannot write a question over a dashboard.
                start_new_session=not self._ask,
            )
        except OSError as error:
            raise UserError(f"{command[0]}: cannot be started ({error.strerror or error})") from error
        try:
            while True:
                try:
                    output, _ = process.communicate(timeout=_POLL_SECONDS)
                except subprocess.TimeoutExpired:
                    if self._cancelled.is_set():
                        raise Interrupted from None
                else:
                    return process.returncode, output
        finally:
            if process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=2)
            if process.poll() is None:
                process.kill()
                process.communicate()


def _check_version() -> None:
    where = "apt install rsync, or brew install rsync"
    if shutil.which("rsync") is None:
        raise UserError(f"runs are pulled by rsync, which is not installed here: {where}")
    try:
        output = subprocess.run(["rsync", "--version"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(f"rsync: cannot be started ({sanitize(str(error))})") from error
    found = re.match(r"rsync\s+version v?(\d+)\.(\d+)\.(\d+)", output)
    if found is None or tuple(map(int, found.groups())) < MIN_VERSION:
        wanted = ".".join(map(str, MIN_VERSION))
        line = output.splitlines()[0] if output else "one without a version"
        raise UserError(f"runs are pulled by rsync {wanted} or later, got {sanitize(line)}: {where}")


def _reason(code: int, output: str, source: Source) -> str:
    """Return a failure of rsync or ssh in one line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if not _CONSEQUENCE.match(line)]
    last = sanitize((telling or lines or [f"rsync ended with code {code}"])[-1], limit=300)
    if any("change_dir" in line and "No such file or directory" in line for line in lines):
        return "there is no such folder" + (f" on {source.host}" if source.host else "")
    if any("is your shell clean" in line for line in lines):
        first = sanitize(lines[0], limit=100)
        said = "" if first.startswith("protocol version mismatch") else f" ({first!r})"
        return (
            f"the shell of {source.host} writes text of its own{said}, which rsync cannot read; "
            "let its ~/.bashrc write only where there is a terminal"
        )
    if "command not found" in last or "not found" in last:
        return f"{last}; rsync must be installed there too"
    if source.host and code in _CONNECTION_CODES:
        return f"{last}; try: ssh {source.host}"
    return last
