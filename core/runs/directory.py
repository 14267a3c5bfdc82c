"""The directory of a run: its layout, atomic writing of its files, and the lock of its only writer.

Readers never write. A process that changes a run's files holds `RunDirectory.lock`, an flock on `.lock` that the
system releases when the holder ends, even by kill -9. The worker holds it all its life; a command such as stop or
resume holds it for a moment.
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from core.config.load import decode, encode_toml, read_toml
from core.config.schema import RunConfig, Section
from core.errors import UserError
from core.files.atomic import atomic_write, fsync_path
from core.files.leases import Lease
from core.files.locks import hold_lock
from core.files.sanitize import sanitize
from core.runs.copies import reject_copy
from core.runs.naming import make_group as make_group
from core.runs.naming import unused_run_id
from core.runs.process import ProcessIdentity, effective_state
from core.runs.status import FORMAT_VERSION, State, Status
from core.runs.versions import SIZE_LIMIT as SIZE_LIMIT
from core.runs.versions import Versioned, require_known_version, require_small_file

RESERVE_BYTES: Final = 1 << 14
"""Bytes that a live run reserves, so that it can still write its last status on a full disk."""
DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT)

_TEXTS: Final = ("message", "error", "ended_by", "ending")
_EPOCH_FILE: Final = re.compile(r"epoch-(\d{1,12})\.png")


class RunBusyError(UserError):
    """Another process holds the lock of the run."""


class NotQueuedError(UserError):
    """A worker was started for a run that is not its own to start, as that one's `state` tells."""

    def __init__(self, message: str, state: State) -> None:
        super().__init__(message)
        self.state = state


class DamagedStatusError(UserError):
    """A missing, truncated or otherwise invalid `status.json`; `resume` makes a new one."""


class RunFile(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run's `run.toml`: its configuration and its provenance."""

    format_version: int = FORMAT_VERSION
    id: str
    created: str
    """ISO 8601, UTC, to the microsecond, so that the order as text is the order in time."""
    group: str
    """Name shared by runs that were queued together, for example ``quick-20261124-101502``."""
    tags: tuple[str, ...] = ()
    config: RunConfig
    provenance: dict[str, str] = msgspec.field(default_factory=dict)


class RunDirectory:
    """A run's folder. Cheap to create, because nothing is read until a method needs it."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.id = self.path.name
        self.run_file = self.path / "run.toml"
        self.status_file = self.path / "status.json"
        self.metrics_file = self.path / "metrics.jsonl"
        self.samples = self.path / "samples"
        self.reverse = self.path / "reverse"
        self.checkpoint = self.path / "checkpoints" / "last.safetensors"
        self.previous_checkpoint = self.path / "checkpoints" / "previous.safetensors"
        self.best_checkpoint = self.path / "checkpoints" / "best.safetensors"
        self.log = self.path / "worker.log"
        self.control = self.path / "control"
        self.nearest_sheet = self.path / "nearest.png"
        self.lock_file = self.path / ".lock"
        self._reserve = self.path / ".reserve"
        self.lease: Lease | None = None
        """Lease that this process holds, where flock does not reach other hosts (`core.files.leases`)."""

    def __repr__(self) -> str:
        return f"RunDirectory({str(self.path)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunDirectory) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    @classmethod
    def create(
        cls,
        root: Path | str,
        config: RunConfig,
        *,
        group: str,
        provenance: Mapping[str, str] | None = None,
        tags: tuple[str, ...] = (),
        created: datetime | None = None,
        run_id: str | None = None,
        engine: str = "local",
        fsync: bool = True,
    ) -> "RunDirectory":
        """Create a queued run. The complete folder appears under its name in one step.

        Args:
            root: the runs folder; created if missing.
            config: the configuration to train; saved resolved (`RunConfig.resolved`).
            group: name of the group that it is queued with.
            provenance: versions, git commit, host and the like.
            tags: the user's labels.
            created: time of creation; the current time unless given.
            run_id: the folder's name; derived from `created` and `config` unless given.
            engine: the one that starts the run.
            fsync: whether the run must survive a power cut; see `core.runs.creation` for many at once.

        Raises:
            UserError: the folder cannot be written, or `run_id` is in use.
        """
        root = Path(root)
        created = created or datetime.now(UTC)
        name = run_id or unused_run_id(config, created, root)
        if name in (".", "..") or "/" in name or "\0" in name:
            raise UserError(f"{sanitize(name)}: expected a plain name for a run, without a folder in it")
        file = RunFile(
            id=name,
            created=created.astimezone(UTC).isoformat(timespec="microseconds"),
            group=group,
            tags=tags,
            config=config.resolved(),
            provenance=dict(provenance or {}),
        )
        hidden = root / f".new-{name}-{secrets.token_hex(4)}"
        try:
            hidden.mkdir(parents=True)
            draft = cls(hidden)
            draft.write_run_file(file, fsync=fsync)
            epochs, now = config.train.epochs, created.timestamp()
            draft.write_status(Status(epochs=epochs, heartbeat=now, engine=engine), fsync=fsync)
            if os.path.lexists(root / name):
                raise UserError(f"{root / name}: exists already, so no run can be made under this name")
            os.rename(hidden, root / name)
            if fsync:
                fsync_path(root)
        except OSError as error:
            raise UserError(f"{root}: cannot make a run there ({error.strerror or error})") from error
        except UnicodeEncodeError as error:
            raise UserError(
                f"a run's settings must be UTF-8 text, and {sanitize(str(error.object))[:60]!r} is not"
            ) from error
        finally:
            shutil.rmtree(hidden, ignore_errors=True)  # renamed, unless something failed
        return cls(root / name)

    def read(self) -> RunFile:
        """Read the run's `run.toml`.

        Raises:
            UserError: it is missing, damaged, or from a newer version.
        """
        require_small_file(self.run_file)
        table = read_toml(self.run_file)
        require_known_version(self.run_file, table.get("format_version", FORMAT_VERSION))
        return decode(table, RunFile, source=str(self.run_file))

    def write_run_file(self, file: RunFile, *, fsync: bool = True) -> None:
        """Replace `run.toml` atomically. The caller must hold the lock."""
        atomic_write(self.run_file, encode_toml(file), fsync=fsync)

    def read_status(self) -> Status:
        """Read the run's `status.json`, with its texts sanitized. See `effective_state` for a crash.

        Raises:
            DamagedStatusError: it is missing or damaged.
            UserError: it cannot be read, or is from a newer version.
        """
        if self.path.is_dir() and not os.path.lexists(self.status_file):
            raise DamagedStatusError(f"{self.status_file}: is missing; core runs resume makes a new one")
        require_small_file(self.status_file)
        try:
            data = self.status_file.read_bytes()
            require_known_version(self.status_file, msgspec.json.decode(data, type=Versioned).format_version)
            status = msgspec.json.decode(data, type=Status)
        except OSError as error:
            raise UserError(f"{self.status_file}: cannot be read ({error.strerror or error})") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DamagedStatusError(
                f"{self.status_file}: not a run's status ({error}); core runs resume makes a new one"
            ) from error
        return msgspec.structs.replace(status, **{name: sanitize(getattr(status, name)) for name in _TEXTS})

    def write_status(self, status: Status, *, fsync: bool = True) -> None:
        """Replace `status.json` atomically. The caller must hold the lock and set the heartbeat.

        A status that ends the run frees the bytes that `claim` reserved, so it can be written on a full disk.

        Args:
            status: the new status; numbers that are not finite become 0, because JSON cannot express them.
            fsync: whether it must survive a power cut; heartbeats need not.
        """
        finite = {
            name: 0.0
            for name in ("images_per_second", "elapsed", "heartbeat", "pid_started")
            if not abs(getattr(status, name)) < float("inf")
        }
        # An error may contain a file name that is not valid text.
        texts = {name: sanitize(getattr(status, name)) for name in _TEXTS}
        status = msgspec.structs.replace(status, **finite, **texts)
        if status.state.is_ended:
            self._reserve.unlink(missing_ok=True)
        atomic_write(self.status_file, msgspec.json.encode(status) + b"\n", fsync=fsync)

    def effective_state(self, status: Status, *, now: float) -> State:
        """Return the state of a status of this run, with CRASHED inferred; see `core.runs.process.effective_state`."""
        return effective_state(status, now=now, lock=self.lock_file)

    def sample_sheets(self) -> list[tuple[int, Path]]:
        """List the epochs that have a sheet of samples, each with the sheet's path, in ascending order."""
        return _epoch_files(self.samples)

    def reverse_strips(self) -> list[tuple[int, Path]]:
        """List the epochs that have a strip of the reverse process, each with its path, in ascending order."""
        return _epoch_files(self.reverse)

    @contextlib.contextmanager
    def lock(self, *, wait: float = 0.0) -> Iterator[None]:
        """Hold the lock of this run, which its only writer must hold.

        Args:
            wait: seconds to retry for while another process holds it.

        Raises:
            RunBusyError: another process holds it.
            UserError: the run was removed or cannot be written.
        """
        with contextlib.ExitStack() as stack:
            try:
                held = stack.enter_context(hold_lock(self.lock_file, wait=wait))
            except OSError as error:
                raise UserError(f"{self.path}: cannot be locked ({error.strerror or error})") from error
            if held is None:
                raise RunBusyError(f"{sanitize(self.id)}: another process writes this run; stop it first")
            if not held.is_same:
                raise UserError(f"{self.path}: the run was removed meanwhile")
            self.lease = held.lease
            try:
                yield
            finally:
                self.lease = None

    @contextlib.contextmanager
    def claim(
        self, *, device: str, threads: int, wait: float = 2.0, unfinished: bool = False, job: str = ""
    ) -> Iterator[Status]:
        """Become the worker of a queued run while the context lasts.

        Takes the lock, checks that the run is still queued, and writes ``starting`` with this process's identity and
        the next attempt's number. Only one of several workers of a run can succeed, whatever started them.

        Args:
            device: the device to train on, for example ``cuda:0``.
            threads: number of OpenMP threads.
            wait: seconds to wait for a command that holds the lock briefly.
            unfinished: also take a run that has failed or whose worker is gone. One that the user has stopped, or
                asked to stop, is not taken.
            job: id of the job that this process belongs to in the run's engine.

        Yields:
            The status as written.

        Raises:
            RunBusyError: another worker holds the lock.
            NotQueuedError: the run cannot be started, for example stopped before this worker started.
            UserError: the run was removed, is a copy, cannot be read or written, or has links out of its folder.
        """
        with self.lock(wait=wait):
            reject_copy(self.path, "start", "trained")
            status = self.read_status()
            if unfinished and self.stop_requested() and status.state is not State.FINISHED:
                status = msgspec.structs.replace(status, state=State.STOPPED, heartbeat=time.time())
                self.write_status(status)
            kept = (State.FINISHED, State.STOPPED) if unfinished else set(State) - {State.QUEUED}
            if status.state in kept:
                name, state = sanitize(self.id), status.state
                raise NotQueuedError(f"{name}: is {state}, not queued; resume it to go on", state)
            self._reject_links()
            try:
                status = self._mark_starting(status, device, threads, job)
            except OSError as error:
                raise UserError(f"{self.path}: cannot be written ({error.strerror or error})") from error
            try:
                yield status
            finally:
                self._reserve.unlink(missing_ok=True)

    def _mark_starting(self, status: Status, device: str, threads: int, job: str) -> Status:
        self._remove_leftovers()
        self.clear_control()
        self._reserve.unlink(missing_ok=True)
        with self._reserve.open("xb") as reserve:
            reserve.write(bytes(RESERVE_BYTES))
        me = ProcessIdentity.current()
        starting = msgspec.structs.replace(
            status,
            state=State.STARTING,
            attempt=status.attempt + 1,
            host=me.host,
            pid=me.pid,
            pid_started=me.pid_started,
            boot_id=me.boot_id,
            lock=os.lstat(self.lock_file).st_ino,
            device=device,
            threads=threads,
            heartbeat=time.time(),
            images_per_second=0.0,
            message="starting",
            error="",
            job=job,
        )
        self.write_status(starting)
        return starting

    def request_stop(self) -> None:
        """Ask the worker, on any host, to finish its step, write a checkpoint and stop."""
        atomic_write(self.control, "stop\n")

    def clear_control(self) -> None:
        """Withdraw a request to stop."""
        self.control.unlink(missing_ok=True)

    def stop_requested(self) -> bool:
        """Return whether a stop was requested. Costs one stat, so it can be called every second."""
        return os.path.exists(self.control)

    def move_to_trash(self) -> Path:
        """Rename the folder to a hidden name, and return that path for the caller to delete. The caller holds the lock.

        Raises:
            UserError: the runs folder cannot be written.
        """
        trash = self.path.with_name(f".trash-{self.id[:100]}-{secrets.token_hex(4)}")
        try:
            os.rename(self.path, trash)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be removed ({error.strerror or error})") from error
        return trash

    def _reject_links(self) -> None:
        """Reject links and pipes: a run from elsewhere must not make its writer leave the folder, or wait."""
        folders = (self.samples, self.reverse, self.checkpoint.parent)
        for path in (*folders, self.metrics_file, self.log):
            with contextlib.suppress(FileNotFoundError):
                mode = path.lstat().st_mode
                if not (stat.S_ISDIR(mode) if path in folders else stat.S_ISREG(mode)):
                    kind = "link" if stat.S_ISLNK(mode) else "strange file"
                    raise UserError(
                        f"{path}: is a {kind}; a run is only written inside its own folder: remove it"
                    )

    def _remove_leftovers(self) -> None:
        """Delete temporary files of a writer that was killed."""
        for folder in (self.path, self.samples, self.reverse, self.checkpoint.parent):
            for pattern in (".*.tmp", ".tmp*"):  # of core.files.atomic, and of safetensors
                for leftover in folder.glob(pattern):
                    leftover.unlink(missing_ok=True)


def _epoch_files(folder: Path) -> list[tuple[int, Path]]:
    try:
        with os.scandir(folder) as entries:
            found = [(_EPOCH_FILE.fullmatch(entry.name), entry.path) for entry in entries]
    except OSError:
        return []
    return sorted((int(match[1]), Path(path)) for match, path in found if match)
