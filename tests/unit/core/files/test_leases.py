"""Locks where flock is missing or reaches one host only."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from core.config import RunConfig
from core.config.launch import LaunchConfig
from core.errors import UserError
from core.files import lock_reach as reach
from core.files.leases import EXPIRY, Lease, take_lease
from core.files.lock_reach import Reach, lock_reach
from core.files.locks import hold_lock
from core.launch.queue import enqueue
from core.runs import RunBusyError, RunDirectory, State
from core.runs.requeue import Fence, SupersededError

HOST = """
import socket, sys
from pathlib import Path

host, run = sys.argv[1:]
socket.gethostname = lambda: host
from core.files import locks

# An flock that holds on this host only is one of a file of its own.
open_shared = locks.open_lock_file
locks.open_lock_file = lambda path: (open_shared(path), open_shared(path.with_name(f"{path.name}.of-{host}")))[1]
locks.is_same_file = lambda handle, path: True
import msgspec
from core.runs import NotQueuedError, RunDirectory, State

print("ready", flush=True)
sys.stdin.readline()
try:
    with RunDirectory(run).claim(device="cpu", threads=1, wait=30, unfinished=True) as status:
        with Path(run, "lives").open("a") as lives:
            lives.write(host + "\\n")
        RunDirectory(run).write_status(msgspec.structs.replace(status, state=State.FINISHED))
except NotQueuedError as error:
    print(error)
"""


def new_run(root: Path) -> RunDirectory:
    return RunDirectory.create(root, RunConfig(), group="g")


def start_host(name: str, run: RunDirectory, mode: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOST, name, str(run.path)],
        env={**os.environ, "DDPM_LOCK": mode},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_two_hosts_that_race_for_a_run_under_a_lock_that_is_local_train_it_once(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    hosts = [start_host(name, run, "lease") for name in ("n1", "n2")]
    for host in hosts:
        assert host.stdin is not None
        host.stdin.write("\n")
        host.stdin.flush()
    for host in hosts:
        host.communicate(timeout=60)
        assert host.returncode == 0
    assert len((run.path / "lives").read_text().splitlines()) == 1
    assert (run.read_status().attempt, run.read_status().state) == (1, State.FINISHED)


def age(path: Path, seconds: float) -> None:
    found = os.stat(path)
    os.utime(path, (found.st_atime, found.st_mtime - seconds))


def foreign(path: Path) -> Lease:
    """A lease that a process of another host holds."""
    lease = take_lease(path)
    assert lease is not None
    lease._file.write_text("elsewhere 1\n")
    return lease


def test_a_lease_has_one_holder_until_it_is_released(tmp_path: Path) -> None:
    first = take_lease(tmp_path / ".lock")
    assert first is not None
    assert first.is_ours()
    assert take_lease(tmp_path / ".lock") is None
    first.release()
    second = take_lease(tmp_path / ".lock")
    assert second is not None
    assert not first.is_ours()
    second.release()
    assert len(list(tmp_path.iterdir())) == 1, "one file is left, which has the next number"


def test_a_lease_that_is_not_renewed_is_taken_over_and_its_holder_knows(tmp_path: Path) -> None:
    zombie = foreign(tmp_path / ".lock")
    age(zombie._file, EXPIRY - 5)
    assert take_lease(tmp_path / ".lock") is None
    age(zombie._file, 10)
    heir = take_lease(tmp_path / ".lock")
    assert heir is not None
    assert heir.is_ours()
    assert not zombie.is_ours()
    zombie.release()
    assert heir.is_ours(), "the release of a lease that was lost released that of its heir"
    heir.release()


def test_a_lease_of_a_process_that_has_died_on_this_host_is_free_at_once(tmp_path: Path) -> None:
    lease = take_lease(tmp_path / ".lock")
    assert lease is not None
    lease._file.write_text(lease._file.read_text().split()[0] + f" {2**22 + 1}\n")
    heir = take_lease(tmp_path / ".lock")
    assert heir is not None
    heir.release()
    lease.release()


def test_a_worker_whose_lease_was_taken_over_is_superseded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DDPM_LOCK", "lease")
    run = new_run(tmp_path)
    with run.claim(device="cpu", threads=1) as status:
        fence = Fence(run, status)
        fence.check()
        with pytest.raises(RunBusyError), RunDirectory(run.path).lock():
            pass
        assert run.lease is not None
        (run.path / f".lock-{run.lease._number + 1}").touch()
        with pytest.raises(SupersededError, match="lease"):
            fence.check()
    assert run.lease is None


def test_a_worker_whose_attempt_was_followed_by_another_is_superseded(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    with run.claim(device="cpu", threads=1) as status:
        fence = Fence(run, status)
        run.status_file.write_text("{")
        fence.check()  # a damaged status proves nothing
        run.write_status(msgspec.structs.replace(status, attempt=2))
        with pytest.raises(SupersededError, match="attempt 2"):
            fence.check()


def test_runs_can_be_queued_and_claimed_where_flock_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", missing)
    with pytest.raises(UserError, match="no locks that work"):
        enqueue(tmp_path / "runs", [RunConfig()], group="g")  # a queue runner needs them
    (run,) = enqueue(tmp_path / "runs", [RunConfig()], group="g", launch=LaunchConfig(engine="slurm"))
    with run.claim(device="cpu", threads=1):
        assert run.lease is not None
        with hold_lock(run.lock_file) as other:
            assert other is None


@pytest.mark.parametrize(
    ("mount", "expected"),
    [
        ("nfs4 server:/x rw,vers=4.2,local_lock=none", Reach.EVERYWHERE),
        ("nfs server:/x rw,nolock,local_lock=all", Reach.THIS_HOST),
        ("nfs server:/x rw,local_lock=flock", Reach.THIS_HOST),
        ("lustre mgs@tcp:/x rw,flock", Reach.EVERYWHERE),
        ("lustre mgs@tcp:/x rw,localflock", Reach.THIS_HOST),
        ("fuse.sshfs me@host:/x rw", Reach.THIS_HOST),
        ("ext4 /dev/sda1 rw", Reach.EVERYWHERE),
    ],
)
def test_the_mount_tells_how_far_locks_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mount: str, expected: Reach
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 0 8:1 / / rw - ext4 /dev/root rw\n2 1 0:9 / {tmp_path} rw shared:1 - {mount}\n")
    monkeypatch.setattr(reach, "_MOUNTS", mounts)
    monkeypatch.delenv("DDPM_LOCK", raising=False)
    assert lock_reach(tmp_path / "runs")[0] is expected
