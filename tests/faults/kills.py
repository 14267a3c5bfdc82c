"""kill -9 at any instant: the run continues from its last checkpoint and ends with the same result."""

import functools
import inspect
import os
import random
import signal
import sys
import tempfile
import threading
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import safetensors.torch

import core.imaging.sheet
import core.runs.metrics
from core.files import atomic
from core.runs import MetricsWriter, RunDirectory, State
from core.training import checkpoint, sample_sheets
from core.training.checkpoint_writer import CheckpointWriter
from tests.faults import tiny
from tests.faults.lab import fault, wait_for_exit

MAX_ATTEMPTS = 20


def _killed_at_random(folder: Path, rng: random.Random) -> None:
    """Kill a worker once at an instant uniformly distributed over its lifetime; retry if it had ended."""
    for attempt in range(MAX_ATTEMPTS):
        run = tiny.new_run(folder / str(attempt))
        if tiny.kill_after(tiny.start(run), rng.uniform(0, tiny.duration())) == -signal.SIGKILL:
            tiny.resume_and_compare(run)
            return
    raise AssertionError(f"no worker was caught alive in {MAX_ATTEMPTS} attempts")


@fault("kill -9 at a random instant", times=130, short=1)
def killed(folder: Path, rng: random.Random) -> None:
    _killed_at_random(folder, rng)


@fault("kill -9 between two checkpoints", times=40, short=1)
def killed_between_checkpoints(folder: Path, rng: random.Random) -> None:
    """The run goes back by epochs, whose metrics and samples are made once more."""
    for attempt in range(MAX_ATTEMPTS):
        seconds = rng.choice([0.02, 0.1, 1e6])
        run = tiny.new_run(folder / str(attempt), tiny.config(checkpoint_seconds=seconds))
        if tiny.kill_after(tiny.start(run), rng.uniform(0, tiny.duration())) == -signal.SIGKILL:
            tiny.resume_and_compare(run)
            return
    raise AssertionError(f"no worker was caught alive in {MAX_ATTEMPTS} attempts")


@fault("kill -9 repeatedly", times=12, short=0, seconds=240)
def killed_often(folder: Path, rng: random.Random) -> None:
    run = tiny.new_run(folder)
    for _ in range(6):
        tiny.check_files(run)
        if tiny.state(run) is State.FINISHED:
            break
        tiny.resume(run)
        tiny.kill_after(tiny.start(run), rng.uniform(0, tiny.duration()))
    tiny.resume_and_compare(run)


class _KillAtLine:
    """Ends the process, as kill -9 does, before the n-th line of some functions; a negative n only counts."""

    def __init__(self, codes: frozenset[CodeType], at: int) -> None:
        self.codes, self.at, self.count = codes, at, 0
        self._lock = threading.Lock()

    def __call__(self) -> None:
        sys.settrace(self._enter)
        threading.settrace(self._enter)  # checkpoints are written in a thread

    def _enter(self, frame: FrameType, event: str, _: Any) -> Any:
        return self._line if frame.f_code in self.codes else None

    def _line(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            with self._lock:
                self.count += 1
                if self.count == self.at:
                    os.kill(os.getpid(), signal.SIGKILL)
        return self._line


def _codes(*functions: Any) -> frozenset[CodeType]:
    """The code objects of functions, without decorators; of a property those of its getter."""
    plain = [function.fget if isinstance(function, property) else function for function in functions]
    return frozenset(inspect.unwrap(function).__code__ for function in plain)


_KILLED_INSIDE = {
    "checkpoint": _codes(
        CheckpointWriter.write,
        checkpoint.save_checkpoint,
        checkpoint._write_checkpoint,
        checkpoint._link_last,
        atomic.atomic_path,
        atomic.fsync_path,
        safetensors.torch.save_file,
    ),
    "metrics line": _codes(
        MetricsWriter._append,
        MetricsWriter.append_steps,
        MetricsWriter.append_epoch,
        MetricsWriter.truncate_to,
        MetricsWriter.sync,
        MetricsWriter.offset,
        core.runs.metrics._open_append,
    ),
    "PNG": _codes(core.imaging.sheet.write_sheet, atomic.atomic_path, sample_sheets._write_sample_sheet),
    "status": _codes(
        RunDirectory.write_status,
        RunDirectory.claim,
        RunDirectory._mark_starting,
        RunDirectory._remove_leftovers,
        RunDirectory.clear_control,
        RunDirectory.lock,
    ),
}
"""Functions between whose lines a worker is killed."""


@functools.cache
def _lines(kind: str) -> int:
    """The number of lines of these functions that an undisturbed worker executes, counted once before the forks."""
    counter = _KillAtLine(_KILLED_INSIDE[kind], -1)
    with tempfile.TemporaryDirectory(prefix="faults-undisturbed-") as folder:
        output = Path(folder) / "lines"

        def sabotage() -> None:
            counter()
            tiny.at_exit(lambda: output.write_text(str(counter.count)))

        assert tiny.finish(tiny.new_run(Path(folder)), sabotage) == 0
        return int(output.read_text())


def _killed_inside(kind: str, folder: Path, rng: random.Random) -> None:
    run = tiny.new_run(folder)
    sabotage = _KillAtLine(_KILLED_INSIDE[kind], rng.randint(1, _lines(kind)))
    assert tiny.finish(run, sabotage) == -signal.SIGKILL
    tiny.resume_and_compare(run)


for _kind, _times, _short in (
    ("checkpoint", 50, 1),
    ("metrics line", 30, 1),
    ("PNG", 30, 1),
    ("status", 30, 0),
):
    fault(
        f"kill -9 inside the write of a {_kind}",
        times=_times,
        short=_short,
        prepare=functools.partial(_lines, _kind),
    )(functools.partial(_killed_inside, _kind))


@fault("kill -9 after part of a file was written", times=20, short=1)
def killed_in_half_a_file(folder: Path, rng: random.Random) -> None:
    """The bytes of a line, an image or a checkpoint are written only in part."""
    run, kind, number = tiny.new_run(folder), rng.choice(["line", "image", "checkpoint"]), rng.randint(1, 5)
    share = rng.random()
    left = [number]

    def die(write: Any, data: bytes) -> None:
        left[0] -= 1
        if left[0] == 0:
            write(data[: int(len(data) * share)])
            os.kill(os.getpid(), signal.SIGKILL)
        write(data)

    def sabotage() -> None:
        if kind == "line":
            MetricsWriter._append = lambda self, line: die(  # type: ignore[method-assign]
                self._file.write, core.runs.metrics._encode(line) + b"\n"
            )
        elif kind == "image":
            real = core.imaging.sheet.atomic_write
            core.imaging.sheet.atomic_write = lambda path, data: (
                die(path.with_name(f".{path.name}.1.tmp").write_bytes, data),
                real(path, data),
            )[0]
        else:
            save = checkpoint.save_file

            def half(tensors: Any, path: Path, metadata: Any) -> None:
                save(tensors, path, metadata=metadata)
                die(path.write_bytes, path.read_bytes())

            checkpoint.save_file = half

    assert tiny.finish(run, sabotage) == -signal.SIGKILL
    tiny.resume_and_compare(run)


def _stopped_by(number: signal.Signals, folder: Path, rng: random.Random) -> None:
    run = tiny.new_run(folder)
    code = tiny.kill_after(tiny.start(run), rng.uniform(0, tiny.duration()), number)
    assert code == 0 or (code == -number and tiny.state(run) is State.QUEUED), (
        code
    )  # before its handler was set
    assert tiny.state(run) in (State.STOPPED, State.FINISHED, State.QUEUED)
    tiny.resume_and_compare(run)


@fault("SIGTERM at a random instant", times=25, short=1)
def terminated(folder: Path, rng: random.Random) -> None:
    _stopped_by(signal.SIGTERM, folder, rng)


@fault("Ctrl-C at a random instant", times=15, short=0)
def interrupted(folder: Path, rng: random.Random) -> None:
    _stopped_by(signal.SIGINT, folder, rng)


@fault("stop requested by a file, as from another host", times=10, short=0)
def asked_to_stop(folder: Path, rng: random.Random) -> None:
    run = tiny.new_run(folder)
    pid = tiny.start(run)
    tiny.wait_until(lambda: tiny.state(run) is not State.QUEUED, "the worker")
    run.request_stop()
    assert wait_for_exit(pid, 60.0) == 0
    tiny.resume_and_compare(run)
