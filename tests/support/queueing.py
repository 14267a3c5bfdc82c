"""Real queue runners with fake workers, for tests: start them, wait for them, and leave none running."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from core.config.schema import RunConfig
from core.launch.queue import enqueue
from core.launch.runner_lock import read_runner
from core.launch.subprocess_env import WORKER_MODULE, module_command
from core.runs import RunDirectory, RunStore, State, is_alive

WORKER = "tests.support.fake_worker"


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        time.sleep(0.005)


def queue(root: Path, *behaviours: str) -> list[RunDirectory]:
    return enqueue(root, [RunConfig(recipe=behaviour) for behaviour in behaviours], group="g")


def start_runner(root: Path, *options: str, module: str = WORKER) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "core.launch.queue", str(root), *options, "--worker-module", module]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def worker_command(run: RunDirectory) -> list[str]:
    """Return the command line that trains the run on one thread."""
    return module_command(WORKER_MODULE, str(run.path), "--device", "cpu", "--threads", "1")


def state(run: RunDirectory) -> State:
    return RunStore(run.path.parent).info(run).state


def lives(run: RunDirectory) -> list[list[str]]:
    """Return pid, device, threads, OMP_NUM_THREADS, DDPM_DATA and folder of each worker that claimed the run."""
    path = run.path / "lives"
    return [line.split(" ", 5) for line in path.read_text().splitlines()] if path.exists() else []


def finish(runner: "subprocess.Popen[bytes]") -> str:
    output, _ = runner.communicate(timeout=60)
    assert runner.returncode == 0, output.decode()
    return output.decode()


@contextlib.contextmanager
def cleaned(folder: Path) -> Iterator[Path]:
    """Yield a runs folder in `folder`, and at the end kill all processes that still run there."""
    root = folder / "runs"
    yield root
    runner = read_runner(root)
    if runner is not None and is_alive(runner.identity):
        os.kill(runner.identity.pid, signal.SIGKILL)
    for process in psutil.process_iter(["cmdline"]):
        if str(folder) in " ".join(process.info["cmdline"] or []) and process.pid != os.getpid():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
