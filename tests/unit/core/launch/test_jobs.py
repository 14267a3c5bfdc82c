"""Background jobs: detached, at low priority, with the last words of those that fail."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.launch.devices import Device, Plan
from core.launch.jobs import NICENESS, Job, start_explanation, start_job
from core.launch.subprocess_env import log_lines
from core.runs.progress import EvaluationProgress, read_evaluation_progress, write_evaluation_progress
from tests.support.fake_runs import LIVE_PROCESS, make_run
from tests.support.queueing import wait_for
from tests.unit.core.comparison.test_explain import subject


def ended(job: Job) -> Job:
    wait_for(lambda: job.ended, "the end of a job")
    return job


def test_a_job_has_a_session_of_its_own_and_low_priority_and_writes_its_log(tmp_path: Path) -> None:
    job = start_job("probe", "platform", log=tmp_path / "log")
    assert os.getsid(job.process.pid) == job.process.pid
    assert os.getpriority(os.PRIO_PROCESS, job.process.pid) == min(
        19, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS
    )
    assert ended(job).problem == ""
    assert job.identity is None
    assert log_lines(job.log)


@pytest.mark.parametrize(
    ("module", "arguments", "problem"),
    [
        ("no.such.module", (), "No module named 'no'"),
        ("timeit", ("import os; os._exit(3)",), "probe ended with exit code 3"),
    ],
)
def test_a_job_that_failed_has_the_last_line_of_its_log_or_its_exit_code(
    tmp_path: Path, module: str, arguments: tuple[str, ...], problem: str
) -> None:
    assert problem in ended(start_job("probe", module, *arguments, log=tmp_path / "log")).problem


def test_a_job_without_a_log_is_not_started(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        start_job("probe", "platform", log=tmp_path / "none" / "log")


def test_a_job_that_outlives_the_process_that_started_it_is_nothing_to_warn_of(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys\nfrom core.launch.jobs import start_job\n"
        "job = start_job('probe', 'timeit', 'import time; time.sleep(60)', log=pathlib.Path(sys.argv[1]))\n"
        "print(job.process.pid)\n"
    )
    command = [sys.executable, "-W", "error", "-c", program, tmp_path / "log"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    os.kill(int(done.stdout), signal.SIGKILL)  # it goes on
    assert done.stderr == ""


def test_the_lines_of_a_log_are_its_last_ones_after_a_byte_and_none_where_it_is_no_file(
    tmp_path: Path,
) -> None:
    (tmp_path / "log").write_text("x" * 20_000 + "\n\n  first \nlast\n\n")
    assert log_lines(tmp_path / "log")[1:] == ["first", "last"]
    assert log_lines(tmp_path / "log", start=20_010) == ["last"]
    assert log_lines(tmp_path) == log_lines(tmp_path / "none") == []


def test_an_explanation_is_of_the_runs_that_are_not_evaluated_and_drawn_as_those_it_goes_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [make_run(tmp_path, "linear", epochs=1), make_run(tmp_path, "sine", index=1, epochs=1)]
    write_evaluation_progress(runs[0], EvaluationProgress(identity=LIVE_PROCESS))
    started: list[tuple[str, ...]] = []

    def start(name: str, module: str, *arguments: str, log: Path) -> Job:
        started.append((module, *arguments))
        return start_job(name, "platform", log=log)

    monkeypatch.setattr("core.launch.jobs.start_job", start)
    plan = Plan((Device("cpu", "cpu", "", 1 << 34),), cores=1)
    assert start_explanation(runs, plan, like=subject("a").interventions) == 1
    common = ("--runs", str(tmp_path), "--device", "cpu")
    assert started == [("core", "explain", str(runs[1].path), *common, "--count", "256", "--seed", "0")]
    assert read_evaluation_progress(runs[1]) is not None
    assert start_explanation(runs[:1], plan) == 0
