"""Snapshots of a runs folder: which changes are detected, and the cost of a poll."""

import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from core.launch.runner_lock import hold_runner_lock
from core.runs.directory import RunDirectory
from core.runs.metrics import MetricsWriter
from core.runs.process import ProcessIdentity
from core.runs.status import State, Status
from core.schedules import SCHEDULE_NAMES
from tests.support.fake_groups import comparison
from tests.support.fake_images import write_samples
from tests.support.fake_runs import CREATED, NOW, STEPS, dashboard_run
from tui.state.reader import ENDED_INTERVAL, LIST_INTERVAL, RunsReader
from tui.state.snapshot import RunSnapshot, Snapshot


class Clock:
    """A wall clock that only moves by `tick`."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def tick(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def replace_status(run: RunDirectory, **changes: object) -> None:
    run.write_status(msgspec.structs.replace(run.read_status(), **changes))


def only(snapshot: Snapshot | None) -> RunSnapshot:
    assert snapshot is not None
    (run,) = snapshot.runs
    return run


def test_a_missing_runs_folder_is_an_empty_snapshot_and_then_none(tmp_path: Path, clock: Clock) -> None:
    reader = RunsReader(tmp_path / "nowhere", now=clock, monotonic=clock)
    first = reader.poll()
    assert first is not None
    assert (first.runs, first.problems, first.runner_alive, first.taken_at) == ((), (), False, NOW)
    clock.tick(10)
    assert reader.poll() is None


def test_a_run_is_read_with_all_its_numbers_and_images(tmp_path: Path, clock: Clock) -> None:
    made = dashboard_run(tmp_path, "x^1.5", epoch=3)
    run = only(RunsReader(tmp_path, now=clock, monotonic=clock).poll())
    assert run.id == made.id
    assert (run.label, run.dataset, run.group) == ("x^1.5", "high", "quick-20261124-101502")
    assert run.state is State.RUNNING
    assert run.steps.tolist() == list(range(1, 3 * STEPS + 1))
    assert len(run.losses) == 3 * STEPS
    assert [record.epoch for record in run.epochs] == [1, 2, 3]
    assert [epoch for epoch, _ in run.sheets] == [1, 2, 3]
    assert run.strips == ()


def test_runs_are_oldest_first_and_groups_newest_last(tmp_path: Path, clock: Clock) -> None:
    comparison(tmp_path, "finished")
    late = dashboard_run(tmp_path, "cosine", state=State.QUEUED, index=9, group="later")
    snapshot = RunsReader(tmp_path, now=clock, monotonic=clock).poll()
    assert snapshot is not None
    assert [run.label for run in snapshot.runs] == ["linear", "sine", "x^1.5", "x^2", "x^10", "cosine"]
    assert snapshot.groups == ("quick-20261124-101502", "later")
    assert [run.id for run in snapshot.runs_in_group("later")] == [late.id]
    assert snapshot.runs_in_group(None) == snapshot.runs
    assert snapshot.find(late.id) is snapshot.runs[-1]
    assert snapshot.find("nobody") is None


def test_nothing_new_is_none(tmp_path: Path, clock: Clock) -> None:
    comparison(tmp_path, "running")
    reader = RunsReader(tmp_path, now=clock, monotonic=clock)
    assert reader.poll() is not None
    for _ in range(20):
        clock.tick(0.1)
        assert reader.poll() is None


def test_appended_losses_are_a_new_version_and_old_views_stay(tmp_path: Path, clock: Clock) -> None:
    made = dashboard_run(tmp_path, "linear", epoch=1)
    reader = RunsReader(tmp_path, now=clock, monotonic=clock)
    before = only(reader.poll())
    kept = before.losses.copy()
    with MetricsWriter(made.metrics_file) as writer:
        writer.append_steps(STEPS + 1, 2, 5.1, [0.5, float("nan")])
    after = only(reader.poll())
    assert after.version > before.version
    assert len(after.losses) == STEPS + 2
    assert np.isnan(after.losses[-1])
    np.testing.assert_array_equal(before.losses, kept)
    assert after.sheets == before.sheets


def test_arrays_of_snapshots_are_read_only(tmp_path: Path, clock: Clock) -> None:
    dashboard_run(tmp_path, "linear", epoch=1)
    run = only(RunsReader(tmp_path, now=clock, monotonic=clock).poll())
    with pytest.raises(ValueError, match="read-only"):
        run.losses[0] = 0.0


def test_a_heartbeat_alone_changes_nothing_but_keeps_the_run_alive(tmp_path: Path, clock: Clock) -> None:
    elsewhere = ProcessIdentity(host="elsewhere", pid=7, pid_started=1.0, boot_id="x")
    made = dashboard_run(tmp_path, "linear", epoch=1, process=elsewhere)
    reader = RunsReader(tmp_path, now=clock, monotonic=clock)
    assert only(reader.poll()).state is State.RUNNING
    for _ in range(10):
        clock.tick(30)
        replace_status(made, heartbeat=clock.now)
        assert reader.poll() is None
    clock.tick(61)
    assert only(reader.poll()).state is State.CRASHED


def test_a_worker_without_a_heartbeat_for_five_minutes_causes_a_warning_until_the_next_one(
    tmp_path: Path, clock: Clock
) -> None:
    made = dashboard_run(tmp_path, "linear", epoch=1)
    replace_status(made, heartbeat=clock.now)
    reader = RunsReader(tmp_path, now=clock, monotonic=clock)
    assert only(reader.poll()).warning == ""
    clock.tick(299)
    assert reader.poll() is None
    clock.tick(2)
    run = only(reader.poll())
    assert run.state is State.RUNNING
    assert f"if process {os.getpid()} hangs, kill it" in run.warning
    replace_status(made, heartbeat=clock.now)
    assert only(reader.poll()).warning == ""


def test_a_whole_second_of_training_is_seen(tmp_path: Path, clock: Clock) -> None:
    made = dashboard_run(tmp_path, "linear", epoch=1)
    reader = RunsReader(tmp_path, now=clock, monotonic=clock)
    reader.poll()
    replace_status(made, elapsed=5.4)
    assert reader.poll() is None
    replace_status(made, elapsed=6.1)
    assert only(reader.poll()).status.elapsed == 6.1


def test_a_worker_that_is_gone_is_crashed(tmp_path: Path, clock: Clock) -> None:
    dashboard_run(tmp_path, "linear", state=State.CRASHED, epoch=2)
    run = only(RunsReader(tmp_path, now=clock, monotonic=clock).poll())
    assert run.status.state is State.RUNNING
    assert run.state is State.CRASHED


def test_a_worker_that_dies_is_noticed_within_a_second(tmp_path: Path, clock: Clock) -> None:
    process = ProcessIdentity.current()
    made = dashboard_run(tmp_path, "linear", epoch=2, process=process)
    reader = RunsReader(tmp_path, now=clock, monotonic=clock)
    assert only(reader.poll()).state is State.RUNNING
    dead = msgspec.json.decode(made.status_file.read_bytes(), type=Status)
    stamp = made.status_file.stat()
    data = msgspec.json.encode(msgspec.structs.replace(dead, pid_started=dead.pid_started + 9))
    made.status_file.write_bytes(data.ljust(stamp.st_size))
    os.utime(made.status_file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    reader._watched[made.id].status = msgspec.structs.replace(dead, pid_started=dead.pid_started + 9)
    clock.tick(1)
    assert only(reader.poll()).state is State.CRASHED


def test_a_last_status_between_two_reads_is_no_crash(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = dashboard_run(tmp_path, "linear", epoch=2)
    reader = RunsReader(tmp_path, now=clock, monotonic=clock)
    reader.poll()

    def dies_between_the_reads(status: Status, *, now: float, lock: Path) -> State:
        if status.state is not State.RUNNING:
            return status.state
        replace_status(made, state=State.FINISHED)
        return State.CRASHED

    monkeypatch.setattr("core.runs.directory.effective_state", dies_between_the_reads)
    clock.tick(1)
    assert only(reader.poll()).state is State.FINISHED


@pytest.mark.parametrize("folder", ["samples", "reverse"])
def test_new_images_are_seen_even_within_one_tick_of_the_file_systems_clock(
    tmp_path: Path, clock: Clock, folder: str
) -> None:
    made = dashboard_run(tmp_path, "linear", epoch=1)
    reader = RunsReader(tmp_path, now=clock, monotonic=clock)
    reader.poll()
    where = made.path / folder
    write_samples(where / "epoch-0002.png", 0.5, seed=1)
    listed = where.stat()
    assert only(reader.poll()) is not None
    write_samples(where / "epoch-0003.png", 0.5, seed=1)
    os.utime(where, ns=(listed.st_atime_ns, listed.st_mtime_ns))
    run = only(reader.poll())
    assert [epoch for epoch, _ in (run.sheets if folder == "samples" else run.strips)][-1] == 3


def test_a_new_run_appears_and_a_deleted_one_goes(tmp_path: Path, clock: Clock) -> None:
    first = dashboard_run(tmp_path, "linear", state=State.FINISHED, epoch=1)
    reader = RunsReader(tmp_path, now=clock, monotonic=clock)
    reader.poll()
    second = dashboard_run(tmp_path, "sine", state=State.QUEUED, index=1)
    snapshot = reader.poll()
    assert snapshot is not None
    assert [run.id for run in snapshot.runs] == [first.id, second.id]
    shutil.rmtree(first.path)
    clock.tick(LIST_INTERVAL)
    assert only(reader.poll()).id == second.id


def test_an_unreadable_run_is_a_problem_and_comes_back_whole(tmp_path: Path, clock: Clock) -> None:
    made = dashboard_run(tmp_path, "linear", epoch=2)
    dashboard_run(tmp_path, "sine", epoch=1, index=1)
    good = made.status_file.read_bytes()
    made.status_file.write_bytes(b"{")
    reader = RunsReader(tmp_path, now=clock, monotonic=clock)
    snapshot = reader.poll()
    assert snapshot is not None
    assert [run.label for run in snapshot.runs] == ["sine"]
    assert [problem.id for problem in snapshot.problems] == [made.id]
    assert "status.json" in snapshot.problems[0].text
    clock.tick(0.1)
    assert reader.poll() is None
    made.status_file.write_bytes(good)
    clock.tick(ENDED_INTERVAL)
    snapshot = reader.poll()
    assert snapshot is not None
    assert not snapshot.problems
    assert len(snapshot.runs[0].losses) == 2 * STEPS
    assert [epoch for epoch, _ in snapshot.runs[0].sheets] == [1, 2]


def test_more_epochs_in_run_toml_are_seen(tmp_path: Path, clock: Clock) -> None:
    made = dashboard_run(tmp_path, "linear", state=State.FINISHED, epoch=2, epochs=2)
    reader = RunsReader(tmp_path, now=clock, monotonic=clock)
    reader.poll()
    file = made.read()
    train = msgspec.structs.replace(file.config.train, epochs=5)
    made.write_run_file(
        msgspec.structs.replace(file, config=msgspec.structs.replace(file.config, train=train))
    )
    replace_status(made, state=State.QUEUED, epochs=5)
    clock.tick(ENDED_INTERVAL)
    run = only(reader.poll())
    assert (run.state, run.file.config.train.epochs) == (State.QUEUED, 5)


def test_a_living_queue_runner_is_seen_and_a_dead_one_is_not(tmp_path: Path, clock: Clock) -> None:
    dashboard_run(tmp_path, "linear", state=State.QUEUED)
    reader = RunsReader(tmp_path, now=clock, monotonic=clock)
    first = reader.poll()
    assert first is not None
    assert not first.runner_alive
    clock.tick(1)
    with hold_runner_lock(tmp_path, device="auto", slots=None):
        snapshot = reader.poll()
        assert snapshot is not None
        assert snapshot.runner_alive
    clock.tick(1)
    snapshot = reader.poll()
    assert snapshot is not None
    assert not snapshot.runner_alive


def count_stats(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    calls = [0]
    real = os.stat

    def counting(*arguments: object, **keywords: object) -> os.stat_result:
        calls[0] += 1
        return real(*arguments, **keywords)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(os, "stat", counting)
    return lambda: calls[0]


def test_ended_runs_are_read_once_a_second(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(20):
        dashboard_run(tmp_path, "linear", state=State.FINISHED, epoch=1, index=index)
    reader = RunsReader(tmp_path, now=clock, monotonic=clock)
    reader.poll()
    for _ in range(4):
        clock.tick(ENDED_INTERVAL)
        reader.poll()
    stats = count_stats(monkeypatch)
    for _ in range(9):
        clock.tick(0.1)
        assert reader.poll() is None
    assert stats() <= 2 * 9 + 5
    clock.tick(0.2)
    assert reader.poll() is None
    assert stats() <= 2 * 9 + 5 + 20 * 3 + 5


def test_a_wall_clock_that_is_set_back_does_not_stop_the_reader(tmp_path: Path, clock: Clock) -> None:
    made = dashboard_run(tmp_path, "linear", state=State.FINISHED, epoch=1)
    wall = Clock()
    reader = RunsReader(tmp_path, now=wall, monotonic=clock)
    reader.poll()
    wall.tick(-3600)
    clock.tick(ENDED_INTERVAL)
    replace_status(made, state=State.QUEUED)
    assert only(reader.poll()).state is State.QUEUED


def test_names_from_disk_are_harmless(tmp_path: Path, clock: Clock) -> None:
    dashboard_run(tmp_path, "linear", epoch=1, dataset="high")
    made = dashboard_run(tmp_path, "sine", epoch=1, index=1)
    file = made.read()
    evil = msgspec.structs.replace(
        file.config, schedule=msgspec.structs.replace(file.config.schedule, name="x\x1b[31m^2")
    )
    made.write_run_file(msgspec.structs.replace(file, config=evil))
    snapshot = RunsReader(tmp_path, now=clock, monotonic=clock).poll()
    assert snapshot is not None
    assert snapshot.runs[1].label == "x^2"


def test_many_runs_are_read_in_parts_the_newest_first(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.state.reader.FIRST_READ_SECONDS", 0.0)
    runs = [
        dashboard_run(tmp_path, name, state=State.FINISHED, created=CREATED + timedelta(seconds=second))
        for second, name in enumerate(SCHEDULE_NAMES[:5])
    ]
    reader = RunsReader(tmp_path, now=clock, monotonic=clock)
    for read in range(1, 6):
        snapshot = reader.poll()
        assert snapshot is not None
        assert [run.id for run in snapshot.runs] == [run.id for run in runs[5 - read :]]
        assert snapshot.unread == 5 - read
    assert not reader.anything_live
    assert reader.poll() is None


def test_very_many_ended_runs_are_read_less_often(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.state.reader.FULL_RATE_RUNS", 1)
    runs = comparison(tmp_path, "finished")
    reader = RunsReader(tmp_path, now=clock, monotonic=clock)
    for _ in range(4):
        reader.poll()
        clock.tick(ENDED_INTERVAL * 5)
    reader.poll()
    replace_status(runs[0], state=State.STOPPED)
    clock.tick(ENDED_INTERVAL * 4)
    assert reader.poll() is None
    clock.tick(ENDED_INTERVAL * 1.1)
    assert reader.poll() is not None


def test_a_run_that_is_deleted_and_restored_is_read_again(tmp_path: Path, clock: Clock) -> None:
    run, other = (
        dashboard_run(tmp_path, name, state=State.FINISHED, epoch=1, index=n)
        for n, name in enumerate(["linear", "sine"])
    )
    reader = RunsReader(tmp_path, now=clock, monotonic=clock)
    reader.poll()
    away = tmp_path.with_name("away")
    shutil.move(run.path, away)
    clock.tick(LIST_INTERVAL + 1)
    assert only(reader.poll()).id == other.id
    shutil.move(away, run.path)
    clock.tick(LIST_INTERVAL + 1)
    snapshot = reader.poll()
    assert snapshot is not None
    assert [found.id for found in snapshot.runs] == [run.id, other.id]
