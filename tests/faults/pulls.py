"""Faults of `core runs pull`, while the source is written: each copy is consistent at once, and the same at the end."""

import contextlib
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import psutil

from core.errors import UserError
from core.runs import MetricsTail, RunDirectory, RunStore, State
from core.training.checkpoint import read_checkpoint
from tests.faults import tiny
from tests.faults.lab import NotPossibleHereError, fault, wait_for_exit
from tests.support.pulling import puller, remote_run


def _start_pulls(there: Path, here: Path) -> int:
    """Pull again and again in another process, and return its pid. What a pull says of a lost connection is ignored."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            pull = puller(there, here)
            while True:
                with contextlib.suppress(UserError):
                    pull.pull()
        except BaseException:
            traceback.print_exc()
            sys.stdout.flush()
        finally:
            os._exit(code)
    return pid


def _check_copies(here: Path, *, same_attempt: bool) -> None:
    """Check that each copy is readable, and that its data are at least as new as its status.

    The data may be of a later attempt than the status, and then have fewer epochs: those before its checkpoint.
    """
    for info in RunStore(here).scan().infos if here.exists() else []:
        run, epoch = info.directory, info.status.epoch
        if run.id == "old":
            continue
        tiny.check_files(run)
        if not same_attempt:
            continue
        tail = MetricsTail(run.metrics_file)
        tail.poll()
        assert len(tail.epochs) >= epoch, f"{len(tail.epochs)} epochs, and the status has {epoch}"
        assert len(run.sample_sheets()) >= epoch
        if epoch:
            assert read_checkpoint(run)[1].step > 0


def _pull_while_training(
    folder: Path, rng: random.Random, disturb: Callable[[int, Path], None], *, kill_worker: bool = False
) -> None:
    """Train a run while its folder is pulled, disturb the pulls, and compare the last copy with an undisturbed run."""
    if shutil.which("rsync") is None:
        raise NotPossibleHereError("rsync is not installed")
    run, here = tiny.new_run(folder / "there"), folder / "here"
    remote_run(run.path.parent, "old")
    worker, pulls, is_killed = tiny.start(run), _start_pulls(run.path.parent, here), kill_worker
    try:
        deadline = time.monotonic() + rng.uniform(0.2, 2.0) + tiny.duration()
        while time.monotonic() < deadline:
            time.sleep(rng.uniform(0, 0.3))
            if is_killed and rng.random() < 0.3:
                os.kill(worker, signal.SIGKILL)  # if it has just ended, it is still to be waited for
                wait_for_exit(worker, 60.0)
                is_killed = tiny.state(run) is not State.FINISHED
                if is_killed:
                    tiny.resume(run)
                    worker = tiny.start(run)
            disturb(pulls, here)
            _check_copies(here, same_attempt=not kill_worker)
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(pulls, os.WNOHANG)[0]:
                    pulls = _start_pulls(run.path.parent, here)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pulls, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        wait_for_exit(worker, 60.0)
    tiny.resume_and_compare(run)
    puller(run.path.parent, here).pull()
    copy = RunDirectory(here / run.id)
    assert tiny.state(copy) is State.FINISHED
    assert tiny.result(copy) == tiny.reference()
    assert copy.metrics_file.read_bytes() == run.metrics_file.read_bytes()


def _kill(pulls: int, here: Path) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pulls, signal.SIGKILL)


def _disconnect(pulls: int, here: Path) -> None:
    """Kill an rsync of the pulls, as the end of its connection does."""
    with contextlib.suppress(psutil.Error, IndexError):
        random.choice(psutil.Process(pulls).children(recursive=True)).kill()


@fault("core runs pull killed with kill -9 at random instants, its source being written", times=10)
def killed(folder: Path, rng: random.Random) -> None:
    _pull_while_training(folder, rng, _kill)


@fault("core runs pull: the connection ends at random instants, its source being written", times=10)
def disconnected(folder: Path, rng: random.Random) -> None:
    _pull_while_training(folder, rng, _disconnect)


@fault("core runs pull of a run whose worker is killed and resumed", times=10)
def resumed(folder: Path, rng: random.Random) -> None:
    _pull_while_training(folder, rng, lambda pulls, here: None, kill_worker=True)


@fault("core runs pull killed while the worker is killed and resumed too", times=10)
def all_killed(folder: Path, rng: random.Random) -> None:
    _pull_while_training(folder, rng, _kill, kill_worker=True)
