"""One runner for each runs folder: started when needed, replaced when asked, never missed by a queued run."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from core.errors import UserError
from core.launch import control
from core.launch.queue import ensure_runner
from core.launch.runner_lock import (
    RunnerInfo,
    hold_enqueue_lock,
    hold_runner_lock,
    read_runner,
    runner_is_alive,
    try_enqueue_lock,
)
from core.runs import RunStore, State, is_alive
from core.runs.process import ProcessIdentity
from tests.support.queueing import WORKER, cleaned, lives, queue, state, wait_for


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    with cleaned(tmp_path) as root:
        yield root


def test_an_ensured_runner_is_nobodys_child_and_one_is_enough(root: Path) -> None:
    before = psutil.Process().children()
    (run,) = queue(root, "patient")
    assert ensure_runner(root, worker_module=WORKER)
    wait_for(lambda: state(run) is State.RUNNING, "the run")
    runner = read_runner(root)
    assert runner is not None
    assert is_alive(runner.identity)
    assert psutil.Process(runner.identity.pid).ppid() != os.getpid()
    assert not ensure_runner(root, worker_module=WORKER)
    control.stop(run)
    wait_for(lambda: not is_alive(runner.identity), "the runner to end")
    assert set(psutil.Process().children()) <= set(before)
    assert "begins" in (root / ".queue.log").read_text()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="signals are looked up in /proc")
def test_an_ensured_runner_has_its_signals_as_usual(root: Path) -> None:
    (run,) = queue(root, "patient")
    ensure_runner(root, worker_module=WORKER)
    wait_for(lambda: state(run) is State.RUNNING, "the run")
    runner = read_runner(root)
    assert runner is not None
    for pid in (runner.identity.pid, run.read_status().pid):
        ignored = int(Path(f"/proc/{pid}/status").read_text().split("SigIgn:")[1].split()[0], 16)
        assert not ignored & 1 << (signal.SIGINT - 1)
    control.stop(run)


def test_asking_for_other_slots_replaces_the_runner_and_not_the_workers(root: Path) -> None:
    first, second = queue(root, "patient", "patient")
    ensure_runner(root, slots=1, worker_module=WORKER)
    wait_for(lambda: state(first) is State.RUNNING, "the first run")
    before = read_runner(root)
    assert before is not None
    assert not ensure_runner(root, worker_module=WORKER)
    assert not ensure_runner(root, slots=1, worker_module=WORKER)
    assert ensure_runner(root, slots=2, worker_module=WORKER)
    wait_for(lambda: state(second) is State.RUNNING, "the second run")
    after = read_runner(root)
    assert after is not None
    assert after.identity != before.identity
    assert (before.slots, after.slots) == (1, 2)
    # The first wish again, as a follower repeats it: the last who came has decided.
    assert not ensure_runner(root, slots=1, worker_module=WORKER)
    assert read_runner(root) == after
    assert len(lives(first)) == 1
    for run in (first, second):
        control.stop(run)


@pytest.mark.parametrize(("device", "slots"), [("gpu", None), ("cuda:99", None), ("auto", 0)])
def test_a_device_that_is_not_there_is_refused_before_anything_is_started(
    root: Path, device: str, slots: int | None
) -> None:
    with pytest.raises(UserError, match=r"--(device|slots)"):
        ensure_runner(root, device, slots, worker_module=WORKER)
    assert not root.exists()


def test_a_run_queued_while_the_runner_leaves_is_started(root: Path) -> None:
    for _ in range(8):
        (run,) = queue(root, "quick")
        ensure_runner(root, worker_module=WORKER)
        # Queue the next one the moment this one has ended, which is when the runner thinks of leaving.
        wait_for(lambda run=run: state(run) is State.FINISHED, "a run queued while the runner was leaving")
    assert all(len(lives(run)) == 1 for run in RunStore(root).runs())


def test_a_runner_that_has_erased_its_name_is_waited_for(root: Path) -> None:
    (run,) = queue(root, "quick")
    with hold_runner_lock(root, device="auto", slots=None) as lock:
        assert lock is not None
        lock.retract()
        assert ensure_runner(root, worker_module=WORKER)
        assert state(run) is State.QUEUED
    wait_for(lambda: state(run) is State.FINISHED, "the run")


def test_the_lock_is_held_by_one_and_names_it(root: Path) -> None:
    root.mkdir()
    with hold_runner_lock(root, device="cpu", slots=3) as lock:
        assert lock is not None
        assert lock.is_ours()
        assert read_runner(root) == RunnerInfo(identity=ProcessIdentity.current(), device="cpu", slots=3)
        with hold_runner_lock(root, device="auto", slots=None) as other:
            assert other is None
        (root / ".queue.lock").unlink()
        assert not lock.is_ours()
    with hold_runner_lock(root, device="auto", slots=None) as lock:
        assert lock is not None


def test_a_copy_of_a_runs_folder_gets_a_runner_of_its_own(root: Path) -> None:
    (run,) = queue(root, "patient")
    ensure_runner(root, worker_module=WORKER)
    wait_for(lambda: state(run) is State.RUNNING, "the run")
    before = read_runner(root)
    copy = root.with_name("copy")
    shutil.copytree(root, copy)
    assert read_runner(copy) == before
    assert (runner_is_alive(root), runner_is_alive(copy)) == (True, False)
    (new,) = queue(copy, "quick")
    assert ensure_runner(copy, slots=2, worker_module=WORKER)
    wait_for(lambda: state(new) is State.FINISHED, "the run in the copy")
    assert read_runner(root) == before, "the original's runner was not replaced"
    assert state(run) is State.RUNNING
    control.stop(run)


def test_a_forged_lock_of_the_queue_never_signals_a_stranger(root: Path) -> None:
    (run,) = queue(root, "quick")
    with subprocess.Popen([sys.executable, "-c", "input()", root], stdin=subprocess.PIPE) as child:
        identity = ProcessIdentity.from_pid(child.pid)
        assert identity is not None
        forged = RunnerInfo(identity=identity, device="cpu", slots=7)
        (root / ".queue.lock").write_bytes(msgspec.json.encode(forged))
        assert ensure_runner(root, slots=2, worker_module=WORKER)
        wait_for(lambda: state(run) is State.FINISHED, "the run")
        assert child.poll() is None


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b'{"identity": 3}'])
def test_a_damaged_lock_names_nobody(root: Path, content: bytes) -> None:
    root.mkdir()
    (root / ".queue.lock").write_bytes(content)
    assert read_runner(root) is None
    with hold_runner_lock(root, device="auto", slots=None) as lock:
        assert lock is not None


def test_a_runner_looks_away_while_a_group_is_being_queued(root: Path) -> None:
    with hold_enqueue_lock(root), try_enqueue_lock(root) as quiet:
        assert not quiet
    with try_enqueue_lock(root) as quiet:
        assert quiet
