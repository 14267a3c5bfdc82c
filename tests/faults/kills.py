"""kill -9 at any instant: the run goes on from its last checkpoint and ends as if nothing had happened."""

import functools
import os
import random
import signal
import sys
import tempfile
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import core.imaging.sheet
import core.runs.metrics
import core.training.checkpoint
from core.runs import MetricsWriter, State
from tests.faults import tiny
from tests.faults.lab import fault, wait_for_exit

MOST_ATTEMPTS = 20


def _killed_at_random(folder: Path, rng: random.Random) -> None:
    """One kill at an instant spread evenly over the whole life of a worker; earlier or later if it missed."""
    for attempt in range(MOST_ATTEMPTS):
        run = tiny.new_run(folder / str(attempt))
        if tiny.kill_after(tiny.start(run), rng.uniform(0, tiny.duration())) == -signal.SIGKILL:
            tiny.resume_and_compare(run)
            return
    raise AssertionError(f"no worker was caught alive in {MOST_ATTEMPTS} attempts")


@fault("kill -9 at a random instant", times=130, short=1)
def killed(folder: Path, rng: random.Random) -> None:
    _killed_at_random(folder, rng)


@fault("kill -9 again and again", times=12, short=0, seconds=240)
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

    def __init__(self, where: dict[str, tuple[str, ...]], at: int) -> None:
        self.where, self.at, self.count = where, at, 0

    def __call__(self) -> None:
        sys.settrace(self._enter)

    def _enter(self, frame: FrameType, event: str, _: Any) -> Any:
        return self._line if self._wanted(frame.f_code) else None

    def _line(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            self.count += 1
            if self.count == self.at:
                os.kill(os.getpid(), signal.SIGKILL)
        return self._line

    def _wanted(self, code: CodeType) -> bool:
        return any(
            code.co_filename.endswith(file) and code.co_name in names for file, names in self.where.items()
        )


_PLACES = {
    "checkpoint": {
        "training/checkpoint.py": ("save_checkpoint", "_write_checkpoint", "_link_last"),
        "atomic/atomic.py": ("atomic_path", "fsync_path"),
        "safetensors/torch.py": ("save_file",),
    },
    "metrics line": {
        "runs/metrics.py": (
            "_append",
            "append_steps",
            "append_epoch",
            "truncate_to",
            "_open_append",
            "sync",
            "offset",
        )
    },
    "PNG": {
        "imaging/sheet.py": ("write_sheet",),
        "files/atomic.py": ("atomic_path",),
        "training/sample_sheets.py": ("_write_samples",),
    },
    "status": {
        "runs/directory.py": (
            "write_status",
            "claim",
            "_mark_starting",
            "_remove_leftovers",
            "clear_control",
            "lock",
        )
    },
}
"""Functions whose lines a worker is killed between, by the end of their file's name."""


@functools.cache
def _lines(kind: str) -> int:
    """How many lines an undisturbed worker goes through there; counted before the trials' forks, once."""
    counter = _KillAtLine(_PLACES[kind], -1)
    with tempfile.TemporaryDirectory(prefix="faults-calm-") as folder:
        told = Path(folder) / "lines"

        def sabotage() -> None:
            counter()
            tiny.at_exit(lambda: told.write_text(str(counter.count)))

        assert tiny.finish(tiny.new_run(Path(folder)), sabotage) == 0
        return int(told.read_text())


def _killed_inside(kind: str, folder: Path, rng: random.Random) -> None:
    run = tiny.new_run(folder)
    assert tiny.finish(run, _KillAtLine(_PLACES[kind], rng.randint(1, _lines(kind)))) == -signal.SIGKILL
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


@fault("kill -9 in half of a file", times=20, short=1)
def killed_in_half_a_file(folder: Path, rng: random.Random) -> None:
    """The bytes of a line, a picture or a checkpoint are written only in part."""
    run, kind, number = tiny.new_run(folder), rng.choice(["line", "picture", "checkpoint"]), rng.randint(1, 5)
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
        elif kind == "picture":
            real = core.imaging.sheet._replace
            core.imaging.sheet._replace = lambda path, data: (
                die(path.with_name(f".{path.name}.1.tmp").write_bytes, data),
                real(path, data),
            )[0]
        else:
            save = core.training.checkpoint.save_file

            def half(tensors: Any, path: Path, metadata: Any) -> None:
                save(tensors, path, metadata=metadata)
                die(path.write_bytes, path.read_bytes())

            core.training.checkpoint.save_file = half

    assert tiny.finish(run, sabotage) == -signal.SIGKILL
    tiny.resume_and_compare(run)


def _stopped_by(number: signal.Signals, folder: Path, rng: random.Random) -> None:
    run = tiny.new_run(folder)
    code = tiny.kill_after(tiny.start(run), rng.uniform(0, tiny.duration()), number)
    assert code == 0 or (code == -number and tiny.state(run) is State.QUEUED), code  # before it could listen
    assert tiny.state(run) in (State.STOPPED, State.FINISHED, State.QUEUED)
    tiny.resume_and_compare(run)


@fault("SIGTERM at a random instant", times=25, short=1)
def terminated(folder: Path, rng: random.Random) -> None:
    _stopped_by(signal.SIGTERM, folder, rng)


@fault("Ctrl-C at a random instant", times=15, short=0)
def interrupted(folder: Path, rng: random.Random) -> None:
    _stopped_by(signal.SIGINT, folder, rng)


@fault("asked to stop by a file, as from another host", times=10, short=0)
def asked_to_stop(folder: Path, rng: random.Random) -> None:
    run = tiny.new_run(folder)
    pid = tiny.start(run)
    tiny.wait_until(lambda: tiny.state(run) is not State.QUEUED, "the worker")
    run.request_stop()
    assert wait_for_exit(pid, 60.0) == 0
    tiny.resume_and_compare(run)
