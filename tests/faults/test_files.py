"""Guarantees of docs/reliability.md about files, states and messages that need no worker."""

import errno
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from core.config import RunConfig
from core.config.load import SIZE_LIMIT, read_toml
from core.errors import UserError
from core.files.atomic import atomic_path, atomic_write
from core.files.outputs import open_output
from core.imaging import read_sheet
from core.launch import control
from core.launch.devices import Device, Plan, Slot
from core.launch.jobs import start_evaluation, start_explanation, start_fitting, start_trajectories
from core.launch.queue import enqueue, ensure_runner
from core.launch.runner import Runner, _log_killed
from core.runs import MetricsTail, MetricsWriter, RunDirectory, RunStore, State, add_evaluation
from core.runs.overlay import Overlay, overlay_path, write_overlay
from core.runs.progress import Progress
from core.runs.trajectory import TrajectorySpec, write_trajectory_progress
from core.training.checkpoint import Position, read_checkpoint, save_checkpoint
from core.training.failures import failure_text
from tests.support.evaluated_runs import evaluation
from tests.support.fake_runs import LIVE_PROCESS, make_run


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return make_run(tmp_path / "runs", state=State.QUEUED, epoch=0, images=False)


# --- files


def test_a_deleted_run_does_not_come_back_as_a_single_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomic_write(tmp_path / "gone" / "status.json", "{}")
    assert not (tmp_path / "gone").exists()


def test_a_temporary_file_follows_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda _: "known")
    (tmp_path / "victim").write_text("mine")
    (tmp_path / f".status.json.{os.getpid()}-known.tmp").symlink_to("victim")
    with pytest.raises(FileExistsError), atomic_path(tmp_path / "status.json") as temporary:
        temporary.write_text("theirs")
    assert (tmp_path / "victim").read_text() == "mine"


def test_half_a_metrics_line_is_taken_back_when_its_write_fails(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path / "metrics.jsonl") as metrics:
        metrics.append_steps(1, 1, 0.1, [0.5])
        whole, real = metrics.offset, metrics._file

        class Full:
            def __getattr__(self, name: str) -> Any:
                return getattr(real, name)

            def write(self, data: bytes) -> int:
                if len(data) < 10:
                    raise OSError(errno.ENOSPC, "No space left on device")
                return real.write(data[:-5])

        metrics._file = Full()  # type: ignore[assignment]
        with pytest.raises(OSError, match="No space left"):
            metrics.append_steps(2, 1, 0.2, [0.25])
        metrics._file = real
        assert (tmp_path / "metrics.jsonl").stat().st_size == whole
        metrics.append_steps(2, 1, 0.2, [0.25])
    tail = MetricsTail(tmp_path / "metrics.jsonl")
    tail.poll()
    assert (tail.losses.tolist(), tail.damaged) == ([0.5, 0.25], 0)


def test_the_last_word_of_a_run_on_a_full_disk_takes_what_was_kept_aside(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    import core.runs.directory as module

    real = module.atomic_write

    def full(path: Path, data: bytes, *, fsync: bool = True) -> None:
        if (run.path / ".reserve").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, data, fsync=fsync)

    with run.claim(device="cpu", threads=1) as status:
        assert (run.path / ".reserve").stat().st_size == module.RESERVE_BYTES
        monkeypatch.setattr(module, "atomic_write", full)
        with pytest.raises(OSError, match="No space left"):
            run.write_status(status)
        run.write_status(msgspec.structs.replace(status, state=State.FAILED, error="full"))
    assert run.read_status().error == "full"
    assert not (run.path / ".reserve").exists()


@pytest.mark.parametrize(
    "name", ["samples", "reverse", "checkpoints", "metrics.jsonl", "worker.log", ".lock"]
)
def test_a_strangers_run_whose_files_lead_elsewhere_is_not_written(
    run: RunDirectory, tmp_path: Path, name: str
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir() if "." not in name and name != ".lock" else victim.write_text("mine")
    (run.path / name).unlink(missing_ok=True)
    (run.path / name).symlink_to(victim)
    with pytest.raises(UserError, match=r"is a link|cannot be locked"), run.claim(device="cpu", threads=1):
        pytest.fail("it was taken")
    assert victim.is_dir() or victim.read_text() == "mine"


DDIM = TrajectorySpec("ddim", 5)
OVERLAY = Overlay(images_hash="", edge="tent", corners=[], soft_iou=[])
POSITION = Position(epoch=1, batch=0, step=5, losses=[], elapsed=1.0, metrics_offset=9, channels=1, size=8)
PLAN = Plan((Device("cpu", "cpu", "", 1 << 34),), cores=1)
WRITERS: dict[str, tuple[str, Callable[[RunDirectory], object]]] = {
    "log of an evaluation": ("evaluation.log", lambda run: start_evaluation([run], PLAN)),
    "log of an explanation": ("evaluation.log", lambda run: start_explanation([run], PLAN)),
    "log of a sampling": ("trajectories/worker.log", lambda run: start_trajectories([run], DDIM, PLAN)),
    "folder of trajectories": ("trajectories/", lambda run: start_trajectories([run], DDIM, PLAN)),
    "progress of a trajectory": (
        "trajectories/",
        lambda run: write_trajectory_progress(run, DDIM, Progress(identity=LIVE_PROCESS, total=1)),
    ),
    "folder of fits": ("overlays/", lambda run: start_fitting([(run.path / "a.png", overlay_path(run, 1))])),
    "log of fits": (
        "overlays/worker.log",
        lambda run: start_fitting([(run.path / "a.png", overlay_path(run, 1))]),
    ),
    "fits": ("overlays/", lambda run: write_overlay(overlay_path(run, 1), OVERLAY)),
    "checkpoints": ("checkpoints/", lambda run: save_checkpoint(run, {}, POSITION)),
    "metrics": ("metrics.jsonl", lambda run: MetricsWriter(run.metrics_file)),
    "lock": (".lock", lambda run: control.stop(run)),
    "lock of evaluations": (".evaluation.lock", lambda run: add_evaluation(run, evaluation())),
    "log of the queue": ("../.queue.log", lambda run: ensure_runner(run.path.parent)),
    "lock of queueing": ("../.enqueue.lock", lambda run: enqueue(run.path.parent, [RunConfig()], group="g")),
}
"""Of each output of a run or of the queue: its path, where a slash ends a folder's, and what writes it."""


def plant(run: RunDirectory, name: str, make: Callable[[Path], None]) -> None:
    path = run.path / name
    path.parent.mkdir(exist_ok=True)
    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    make(path)


@pytest.mark.parametrize("name", WRITERS)
def test_an_output_that_is_a_link_is_not_written_through(
    run: RunDirectory, tmp_path: Path, name: str
) -> None:
    path, write = WRITERS[name]
    victim = tmp_path / "victim"
    victim.mkdir() if path.endswith("/") else victim.write_text("mine")
    plant(run, path, lambda path: path.symlink_to(victim))
    with pytest.raises((UserError, OSError), match="is a link"):
        write(run)
    assert list(victim.iterdir()) == [] if path.endswith("/") else victim.read_text() == "mine"


@pytest.mark.parametrize("name", [name for name, (path, _) in WRITERS.items() if not path.endswith("/")])
def test_an_output_that_is_a_pipe_is_not_waited_at(run: RunDirectory, name: str) -> None:
    path, write = WRITERS[name]
    plant(run, path, os.mkfifo)
    with pytest.raises((UserError, OSError), match=r"is a pipe|not a plain file"):
        write(run)


def test_a_checkpoint_that_is_a_pipe_is_not_waited_at(run: RunDirectory) -> None:
    plant(run, "checkpoints/last.safetensors", os.mkfifo)
    with pytest.raises(UserError, match="not a plain file"):
        read_checkpoint(run)


def test_the_log_of_the_queue_is_emptied_once_it_is_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.launch.queue._LOG_LIMIT", 10)
    monkeypatch.setattr("core.launch.queue.module_command", lambda *_: ["true"])
    log = tmp_path / ".queue.log"
    for text, left in (("x" * 10, 10), ("x" * 11, 0)):
        log.write_text(text)
        ensure_runner(tmp_path)
        assert log.stat().st_size == left


def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_at(run: RunDirectory, tmp_path: Path) -> None:
    for path in (run.metrics_file, run.log):
        path.unlink(missing_ok=True)
        os.mkfifo(path)
    assert MetricsTail(run.metrics_file).poll() is False
    with pytest.raises(OSError, match="is a pipe"):
        open_output(run.log, append=True)
    with pytest.raises(UserError, match="is a strange file"), run.claim(device="cpu", threads=1):
        pytest.fail("it was taken")
    os.mkfifo(tmp_path / "a.toml")
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(UserError, match="expected a file"):
        read_toml(tmp_path / "a.toml")
    with pytest.raises(UserError, match="expected a PNG"):
        read_sheet(tmp_path / "a.png")


def test_settings_of_many_megabytes_or_with_endless_numbers_are_refused_in_a_line(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("a = " + "9" * 5000)
    with pytest.raises(UserError, match="not valid TOML"):
        read_toml(file)
    with file.open("wb") as large:
        large.truncate(SIZE_LIMIT + 1)
    with pytest.raises(UserError, match="expected TOML of at most"):
        read_toml(file)


def test_removing_a_run_that_is_a_link_removes_the_link_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path / "elsewhere", images=False)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / run.id).symlink_to(run.path)
    control.remove(RunDirectory(tmp_path / "runs" / run.id))
    assert list((tmp_path / "runs").iterdir()) == []
    assert run.read().id == run.id


# --- states and words


def test_a_run_without_a_readable_status_is_listed_and_can_be_resumed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", images=False)
    run.status_file.write_bytes(b"")
    (problem,) = RunStore(run.path.parent).scan().problems
    assert "core runs resume makes a new one" in problem.text
    control.resume(run)
    status = run.read_status()
    assert (status.state, status.epochs) == (State.QUEUED, run.read().config.train.epochs)


def test_a_status_of_a_newer_version_is_not_overwritten_by_resume(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", images=False)
    text = run.status_file.read_text().replace('"format_version":1', '"format_version":2')
    run.status_file.write_text(text)
    with pytest.raises(UserError, match="upgrade"):
        control.resume(run)
    assert run.status_file.read_text() == text


def test_a_silent_worker_stays_running_with_a_warning_in_the_list(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run = make_run(tmp_path / "runs", state=State.RUNNING, epoch=1, images=False, now=1_000.0)
    info = RunStore(run.path.parent).info(run, now=1_200.0)
    assert (info.state, info.warning) == (State.RUNNING, "")
    info = RunStore(run.path.parent).info(run, now=1_400.0)
    assert info.state is State.RUNNING
    assert info.warning.startswith("no sign of life since 1970-01-01")
    assert f"if process {os.getpid()} hangs, kill it (kill -9), then resume" in info.warning


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:120] DefaultCPUAllocator: can't allocate memory"),
            "out of memory; lower",
        ),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB"),
            "out of memory; lower train.batch_size",
        ),
        (AssertionError("Torch not compiled with CUDA enabled"), "enabled: torch cannot compute on this GPU"),
        (RuntimeError("The NVIDIA driver on your system is too old (found 11040)."), "or use --device cpu"),
        (
            RuntimeError(
                "CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors"
            ),
            "on the device: torch cannot compute on this GPU; see core doctor, or use --device cpu",
        ),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"), "out of memory; lower"),
        (MemoryError(), "out of memory; lower"),
        (
            OSError(errno.ENOSPC, "No space left on device", "x"),
            "x: No space left on device: free some space, then resume",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "x"),
            "make the folder writable again, then resume",
        ),
        (OSError(errno.EROFS, "Read-only file system", "x"), "make the folder writable again"),
        (
            FileNotFoundError(errno.ENOENT, "No such file", "x"),
            "the run's folder was removed or moved while it trained",
        ),
        (OSError(errno.EIO, "Input/output error"), "Input/output error: fix that, then resume"),
        (ValueError("first\nsecond"), "ValueError: first"),
    ],
)
def test_each_failure_is_explained_in_one_line(error: Exception, words: str) -> None:
    assert words in failure_text(error)
    assert "\n" not in failure_text(error)


def test_a_worker_that_was_killed_leaves_word_of_it_in_its_log(run: RunDirectory) -> None:
    _log_killed(run, -9)
    _log_killed(run, -11)
    text = run.log.read_text()
    assert (
        "killed by SIGKILL; if nobody did that, the system ran out of memory; lower train.batch_size" in text
    )
    assert "killed by SIGSEGV\n" in text


def test_a_run_that_cannot_even_be_marked_as_failed_is_tried_again_ever_more_seldom(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    plan = Plan((Device("cpu", "cpu", "", 8 << 30),), cores=4)
    runner = Runner(run.path.parent, plan, lock=None)  # type: ignore[arg-type]  # not held: nothing is started
    monkeypatch.setattr(RunDirectory, "write_status", full)
    waits = []
    for _ in range(12):
        runner._back_off(run, "no worker could be started")
        waits.append(runner._backoffs[run.path].not_before - time.monotonic())
        assert not runner._may_start(run)
    assert waits[0] < 1.1
    assert 50 < waits[-1] <= 60
    monkeypatch.undo()
    runner._back_off(run, "no worker could be started")
    assert run.read_status().error == "no worker could be started"
    assert runner._may_start(run)


@pytest.mark.parametrize(
    ("before", "slot", "alone", "expected"),
    [
        (0, 2, True, 2),
        (1, 2, True, 1),
        (2, 1, True, 2),
        (2, 1, False, None),
        (8, 1, True, 1),
        (2, 2, False, 2),
    ],
)
def test_a_resumed_run_gets_as_many_threads_as_it_had(
    run: RunDirectory, before: int, slot: int, alone: bool, expected: int | None
) -> None:
    run.write_status(msgspec.structs.replace(run.read_status(), threads=before))
    plan = Plan((Device("cpu", "cpu", "", 8 << 30),), cores=4)
    runner = Runner(run.path.parent, plan, lock=None)  # type: ignore[arg-type]  # not held: nothing is started
    info = RunStore(run.path.parent).info(run)
    found = runner._with_previous_threads(info, Slot("cpu", slot, 0), alone=alone)
    assert (found and found.threads) == expected


def test_threads_are_remembered_from_a_cpu_and_not_from_a_gpu(tmp_path: Path) -> None:
    for device, expected in (("cpu", 2), ("cuda:0", 0)):
        run = make_run(
            tmp_path / device[:4], state=State.STOPPED, epoch=1, images=False, device=device, threads=2
        )
        control.resume(run)
        assert run.read_status().threads == expected
