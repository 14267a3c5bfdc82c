"""Store of all runs in a folder: finds them, reads them, and reports those that cannot be read."""

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

from core.errors import UserError
from core.files.sanitize import sanitize
from core.files.signature import FileSignature, signature
from core.runs.copies import copy_warning, read_copy
from core.runs.directory import RunDirectory, RunFile
from core.runs.process import stall_warning
from core.runs.status import State, Status

T = TypeVar("T")

_STAMP: Final = re.compile(r"(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)")
_GROUP_STAMP: Final = re.compile(r"-(\d{8}-\d{6})$")


@dataclass(frozen=True)
class RunInfo:
    """Snapshot of a run. `state` is the effective state, with CRASHED inferred."""

    directory: RunDirectory
    file: RunFile
    status: Status
    state: State
    warning: str = ""
    """Warning about a live run, for example that it may hang."""

    @property
    def id(self) -> str:
        """The run's name, sanitized."""
        return sanitize(self.directory.id)


@dataclass(frozen=True)
class RunProblem:
    """A folder that should be a run but cannot be read; `text` is the reason, in one sanitized line."""

    directory: RunDirectory
    text: str

    @property
    def id(self) -> str:
        """The folder's name, sanitized."""
        return sanitize(self.directory.id)


@dataclass(frozen=True)
class Scan:
    """Snapshot of all runs, oldest first, and of the folders that could not be read."""

    infos: tuple[RunInfo, ...]
    problems: tuple[RunProblem, ...]


class RunStore:
    """A folder of runs. Only changed files are read again, so a frequent scan costs two stats per run.

    Not thread-safe: each reader has its own store.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self._known: dict[str, RunDirectory] = {}
        self._files: _Cache[RunFile] = _Cache()
        self._statuses: _Cache[Status] = _Cache()

    def runs(self) -> list[RunDirectory]:
        """List all runs, readable or not, newest last. Other folders are skipped."""
        stamped = [(self._created_at(run), run.id, run) for run in self.runs_by_name()]
        return [run for *_, run in sorted(stamped, key=lambda entry: entry[:2])]

    def runs_by_name(self) -> list[RunDirectory]:
        """List all runs, readable or not, by name, which usually is the order of creation. Reads no run."""
        try:
            with os.scandir(self.root) as entries:
                names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
        except OSError:
            names = []
        found = [self._known.get(name) or RunDirectory(self.root / name) for name in names]
        runs = [run for run in found if _is_run(run)]
        self._known = {run.id: run for run in runs}
        self._files.retain(run.run_file for run in runs)
        self._statuses.retain(run.status_file for run in runs)
        return runs

    def unused_group(self, group: str) -> str:
        """Return the name of a new group, with a number if another one was queued within the same second.

        Args:
            group: a name that ends with its time, see `core.runs.make_group`; any other is returned as it is.
        """
        stamp = _GROUP_STAMP.search(group)
        if stamp is None:
            return group
        taken = set()
        for run in self.runs_by_name():
            if run.id >= stamp[1]:  # earlier runs cannot be in a group of this time
                with contextlib.suppress(UserError):
                    taken.add(self._files.get(run.run_file, run.read).group)
        number, unused = 1, group
        while unused in taken:
            number += 1
            unused = f"{group}-{number}"
        return unused

    def info(self, run: RunDirectory, *, now: float | None = None) -> RunInfo:
        """Read one run.

        Args:
            run: the run.
            now: wall clock, in seconds since the epoch; the current time unless given.

        Raises:
            UserError: it cannot be read.
        """
        now = time.time() if now is None else now
        file = self._files.get(run.run_file, run.read)
        status = self._statuses.get(run.status_file, run.read_status)
        state = run.effective_state(status, now=now)
        if state is State.CRASHED and status.state is not State.CRASHED:
            # The process may have written its last status and ended between the two checks, and so fast that time,
            # inode and size stayed the same.
            self._statuses.forget(run.status_file)
            status = self._statuses.get(run.status_file, run.read_status)
            state = run.effective_state(status, now=now)
        return RunInfo(run, file, status, state, live_warning(run, status, now=now) if state.is_live else "")

    def scan(self, *, now: float | None = None) -> Scan:
        """Read all runs, oldest first. Runs that cannot be read are reported, not raised."""
        infos: list[RunInfo] = []
        problems: list[RunProblem] = []
        for run in self.runs():
            try:
                infos.append(self.info(run, now=now))
            except UserError as error:
                if run.path.exists():  # otherwise it was removed meanwhile
                    problems.append(RunProblem(run, sanitize(str(error))))
        return Scan(tuple(infos), tuple(problems))

    def infos(self, *, now: float | None = None) -> list[RunInfo]:
        """Read all readable runs, oldest first."""
        return list(self.scan(now=now).infos)

    def find(self, selector: str) -> RunDirectory:
        """Find the run that a selector names.

        Args:
            selector: an id, ``latest``, the path of a run's folder, or the beginning of exactly one id.

        Raises:
            UserError: no run or several runs match; the message names them.
        """
        runs = self.runs()
        for run in runs:
            if run.id == selector:
                return run
        if selector == "latest" and runs:
            return runs[-1]
        if selector and _is_run(given := RunDirectory(os.path.abspath(selector))):
            return given
        if not runs:
            raise UserError(f"{self.root}: there are no runs here; start one with core train, or give --runs")
        matches = [run for run in runs if selector and run.id.startswith(selector)]
        if len(matches) == 1:
            return matches[0]
        names = ", ".join(sanitize(run.id) for run in (matches or runs)[-5:])
        if matches:
            raise UserError(
                f"{sanitize(selector)}: matches {len(matches)} runs ({names}); give more of the name"
            )
        raise UserError(f"{sanitize(selector)}: no run in {self.root} has this name; the newest are {names}")

    def _created_at(self, run: RunDirectory) -> str:
        try:
            return self._files.get(run.run_file, run.read).created
        except UserError:
            stamp = _STAMP.match(run.id)
            return "{}-{}-{}T{}:{}:{}".format(*stamp.groups()) if stamp else ""


def live_warning(run: RunDirectory, status: Status, *, now: float) -> str:
    """Return a warning about a run whose state is live: that it may hang, or that its copy is old; else empty.

    Args:
        run: the run.
        status: its status.
        now: the wall clock, in seconds since the epoch.
    """
    copy = read_copy(run.path)
    return stall_warning(status, now=now) if copy is None else copy_warning(copy, now=now)


class _Cache(Generic[T]):
    """Cache of values read from files, valid until the signature of a file changes."""

    def __init__(self) -> None:
        self._entries: dict[Path, tuple[FileSignature, T | UserError]] = {}

    def get(self, path: Path, read: Callable[[], T]) -> T:
        """Return the value, or raise the error, of `read` for the current content of the file."""
        current = signature(path)
        if current is None:
            self._entries.pop(path, None)
            return read()
        entry = self._entries.get(path)
        if entry is None or entry[0] != current:
            entry = self._entries[path] = (current, _value_or_error(read))
        if isinstance(entry[1], UserError):
            raise UserError(str(entry[1]))
        return entry[1]

    def forget(self, path: Path) -> None:
        """Drop a file, so that it is read again even if its signature is the same."""
        self._entries.pop(path, None)

    def retain(self, paths: Iterable[Path]) -> None:
        """Drop all other files."""
        kept = set(paths)
        for path in [path for path in self._entries if path not in kept]:
            del self._entries[path]


def _value_or_error(read: Callable[[], T]) -> T | UserError:
    try:
        return read()
    except UserError as error:
        return error


def _is_run(run: RunDirectory) -> bool:
    return os.path.exists(run.run_file) or os.path.exists(run.status_file)
