"""Stopping, resuming, cloning and removing runs, with real workers where there is one."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.config import ModelConfig, RunConfig
from core.errors import UserError
from core.launch import control
from core.runs import ProcessIdentity, RunBusyError, RunDirectory, RunStore, State, Status, make_group
from tests.support import fake_runs
from tests.support.queueing import cleaned, finish, lives, queue, start_runner, state, wait_for

ENDED = [State.STOPPED, State.FINISHED, State.FAILED, State.CRASHED]
LIVE = [State.STARTING, State.RUNNING, State.STOPPING]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    with cleaned(tmp_path) as root:
        yield root


def fake(root: Path, state: State, **options: object) -> RunDirectory:
    return fake_runs.make_run(root, state=state, images=False, **options)  # type: ignore[arg-type]  # its keywords


def files(run: RunDirectory) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file() and path.name != ".lock"
    }


def test_stopping_a_queued_run_takes_it_from_the_queue(root: Path) -> None:
    run = fake(root, State.QUEUED)
    assert control.stop(run) == f"{run.id}: taken from the queue"
    assert state(run) is State.STOPPED


@pytest.mark.parametrize("ended", ENDED)
def test_stopping_what_has_ended_changes_nothing_and_says_so(root: Path, ended: State) -> None:
    run = fake(root, ended)
    before = files(run)
    assert control.stop(run) == f"{run.id}: nothing to stop, it is {ended}"
    assert files(run) == before


CLAIM = (
    "import os, sys\nfrom core.runs import RunDirectory\n"
    "with RunDirectory(sys.argv[1]).claim(device='cpu', threads=1):\n    print('held', flush=True)\n    input()\n"
)
HOLD = CLAIM.replace("claim(device='cpu', threads=1)", "lock()")


@contextlib.contextmanager
def process(program: str, *arguments: object, **options: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """A Python process that has written a line, ends at an end of its stdin, and is killed afterwards."""
    command = [sys.executable, "-P", "-c", program, *map(str, arguments)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **pipes, **options) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        yield child
        child.kill()


@contextlib.contextmanager
def stranger(*arguments: object) -> Iterator[tuple["subprocess.Popen[bytes]", ProcessIdentity]]:
    """A process that holds no lock of a run, and its identity."""
    with process("print('held', flush=True)\ninput()", *arguments) as child:
        identity = ProcessIdentity.from_pid(child.pid)
        assert identity is not None
        yield child, identity


def test_stopping_a_live_run_signals_exactly_its_worker(root: Path) -> None:
    run = fake(root, State.QUEUED)
    with process(CLAIM, run.path) as worker:
        assert control.stop(run) == f"{run.id}: asked its worker (pid {worker.pid}) to stop"
        assert worker.wait(60) == -signal.SIGTERM
    assert not run.stop_requested()


def test_a_worker_that_was_given_a_relative_path_or_a_link_is_signalled_too(root: Path) -> None:
    run = fake(root, State.QUEUED)
    (root / "link").symlink_to(run.path)
    with process(CLAIM, "link", cwd=root) as worker:
        assert "asked its worker (pid" in control.stop(run)
        assert worker.wait(60) == -signal.SIGTERM


@pytest.mark.parametrize("with_lock_file", [True, False])
def test_stopping_a_copy_of_a_running_run_leaves_the_original_alone(root: Path, with_lock_file: bool) -> None:
    run = fake(root, State.QUEUED)
    with process(CLAIM, run.path) as worker:
        copy = RunDirectory(root / "copy")
        shutil.copytree(run.path, copy.path)
        if not with_lock_file:
            copy.lock_file.unlink()
        assert (state(run), state(copy)) == (State.STARTING, State.CRASHED)
        assert control.stop(copy) == "copy: nothing to stop, it is crashed"
        assert "queued again" in control.resume(copy)
        assert control.remove(copy) == "copy: removed"
        assert worker.poll() is None
        assert state(run) is State.STARTING


def test_a_run_is_live_under_a_new_name_and_without_its_lock_file(root: Path) -> None:
    run = fake(root, State.QUEUED)
    with process(CLAIM, run.path):
        run.lock_file.unlink()
        assert state(run) is State.STARTING
    other = fake(root, State.QUEUED, seed=1)
    with process(CLAIM, other.path):
        os.rename(other.path, root / "moved")
        assert state(RunDirectory(root / "moved")) is State.STARTING


def test_a_forged_status_never_signals_a_stranger(root: Path) -> None:
    run = fake(root, State.FINISHED)
    with stranger(run.path) as (child, identity):
        run.write_status(Status(state=State.RUNNING, epoch=3, **msgspec.to_builtins(identity)))
        assert control.stop(run) == f"{run.id}: nothing to stop, no process trains it"
        assert (state(run), run.read_status().epoch) == (State.STOPPED, 3)
        assert child.poll() is None


@pytest.mark.parametrize("names_the_run", [True, False])
def test_a_stranger_is_not_signalled_while_another_process_holds_the_lock(
    root: Path, names_the_run: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fake(root, State.FINISHED)
    if not names_the_run:  # its command line alone must tell
        monkeypatch.setattr("core.runs.process._LOCKS", root / "not there")
    with stranger(*[run.path] * names_the_run) as (child, identity), process(HOLD, run.path):
        run.write_status(Status(state=State.RUNNING, **msgspec.to_builtins(identity)))
        assert control.stop(run) == f"{run.id}: asked its worker to stop"
        assert run.stop_requested()
        assert child.poll() is None


def test_stopping_never_signals_a_stranger_with_the_same_pid(root: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = ProcessIdentity.from_pid(child.pid)
    assert identity is not None
    run = fake(root, State.RUNNING, process=identity, pid_started=identity.pid_started - 100)
    assert "nothing to stop, it is crashed" in control.stop(run)
    assert child.poll() is None
    child.communicate(b"\n")
    assert child.returncode == 0


def test_stopping_a_run_on_another_host_leaves_word_in_its_folder(root: Path) -> None:
    elsewhere = msgspec.to_builtins(fake_runs.LIVE_PROCESS) | {"host": "else\x1b[31mwhere"}
    run = fake(root, State.RUNNING, process=ProcessIdentity(**elsewhere), now=time.time())
    assert control.stop(run) == f"{run.id}: asked its worker on elsewhere to stop"
    assert run.stop_requested()


def test_a_real_worker_stops_by_signal_and_by_word(root: Path) -> None:
    first, second = queue(root, "patient", "patient")
    runner = start_runner(root, "--slots", "2")
    wait_for(lambda: [state(run) for run in (first, second)] == [State.RUNNING] * 2, "both runs")
    control.stop(first)
    second.request_stop()
    finish(runner)
    assert [state(run) for run in (first, second)] == [State.STOPPED] * 2


def test_stopping_a_queued_run_waits_for_a_command_that_is_just_at_it(root: Path) -> None:
    run = fake(root, State.QUEUED)
    program = (
        "import sys\nfrom core.runs import RunDirectory\n"
        "with RunDirectory(sys.argv[1]).lock():\n    print('held', flush=True)\n    input()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(RunBusyError):
        control.stop(run)
    holder.communicate(b"\n")
    assert "taken from the queue" in control.stop(run)


@pytest.mark.parametrize("ended", [State.STOPPED, State.FAILED, State.CRASHED])
def test_resuming_queues_a_run_with_its_progress_and_without_its_past(root: Path, ended: State) -> None:
    run = fake(root, ended, error="old error", message="old news")
    run.request_stop()
    old = run.read_status()
    start = "from epoch 5 of 10" if ended is State.STOPPED else "from its last checkpoint, to epoch 10"
    assert control.resume(run) == f"{run.id}: queued again, {start}"
    new = run.read_status()
    assert new.state is State.QUEUED
    assert (new.epoch, new.step, new.elapsed, new.attempt) == (old.epoch, old.step, old.elapsed, old.attempt)
    assert (new.host, new.pid, new.boot_id, new.error, new.message, new.device) == ("", 0, "", "", "", "")
    assert not run.stop_requested()
    assert run.metrics_file.exists()


def test_a_finished_run_taken_from_the_queue_is_finished_with_the_epochs_that_it_had(root: Path) -> None:
    (run,) = queue(root, "quick")
    epochs = run.read().config.train.epochs
    finished = {"state": State.FINISHED, "epoch": epochs, "finished_epochs": epochs}
    run.write_status(msgspec.structs.replace(run.read_status(), **finished))
    before = run.read()
    control.resume(run, epochs=epochs + 5)
    assert run.read_status().state is State.QUEUED
    control.stop(run)
    status = run.read_status()
    assert (status.state, status.epoch, status.epochs) == (State.FINISHED, epochs, epochs)
    assert run.read() == before


def test_resuming_a_queued_run_leaves_it_queued_so_that_a_runner_can_start_it(root: Path) -> None:
    run = fake(root, State.QUEUED, epoch=3)
    before = files(run)
    assert control.resume(run) == f"{run.id}: is queued already, from epoch 3 of 10"
    assert files(run) == before
    assert control.resume(run, epochs=20) == f"{run.id}: queued again, from epoch 3 of 20"
    assert (run.read().config.train.epochs, run.read_status().epochs) == (20, 20)


def test_only_a_run_that_has_not_ended_can_be_started(root: Path) -> None:
    assert "starts as soon as there is room" in control.check_startable(fake(root, State.QUEUED))
    assert "is running already" in control.check_startable(fake(root, State.RUNNING, seed=1))
    with pytest.raises(UserError, match="is stopped, not queued; to queue it again: core runs resume"):
        control.check_startable(fake(root, State.STOPPED, seed=2))


@pytest.mark.parametrize("other", LIVE)
def test_resuming_what_has_not_ended_is_a_users_error(root: Path, other: State) -> None:
    run = fake(root, other)
    before = files(run)
    with pytest.raises(UserError, match=f"is {other} already; only a run that has ended"):
        control.resume(run)
    assert files(run) == before


def test_a_finished_run_needs_more_epochs(root: Path) -> None:
    run = fake(root, State.FINISHED, epochs=100, epoch=100, steps_per_epoch=1)
    for epochs in (None, 100):
        with pytest.raises(UserError, match="has finished its 100 epochs; give it more, say --epochs 150"):
            control.resume(run, epochs=epochs)
    old = run.read()
    assert control.resume(run, epochs=190) == f"{run.id}: queued again, from epoch 100 of 190"
    new = run.read()
    assert new.config.train.epochs == 190
    train = msgspec.structs.replace(new.config.train, epochs=100)
    config = msgspec.structs.replace(new.config, train=train)
    assert msgspec.structs.replace(new, config=config) == old
    assert (run.read_status().state, run.read_status().epochs) == (State.QUEUED, 190)


def test_epochs_never_shrink(root: Path) -> None:
    run = fake(root, State.STOPPED, epochs=100, steps_per_epoch=1)
    before = files(run)
    with pytest.raises(UserError, match="--epochs 99: expected at least the 100 that it has"):
        control.resume(run, epochs=99)
    assert files(run) == before
    control.resume(run, epochs=100)
    assert run.read().config.train.epochs == 100


def test_a_resume_killed_half_way_is_completed_by_another(root: Path) -> None:
    run = fake(root, State.FINISHED)
    program = (
        "import os, sys\nfrom core.launch import control\nfrom core.runs import RunDirectory\n"
        "RunDirectory.clear_control = lambda self: os._exit(9)\n"
        "control.resume(RunDirectory(sys.argv[1]), epochs=20)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, str(run.path)], check=False).returncode == 9
    assert (run.read().config.train.epochs, state(run)) == (20, State.FINISHED)
    control.resume(run, epochs=20)
    assert state(run) is State.QUEUED


def test_a_run_resumed_by_two_at_once_is_started_once(root: Path) -> None:
    (run,) = queue(root, "patient")
    control.stop(run)
    program = (
        "import sys\nfrom core.errors import UserError\nfrom core.launch import control\n"
        "from core.runs import RunDirectory\n"
        "try:\n    control.resume(RunDirectory(sys.argv[1]))\nexcept UserError:\n    sys.exit(2)\n"
    )
    command = [sys.executable, "-c", program, str(run.path)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    runner = start_runner(root)
    wait_for(lambda: state(run) is State.RUNNING, "the run")
    control.stop(run)
    finish(runner)
    assert len(lives(run)) == 1


def test_a_clone_is_a_new_run_in_a_group_of_its_own(root: Path) -> None:
    old = fake(root, State.FAILED, schedule="x^1.5")
    new = control.clone(root, old, ["train.epochs=3", "schedule.name=cosine", "train.seed = 5"])
    assert state(new) is State.QUEUED
    was, file = old.read(), new.read()
    assert file.config.train.epochs == 3
    assert (file.config.schedule.name, file.config.train.seed) == ("cosine", 5)
    assert file.config.data == was.config.data
    assert file.group != was.group
    assert file.provenance["cloned_from"] == old.id
    assert file.provenance["directory"] == os.getcwd()
    assert len(RunStore(root).runs()) == 2


def test_two_clones_within_one_second_have_groups_of_their_own(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = fake(root, State.FINISHED)
    group = make_group("quick")
    monkeypatch.setattr(control, "make_group", lambda name: group)
    groups = [control.clone(root, old).read().group for _ in range(3)]
    assert groups == [group, f"{group}-2", f"{group}-3"]


def test_a_clone_without_changes_has_the_same_configuration(root: Path) -> None:
    old = fake(root, State.RUNNING)
    assert control.clone(root / "elsewhere", old).read().config == old.read().config


@pytest.mark.parametrize(
    ("width", "overrides", "taken"),
    [
        (None, ["model.preset=thesis"], 64),
        (None, ["model.preset=thesis", "model.width=16"], 16),
        (None, ["train.seed=5"], 32),
        (24, ["model.preset=thesis"], 24),
    ],
)
def test_a_clone_with_another_network_takes_its_width_unless_one_was_chosen(
    root: Path, width: int | None, overrides: list[str], taken: int
) -> None:
    old = RunDirectory.create(root, RunConfig(model=ModelConfig(preset="lean", width=width)), group="g")
    assert control.clone(root, old, overrides).read().config.model.width == taken


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.epoch=3", "clone of .*: unknown key train.epoch = 3; did you mean train.epochs?"),
        ("train.epochs=0", "train.epochs = 0: expected `int` >= 1"),
        ("epochs", "expected section.key=value"),
    ],
)
def test_a_wrong_override_makes_no_clone(root: Path, override: str, words: str) -> None:
    old = fake(root, State.STOPPED)
    with pytest.raises(UserError, match=words):
        control.clone(root, old, [override])
    assert RunStore(root).runs() == [old]


@pytest.mark.parametrize("gone", [State.QUEUED, *ENDED])
def test_removing_deletes_the_run_and_leaves_nothing(root: Path, gone: State) -> None:
    run = fake(root, gone)
    assert control.remove(run) == f"{run.id}: removed"
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("live", LIVE)
def test_removing_a_live_run_is_refused(root: Path, live: State) -> None:
    run = fake(root, live)
    with pytest.raises(UserError, match=f"is {live}; stop it before removing it"):
        control.remove(run)
    assert run.path.exists()


def test_an_unreadable_run_can_be_removed_unless_a_worker_holds_it(root: Path) -> None:
    run = fake(root, State.RUNNING)
    run.status_file.write_text("broken")
    with run.lock(), pytest.raises(RunBusyError):
        control.remove(RunDirectory(run.path))
    assert run.path.exists()
    control.remove(run)
    assert list(root.iterdir()) == []


def test_removing_what_is_gone_is_a_users_error(root: Path) -> None:
    run = fake(root, State.STOPPED)
    control.remove(run)
    with pytest.raises(UserError, match="cannot be locked"):
        control.remove(run)
    with pytest.raises(UserError, match="cannot be read"):
        control.stop(run)
    with pytest.raises(UserError, match="cannot be read"):
        control.resume(run)
