"""`core train`, with the real queue and a worker that trains nothing (see fake_worker.py)."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.config import RunConfig
from core.launch import control
from core.launch.queue import enqueue, ensure_runner
from core.launch.runner_lock import read_runner
from core.runs import RunDirectory, RunStore, State, is_alive

WORKER = "tests.support.fake_worker"
GRID = '\n[grid]\n"schedule.name" = ["linear", "x^2"]\n'


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        time.sleep(0.01)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """The folder `runs`, with a runner that starts fake workers; it stays because one of them is patient."""
    root = tmp_path / "runs"
    (patient,) = enqueue(root, [RunConfig(recipe="patient")], group="first")
    ensure_runner(root, slots=8, worker_module=WORKER)
    wait_for(lambda: patient.read_status().state is State.RUNNING, "the first worker")
    yield root
    for run in RunStore(root).runs():
        if run.read_status().state is not State.FINISHED:
            control.stop(run)
    wait_for(
        lambda: (there := read_runner(root)) is None or not is_alive(there.identity), "the end of the runner"
    )


def write_recipe(folder: Path, behaviour: str) -> str:
    (folder / "recipe.toml").write_text(f'recipe = "{behaviour}"\n{GRID}')
    return "recipe.toml"


def new_runs(root: Path) -> list[RunDirectory]:
    return RunStore(root).runs()[1:]


def start(cwd: Path, *arguments: str, **streams: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "core", *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        text=True,
        preexec_fn=listen_to_ctrl_c,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},  # type: ignore[arg-type]
    )


def listen_to_ctrl_c() -> None:
    """Undo what a shell does to tests that it started in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_training_waits_for_all_runs_and_writes_their_folders(core, tmp_path, root):
    done = core("train", write_recipe(tmp_path, "quick"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"runs/{run.id}" for run in new_runs(root)]
    lines = done.stderr.splitlines()
    assert lines[0].startswith("2 runs queued in runs as quick-")
    for schedule in ("linear", "x^2"):
        assert [line for line in lines if line.startswith(f"{schedule}: finished ")]
    assert "\x1b" not in done.stderr


def test_training_as_json_says_what_became_of_each_run(core, tmp_path, root):
    done = core("train", write_recipe(tmp_path, "quick"), "--json")
    found = json.loads(done.stdout)
    assert [(run["schedule"], run["state"]) for run in found] == [("linear", "finished"), ("x^2", "finished")]


def test_a_run_that_fails_ends_with_code_3_and_a_line_that_says_why(core, tmp_path, root):
    done = core("train", write_recipe(tmp_path, "failing"))
    assert (done.returncode, done.stdout) == (3, "")
    runs = new_runs(root)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 3
    assert [error.split()[1].rstrip(":") for error in errors[:2]] == [run.id for run in runs]
    assert errors[2] == "error: 2 of 2 runs failed"


def test_a_worker_that_cannot_even_start_fails_with_its_last_words(core, tmp_path, root):
    done = core("train", write_recipe(tmp_path, "broken"), "--set", "schedule.name=linear")
    assert done.returncode == 3
    assert "no module named troch" in done.stderr
    assert "\x1b" not in done.stderr


def test_detached_training_writes_ids_and_returns_while_the_runs_go_on(core, tmp_path, root):
    done = core("train", write_recipe(tmp_path, "patient"), "--detach")
    assert done.returncode == 0
    runs = new_runs(root)
    assert done.stdout.split() == [run.id for run in runs]
    wait_for(lambda: all(run.read_status().state is State.RUNNING for run in runs), "the detached runs")


def test_runs_that_somebody_else_shall_start_are_only_queued(core, tmp_path):
    done = core("train", write_recipe(tmp_path, "quick"), "--no-start")
    runs = RunStore(tmp_path / "runs").runs()
    assert (done.returncode, done.stdout.split()) == (0, [run.id for run in runs])
    assert [run.read_status().state for run in runs] == [State.QUEUED] * 2
    assert read_runner(tmp_path / "runs") is None


def test_ctrl_c_stops_the_runs_and_says_how_to_go_on(tmp_path, root):
    process = start(tmp_path, "train", write_recipe(tmp_path, "patient"))
    wait_for(
        lambda: [run.read_status().state for run in new_runs(root)] == [State.RUNNING] * 2, "the workers"
    )
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (130, "")
    runs = new_runs(root)
    assert [run.read_status().state for run in runs] == [State.STOPPED] * 2
    assert f"to go on: core runs resume {runs[0].id} {runs[1].id}" in errors
    assert "Traceback" not in errors
    # The run that was there before is none of this command's.
    assert RunStore(root).runs()[0].read_status().state is State.RUNNING


def test_runs_go_on_when_the_command_that_started_them_is_killed(tmp_path, root):
    process = start(tmp_path, "train", write_recipe(tmp_path, "patient"))
    wait_for(
        lambda: [run.read_status().state for run in new_runs(root)] == [State.RUNNING] * 2, "the workers"
    )
    process.kill()
    process.communicate(timeout=60)
    assert [RunStore(root).info(run).state for run in new_runs(root)] == [State.RUNNING] * 2


def test_a_run_that_is_stopped_elsewhere_ends_the_command_with_130(core, tmp_path, root):
    process = start(tmp_path, "train", write_recipe(tmp_path, "patient"), "--set", "schedule.name=sine")
    wait_for(lambda: [run.read_status().state for run in new_runs(root)] == [State.RUNNING], "the worker")
    assert core("runs", "stop", "latest").returncode == 0
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "1 of 1 runs were stopped or removed" in errors


def test_stopping_waits_until_the_worker_is_gone_and_resuming_starts_it_again(core, tmp_path, root):
    core("train", write_recipe(tmp_path, "patient"), "--detach", "--set", "schedule.name=sine")
    (run,) = new_runs(root)
    wait_for(lambda: run.read_status().state is State.RUNNING, "the worker")
    (stopped,) = json.loads(core("runs", "stop", run.id, "--json").stdout)
    assert stopped["state"] == "stopped"
    done = core("runs", "resume", run.id)
    assert (done.returncode, done.stdout) == (0, f"runs/{run.id}\n")
    wait_for(lambda: run.read_status().state is State.RUNNING, "the second worker")
    assert run.read_status().attempt == 2


def test_on_a_terminal_there_are_bars(tmp_path, root):
    leader, follower = pty.openpty()
    process = start(tmp_path, "train", write_recipe(tmp_path, "quick"), stderr=follower)
    os.close(follower)
    shown = b""
    while chunk := read(leader):
        shown += chunk
    os.close(leader)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert "━" in shown.decode()
    assert "linear: finished" in shown.decode()


def test_nothing_is_queued_when_the_command_cannot_be_carried_out(core, tmp_path):
    for arguments in (["--device", "mps", "--set", "train.epochs=0"], ["--set", "schedule.timesteps=none"]):
        assert core("train", "quick", *arguments).returncode == 2
    assert os.listdir(tmp_path) == []


def read(leader: int) -> bytes:
    try:
        return os.read(leader, 65536)
    except OSError:  # how Linux says that the other side is closed
        return b""
