"""Single promises of docs/reliability.md that need no worker: each a fault, and the words or the state that follow."""

import ast
import errno
import os
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from fakes import make_run
from PIL import Image

from core.cli.main import run as core_run
from core.config import DataConfig, RunConfig, apply_overrides, decode
from core.config.load import SIZE_LIMIT, read_toml
from core.data.folder import MAX_PIXELS, NotAPictureError, load_picture, picture_files
from core.errors import UserError
from core.imaging import read_sheet, write_sheet
from core.launch import control
from core.launch.devices import Device, Plan, Slot
from core.launch.runner import Runner, _note_death, _open_log
from core.runs import (
    MetricsTail,
    MetricsWriter,
    RunDirectory,
    RunStore,
    State,
    Status,
    atomic_path,
    atomic_write,
)
from core.training.checkpoint import Position, load_model, read_checkpoint, save_checkpoint, take_checkpoint
from core.training.worker import explain

ROOT = Path(__file__).resolve().parents[1]
POSITION = Position(epoch=1, batch=0, step=5, losses=[], elapsed=1.0, metrics_offset=9, channels=1, size=8)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return make_run(tmp_path / "runs", state=State.QUEUED, done=0, pictures=False)


def save(run: RunDirectory, step: int) -> None:
    position = msgspec.structs.replace(POSITION, step=step)
    save_checkpoint(run, {"model.a": torch.full((100,), float(step)), "rng": torch.zeros(3)}, position)


# --- checkpoints


def test_the_checkpoint_before_the_last_is_kept(run: RunDirectory) -> None:
    save(run, 1)
    assert not run.previous_checkpoint.exists()
    save(run, 2)
    save(run, 3)
    assert read_checkpoint(run)[1].step == 3
    run.checkpoint.unlink()
    assert read_checkpoint(run)[1].step == 2
    assert sorted(path.name for path in run.checkpoint.parent.iterdir()) == ["previous.safetensors"]


def test_a_flipped_bit_anywhere_in_a_checkpoint_is_noticed_and_the_one_before_taken(
    run: RunDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    save(run, 1)
    save(run, 2)
    data = run.checkpoint.read_bytes()
    for place in range(8, len(data), 7):
        run.checkpoint.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        caplog.clear()
        tensors, position = read_checkpoint(run)
        assert (position.step, tensors["model.a"][0]) in ((1, 1.0), (2, 2.0))
        if position.step == 1:
            assert "taking the previous checkpoint, of step 1" in caplog.text


@pytest.mark.parametrize("at", ["link", "replace", "second replace"])
def test_last_and_previous_are_two_whole_files_wherever_a_save_is_cut_short(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """Were they one file, a rename of one over the other would do nothing, and damage to one be damage to both."""
    save(run, 1)
    save(run, 2)
    real, left = os.replace, [2 if at == "second replace" else 1]

    def die(*_: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        real(*_)

    monkeypatch.setattr(os, at.split()[-1], die)
    with pytest.raises(KeyboardInterrupt):
        save(run, 3)
    monkeypatch.undo()
    assert read_checkpoint(run)[1].step == (3 if at == "second replace" else 2)
    assert not run.checkpoint.samefile(run.previous_checkpoint)
    run.checkpoint.write_bytes(b"rubbish")
    assert read_checkpoint(run)[1].step == 1


def test_who_goes_on_from_the_previous_checkpoint_makes_it_the_last_so_that_it_is_not_lost(
    run: RunDirectory,
) -> None:
    save(run, 1)
    save(run, 2)
    run.checkpoint.write_bytes(b"rubbish")
    assert take_checkpoint(run)[1].step == 1
    save(run, 2)
    run.checkpoint.unlink()
    assert read_checkpoint(run)[1].step == 1


def test_two_damaged_checkpoints_are_an_error_that_says_how_to_begin_again(run: RunDirectory) -> None:
    save(run, 1)
    save(run, 2)
    run.checkpoint.write_bytes(b"rubbish")
    run.previous_checkpoint.write_bytes(b"rubbish")
    with pytest.raises(UserError, match=r"move .*checkpoints away to train from the beginning"):
        read_checkpoint(run)


def test_a_checkpoint_of_a_newer_version_asks_for_an_upgrade_and_nothing_older_is_taken(
    run: RunDirectory,
) -> None:
    save(run, 1)
    tensors = {"rng": torch.zeros(3)}
    save_checkpoint(run, tensors, msgspec.structs.replace(POSITION, format_version=2))
    with pytest.raises(UserError, match=r"made by a newer ddpm-tui \(format 2, this one reads 1\): upgrade"):
        read_checkpoint(run)


def test_a_checkpoint_may_be_read_by_whom_the_umask_lets(run: RunDirectory) -> None:
    before = os.umask(0o022)
    try:
        save(run, 1)
    finally:
        os.umask(before)
    assert run.checkpoint.stat().st_mode & 0o777 == 0o644


def test_a_full_disk_takes_the_previous_checkpoint_before_the_training(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(run, 1)
    save(run, 2)
    import core.training.checkpoint as module

    real, calls = module.save_file, []

    def full_once(*arguments: Any, **options: Any) -> None:
        calls.append(run.previous_checkpoint.exists())
        if len(calls) == 1:
            raise module.SafetensorError("I/O error: No space left on device (os error 28)")
        real(*arguments, **options)

    monkeypatch.setattr(module, "save_file", full_once)
    save(run, 3)
    assert calls == [True, False]
    assert read_checkpoint(run)[1].step == 3


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
        metrics.steps(1, 1, 0.1, [0.5])
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
            metrics.steps(2, 1, 0.2, [0.25])
        metrics._file = real
        assert (tmp_path / "metrics.jsonl").stat().st_size == whole
        metrics.steps(2, 1, 0.2, [0.25])
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
        assert (run.path / ".reserve").stat().st_size == module.RESERVE
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


def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_at(run: RunDirectory, tmp_path: Path) -> None:
    for path in (run.metrics_file, run.log):
        path.unlink(missing_ok=True)
        os.mkfifo(path)
    assert MetricsTail(run.metrics_file).poll() is False
    with pytest.raises(OSError, match="No such device"):
        _open_log(run)
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
    run = make_run(tmp_path / "elsewhere", pictures=False)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / run.id).symlink_to(run.path)
    control.remove(RunDirectory(tmp_path / "runs" / run.id))
    assert list((tmp_path / "runs").iterdir()) == []
    assert run.read().id == run.id


# --- states and words


def test_a_run_without_a_readable_status_is_listed_and_can_be_resumed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", pictures=False)
    run.status_file.write_bytes(b"")
    (problem,) = RunStore(run.path.parent).scan().problems
    assert "core runs resume makes a new one" in problem.text
    control.resume(run)
    status = run.read_status()
    assert (status.state, status.epochs) == (State.QUEUED, run.read().config.train.epochs)


def test_a_status_of_a_newer_version_is_not_overwritten_by_resume(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", pictures=False)
    text = run.status_file.read_text().replace('"format_version":1', '"format_version":2')
    run.status_file.write_text(text)
    with pytest.raises(UserError, match="upgrade"):
        control.resume(run)
    assert run.status_file.read_text() == text


def test_a_silent_worker_stays_running_with_a_warning_in_the_list(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run = make_run(tmp_path / "runs", state=State.RUNNING, done=1, pictures=False, now=1_000.0)
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
        (OSError(errno.EIO, "Input/output error"), "Input/output error: mend that, then resume"),
        (ValueError("first\nsecond"), "ValueError: first"),
    ],
)
def test_each_failure_is_explained_in_one_line(error: Exception, words: str) -> None:
    assert words in explain(error)
    assert "\n" not in explain(error)


def test_a_worker_that_was_killed_leaves_word_of_it_in_its_log(run: RunDirectory) -> None:
    _note_death(run, -9)
    _note_death(run, -11)
    text = run.log.read_text()
    assert (
        "killed by SIGKILL; if nobody did that, the system ran out of memory: lower train.batch_size" in text
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
        runner._strike(run, "no worker could be started")
        waits.append(runner._strikes[run.path].not_before - time.monotonic())
        assert not runner._may_start(run)
    assert waits[0] < 1.1
    assert 50 < waits[-1] <= 60
    monkeypatch.undo()
    runner._strike(run, "no worker could be started")
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
    found = runner._with_threads_of_before(info, Slot("cpu", slot, 0), alone=alone)
    assert (found and found.threads) == expected


def test_threads_are_remembered_from_a_cpu_and_not_from_a_gpu(tmp_path: Path) -> None:
    for device, expected in (("cpu", 2), ("cuda:0", 0)):
        run = make_run(
            tmp_path / device[:4], state=State.STOPPED, done=1, pictures=False, device=device, threads=2
        )
        control.resume(run)
        assert run.read_status().threads == expected


# --- pictures


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("width", "height"), [(10_000, 10_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, width: int, height: int
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(width, height))
    with pytest.raises(UserError, match="pixels"):
        read_sheet(path)
    with pytest.raises(NotAPictureError, match="too large"):
        load_picture(path, 8)


def test_a_second_header_does_not_smuggle_a_bomb_past_the_first(tmp_path: Path) -> None:
    small, large = bomb(4, 4), bomb(12_000, 12_000)
    path = tmp_path / "bomb.png"
    path.write_bytes(small[:33] + large[8:])  # signature and small header, then all of the large one
    with pytest.raises(UserError, match="more pixels than a sheet may have"):
        read_sheet(path)
    with pytest.raises(NotAPictureError):
        load_picture(path, 8)
    assert MAX_PIXELS < 12_000**2


def test_links_in_circles_in_a_folder_of_pictures_are_passed_over(tmp_path: Path) -> None:
    place = tmp_path / "pictures"
    place.mkdir()
    (place / "loop").symlink_to("loop")
    (place / "round").symlink_to(place)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(place / "a.png")
    assert [name for name, _, _ in picture_files(place, leave_out=tmp_path / "data")] == ["a.png"]


def test_a_sheet_is_on_the_disk_before_it_takes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append("fsync"), sync(handle))[1])
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("replace"), replace(*paths))[1])
    write_sheet(tmp_path / "a.png", np.zeros((1, 4, 4), np.uint8), columns=1)
    assert done == ["fsync", "replace"]


# --- nobody let in


def calls(tree: ast.AST) -> list[tuple[str, ast.Call]]:
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("core/**/*.py"), *ROOT.glob("tui/**/*.py")]), ids=lambda p: p.stem
)
def test_nothing_unpickles_evaluates_or_runs_a_shell_on_what_it_read(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        name
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not imported & {
        "pickle",
        "cPickle",
        "dill",
        "cloudpickle",
        "joblib",
        "shelve",
        "marshal",
        "tempfile",
    }
    for name, call in calls(tree):
        assert name not in (
            "eval",
            "exec",
            "os.system",
            "torch.load",
            "yaml.load",
            "pickle.load",
            "pickle.loads",
        ), name
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert keywords.get("shell", "False") == "False"
        if name in ("np.load", "numpy.load"):
            assert keywords.get("allow_pickle") == "False"


def test_a_checkpoint_that_is_a_pickle_is_refused_unopened(run: RunDirectory) -> None:
    run.checkpoint.parent.mkdir(exist_ok=True)
    torch.save({"model.a": torch.zeros(3)}, run.checkpoint)
    with pytest.raises(UserError, match="not a checkpoint that can be read"):
        load_model(run)


def test_a_data_set_name_cannot_leave_its_folder(tmp_path: Path) -> None:
    config = RunConfig(data=DataConfig(dataset="../../../etc/passwd"), recipe="../../x")
    made = RunDirectory.create(tmp_path / "runs", config, group="g")
    assert made.path.parent == tmp_path / "runs"
    for name in ("../x", "..", "a/b", "a\0b"):
        with pytest.raises(UserError, match="expected a plain name"):
            RunDirectory.create(tmp_path / "runs", config, group="g", run_id=name)


def test_escape_codes_reach_the_terminal_neither_in_errors_nor_in_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.reconfigure", lambda **_: None, raising=False)
    evil = "\x1b]0;owned\x07\x1b[2J\u202e"
    root = tmp_path / "runs"
    config = RunConfig(recipe=evil, data=DataConfig(dataset=evil))
    RunDirectory.create(root, config, group=evil, tags=(evil,), provenance={evil: evil})
    bad = make_run(root, pictures=False, run_id=f"19991124-101502-{evil}")
    bad.status_file.write_text('{"state": "' + evil.encode("unicode_escape").decode() + '"}')
    commands = [["runs", "list", "--runs", str(root)], ["runs", "show", "latest", "--runs", str(root)]]
    commands += [["runs", "show", evil, "--runs", str(root)], ["train", evil], ["data", evil], [evil]]
    for command in commands:
        core_run(command)
        shown = capsys.readouterr()
        for text in (shown.out, shown.err):
            found = set(text) & set("\x1b\x07\u202e")
            assert not found, (command, found)


def test_a_status_whose_error_names_a_file_that_is_not_text_can_be_written(run: RunDirectory) -> None:
    run.write_status(Status(state=State.FAILED, error="no data set called '\udcff'"))
    assert run.read_status().error == "no data set called '?'"


def test_settings_that_are_not_text_are_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must be UTF-8 text"):
        RunDirectory.create(tmp_path, RunConfig(recipe="\udcff"), group="g")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match=r"--set: '\\udcff': expected UTF-8 text"):
        decode(apply_overrides({}, ["data.count=\udcff"]), RunConfig, source="--set")
