"""The engine Ray without a cluster: its jobs in the runs folder, the task that starts a worker, and refusals."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import psutil
import pytest

from core.config import RunConfig
from core.config.launch import LaunchConfig, RayConfig
from core.config.load import decode
from core.errors import EXIT_OK, EXIT_USAGE, UserError
from core.files.sanitize import sanitize
from core.launch.engines import ray_dispatcher, ray_task
from core.launch.engines.base import JobState
from core.launch.engines.ray import FILE_NAME, RayEngine
from core.launch.engines.registry import open_engine
from core.runs import RunDirectory, State

CONFIG = LaunchConfig(engine="ray")


def queued(root: Path, behaviour: str = "quick", **status: Any) -> RunDirectory:
    run = RunDirectory.create(root, RunConfig(recipe=behaviour), group="g")
    run.write_status(msgspec.structs.replace(run.read_status(), **{"engine": "ray"} | status))
    return run


def test_jobs_are_looked_up_in_the_runs_folder_while_their_dispatcher_beats(tmp_path: Path) -> None:
    jobs = {
        "a_0": {"state": "running", "run": "x"},
        "a_1": {"state": "pending", "reason": "needs 2 GPU\x1b[31m"},
    }
    engine = open_engine(tmp_path, CONFIG)
    assert engine.states(["a_0"]) == {}
    (tmp_path / FILE_NAME).write_text(json.dumps({"beat": time.time(), "jobs": jobs}))
    found = engine.states(["a_0", "a_1", "gone"])
    assert {job: (one.state, one.reason) for job, one in found.items()} == {
        "a_0": (JobState.RUNNING, ""),
        "a_1": (JobState.PENDING, "needs 2 GPU"),
    }
    (tmp_path / FILE_NAME).write_text(json.dumps({"beat": time.time() - 1000, "jobs": jobs}))
    assert engine.states(["a_0"]) == {}


def test_without_ray_the_user_is_told_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'ddpm-tui\[ray\]'"):
        RayEngine(tmp_path, RayConfig()).submit([queued(tmp_path)])


def test_gpus_of_a_run_are_a_part_of_one_or_a_whole_number() -> None:
    assert ray_task.slot(0.5, 0).threads == 1
    assert (ray_task.slot(4, 0.25).device, ray_task.slot(4, 2).device) == ("cuda:0", "cuda:0+cuda:1")
    with pytest.raises(UserError, match="expected a part of one GPU, or a whole number"):
        decode({"ray": {"gpus_per_run": 1.5}}, LaunchConfig, source="x")


@pytest.mark.parametrize("status", [{"state": State.STOPPED}, {"state": State.FINISHED}, {"engine": "local"}])
def test_a_task_of_a_run_that_is_not_its_own_to_start_ends_without_a_worker(
    tmp_path: Path, status: dict[str, Any]
) -> None:
    run = queued(tmp_path, **status)
    assert ray_task.main([str(run.path), "--job", "a_0"]) == EXIT_OK
    assert not run.log.exists()


def test_a_run_whose_worker_cannot_begin_fails_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ray_task, "WORKER", "tests.support.fake_worker")
    run = queued(tmp_path, "broken")
    assert ray_task.main([str(run.path), "--job", "a_0"]) == EXIT_USAGE
    reason = capsys.readouterr().out.strip()
    assert "before it began: ImportError: no module named" in reason
    assert ray_task.main([str(run.path), "--failed", reason]) == EXIT_OK
    assert (run.read_status().state, run.read_status().error) == (State.FAILED, sanitize(reason))


def test_a_folder_that_a_node_does_not_see_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ray_task.main([str(tmp_path / "nowhere" / "run")]) == EXIT_USAGE
    assert "must be shared by all nodes" in capsys.readouterr().out


def test_a_task_is_retried_only_if_its_run_should_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    dispatcher = SimpleNamespace(started=SimpleNamespace(remote=started.append))
    python, spec = tmp_path / "python", {"run": "r", "cpus": 1, "gpus": 0}
    monkeypatch.setattr(sys, "executable", str(python))
    for code, text in ((0, ""), (2, "no such data")):
        python.write_text(f"#!/bin/sh\necho no such data\nexit {code}\n")
        python.chmod(0o755)
        assert ray_dispatcher.train(dispatcher, "a_0", spec, {}) == text
    python.write_text("#!/bin/sh\nexit 75\n")
    with pytest.raises(ray_dispatcher.WorkerEndedError):
        ray_dispatcher.train(dispatcher, "a_0", spec, {})
    assert started == ["a_0"] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_a_worker_ends_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    child = (
        "from core.launch.engines.ray_worker import end_with_parent; import time; end_with_parent(); "
        "print('ready', flush=True); time.sleep(60)"
    )
    parent = (
        "import subprocess, sys; "
        f"process = subprocess.Popen([sys.executable, '-c', {child!r}]); "
        "print(process.pid, flush=True); process.wait()"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        words = {process.stdout.readline().strip(), process.stdout.readline().strip()}
        (pid,) = words - {"ready"}
        os.kill(process.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(
        [psutil.Process(int(pid))] if psutil.pid_exists(int(pid)) else [], timeout=10
    )
    assert not alive
