"""Faults of a run in two processes, on a CPU over gloo: disturbed in one, it ends like a single-process run."""

import functools
import os
import random
import signal
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import torch
from torch.testing import assert_close

from core.errors import UserError
from core.runs import MetricsTail, RunDirectory, State
from core.training.checkpoint import read_checkpoint
from tests.faults import tiny
from tests.faults.lab import fault, wait_for_exit
from tests.faults.processes import at_step

IMAGES = 23
"""Three batches per epoch, of 8, 8 and 7, so that shares of the last are unequal."""

Made = tuple[dict[str, torch.Tensor], list[float], list[tuple[float, ...]]]


def _new_run(folder: Path) -> RunDirectory:
    config = tiny.config()
    data = msgspec.structs.replace(config.data, count=IMAGES)
    return tiny.new_run(folder, msgspec.structs.replace(config, data=data))


def _start(run: RunDirectory, *sabotages: tiny.Sabotage) -> list[int]:
    """Start two processes that train a run, as torchrun would, and return their pids."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    def join(rank: int) -> tiny.Sabotage:
        def sabotage() -> None:
            os.environ |= {"WORLD_SIZE": "2", "RANK": str(rank), "MASTER_ADDR": "127.0.0.1"}
            os.environ |= {"LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "MASTER_PORT": str(port)}
            if rank < len(sabotages):
                sabotages[rank]()

        return sabotage

    return [tiny.start(run, join(rank)) for rank in range(2)]


def _end(run: RunDirectory, pids: list[int]) -> list[int | None]:
    """The exit codes of all processes; all must end even if one fails."""
    codes = [wait_for_exit(pid, 60.0) for pid in pids]
    assert None not in codes, f"a process is left: {codes}\n{run.log.read_text()}"
    return codes


def _disturbed(rank: int, number: int, act: Callable[[], None]) -> list[tiny.Sabotage]:
    """Sabotages that call `act` before a step of one of the processes."""
    return [at_step(number, act) if one == rank else lambda: None for one in range(2)]


def _results(run: RunDirectory) -> Made:
    tail = MetricsTail(run.metrics_file)
    tail.poll()
    epochs = [(e.epoch, e.step, e.mean, e.min, e.max, e.heldout, e.learning_rate) for e in tail.epochs]
    return read_checkpoint(run)[0], tail.losses.tolist(), epochs


@functools.cache
def _single_process() -> Made:
    """The results of the same run in one process."""
    with tempfile.TemporaryDirectory(prefix="faults-single-") as folder:
        run = _new_run(Path(folder))
        assert tiny.finish(run) == 0, run.log.read_text()
        return _results(run)


def _resume_and_compare(run: RunDirectory, processes: int) -> None:
    tiny.check_files(run)
    tiny.resume(run)
    codes = [tiny.finish(run)] if processes == 1 else _end(run, _start(run))
    assert set(codes) == {0}, run.log.read_text()
    _assert_like_single_process(run)


def _assert_like_single_process(run: RunDirectory) -> None:
    """Compare weights, EMA, optimizers, losses and held-out losses, up to the order of summation.

    The effect of that order depends on the CPU; a step moves a weight by some 1e-4.
    """
    assert tiny.state(run) is State.FINISHED
    assert_close(_results(run), _single_process(), rtol=2e-4, atol=1e-5)
    tiny.check_files(run)


@fault("two processes, undisturbed", times=5, prepare=_single_process)
def undisturbed(folder: Path, rng: random.Random) -> None:
    run = _new_run(folder)
    assert _end(run, _start(run)) == [0, 0], run.log.read_text()
    status = run.read_status()
    assert (status.device, status.threads, status.attempt) == ("cpu+cpu", 2, 1)
    assert len(run.sample_sheets()) == tiny.EPOCHS + 1
    _assert_like_single_process(run)


@fault("two processes, one receives SIGTERM", times=12, prepare=_single_process)
def stopped(folder: Path, rng: random.Random) -> None:
    run, number = _new_run(folder), rng.randint(1, tiny.STEPS - 1)
    pids = _start(run, *_disturbed(rng.randint(0, 1), number, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    assert _end(run, pids) == [0, 0], run.log.read_text()
    assert tiny.state(run) is State.STOPPED
    assert read_checkpoint(run)[1].step == number
    _resume_and_compare(run, rng.randint(1, 2))


@fault("two processes, torchrun killed", times=6, prepare=_single_process)
def launcher_killed(folder: Path, rng: random.Random) -> None:
    """Both stop with a checkpoint, because without torchrun a failure of one would leave the other running."""
    run, number = _new_run(folder), rng.randint(1, tiny.STEPS - 1)

    def kill() -> None:
        launcher = os.getppid()
        os.kill(launcher, signal.SIGKILL)
        tiny.wait_until(lambda: os.getppid() != launcher, "its end")

    launcher = os.fork()
    if launcher == 0:
        _start(run, *_disturbed(rng.randint(0, 1), number, kill))
        while True:
            signal.pause()
    assert wait_for_exit(launcher, 60.0) == -signal.SIGKILL
    tiny.wait_until(lambda: tiny.state(run).is_ended, "the end of the run")
    with run.lock(wait=60.0):
        assert tiny.state(run) is State.STOPPED
        assert read_checkpoint(run)[1].step == number
    _resume_and_compare(run, rng.randint(1, 2))


@fault("two processes, one killed", times=20, prepare=_single_process)
def killed(folder: Path, rng: random.Random) -> None:
    run, rank = _new_run(folder), rng.randint(0, 1)
    sabotages = _disturbed(rank, rng.randint(1, tiny.STEPS), lambda: os.kill(os.getpid(), signal.SIGKILL))
    codes = _end(run, _start(run, *sabotages))
    assert sorted(codes) == [-signal.SIGKILL, 3], run.log.read_text()  # type: ignore[type-var]
    if rank == 0:
        assert tiny.state(run) is State.CRASHED
    else:
        assert tiny.state(run) is State.FAILED
        assert run.read_status().error.startswith("one of its 2 processes was killed or crashed")
    _resume_and_compare(run, rng.randint(1, 2))


@fault("two processes, one fails", times=12, prepare=_single_process)
def fails(folder: Path, rng: random.Random) -> None:
    run, rank = _new_run(folder), rng.randint(0, 1)

    def fail() -> None:
        raise UserError("the cat sat on it")

    codes = _end(run, _start(run, *_disturbed(rank, rng.randint(1, tiny.STEPS), fail)))
    assert codes == [3, 3], run.log.read_text()
    assert tiny.state(run) is State.FAILED
    words = "process 1 of 2: the cat sat on it" if rank else "the cat sat on it"
    assert run.read_status().error == words
    _resume_and_compare(run, rng.randint(1, 2))
