"""Pulling of runs from a folder that is not shared with this machine, so that readers here follow them.

One pull copies what changed, by rsync (`core.launch.rsync`). At whatever instant it is interrupted, each run is
readable and consistent, and the next pull continues:

1. ``run.toml`` and ``status.json`` of all runs are copied first, but to a hidden folder.
2. Then the data, which therefore are at least as new as the statuses. ``metrics.jsonl`` grows in place by the bytes
   that were appended, as at its writer. Each other file is replaced as a whole.
3. Only then a run gets its status. A run that is new here appears in one step, complete.

A resumed run begins with shorter metrics, in a new file. Appending would join two attempts. So the metrics of a run
are replaced as a whole unless the status here is of the same attempt and was written after it had begun to train.

Locks and other hidden files, requests to stop and the progress of jobs belong to the other host, and stay there.
"""

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from core.errors import UserError
from core.files.atomic import atomic_write
from core.files.locks import open_lock_file, try_flock
from core.files.sanitize import sanitize
from core.launch.rsync import Rsync
from core.runs.copies import FILE_NAME, Copy, read_copy, write_copy
from core.runs.directory import RunDirectory
from core.runs.progress import FILE_NAME as PROGRESS_NAME
from core.runs.status import State, Status

_NEW_AT_ONCE: Final = 50
"""Runs that are copied together before they appear, the newest first."""
_FULL_SECONDS: Final = 300.0
"""Seconds after which runs that have ended are looked at once more, for evaluations and trajectories."""
_SKEW_SECONDS: Final = 600.0
_HEAD: Final = ("run.toml", "status.json")
_LEFT_THERE: Final = ("control", PROGRESS_NAME, FILE_NAME, "checkpoints/previous.safetensors")
"""Files of a run that are not copied, besides hidden ones. The last checkpoint is complete at every instant."""


@dataclass(frozen=True)
class Pulled:
    """Result of one pull: the copies in this folder that are new or changed, their number, and remarks."""

    new: tuple[RunDirectory, ...] = ()
    changed: tuple[RunDirectory, ...] = ()
    total: int = 0
    live: int = 0
    notes: tuple[str, ...] = ()


@dataclass
class Puller:
    """Pulls the runs of one source into one runs folder, as often as asked.

    Args:
        rsync: the source.
        root: the runs folder here; created if missing.
        checkpoints: whether to copy checkpoints too, which are most of the bytes.
    """

    rsync: Rsync
    root: Path
    checkpoints: bool = True
    _noted: set[str] = field(default_factory=set)
    _skew: float = 0.0
    _next_skew: float = -1e18
    _next_full: float = -1e18

    def __post_init__(self) -> None:
        self.root = Path(self.root).absolute()
        self.source = str(self.rsync.source)
        key = hashlib.sha256(self.source.encode(errors="surrogateescape")).hexdigest()[:12]
        self._stage = self.root / f".pull-{key}"
        self._heads, self._new, self._temporary = (self._stage / name for name in ("heads", "new", "tmp"))
        if not self.rsync.source.host and _is_same_folder(self.root, Path(self.rsync.source.folder)):
            raise UserError(f"{self.source}: is this runs folder itself; give another one with --runs")

    def pull(self) -> Pulled:
        """Copy what changed.

        Raises:
            UserError: the source cannot be read, this folder cannot be written, or another process pulls into it.
            core.launch.rsync.Interrupted: cancelled.
        """
        try:
            with self._locked():
                return self._pull()
        except OSError as error:
            name = error.filename or self.root
            raise UserError(f"{name}: cannot be written ({error.strerror or error})") from error

    def _pull(self) -> Pulled:
        moment = time.monotonic()
        if moment >= self._next_skew:
            self._skew, self._next_skew = self.rsync.clock_skew(), moment + _SKEW_SECONDS
        pulled = time.time() + self._skew
        self._copy_heads()
        there = _folders(self._heads)
        heads = {name: run for name in there if _is_readable(run := RunDirectory(self._heads / name))}
        copies = {name: copy for name in _folders(self.root) if (copy := read_copy(self.root / name))}
        own = {name for name, copy in copies.items() if copy.source == self.source}
        here = [name for name in heads if name in own]
        absent = [name for name in heads if name not in own and not os.path.lexists(self.root / name)]
        refused = [name for name in heads if name not in own and os.path.lexists(self.root / name)]
        is_full = moment >= self._next_full
        mark = Copy(source=self.source, pulled=pulled, skew=self._skew)
        changed = self._update([RunDirectory(self.root / name) for name in here], heads, mark, is_full)
        gone = self._mark_gone(own.difference(there), copies)
        new: list[RunDirectory] = []
        for names in _batches(sorted(absent, reverse=True), _NEW_AT_ONCE):
            new += self._add(names, heads, mark)
        if is_full:
            self._next_full = moment + _FULL_SECONDS
        notes = [
            f"{sanitize(name)}: left alone, because it is no copy of a run in {self.source}; "
            "pull into another folder, with --runs"
            for name in refused
        ]
        notes += [f"{sanitize(name)}: was removed in {self.source}; its copy is kept" for name in gone]
        live = sum(_is_live(_status(heads[name])) for name in (*here, *absent))
        return Pulled(tuple(new), tuple(changed), len(here) + len(new), live, tuple(self._not_noted(notes)))

    def _copy_heads(self) -> None:
        rules = ["--exclude=.*", "--include=/*/", *(f"--include=/*/{name}" for name in _HEAD), "--exclude=*"]
        self.rsync.copy(self._heads, "--prune-empty-dirs", "--delete", "--delete-excluded", *rules)

    def _update(
        self, runs: Sequence[RunDirectory], heads: dict[str, RunDirectory], mark: Copy, is_full: bool
    ) -> list[RunDirectory]:
        """Update copies; return those whose status or configuration changed."""
        changed = {run for run in runs if not _has_head(run, heads[run.id])}
        moving = [run for run in runs if is_full or run in changed or _is_live(_status(heads[run.id]))]
        if not moving:
            return []
        replaced = {run for run in moving if _may_have_been_cut(run, heads[run.id])}
        for run in replaced:
            _remove_later_sheets(run, _status(heads[run.id]))
        self._copy_files((run.id for run in moving), self.root, "--update", "--exclude=/*/metrics.jsonl")
        appended = [f"{run.id}/metrics.jsonl" for run in moving if run not in replaced]
        self._copy_files(appended, self.root, "--append-verify", temporary=False)
        self._copy_files((f"{run.id}/metrics.jsonl" for run in replaced), self.root)
        for run in moving:
            write_copy(run.path, mark)
            for name in _HEAD:
                _install(heads[run.id].path / name, run.path / name)
        return [run for run in moving if run in changed]

    def _add(
        self, names: Sequence[str], heads: dict[str, RunDirectory], mark: Copy
    ) -> Iterator[RunDirectory]:
        """Copy runs that are new here. Each appears in one step."""
        self._copy_files(names, self._new)
        for name in names:
            draft = self._new / name
            status = _status(heads[name])
            if status is not None and status.epoch and not (draft / "metrics.jsonl").exists():
                shutil.rmtree(draft, ignore_errors=True)  # it was removed there meanwhile
                continue
            draft.mkdir(exist_ok=True)
            for part in _HEAD:
                _install(heads[name].path / part, draft / part)
            write_copy(draft, mark)
            with contextlib.suppress(
                OSError
            ):  # a run of this name was made here meanwhile; the next pull says so
                os.rename(draft, self.root / name)
                yield RunDirectory(self.root / name)

    def _copy_files(self, names: Iterable[str], target: Path, *options: str, temporary: bool = True) -> None:
        """Copy files, or all files of runs, except those that stay at the other host."""
        listed = [os.fsencode(f"./{name}") for name in names]
        if not listed:
            return
        files = self._stage / "files"
        atomic_write(files, b"\0".join(listed) + b"\0", fsync=False)
        rules = ["--exclude=.*", *(f"--exclude=/*/{name}" for name in (*_HEAD, *_LEFT_THERE))]
        rules += [] if self.checkpoints else ["--exclude=/*/checkpoints"]
        rules += [f"--temp-dir={self._temporary}"] if temporary else []
        self.rsync.copy(target, "--from0", f"--files-from={files}", *options, *rules, partly=True)

    def _mark_gone(self, names: Iterable[str], copies: dict[str, Copy]) -> list[str]:
        """Mark copies whose runs were removed; return their names."""
        gone = sorted(names)
        for name in gone:
            if not copies[name].is_gone:
                mark = Copy(
                    source=self.source, pulled=copies[name].pulled, skew=copies[name].skew, is_gone=True
                )
                write_copy(self.root / name, mark)
        return gone

    def _not_noted(self, notes: Iterable[str]) -> Iterator[str]:
        for text in notes:
            if text not in self._noted:
                self._noted.add(text)
                yield text

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the only pull of this source into this folder, with an empty folder for temporary files."""
        self.root.mkdir(parents=True, exist_ok=True)
        for folder in (self._stage, self._heads, self._new):
            folder.mkdir(exist_ok=True)
        handle = open_lock_file(self._stage / ".lock")
        try:
            if not try_flock(handle):
                raise UserError(f"{self.source}: another process pulls from there into {self.root} already")
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary.mkdir(exist_ok=True)
            yield
        finally:
            os.close(handle)


def _is_same_folder(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _folders(root: Path) -> list[str]:
    with os.scandir(root) as entries:
        return [entry.name for entry in entries if not entry.name.startswith(".")]


def _is_readable(head: RunDirectory) -> bool:
    return all(os.path.exists(head.path / name) for name in _HEAD)


def _batches(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]


def _status(run: RunDirectory) -> Status | None:
    try:
        return run.read_status()
    except UserError:
        return None


def _is_live(status: Status | None) -> bool:
    return status is not None and status.state.is_live


def _has_head(run: RunDirectory, head: RunDirectory) -> bool:
    try:
        return all((run.path / name).read_bytes() == (head.path / name).read_bytes() for name in _HEAD)
    except OSError:
        return False


def _may_have_been_cut(run: RunDirectory, head: RunDirectory) -> bool:
    """Return whether the metrics may have been cut back since the last pull: at the start of an attempt."""
    before, now = _status(run), _status(head)
    if before is None or now is None:
        return True
    has_begun = before.state not in (State.QUEUED, State.STARTING)
    return not (has_begun and before.attempt == now.attempt)


def _remove_later_sheets(run: RunDirectory, status: Status | None) -> None:
    """Delete sheets of epochs that a resumed run will train once more; existing ones are copied again."""
    if status is not None:
        for epoch, path in (*run.sample_sheets(), *run.reverse_strips()):
            if epoch > status.epoch:
                path.unlink(missing_ok=True)


def _install(source: Path, target: Path) -> None:
    """Replace a file by a copy of another, atomically and only if they differ."""
    data = source.read_bytes()
    with contextlib.suppress(OSError):
        if target.read_bytes() == data:
            return
    atomic_write(target, data, fsync=False)
