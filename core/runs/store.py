"""All runs of one folder: found, read and, where they cannot be read, explained."""

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
from core.runs.directory import RunDirectory, RunFile
from core.runs.process import effective_state, stall_warning
from core.runs.status import State, Status

T = TypeVar("T")

_STAMP: Final = re.compile(r"(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)")


@dataclass(frozen=True)
class RunInfo:
    """A run as a reader sees it at one moment; `state` is the effective one, with CRASHED inferred."""

    directory: RunDirectory
    file: RunFile
    status: Status
    state: State
    warning: str = ""
    """What a person should know of a live run, for example that it may hang."""

    @property
    def id(self) -> str:
        """The run's name, fit to print."""
        return sanitize(self.directory.id)


@dataclass(frozen=True)
class RunProblem:
    """A folder that should be a run and cannot be read; `text` says why, in one line fit to print."""

    directory: RunDirectory
    text: str

    @property
    def id(self) -> str:
        """The folder's name, fit to print."""
        return sanitize(self.directory.id)


@dataclass(frozen=True)
class Scan:
    """All runs at one moment, oldest first, and what could not be read."""

    infos: tuple[RunInfo, ...]
    problems: tuple[RunProblem, ...]


class RunStore:
    """A folder of runs. Files are read again only when they changed, so looking often costs two stats a run.

    Not for several threads at once; each reader has its own.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self._known: dict[str, RunDirectory] = {}
        self._files: _Cache[RunFile] = _Cache()
        self._statuses: _Cache[Status] = _Cache()

    def runs(self) -> list[RunDirectory]:
        """All runs, readable or not, newest last; other folders are passed over."""
        stamped = [(self._created_at(run), run.id, run) for run in self.runs_by_name()]
        return [run for *_, run in sorted(stamped, key=lambda entry: entry[:2])]

    def runs_by_name(self) -> list[RunDirectory]:
        """All runs, readable or not, in the order of their names, which usually is that of time; reads none."""
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

    def info(self, run: RunDirectory, *, now: float | None = None) -> RunInfo:
        """One run, read now.

        Args:
            run: the run.
            now: the wall clock; the system's unless given.

        Raises:
            UserError: it cannot be read.
        """
        now = time.time() if now is None else now
        file = self._files.get(run.run_file, run.read)
        status = self._statuses.get(run.status_file, run.read_status)
        state = effective_state(status, now=now)
        if state is State.CRASHED and status.state is not State.CRASHED:
            # It may have written its last word and left between our two looks, and so fast that time, inode
            # and size came out the same.
            self._statuses.forget(run.status_file)
            status = self._statuses.get(run.status_file, run.read_status)
            state = effective_state(status, now=now)
        return RunInfo(run, file, status, state, stall_warning(status, now=now) if state.is_live else "")

    def scan(self, *, now: float | None = None) -> Scan:
        """All runs, read now, oldest first; those that cannot be read are reported, not raised."""
        infos: list[RunInfo] = []
        problems: list[RunProblem] = []
        for run in self.runs():
            try:
                infos.append(self.info(run, now=now))
            except UserError as error:
                if run.path.exists():  # else it was removed meanwhile
                    problems.append(RunProblem(run, sanitize(str(error))))
        return Scan(tuple(infos), tuple(problems))

    def infos(self, *, now: float | None = None) -> list[RunInfo]:
        """All readable runs, oldest first."""
        return list(self.scan(now=now).infos)

    def find(self, selector: str) -> RunDirectory:
        """The run that a person means.

        Args:
            selector: an id, ``latest``, the path of a run's folder, or the beginning of exactly one id.

        Raises:
            UserError: none or several match; the message names them.
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
        some = ", ".join(sanitize(run.id) for run in (matches or runs)[-5:])
        if matches:
            raise UserError(
                f"{sanitize(selector)}: matches {len(matches)} runs ({some}); give more of the name"
            )
        raise UserError(f"{sanitize(selector)}: no run in {self.root} has this name; the newest are {some}")

    def _created_at(self, run: RunDirectory) -> str:
        try:
            return self._files.get(run.run_file, run.read).created
        except UserError:
            stamp = _STAMP.match(run.id)
            return "{}-{}-{}T{}:{}:{}".format(*stamp.groups()) if stamp else ""


class _Cache(Generic[T]):
    """What was read from files, kept until a file's time, inode or size is another."""

    def __init__(self) -> None:
        self._entries: dict[Path, tuple[FileSignature, T | UserError]] = {}

    def get(self, path: Path, read: Callable[[], T]) -> T:
        """What `read` made of the file when it last changed, be it an error."""
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
        """Read the file again the next time, whatever its looks."""
        self._entries.pop(path, None)

    def retain(self, paths: Iterable[Path]) -> None:
        """Forget all other files."""
        wanted = set(paths)
        for path in [path for path in self._entries if path not in wanted]:
            del self._entries[path]


def _value_or_error(read: Callable[[], T]) -> T | UserError:
    try:
        return read()
    except UserError as error:
        return error


def _is_run(run: RunDirectory) -> bool:
    return os.path.exists(run.run_file) or os.path.exists(run.status_file)
