"""Tiny training of half a second: workers as forks, and invariants of its folder."""

import atexit
import contextlib
import functools
import hashlib
import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch

import core.training.distributed
from core.config import (
    DataConfig,
    DiffusionConfig,
    ModelConfig,
    RunConfig,
    SampleConfig,
    ScheduleConfig,
    TrainConfig,
)
from core.data import load_dataset
from core.imaging import read_sheet
from core.launch import control
from core.runs import MetricsTail, RunDirectory, RunStore, State, Status, effective_state
from core.training import worker
from core.training.checkpoint import read_best_checkpoint, read_checkpoint
from core.training.checkpoint_writer import CheckpointWriter
from tests.faults.lab import wait_for_exit

Sabotage = Callable[[], None]
"""Called in a worker's process before its work begins."""
EPOCHS = 3
STEPS = 9
_SET = 'name = "tiny"\ncount = 24\nheldout = 8\nsize = 8\nstorage = "array"\n'


def config(**train: object) -> RunConfig:
    """Nine steps of eight images of 8 x 8, with all features that have a state: Muon, EMA, warm-up, augmentation."""
    settings = {
        "epochs": EPOCHS,
        "batch_size": 8,
        "optimizer": "muon",
        "ema_decay": 0.9,
        "warmup_steps": 2,
        "cooldown": 0.4,
        "augment": "dihedral",
        "stratified_timesteps": True,
        "checkpoint_seconds": 1e-6,
    } | train
    return RunConfig(
        recipe="tiny",
        data=DataConfig(dataset="tiny", count=24, heldout=8),
        schedule=ScheduleConfig(timesteps=10),
        diffusion=DiffusionConfig(prediction_type="v_prediction"),
        model=ModelConfig(preset="lean", width=16),
        train=TrainConfig(**settings),  # type: ignore[arg-type]
        sample=SampleConfig(
            count=3, sampler="ddim", steps=2, reverse_every=1, reverse_count=2, reverse_states=2
        ),
    )


def prepare() -> None:
    """Prepare once, before any fork: one thread, the images on disk, and a checkpoint after each step."""
    torch.set_num_threads(1)
    core.training.distributed.FLUSH_SECONDS = 0.0
    _checkpoint_each_step()
    data = Path(tempfile.mkdtemp(prefix="faults-data-"))
    data.chmod(0o755)
    atexit.register(shutil.rmtree, data, ignore_errors=True)
    (data / "tiny.toml").write_text(_SET)
    os.environ["DDPM_DATA"] = str(data)
    load_dataset("tiny", data_dir=data, workers=1)
    _import_worker_modules()
    reference()


def _checkpoint_each_step() -> None:
    """Let training wait for one write before the next, where checkpoints are due at once; otherwise some are left out.

    Each is still written while the next step is computed.
    """
    for name in ("is_due", "is_due_at_epoch_end"):

        def is_due(writer: CheckpointWriter, real: Callable[[CheckpointWriter], bool]) -> bool:
            if writer._interval == config().train.checkpoint_seconds:
                writer.wait()
                return True
            return real(writer)

        setattr(CheckpointWriter, name, functools.partialmethod(is_due, getattr(CheckpointWriter, name)))


def _import_worker_modules() -> None:
    """Import modules that a worker imports lazily, so that not each fork has to; torch has many."""
    before = set(sys.modules)
    with tempfile.TemporaryDirectory(prefix="faults-imports-") as folder:
        run, names = new_run(Path(folder)), Path(folder) / "names"

        def tell() -> None:
            at_exit(lambda: names.write_text("\n".join(set(sys.modules) - before)))

        assert finish(run, tell) == 0, run.log.read_text()
        wanted = sorted(names.read_text().split())
    for name in wanted:
        with contextlib.suppress(Exception):  # some are created dynamically, and cannot be imported by name
            importlib.import_module(name)


_AT_EXIT: list[Callable[[], object]] = []


def at_exit(call: Callable[[], object]) -> None:
    """Call a function at the end of the worker in this process, because `os._exit` skips `atexit`."""
    _AT_EXIT.append(call)


def new_run(root: Path, configuration: RunConfig | None = None) -> RunDirectory:
    """A queued run."""
    return RunDirectory.create(root / "runs", configuration or config(), group="g")


def start(run: RunDirectory, sabotage: Sabotage = lambda: None) -> int:
    """Start a worker and return its pid."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        log = os.open(run.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sabotage()
        code = worker.main([str(run.path), "--device", "cpu", "--threads", "1"])
        for call in _AT_EXIT:
            call()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def finish(run: RunDirectory, sabotage: Sabotage = lambda: None) -> int:
    """Run a worker to its end, and return its exit code."""
    code = wait_for_exit(start(run, sabotage), 60.0)
    assert code is not None, "the worker hangs"
    return code


def state(run: RunDirectory) -> State:
    return effective_state(run.read_status(), now=time.time())


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.002)


def kill_after(pid: int, seconds: float, number: signal.Signals = signal.SIGKILL) -> int:
    """Send a signal after a while, and return the exit code of the worker (negative: a signal); it may end before."""
    time.sleep(seconds)
    os.kill(pid, number)  # at worst a zombie of ours, which ignores it
    code = wait_for_exit(pid, 60.0)
    assert code is not None, "the worker hangs"
    return code


@dataclass(frozen=True)
class Result:
    """All results of a training without times: weights, optimizer, metrics, images."""

    tensors: str
    position: tuple[int, int, int]
    losses: tuple[float, ...]
    epochs: tuple[tuple[float, ...], ...]
    images: dict[str, str]


def result(run: RunDirectory) -> Result:
    """The result of a run, all files of which must be complete."""
    check_files(run)
    tensors, position = read_checkpoint(run)
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    tail = MetricsTail(run.metrics_file)
    tail.poll()
    assert tail.steps.tolist() == list(range(1, len(tail.steps) + 1)), "a step is missing or doubled"
    assert [record.epoch for record in tail.epochs] == list(range(1, len(tail.epochs) + 1))
    return Result(
        digest.hexdigest(),
        (position.epoch, position.batch, position.step),
        tuple(tail.losses.tolist()),
        tuple((r.step, r.mean, r.min, r.max, r.heldout, r.learning_rate) for r in tail.epochs),
        {
            path.relative_to(run.path).as_posix(): hashlib.sha256(
                read_sheet(path).images.tobytes()
            ).hexdigest()
            for _, path in run.sample_sheets() + run.reverse_strips()
        },
    )


def check_files(run: RunDirectory) -> None:
    """Check that every file is complete or absent; a torn last line of the metrics does not count."""
    run.read()
    run.read_status()
    tail = MetricsTail(run.metrics_file)
    tail.poll()
    assert tail.damaged == 0, "a damaged line in the middle of the metrics"
    for _, path in run.sample_sheets() + run.reverse_strips():
        read_sheet(path)
    if run.checkpoint.exists():
        read_checkpoint(run)
    if run.best_checkpoint.exists():
        assert read_best_checkpoint(run)[1].step <= read_checkpoint(run)[1].step
    names = {path.name for path in run.path.iterdir() if not path.name.startswith(".")}
    known = {
        "run.toml",
        "status.json",
        "metrics.jsonl",
        "samples",
        "reverse",
        "checkpoints",
        "worker.log",
        "control",
        "copy.json",  # of a copy
    }
    assert names <= known, f"unknown files: {names - known}"


@functools.cache
def _undisturbed() -> tuple[Result, float]:
    with tempfile.TemporaryDirectory(prefix="faults-undisturbed-") as folder:
        run = new_run(Path(folder))
        began = time.monotonic()
        assert finish(run) == 0, run.log.read_text()
        seconds = time.monotonic() - began
        made = result(run)
    assert made.position == (EPOCHS, 0, STEPS)
    assert len(made.images) == 2 * EPOCHS + 1
    return made, seconds


def reference() -> Result:
    """The result of the undisturbed training."""
    return _undisturbed()[0]


def duration() -> float:
    """The seconds that the undisturbed training took."""
    return _undisturbed()[1]


def resume(run: RunDirectory) -> None:
    """Put the run back into the queue, as a user does, unless no worker had claimed it yet."""
    if state(run) is not State.QUEUED:
        control.resume(run)


def resume_and_compare(run: RunDirectory) -> None:
    """Resume a broken run to its end: the result must be the undisturbed one, without leftover files."""
    check_files(run)
    if state(run) is not State.FINISHED:
        resume(run)
        assert finish(run) == 0, run.log.read_text()
    assert_undisturbed(run)


def assert_undisturbed(run: RunDirectory) -> None:
    assert state(run) is State.FINISHED
    found, expected = result(run), reference()
    for field in ("position", "losses", "epochs", "tensors", "images"):
        assert getattr(found, field) == getattr(expected, field), f"another {field} than the undisturbed run"
    locks = (".lock", ".evaluation.lock")  # and leases, which have a number
    leftovers = [path.name for path in run.path.rglob(".*") if not path.name.startswith(locks)]
    assert not leftovers, f"left behind: {leftovers}"


def change_status(run: RunDirectory, **changes: object) -> Status:
    """Write the status with some changes."""
    status = msgspec.structs.replace(run.read_status(), **changes)
    run.write_status(status)
    return status


def listing(run: RunDirectory) -> str:
    """The run as its folder lists it: its state, or the problem that prevents reading it."""
    scan = RunStore(run.path.parent).scan()
    for problem in scan.problems:
        if problem.directory == run:
            return problem.text
    return next(info.state.value for info in scan.infos if info.directory == run)
