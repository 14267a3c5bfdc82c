"""The queue with real runners and real workers: nothing is lost, nothing is started twice."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from core.config.schema import RunConfig, ScheduleConfig
from core.errors import UserError
from core.launch import control
from core.launch import runner as runner_module
from core.launch.devices import detect_machine
from core.launch.queue import enqueue, ensure_runner
from core.launch.runner_lock import read_runner
from core.runs import RunDirectory, RunStore, State, make_group
from tests.support.queueing import WORKER, cleaned, finish, lives, queue, start_runner, state, wait_for


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    with cleaned(tmp_path) as root:
        yield root


def test_queued_runs_are_whole_in_order_and_remember_where_they_came_from(root: Path) -> None:
    configs = [RunConfig(schedule=ScheduleConfig(name=name)) for name in ("x^2", "linear", "sine")]
    runs = enqueue(root, configs, group="g-1", provenance={"note": "mine"}, tags=("a",))
    infos = RunStore(root).infos()
    assert [info.directory for info in infos] == runs
    assert [info.file.config for info in infos] == [config.resolved() for config in configs]
    assert {info.state for info in infos} == {State.QUEUED}
    for info in infos:
        assert (info.file.group, info.file.tags) == ("g-1", ("a",))
        assert info.file.provenance["directory"] == os.getcwd()
        assert info.file.provenance["note"] == "mine"
        assert info.file.provenance["numpy"]


def test_two_groups_queued_within_one_second_have_names_of_their_own(root: Path) -> None:
    program = (
        "import sys\nfrom core.config import RunConfig\nfrom core.launch.queue import enqueue\n"
        "enqueue(sys.argv[1], [RunConfig(), RunConfig()], group=sys.argv[2])\n"
    )
    group = make_group("quick")
    processes = [subprocess.Popen([sys.executable, "-c", program, root, group]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    groups = Counter(info.file.group for info in RunStore(root).infos())
    assert groups == {group: 2, f"{group}-2": 2, f"{group}-3": 2}


def test_a_group_is_queued_whole_or_not_at_all(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = RunDirectory.create
    made = 0

    def create(*arguments: object, **options: object) -> RunDirectory:
        nonlocal made
        made += 1
        if made == 3:
            raise UserError("disk full")
        return real(*arguments, **options)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(RunDirectory, "create", create)
    with pytest.raises(UserError, match="disk full"):
        queue(root, "quick", "quick", "quick")
    assert [path.name for path in root.iterdir()] == [".enqueue.lock"]


def test_each_run_is_started_once_and_the_runner_ends(root: Path) -> None:
    runs = queue(root, "quick", "failing", "quick", "quick", "quick")
    output = finish(start_runner(root))
    assert [state(run) for run in runs] == [
        State.FINISHED,
        State.FAILED,
        State.FINISHED,
        State.FINISHED,
        State.FINISHED,
    ]
    assert [len(lives(run)) for run in runs] == [1] * 5
    assert read_runner(root) is None
    started = [
        line.split()[1].rstrip(":") for line in output.splitlines() if " worker " in line and " on " in line
    ]
    assert started == [run.id for run in runs]


def test_a_worker_is_told_its_device_and_threads_and_sees_no_more(root: Path) -> None:
    (run,) = queue(root, "quick")
    finish(start_runner(root, "--device", "cpu", "--slots", "1"))
    cores = detect_machine().cores
    assert lives(run)[0][1:4] == ["cpu", str(cores), str(cores)]
    assert run.read_status().threads == cores
    assert "worker on cpu" in run.log.read_text()


def test_a_worker_works_where_its_run_was_queued_not_where_the_runner_is(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / "core.py").write_text("raise SystemExit('the wrong core')")
    monkeypatch.chdir(there)
    monkeypatch.setenv("DDPM_DATA", "my data")
    (run,) = queue(root, "quick")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DDPM_DATA")
    finish(start_runner(root))
    assert lives(run)[0][4:] == [f"{there}/my", f"data {there}"]


def test_no_more_runs_at_once_than_slots(root: Path) -> None:
    runs = queue(root, "patient", "patient", "patient")
    runner = start_runner(root, "--slots", "2")
    wait_for(lambda: [state(run) for run in runs[:2]] == [State.RUNNING] * 2, "two runs running")
    assert state(runs[2]) is State.QUEUED
    control.stop(runs[0])
    wait_for(lambda: state(runs[2]) is State.RUNNING, "the third run")
    assert state(runs[0]) is State.STOPPED
    for run in runs[1:]:
        control.stop(run)
    finish(runner)
    assert [state(run) for run in runs] == [State.STOPPED] * 3


def test_a_second_runner_leaves_at_once(root: Path) -> None:
    (run,) = queue(root, "patient")
    runner = start_runner(root)
    wait_for(lambda: state(run) is State.RUNNING, "the run")
    assert "begins" not in finish(start_runner(root))
    control.stop(run)
    finish(runner)
    assert len(lives(run)) == 1


def test_runners_that_race_start_each_run_once(root: Path) -> None:
    runs = queue(root, *["quick"] * 4)
    runners = [start_runner(root) for _ in range(4)]
    begun = sum("begins" in finish(runner) for runner in runners)
    assert begun >= 1
    assert [state(run) for run in runs] == [State.FINISHED] * 4
    assert [len(lives(run)) for run in runs] == [1] * 4


def test_two_workers_of_one_run_are_one_too_many(root: Path) -> None:
    """A runner dies between starting a worker and the worker's claim; the next starts another."""
    (run,) = queue(root, "gated")
    waiting = run.path / "at-the-gate"
    for count in (1, 2, 3):
        runner = start_runner(root)
        wait_for(
            lambda count=count: waiting.exists() and len(waiting.read_text().splitlines()) == count,
            "a worker",
        )
        if count < 3:
            runner.kill()
            runner.communicate()
        assert state(run) is State.QUEUED
    (run.path / "gate").touch()
    finish(runner)
    assert state(run) is State.FINISHED
    pids = [int(pid) for pid in waiting.read_text().split()]
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in pids), "the other workers to leave")
    assert state(run) is State.FINISHED
    assert len(lives(run)) == 1


def test_runners_killed_at_any_instant_lose_nothing_and_start_nothing_twice(root: Path) -> None:
    runs = queue(root, *["quick"] * 8)
    instants = random.Random(7)
    for _ in range(12):
        runner = start_runner(root)
        assert runner.stdout is not None
        for _ in range(instants.randrange(6)):
            runner.stdout.readline()
        runner.kill()
        runner.communicate()
        if all(state(run) is State.FINISHED for run in runs):
            break
    finish(start_runner(root))
    assert [state(run) for run in runs] == [State.FINISHED] * 8
    assert [len(lives(run)) for run in runs] == [1] * 8


def test_workers_outlive_a_runner_that_is_ended_and_occupy_slots_of_the_next(root: Path) -> None:
    first, second = queue(root, "patient", "quick")
    runner = start_runner(root, "--slots", "1")
    wait_for(lambda: state(first) is State.RUNNING, "the first run")
    runner.send_signal(signal.SIGTERM)
    finish(runner)
    assert read_runner(root) is None
    assert (state(first), state(second)) == (State.RUNNING, State.QUEUED)
    assert os.getsid(first.read_status().pid) == first.read_status().pid
    runner = start_runner(root, "--slots", "1")
    assert runner.stdout is not None
    assert b"begins" in runner.stdout.readline()
    # It neither ends, because something is live, nor starts the second, because the slot is taken.
    runner.send_signal(signal.SIGCHLD)
    assert state(second) is State.QUEUED
    control.stop(first)
    finish(runner)
    assert (state(first), state(second)) == (State.STOPPED, State.FINISHED)
    assert len(lives(first)) == 1


def test_a_worker_killed_while_it_trains_is_crashed_and_resumes(root: Path) -> None:
    (run,) = queue(root, "patient")
    runner = start_runner(root)
    wait_for(lambda: state(run) is State.RUNNING, "the run")
    os.kill(run.read_status().pid, signal.SIGKILL)
    finish(runner)
    assert state(run) is State.CRASHED
    control.resume(run)
    runner = start_runner(root)
    wait_for(lambda: state(run) is State.RUNNING, "the resumed run")
    assert run.read_status().attempt == 2
    control.stop(run)
    finish(runner)
    assert len(lives(run)) == 2


@pytest.mark.parametrize(
    ("behaviour", "module", "words"),
    [
        ("broken", WORKER, "ended with code 1 before it began: ImportError: no module named troch"),
        ("quick", "no.such.module", "ended with code 1 before it began: .*No module named 'no'"),
        ("mortal", WORKER, "was killed by SIGKILL before it began: it wrote nothing"),
        ("silent", WORKER, "its worker ended three times without starting the run"),
    ],
)
def test_a_worker_that_dies_before_it_begins_fails_the_run_with_its_last_words(
    root: Path, behaviour: str, module: str, words: str
) -> None:
    runs = queue(root, behaviour, behaviour)
    finish(start_runner(root, module=module))
    for run in runs:
        status = run.read_status()
        assert status.state is State.FAILED
        assert re.search(words, status.error)
        assert status.error.isprintable()


def test_a_finished_run_whose_worker_dies_before_it_goes_on_stays_finished(root: Path) -> None:
    (run,) = queue(root, "broken")
    epochs = run.read().config.train.epochs
    run.write_status(
        msgspec.structs.replace(run.read_status(), state=State.FINISHED, epoch=epochs, epochs=epochs)
    )
    control.resume(run, epochs=epochs + 5)
    finish(start_runner(root))
    status = run.read_status()
    assert (status.state, status.epochs, run.read().config.train.epochs) == (State.FINISHED, epochs, epochs)
    assert "before it began" in status.error


def test_last_words_are_of_this_attempt(root: Path) -> None:
    (run,) = queue(root, "mortal")
    run.log.write_text("words of an earlier attempt\n")
    finish(start_runner(root))
    assert run.read_status().error.endswith("it wrote nothing")


def test_a_run_removed_or_broken_under_the_runner_does_not_stop_the_others(root: Path) -> None:
    gone, broken, fine = queue(root, "gated", "gated", "patient")
    runner = start_runner(root, "--slots", "3")
    wait_for(lambda: state(fine) is State.RUNNING, "the third run")
    wait_for(lambda: all((run.path / "at-the-gate").exists() for run in (gone, broken)), "the gated workers")
    control.remove(gone)
    broken.status_file.write_text("broken")
    (broken.path / "gate").touch()
    control.stop(fine)
    finish(runner)
    assert state(fine) is State.STOPPED
    assert not gone.path.exists()
    assert broken.status_file.read_text() == "broken"


def test_a_run_stopped_before_its_worker_claims_it_stays_stopped(root: Path) -> None:
    (run,) = queue(root, "gated")
    runner = start_runner(root)
    wait_for(lambda: (run.path / "at-the-gate").exists(), "the worker")
    control.stop(run)
    (run.path / "gate").touch()
    finish(runner)
    assert state(run) is State.STOPPED
    assert lives(run) == []


def test_a_run_stopped_and_resumed_before_its_worker_claims_it_is_not_failed(root: Path) -> None:
    (run,) = queue(root, "gated")
    runner = start_runner(root)
    wait_for(lambda: (run.path / "at-the-gate").exists(), "the worker")
    control.stop(run)
    control.resume(run)
    (run.path / "gate").touch()
    finish(runner)
    assert state(run) is State.FINISHED
    assert len(lives(run)) == 1


def test_a_runner_ends_when_its_folder_is_deleted(root: Path) -> None:
    (run,) = queue(root, "patient")
    runner = start_runner(root)
    wait_for(lambda: state(run) is State.RUNNING, "the run")
    pid = run.read_status().pid
    shutil.rmtree(root)
    finish(runner)
    os.kill(pid, signal.SIGKILL)


def test_a_runs_folder_that_is_no_folder_is_a_users_error(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    runner = start_runner(tmp_path / "runs")
    output, _ = runner.communicate(timeout=60)
    assert runner.returncode == 2
    assert output.startswith(b"error: ")
    with pytest.raises(UserError, match="cannot be made"):
        queue(tmp_path / "runs", "quick")
    with pytest.raises(UserError, match="cannot start a queue runner"):
        ensure_runner(tmp_path / "runs", worker_module=WORKER)


def test_leftovers_of_the_killed_are_deleted_once_they_are_old(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (".new-run", ".trash-run", "kept"):
        (root / name).mkdir(parents=True)
    runner_module._remove_leftovers(root)
    assert len(list(root.iterdir())) == 3
    monkeypatch.setattr(runner_module, "_LEFTOVER_AGE", -1.0)
    runner_module._remove_leftovers(root)
    assert [path.name for path in root.iterdir()] == ["kept"]
