"""Faults of jobs: ended at any instant as Slurm ends them, and started again as Slurm does."""

import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core.config.launch import LaunchConfig
from core.errors import EXIT_OK, EXIT_REQUEUE
from core.launch import control
from core.launch.engines import slurm_task
from core.launch.engines import start as engines
from core.launch.queue import enqueue
from core.runs import RunDirectory, State
from core.training import worker
from tests.faults import tiny
from tests.faults.lab import NotPossibleHereError, fault, kill_group, wait_for_exit
from tests.slurm.cluster import installed
from tests.support import ROOT, fake_slurm

ENDS = 3
"""Times that a job is ended before it may go on to its end."""


class _Fork:
    """A worker as a fork, with as much of `subprocess.Popen` as a job needs."""

    def __init__(self, run: RunDirectory, options: Sequence[str]) -> None:
        self._code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
                signal.signal(number, signal.SIG_DFL)
            code = 99
            try:
                log = os.open(run.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                os.dup2(log, 1)
                os.dup2(log, 2)
                code = worker.main([str(run.path), "--device", "cpu", "--threads", "1", *options])
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)

    def poll(self) -> int | None:
        if self._code is None:
            self._code = wait_for_exit(self.pid, 0.005)
        return self._code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def _start_worker(run: RunDirectory, *words: Any, **_: Any) -> tuple[_Fork, int]:
    start = run.log.stat().st_size if run.log.exists() else 0
    return _Fork(run, words[2:]), start


@dataclass
class Jobs:
    """A run in the stand-in's queue, and its job, as often as that is started."""

    run: RunDirectory
    home: Path
    starts: int = 0

    @classmethod
    def submit(cls, folder: Path) -> "Jobs":
        home = fake_slurm.install(folder / "cluster")
        os.environ["FAKE_SLURM"] = str(home)
        os.environ["PATH"] = f"{folder}/cluster/bin{os.pathsep}{os.environ['PATH']}"
        (run,) = enqueue(folder / "runs", [tiny.config()], group="g", launch=LaunchConfig(engine="slurm"))
        engines.start([run])
        return cls(run, home)

    @property
    def job(self) -> str:
        return (self.home / "jobs").read_text().split("|")[0]

    def start(self) -> int:
        """Start the job, and return its pid, which is a process group too."""
        submission = max((self.run.path.parent / ".slurm").iterdir(), key=lambda path: path.stat().st_mtime)
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                os.setpgid(0, 0)
                array = (submission / "array").read_text().strip()
                os.environ |= {"SLURM_ARRAY_JOB_ID": array, "SLURM_ARRAY_TASK_ID": "0"}
                os.environ["SLURM_RESTART_COUNT"] = str(self.starts)
                slurm_task.start_worker = _start_worker  # type: ignore[assignment]  # forks import nothing
                code = slurm_task.main([str(submission), "--max-requeues", "100"])
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(code)
        self.starts += 1
        return pid

    def finish(self) -> None:
        """Start the job until the run has finished, which must be the undisturbed one."""
        pid = self.start()
        try:
            assert wait_for_exit(pid, 100.0) == EXIT_OK, self.run.log.read_text()
            tiny.assert_undisturbed(self.run)
        finally:
            kill_group(pid)

    def was_requeued(self) -> int:
        calls = (self.home / "calls").read_text().splitlines()
        return sum(call.startswith("scontrol requeue") for call in calls)


@fault("Slurm: time limit at a random instant, repeatedly", times=10)
def time_limit(folder: Path, rng: random.Random) -> None:
    jobs = Jobs.submit(folder)
    for _ in range(ENDS):
        before, pid = jobs.was_requeued(), jobs.start()
        code = tiny.kill_after(pid, rng.uniform(0.05, 1.2) * tiny.duration(), signal.SIGTERM)
        if code == EXIT_OK:
            break
        assert code == EXIT_REQUEUE, f"{code}: {jobs.run.log.read_text()}"
        assert jobs.was_requeued() == before + 1
        assert tiny.state(jobs.run) is State.QUEUED
    jobs.finish()


@fault("Slurm: preemption with too little grace, repeatedly", times=10)
def preempted(folder: Path, rng: random.Random) -> None:
    """SIGTERM, and SIGKILL for job and worker before or after the checkpoint."""
    jobs = Jobs.submit(folder)
    for _ in range(ENDS):
        pid = jobs.start()
        time.sleep(rng.uniform(0, 1) * tiny.duration())
        os.kill(pid, signal.SIGTERM)
        time.sleep(rng.uniform(0, 0.3))
        kill_group(pid)
        tiny.check_files(jobs.run)
    jobs.finish()


@fault("Slurm: a node dies with all its processes, repeatedly", times=10)
def node_dies(folder: Path, rng: random.Random) -> None:
    jobs = Jobs.submit(folder)
    for _ in range(ENDS):
        pid = jobs.start()
        time.sleep(rng.uniform(0, 1) * tiny.duration())
        kill_group(pid)
        tiny.check_files(jobs.run)
    jobs.finish()


@fault("Slurm: a job is started again while the worker of the last one lives", times=6)
def job_killed(folder: Path, rng: random.Random) -> None:
    jobs = Jobs.submit(folder)
    pid = jobs.start()
    try:
        assert tiny.kill_after(pid, rng.uniform(0, 1) * tiny.duration()) in (-signal.SIGKILL, EXIT_OK)
        jobs.finish()
    finally:
        kill_group(pid)


@fault("Slurm: stopped, and resumed as another job", times=6)
def stopped(folder: Path, rng: random.Random) -> None:
    jobs = Jobs.submit(folder)
    pid = jobs.start()
    time.sleep(rng.uniform(0, 1) * tiny.duration())
    engines.stop([jobs.run])
    assert wait_for_exit(pid, 60.0) == EXIT_OK
    assert tiny.state(jobs.run) in (State.STOPPED, State.FINISHED)
    assert not jobs.was_requeued()
    if tiny.state(jobs.run) is State.STOPPED:
        control.resume(jobs.run)
        (jobs.home / "jobs").write_text("")
        engines.start([jobs.run])
    jobs.finish()


@fault("Slurm: cancelled by scancel, and resumed", times=6)
def cancelled(folder: Path, rng: random.Random) -> None:
    """Slurm does not know the job any more, so it cannot be requeued."""
    jobs = Jobs.submit(folder)
    pid = jobs.start()
    time.sleep(rng.uniform(0, 1) * tiny.duration())
    (jobs.home / "jobs").write_text("")
    os.kill(pid, signal.SIGTERM)
    assert wait_for_exit(pid, 60.0) in (EXIT_OK, EXIT_REQUEUE, -signal.SIGTERM)
    tiny.resume(jobs.run) if tiny.state(jobs.run) is not State.FINISHED else None
    engines.start([jobs.run])
    jobs.finish()


def _run_tests(*words: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED), done.stdout[-2000:]
    if " passed" not in done.stdout:
        raise NotPossibleHereError(done.stdout.strip().splitlines()[-1])


def _real_slurm(test: str) -> None:
    if installed() is None:
        raise NotPossibleHereError("Slurm is not installed; see tests/slurm/install.sh")
    _run_tests("-m", "", f"tests/slurm/{test}")


@fault("real Slurm: three time limits", times=1, seconds=1200)
def real_time_limits(folder: Path, rng: random.Random) -> None:
    _real_slurm("test_failures.py::test_three_time_limits_cost_nothing")


@fault("real Slurm: a preemption", times=1, seconds=600)
def real_preemption(folder: Path, rng: random.Random) -> None:
    _real_slurm("test_failures.py::test_a_preemption_costs_nothing")


@fault("real Slurm: kill -9 of a node's slurmd and all its processes", times=1, seconds=600)
def real_node_death(folder: Path, rng: random.Random) -> None:
    _real_slurm("test_failures.py::test_the_death_of_a_node_costs_nothing")


@fault("real Slurm: a stop", times=1, seconds=600)
def real_stop(folder: Path, rng: random.Random) -> None:
    _real_slurm("test_slurm.py")


@fault("Ray: kill -9 of a node and of a worker, a stop", times=1, seconds=1200)
def real_ray(folder: Path, rng: random.Random) -> None:
    _run_tests("-m", "", "tests/e2e/test_ray_cluster.py")
