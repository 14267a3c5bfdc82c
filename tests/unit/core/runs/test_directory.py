"""The directory of a run: created as a whole, read safely, written by one process."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from core.config.schema import DataConfig, RunConfig, ScheduleConfig, TrainConfig
from core.errors import UserError
from core.files.atomic import atomic_path, atomic_write
from core.runs import NotQueuedError, RunBusyError, RunDirectory, State, Status, make_group, make_run_id
from tests.support import fake_runs

CONFIG = RunConfig(schedule=ScheduleConfig(name="x^1.5"), train=TrainConfig(epochs=7, seed=3))


def new_run(root: Path) -> RunDirectory:
    return RunDirectory.create(root, CONFIG, group="g")


def hold_in_another_process(run: RunDirectory) -> "subprocess.Popen[str]":
    """A process that holds the run's lock until it is killed."""
    program = (
        "import sys, time\n"
        "from core.runs import RunDirectory\n"
        "with RunDirectory(sys.argv[1]).lock():\n"
        "    print('held', flush=True)\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", program, str(run.path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_new_run_is_queued_and_reads_back_as_it_was_given(tmp_path: Path) -> None:
    made = datetime(2026, 11, 24, 10, 15, 2, 123456, tzinfo=UTC)
    run = RunDirectory.create(
        tmp_path / "deep" / "runs",
        CONFIG,
        group="quick-1",
        provenance={"torch": "2.13"},
        tags=("first",),
        created=made,
    )
    file = run.read()
    assert file.config == CONFIG.resolved()
    assert (file.id, file.group, file.tags, file.provenance) == (
        run.id,
        "quick-1",
        ("first",),
        {"torch": "2.13"},
    )
    assert file.created == "2026-11-24T10:15:02.123456+00:00"
    assert run.read_status() == Status(epochs=7, heartbeat=made.timestamp())
    assert run.read_status().state is State.QUEUED


def test_a_run_is_named_after_its_time_data_schedule_and_seed() -> None:
    made = datetime(2026, 11, 24, 10, 15, 2, tzinfo=UTC)
    name, _, digits = make_run_id(CONFIG, made).rpartition("-")
    assert name == "20261124-101502-high-x1.5-s3"
    assert int(digits, 16) < 1 << 16
    assert make_group("quick", made) == "quick-20261124-101502"


@pytest.mark.parametrize(
    ("dataset", "slug"),
    [("./my pictures/", "my-pictures"), ("/data/cats.toml", "cats"), ("é/…", "run"), ("x" * 90, "x" * 32)],
)
def test_a_name_holds_only_what_is_safe_in_a_path(dataset: str, slug: str) -> None:
    config = RunConfig(data=DataConfig(dataset=dataset))
    assert make_run_id(config, datetime(2026, 1, 1, tzinfo=UTC)).startswith(
        f"20260101-000000-{slug}-linear-s0-"
    )


def test_a_name_in_use_is_rejected_and_the_existing_run_is_unchanged(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path, CONFIG, group="old", run_id="one")
    with pytest.raises(UserError, match="exists already"):
        RunDirectory.create(tmp_path, CONFIG, group="new", run_id="one")
    assert RunDirectory(tmp_path / "one").read().group == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_runs_folder_that_is_a_file_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(UserError, match="cannot make a run there"):
        new_run(tmp_path / "runs")


def test_files_follow_the_umask_so_that_others_may_read_them(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    umask = os.umask(0)
    os.umask(umask)
    for path in (run.run_file, run.status_file):
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a run's status"),
        (b"{", "not a run's status"),
        (b"\xff\xfe", "not a run's status"),
        (b"[1, 2]", "not a run's status"),
        (b'{"state": "dancing"}', "not a run's status"),
        (b'{"epoch": "three"}', "not a run's status"),
        (b"[" * 100_000, "not a run's status"),
        (b'{"format_version": 2, "state": {"now": "an object"}}', "newer ddpm-tui .format 2"),
        (b" " * (1 << 20) + b"{}", "no run has one that large"),
    ],
)
def test_an_invalid_status_is_explained_in_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    run = new_run(tmp_path)
    run.status_file.write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        run.read_status()
    assert str(run.status_file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_status_of_the_same_version_with_more_keys_is_read(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    run.status_file.write_text('{"state": "running", "mood": "cheerful"}')
    assert run.read_status().state is State.RUNNING


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("id = 3", "id = 3: expected `str`"),
        ("not toml", "not valid TOML"),
        ("format_version = 9\nnovelty = 1", "newer ddpm-tui .format 9"),
        ("idd = 'x'", "unknown key idd"),
        (
            "id = ''\ncreated = ''\ngroup = ''\n[config.sample]\nsampler = 'chrun'",
            r"run\.toml: config.sample.sampler = chrun: expected one of ddpm, ddim, dpm\+\+, unipc, churn$",
        ),
    ],
)
def test_an_invalid_run_file_is_explained(tmp_path: Path, content: str, words: str) -> None:
    run = new_run(tmp_path)
    run.run_file.write_text(content)
    with pytest.raises(UserError, match=words):
        run.read()


def test_a_pipe_or_a_folder_in_place_of_a_file_does_not_hang_the_reader(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    run.run_file.unlink()
    os.mkfifo(run.run_file)
    run.status_file.unlink()
    run.status_file.mkdir()
    with pytest.raises(UserError, match="expected a file"):
        run.read()
    with pytest.raises(UserError, match="expected a file"):
        run.read_status()


def test_texts_of_a_status_arrive_without_escape_codes(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    run.write_status(Status(message="\x1b]0;title\x07making\tdata", error="\x1b[2Jbad\nworse"))
    status = run.read_status()
    assert (status.message, status.error) == ("making data", "bad worse")


def test_numbers_that_json_cannot_express_are_written_as_zero(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    run.write_status(Status(images_per_second=float("inf"), elapsed=float("nan"), heartbeat=5.0))
    status = run.read_status()
    assert (status.images_per_second, status.elapsed, status.heartbeat) == (0.0, 0.0, 5.0)


def test_sheets_are_listed_by_epoch_and_other_files_are_skipped(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    assert run.sample_sheets() == run.reverse_strips() == []
    run.samples.mkdir()
    for name in ("epoch-0010.png", "epoch-0002.png", "epoch-12345.png", ".epoch-0003.png.tmp", "epoch-x.png"):
        (run.samples / name).touch()
    assert [epoch for epoch, _ in run.sample_sheets()] == [2, 10, 12345]
    assert run.sample_sheets()[0][1] == run.samples / "epoch-0002.png"


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    atomic_write(path, "old")

    def fail_half_way() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("ne")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail_half_way()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_never_sees_a_partial_status_while_it_is_replaced_rapidly(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    done = threading.Event()

    def write() -> None:
        for step in range(1500):
            run.write_status(Status(step=step, message="x" * (step % 700)), fsync=False)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    steps = [run.read_status().step]
    while not done.is_set():
        steps.append(run.read_status().step)
    writer.join()
    assert steps == sorted(steps)
    assert run.read_status().step == 1499


def test_a_writer_killed_at_any_instant_leaves_whole_files(tmp_path: Path) -> None:
    program = (
        "import itertools, sys\n"
        "from core.runs import RunDirectory, Status\n"
        "run = RunDirectory(sys.argv[1])\n"
        "for step in itertools.count():\n"
        "    run.write_status(Status(step=step, message='x' * (step % 5000)), fsync=False)\n"
        "    print(step, flush=True)\n"
    )
    run = new_run(tmp_path)
    for instant in range(4):
        process = subprocess.Popen([sys.executable, "-c", program, str(run.path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        written = 0
        for _ in range(40 + 13 * instant):
            written = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert run.read_status().step >= written
    for leftover in run.path.glob(".status.json.*.tmp"):
        assert leftover.name not in (run.status_file.name, run.run_file.name)
    with run.claim(device="cpu", threads=1):
        assert not list(run.path.glob(".*.tmp"))


def test_one_process_at_a_time_holds_the_lock(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    holder = hold_in_another_process(run)
    with pytest.raises(RunBusyError, match="another process writes this run"), run.lock():
        pass
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    with run.lock():
        pass


def test_the_lock_can_be_waited_for(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    holder = hold_in_another_process(run)
    threading.Timer(0.05, holder.kill).start()
    with run.lock(wait=30):
        pass
    holder.communicate()


def test_a_removed_run_cannot_be_locked(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    run.move_to_trash()
    with pytest.raises(UserError, match="cannot be locked"), run.lock():
        pass


def test_a_claim_names_this_process_and_counts_the_attempt(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    run.request_stop()
    before = time.time()
    with run.claim(device="cuda:1", threads=4) as status:
        assert status == run.read_status()
        assert status.state is State.STARTING
        assert (status.attempt, status.device, status.threads, status.pid) == (1, "cuda:1", 4, os.getpid())
        assert status.epochs == 7
        assert status.heartbeat >= before
        assert not run.stop_requested()
        with pytest.raises(RunBusyError), RunDirectory(run.path).claim(device="cpu", threads=1, wait=0):
            pass


@pytest.mark.parametrize("state", [state for state in State if state is not State.QUEUED])
def test_only_a_queued_run_can_be_claimed(tmp_path: Path, state: State) -> None:
    run = fake_runs.make_run(tmp_path, state=state, images=False)
    before = run.status_file.read_bytes()
    with pytest.raises(NotQueuedError, match="not queued"), run.claim(device="cpu", threads=1):
        pass
    assert run.status_file.read_bytes() == before


def test_a_resumed_run_keeps_its_progress_when_it_is_claimed(tmp_path: Path) -> None:
    run = fake_runs.make_run(tmp_path, state=State.STOPPED, images=False, error="of the past")
    run.write_status(msgspec.structs.replace(run.read_status(), state=State.QUEUED))
    with run.claim(device="cpu", threads=1) as status:
        assert (status.epoch, status.step, status.attempt, status.error) == (5, 200, 2, "")
        assert status.elapsed == 20.0


def test_a_stop_request_is_seen_until_it_is_cleared(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    assert not run.stop_requested()
    run.request_stop()
    assert run.stop_requested()
    run.clear_control()
    run.clear_control()
    assert not run.stop_requested()


def test_run_directories_are_equal_by_path(tmp_path: Path) -> None:
    assert RunDirectory(tmp_path) == RunDirectory(str(tmp_path))
    assert len({RunDirectory(tmp_path), RunDirectory(tmp_path), RunDirectory(tmp_path / "other")}) == 2
    assert RunDirectory(tmp_path) != str(tmp_path)
