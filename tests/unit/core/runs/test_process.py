"""Detection of the process of a run, with real processes and reused pids."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import msgspec
import psutil
import pytest

from core.runs import ProcessIdentity, State, Status, effective_state, is_alive
from core.runs import process as module
from core.runs.process import HEARTBEAT_TIMEOUT, send_signal
from tests.support import fake_runs

ME = ProcessIdentity.current()
LIVE = [State.STARTING, State.RUNNING, State.STOPPING]


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def status_of(identity: ProcessIdentity, state: State = State.RUNNING, heartbeat: float = 0.0) -> Status:
    return Status(state=state, heartbeat=heartbeat, **msgspec.to_builtins(identity))


def wait_until_zombie(pid: int) -> None:
    while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.005)


def test_this_process_is_alive() -> None:
    assert is_alive(ME) is True
    assert ME.pid == os.getpid()
    assert ProcessIdentity.from_pid(os.getpid()) == ME


def test_an_identity_survives_being_written_to_a_status() -> None:
    data = msgspec.json.encode(status_of(ME))
    assert ProcessIdentity.from_status(msgspec.json.decode(data, type=Status)) == ME


def test_a_reused_pid_is_another_process(child: "subprocess.Popen[bytes]") -> None:
    identity = ProcessIdentity.from_pid(child.pid)
    assert identity is not None
    assert is_alive(identity) is True
    assert is_alive(replace(identity, pid_started=identity.pid_started - 5)) is False


def test_a_pid_from_before_a_reboot_is_another_process() -> None:
    assert is_alive(replace(ME, boot_id="another")) is False


def test_processes_of_another_host_are_unknown() -> None:
    assert is_alive(replace(ME, host="elsewhere")) is None


@pytest.mark.parametrize("pid", [0, -1, 2**22 + 1, 2**63, 10**30])
def test_unused_pids_are_dead(pid: int) -> None:
    assert is_alive(replace(ME, pid=pid)) is False
    assert not send_signal(replace(ME, pid=pid), signal.SIGTERM)


def test_a_zombie_is_dead(child: "subprocess.Popen[bytes]") -> None:
    identity = ProcessIdentity.from_pid(child.pid)
    assert identity is not None
    child.send_signal(signal.SIGKILL)
    wait_until_zombie(child.pid)
    assert psutil.pid_exists(child.pid)
    assert is_alive(identity) is False
    assert ProcessIdentity.from_pid(child.pid) is None
    assert effective_state(status_of(identity), now=0.0) is State.CRASHED


def test_a_process_with_brackets_in_its_name_is_read_right(tmp_path_factory: pytest.TempPathFactory) -> None:
    odd = tmp_path_factory.mktemp("odd") / ") Z 1 (x"
    odd.symlink_to(sys.executable)
    process = subprocess.Popen([odd, "-S", "-c", "print(1, flush=True); input()"], stdin=-1, stdout=-1)
    assert process.stdout is not None
    process.stdout.readline()
    identity = ProcessIdentity.from_pid(process.pid)
    assert identity is not None
    assert is_alive(identity) is True
    process.communicate(b"\n")
    assert is_alive(identity) is False


def test_proc_and_psutil_agree_on_which_processes_are_alive(
    child: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_HAS_PROC", False)  # as on macOS
    identity = ProcessIdentity.from_pid(child.pid)
    assert identity is not None
    assert is_alive(identity) is True
    assert identity.pid_started == pytest.approx(psutil.Process(child.pid).create_time())
    child.send_signal(signal.SIGKILL)
    wait_until_zombie(child.pid)
    assert is_alive(identity) is False
    child.communicate()
    assert is_alive(identity) is False
    assert is_alive(replace(identity, pid=10**30)) is False


@pytest.mark.parametrize("state", LIVE)
def test_a_live_state_without_its_process_is_crashed(state: State) -> None:
    assert effective_state(status_of(fake_runs.DEAD_PROCESS, state), now=0.0) is State.CRASHED
    assert effective_state(status_of(ME, state), now=1e12) is state
    assert effective_state(Status(state=state), now=0.0) is State.CRASHED


@pytest.mark.parametrize("state", [state for state in State if state not in LIVE])
def test_a_state_that_needs_no_process_is_unchanged(state: State) -> None:
    assert effective_state(status_of(fake_runs.DEAD_PROCESS, state), now=1e12) is state


def test_on_another_host_the_heartbeat_decides() -> None:
    there = status_of(replace(ME, host="elsewhere", pid=1), heartbeat=1000.0)
    assert effective_state(there, now=1000.0 + HEARTBEAT_TIMEOUT) is State.RUNNING
    assert effective_state(there, now=1000.5 + HEARTBEAT_TIMEOUT) is State.CRASHED
    assert effective_state(there, now=990.0) is State.RUNNING  # its clock is ahead of ours
    assert effective_state(there, now=1000.0 - HEARTBEAT_TIMEOUT) is State.RUNNING
    assert effective_state(there, now=999.5 - HEARTBEAT_TIMEOUT) is State.CRASHED  # it would not grow old


def test_a_signal_reaches_only_the_process_itself(child: "subprocess.Popen[bytes]") -> None:
    identity = ProcessIdentity.from_pid(child.pid)
    assert identity is not None
    assert not send_signal(replace(identity, pid_started=1.0), signal.SIGKILL)
    assert not send_signal(replace(identity, boot_id="another"), signal.SIGKILL)
    assert not send_signal(replace(identity, host="elsewhere"), signal.SIGKILL)
    assert child.poll() is None
    assert send_signal(identity, signal.SIGTERM)
    assert child.wait() == -signal.SIGTERM
    assert not send_signal(identity, signal.SIGTERM)


def test_signals_are_sent_without_pidfd(
    child: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    identity = ProcessIdentity.from_pid(child.pid)
    assert identity is not None
    assert not send_signal(replace(identity, pid_started=1.0), signal.SIGKILL)
    assert send_signal(identity, signal.SIGTERM)
    assert child.wait() == -signal.SIGTERM
