"""Faults of processes: hanging, suspended or mistaken workers, concurrent commands, closed terminals."""

import contextlib
import math
import os
import pty
import random
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil
import torch

from core.config import encode_toml
from core.errors import OUT_OF_MEMORY, UserError
from core.launch import control
from core.runs import ProcessIdentity, RunDirectory, RunStore, State, is_alive
from core.training.loop import Trainer
from tests.faults import tiny
from tests.faults.lab import fault, wait_for_exit
from tests.support.queueing import cleaned, lives, queue, start_runner, wait_for


def at_step(number: int, act: Callable[[], None]) -> tiny.Sabotage:
    """Call `act` before a step of the worker, counted from 1."""
    real, left = Trainer._train_step, [number]

    def step(trainer: Trainer, order: torch.Tensor) -> torch.Tensor:
        left[0] -= 1
        if left[0] == 0:
            act()
        return real(trainer, order)

    def sabotage() -> None:
        Trainer._train_step = step  # type: ignore[method-assign]

    return sabotage


@fault("suspended and resumed (Ctrl-Z)", times=10)
def suspended(folder: Path, rng: random.Random) -> None:
    run = tiny.new_run(folder)
    pid = tiny.start(run)
    tiny.wait_until(lambda: tiny.state(run) is not State.QUEUED, "the worker")
    time.sleep(rng.uniform(0, 0.5) * tiny.duration())
    os.kill(pid, signal.SIGSTOP)
    state = tiny.state(run)
    assert state.is_live or state is State.FINISHED
    os.kill(pid, signal.SIGCONT)
    assert wait_for_exit(pid, 60.0) == 0
    tiny.assert_undisturbed(run)


@fault("worker hangs", times=6, short=1)
def hangs(folder: Path, rng: random.Random) -> None:
    """The run stays running because its process lives; after five minutes of silence readers show a warning."""
    run = tiny.new_run(folder)
    pid = tiny.start(run, at_step(rng.randint(1, tiny.STEPS), lambda: time.sleep(3600)))
    tiny.wait_until(lambda: tiny.state(run) is State.RUNNING, "the worker")
    store = RunStore(run.path.parent)
    assert not store.info(run).warning
    later = store.info(run, now=time.time() + 400)
    assert later.state is State.RUNNING
    assert f"if process {pid} hangs, kill it (kill -9), then resume" in later.warning
    assert tiny.kill_after(pid, 0.0) == -signal.SIGKILL
    tiny.resume_and_compare(run)


@fault("worker out of memory (CPU)", times=3)
def out_of_memory(folder: Path, rng: random.Random) -> None:
    config = tiny.config()
    sample = msgspec.structs.replace(config.sample, count=20_000)
    run = tiny.new_run(folder, msgspec.structs.replace(config, sample=sample))

    def sabotage() -> None:
        room = psutil.Process().memory_info().vms + (96 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (room, room))

    assert tiny.finish(run, sabotage) == 3, run.log.read_text()
    error = run.read_status().error
    assert error == OUT_OF_MEMORY
    tiny.check_files(run)


@fault("worker out of memory (CUDA error messages)", times=4)
def out_of_gpu_memory(folder: Path, rng: random.Random) -> None:
    run = tiny.new_run(folder)
    error = rng.choice(
        [
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
            RuntimeError("CUDA error: out of memory"),
        ]
    )

    def fail() -> None:
        raise error

    assert tiny.finish(run, at_step(rng.randint(1, tiny.STEPS), fail)) == 3
    assert run.read_status().error.startswith("out of memory; lower")
    tiny.resume_and_compare(run)


@fault("pid reused by another process", times=5)
def pid_reused(folder: Path, rng: random.Random) -> None:
    """The status has a pid that is alive, but of a process with another start time, or of another boot."""
    run = tiny.new_run(folder)
    assert tiny.kill_after(tiny.start(run), rng.uniform(0.4, 0.8) * tiny.duration()) in (-signal.SIGKILL, 0)
    other: dict[str, Any] = msgspec.to_builtins(ProcessIdentity.current())
    other |= rng.choice([{"boot_id": "another"}, {"pid_started": other["pid_started"] - 5.0}])
    tiny.change_status(run, state=State.RUNNING, **other)
    assert tiny.state(run) is State.CRASHED
    assert "nothing to stop" in control.stop(run)
    tiny.resume_and_compare(run)


@fault("clock jumps by days", times=6)
def clock_jumps(folder: Path, rng: random.Random) -> None:
    run, real = tiny.new_run(folder), time.time

    def jumping() -> float:
        return real() + rng.uniform(-1e6, 1e6)

    def sabotage() -> None:
        time.time = jumping  # type: ignore[assignment]

    pid = tiny.start(run, sabotage)
    tiny.wait_until(lambda: tiny.state(run) is not State.QUEUED, "the worker")
    states = set()
    while (code := wait_for_exit(pid, 0.02)) is None:
        states.add(tiny.state(run))
    assert code == 0
    assert State.CRASHED not in states - {State.FINISHED} or tiny.state(run) is State.FINISHED
    tiny.assert_undisturbed(run)


def _command(run: RunDirectory, rng: random.Random) -> None:
    """Stop and resume a run ten times in random order; a `UserError` is expected because others do the same."""
    for _ in range(10):
        with contextlib.suppress(UserError):
            rng.choice([control.stop, control.resume])(run)
        time.sleep(rng.uniform(0, 0.05))


@fault("five commands stop and resume a run while two workers claim it", times=6)
def many_commands(folder: Path, rng: random.Random) -> None:
    """In any order, one worker at a time has the run, and the result is the undisturbed one."""
    run, pids = tiny.new_run(folder), []
    for _ in range(5):
        seed = rng.random()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                _command(run, random.Random(seed))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        pids.append(pid)
    codes: list[int] = []
    while len(codes) < len(pids):
        for worker in [tiny.start(run) for _ in range(2)]:
            assert wait_for_exit(worker, 60.0) == 0, run.log.read_text()
        codes += [code for pid in pids[len(codes) :][:1] if (code := wait_for_exit(pid, 0.01)) is not None]
    assert codes == [0] * 5
    tiny.resume_and_compare(run)


@fault("two queue runners at once, killed at random, start each run once", times=4, seconds=300)
def two_runners(folder: Path, rng: random.Random) -> None:
    with cleaned(folder) as root:
        runs = queue(root, *["quick"] * 8)
        for _ in range(3):
            runners = [start_runner(root, "--slots", "4") for _ in range(2)]
            time.sleep(rng.uniform(0.0, 3.0))
            for runner in runners:
                runner.kill()
                runner.communicate()
        last = [start_runner(root, "--slots", "4") for _ in range(2)]
        for runner in last:
            runner.communicate()
        assert all(tiny.state(run) is State.FINISHED for run in runs)
        assert [len(lives(run)) for run in runs] == [1] * 8


@fault("50 workers started and stopped at once", times=1, seconds=600)
def storm(folder: Path, rng: random.Random) -> None:
    with cleaned(folder) as root:
        runs = queue(root, *["patient"] * 50)
        runner = start_runner(root, "--slots", "50")
        for run in rng.sample(runs, 50):
            wait_for(lambda run=run: tiny.state(run).is_live or tiny.state(run).is_ended, "a worker")
            control.stop(run)
        # Runs without a started worker were taken from the queue; the others were started once and have ended.
        wait_for(lambda: all(tiny.state(run) is State.STOPPED for run in runs), "the end of all workers")
        runner.communicate()
        assert all(len(lives(run)) <= 1 for run in runs)
        for run in runs:
            control.resume(run)
            control.stop(run)
        assert all(tiny.state(run) is State.STOPPED for run in runs)


def _in_terminal(*arguments: str) -> tuple[int, int]:
    """Start a command in a pseudo-terminal of its own: its pid, and the master end of the terminal."""
    sys.stdout.flush()
    pid, master = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the harness may itself run under nohup
        os.execve(
            sys.executable, [sys.executable, "-m", *arguments], {**os.environ, "TERM": "xterm-256color"}
        )
    return pid, master


def _drain(master: int) -> bytes:
    with contextlib.suppress(OSError):
        if select.select([master], [], [], 0.02)[0]:
            return os.read(master, 65536)
    return b""


def _training_in_terminal(folder: Path) -> tuple[RunDirectory, int, int]:
    recipe, root = folder / "mine.toml", folder / "runs"
    recipe.write_text(encode_toml(tiny.config()))
    pid, master = _in_terminal(
        "core", "train", str(recipe), "--runs", str(root), "--device", "cpu", "--slots", "2"
    )
    runs: list[RunDirectory] = []
    deadline = time.monotonic() + 300
    while not (runs and tiny.state(runs[0]) in (State.STARTING, State.RUNNING)):
        assert time.monotonic() < deadline, "no worker came"
        _drain(master)
        runs = RunStore(root).runs()
    return runs[0], pid, master


def _wait_for_end(run: RunDirectory, master: int | None = None) -> None:
    deadline = time.monotonic() + 300
    while not tiny.state(run).is_ended:
        assert time.monotonic() < deadline, "the run does not end"
        if master is not None:
            _drain(master)
        time.sleep(0.02)
    tiny.wait_until(lambda: not is_alive(ProcessIdentity.from_status(run.read_status())), "the worker's end")


@fault("terminal closed on core train (SIGHUP)", times=3, seconds=700)
def terminal_closed(folder: Path, rng: random.Random) -> None:
    run, pid, master = _training_in_terminal(folder)
    os.close(master)
    _wait_for_end(run)
    assert wait_for_exit(pid, 60.0) is not None
    tiny.assert_undisturbed(run)


@fault("core train suspended while its worker trains (Ctrl-Z)", times=2, seconds=700)
def command_suspended(folder: Path, rng: random.Random) -> None:
    run, pid, master = _training_in_terminal(folder)
    os.kill(pid, signal.SIGSTOP)
    _wait_for_end(run)
    os.kill(pid, signal.SIGCONT)
    while (code := wait_for_exit(pid, 0.05)) is None:
        _drain(master)
    assert code == 0
    tiny.assert_undisturbed(run)


@fault("dashboard killed with kill -9", times=3, seconds=700)
def dashboard_killed(folder: Path, rng: random.Random) -> None:
    """The workers continue, and the next dashboard finds them."""
    with cleaned(folder) as root:
        (run,) = queue(root, "patient")
        runner = start_runner(root, "--slots", "1")
        wait_for(lambda: tiny.state(run) is State.RUNNING, "the worker")
        for number in (signal.SIGKILL, signal.SIGHUP):
            pid, master = _in_terminal("tui", "--runs", str(root))
            shown, deadline = b"", time.monotonic() + 60
            while b"high" not in shown and time.monotonic() < deadline:
                shown += _drain(master)
            time.sleep(rng.uniform(0, 0.5))
            os.kill(pid, number)
            while (code := wait_for_exit(pid, 0.05)) is None:
                assert time.monotonic() < deadline + 60, "the dashboard does not end"
                _drain(master)
            os.close(master)
            assert code != 99
            assert tiny.state(run) is State.RUNNING
        assert [len(lives(run)), math.isfinite(run.read_status().heartbeat)] == [1, True]
        control.stop(run)
        wait_for(lambda: tiny.state(run) is State.STOPPED, "the worker's end")
        runner.communicate()
