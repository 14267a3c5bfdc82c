"""Recordings of runs: the clock of a replay, and snapshots at a time."""

import inspect
import math
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from core.errors import UserError
from core.runs.directory import RunDirectory
from core.runs.metrics import MetricsWriter
from core.runs.process import ProcessIdentity
from core.runs.progress import FILE_NAME as EVALUATING_FILE
from core.runs.progress import EvaluationProgress, write_progress
from core.runs.status import State
from core.runs.trajectory import TrajectorySpec
from tests.support.fake_images import write_strip
from tests.support.fake_runs import CREATED, STEPS, dashboard_run, write_evaluation, write_trajectory
from tui.replay.clock import SPEEDS, ReplayClock, default_speed
from tui.replay.control import ReplayController
from tui.replay.reader import MAX_IDLE_SECONDS, ReplayReader, Timeline
from tui.replay.recording import Recording, find_recordings
from tui.state.evaluations import Evaluations
from tui.state.run_controller import RunController
from tui.state.snapshot import RunSnapshot
from tui.state.trajectories import TrajectoryCache

QUEUED = CREATED.timestamp()


class FakeTime:
    """Seconds that rise when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def ended(
    root: Path, schedule: str = "linear", *, place: int = 0, epochs: int = 4, at: float = 60.0
) -> RunDirectory:
    """A run of four epochs of five seconds that ended so many seconds after it was queued."""
    run = dashboard_run(root, schedule, state=State.FINISHED, epoch=epochs, epochs=epochs, index=place)
    change(run, heartbeat=QUEUED + at)
    return run


def change(run: RunDirectory, **values: object) -> None:
    run.write_status(msgspec.structs.replace(run.read_status(), **values))


def recorded(root: Path) -> Recording:
    return find_recordings(root, ["latest"])[0]


def test_the_clock_runs_at_its_speed_stands_still_and_ends_at_its_end() -> None:
    pace = FakeTime()
    clock = ReplayClock(1000.0, monotonic=pace)
    assert clock.speed == 10
    pace.now += 3.0
    assert clock.position == 30.0
    clock.change_speed(1)
    pace.now += 1.0
    assert clock.position == 50.0
    clock.pause()
    pace.now += 50.0
    assert (clock.position, clock.playing) == (50.0, False)
    clock.play()
    pace.now += 1e6
    assert (clock.position, clock.at_end, clock.playing) == (1000.0, True, False)
    clock.play()
    assert (clock.position, clock.playing) == (0.0, True)


def test_the_clock_goes_where_it_is_told_within_its_bounds() -> None:
    clock = ReplayClock(100.0, monotonic=FakeTime())
    positions = []
    for wanted in (50.0, -3.0, 1e9):
        clock.seek(wanted)
        positions.append(clock.position)
    assert positions == [50.0, 0.0, 100.0]


def test_the_speed_stays_within_its_bounds() -> None:
    clock = ReplayClock(100.0, monotonic=FakeTime())
    clock.change_speed(99)
    assert clock.speed == SPEEDS[-1]
    clock.change_speed(-99)
    assert clock.speed == SPEEDS[0]


def test_a_replay_takes_a_minute_or_a_little_more_at_its_usual_speed() -> None:
    for length in (61.0, 600.0, 3600.0, 36000.0):
        assert 60.0 <= length / default_speed(length) < 60.0 * 2.5 + 1e-9


def test_a_run_is_queued_then_running_then_what_it_ended_as(tmp_path: Path) -> None:
    ended(tmp_path)
    found = recorded(tmp_path)
    assert (found.queued, found.started, found.ended) == (QUEUED, QUEUED + 40, QUEUED + 60)
    states = [found.at(QUEUED + second).state for second in (0, 39, 41, 59, 60, 99)]
    assert states == [State.QUEUED] * 2 + [State.RUNNING] * 2 + [State.FINISHED] * 2
    assert len(found.at(QUEUED).losses) == 0
    assert found.at(QUEUED + 99).status == found.status


def test_losses_epochs_and_images_come_when_they_came(tmp_path: Path) -> None:
    run = ended(tmp_path)
    write_strip(run, 2)
    found = recorded(tmp_path)
    for second in np.linspace(0.0, 19.9, 40):
        seen = found.at(QUEUED + 40 + float(second))
        whole = int(second // 5)
        assert seen.status.epoch == len(seen.epochs) == whole
        assert [epoch for epoch, _ in seen.sheets] == list(range(1, whole + 1))
        assert [epoch for epoch, _ in seen.strips] == ([2] if whole >= 2 else [])
        assert len(seen.losses) == len(seen.steps) == seen.status.step
        assert abs(len(seen.losses) - second / 5 * STEPS) <= 1
        assert seen.status.elapsed == pytest.approx(second, abs=1e-6)


def test_an_evaluation_is_shown_once_its_epoch_is_reached_and_the_latest_of_those_counts(
    tmp_path: Path,
) -> None:
    run = ended(tmp_path)
    for epoch, level in ((2, 0.25), (3, 0.5), (4, 0.75)):
        write_evaluation(run, level, epoch=epoch, seed=epoch)
    found, evaluations = recorded(tmp_path), Evaluations()

    def shown(snapshot: RunSnapshot) -> tuple[int | None, float | None]:
        evaluations.refresh([snapshot])
        evaluation = evaluations.by_run([snapshot])[snapshot.id].evaluation
        return evaluation.epoch if evaluation is not None else None, snapshot.pass_rate

    moments = [found.at(QUEUED + 40 + second) for second in (-1, 9, 11, 16, 19.9, 20)]
    assert [shown(one) for one in moments] == [(None, None)] * 2 + [(2, 0.25)] + [(3, 0.5)] * 2 + [(4, 0.75)]


def test_a_trajectory_is_shown_once_its_epoch_is_reached(tmp_path: Path) -> None:
    spec = TrajectorySpec("ddpm", 20)
    write_trajectory(ended(tmp_path), spec, epoch=3)
    found, cache = recorded(tmp_path), TrajectoryCache()
    moments = [found.at(QUEUED + 40 + second) for second in (-1, 14, 16, 20)]
    assert [cache.later_epoch(one, spec) for one in moments] == [3, 3, None, None]
    assert [cache.trajectory(one, spec) is not None for one in moments] == [False, False, True, True]


def test_an_evaluation_under_way_now_is_not_part_of_the_recording(tmp_path: Path) -> None:
    run = ended(tmp_path)
    failed = EvaluationProgress(identity=ProcessIdentity.current(), error="no memory")
    write_progress(run.path / EVALUATING_FILE, failed)
    found, evaluations = recorded(tmp_path), Evaluations()
    moments = [found.at(QUEUED + 45), found.at(QUEUED + 99)]
    evaluations.refresh(moments)
    assert [evaluations.by_run([one])[one.id].problem for one in moments] == ["", "no memory"]


def test_the_reason_of_a_crash_is_shown_once_the_run_has_crashed(tmp_path: Path) -> None:
    run = ended(tmp_path)
    change(run, state=State.RUNNING, host="", pid=0)
    run.log.write_text("--- 10:15 worker on cpu, 1 thread\nerror: no space left\n", encoding="utf-8")
    found = recorded(tmp_path)
    assert found.state is State.CRASHED
    assert [found.at(QUEUED + second).crash_reason for second in (45, 99)] == ["", "no space left"]


def test_a_image_is_there_when_its_file_was_written_unless_that_cannot_be(tmp_path: Path) -> None:
    run = ended(tmp_path)
    for epoch, second in ((1, 8.0), (2, 99.0), (3, 14.0), (4, 20.0)):
        when = QUEUED + 40 + second
        os.utime(run.samples / f"epoch-{epoch:04d}.png", (when, when))
    assert recorded(tmp_path).sheet_seconds.tolist() == pytest.approx([8.0, 10.0, 15.0, 20.0], abs=1e-3)


def test_a_run_that_stopped_within_an_epoch_shows_its_last_steps(tmp_path: Path) -> None:
    run = ended(tmp_path, epochs=2)
    with MetricsWriter(run.metrics_file) as writer:
        writer.append_steps(2 * STEPS + 1, 3, 13.0, [0.5] * 10)
    change(run, state=State.STOPPED, elapsed=14.0, heartbeat=QUEUED + 14.0)
    found = recorded(tmp_path)
    assert found.started == QUEUED
    assert len(found.at(QUEUED + 10.5).losses) in range(2 * STEPS, 2 * STEPS + 3)
    assert len(found.at(QUEUED + 13.0).losses) == 2 * STEPS + 10
    assert found.at(QUEUED + 13.9).state is State.RUNNING
    assert found.at(QUEUED + 14.0).state is State.STOPPED


@pytest.mark.parametrize("heartbeat", [0.0, 1e300, QUEUED - 5, QUEUED + 3])
def test_an_end_that_cannot_be_is_put_where_the_training_would_have_ended(
    tmp_path: Path, heartbeat: float
) -> None:
    change(ended(tmp_path), heartbeat=heartbeat)
    found = recorded(tmp_path)
    assert (found.started, found.ended) == (QUEUED, QUEUED + 20)


def test_times_that_are_no_times_do_not_stop_a_replay(tmp_path: Path) -> None:
    run = ended(tmp_path)
    lines = run.metrics_file.read_text(encoding="utf-8").replace('"t":10.0', '"t":1e300')
    assert "1e300" in lines
    run.metrics_file.write_text(lines.replace('"t":15.0', '"t":-7.0'), encoding="utf-8")
    found = recorded(tmp_path)
    assert np.isfinite(found.epoch_seconds).all()
    assert (np.diff(found.epoch_seconds) >= 0).all()
    assert (np.diff(found.step_seconds) >= 0).all()
    reader = ReplayReader(
        [found], timeline := Timeline([found]), ReplayClock(timeline.length, monotonic=FakeTime())
    )
    reader.clock.seek(math.inf)
    snapshot = reader.poll()
    assert snapshot is not None
    assert snapshot.runs[0].state is State.FINISHED


def test_time_in_which_nothing_trained_is_left_out(tmp_path: Path) -> None:
    ended(tmp_path, at=60.0)
    ended(tmp_path, "sine", place=1, at=50_000.0)
    timeline = Timeline(find_recordings(tmp_path, [recorded(tmp_path).file.group]))
    assert timeline.length == pytest.approx(20 + 20 + 2 * MAX_IDLE_SECONDS, abs=0.01)
    walls = [timeline.wall_clock(at) - QUEUED for at in (0.0, MAX_IDLE_SECONDS, 24.9, 25.1, timeline.length)]
    assert walls == pytest.approx([35.0, 40.0, 59.9, 49_975.1, 50_000.0], abs=0.01)


def test_runs_side_by_side_are_played_side_by_side(tmp_path: Path) -> None:
    ended(tmp_path, at=20.0)
    ended(tmp_path, "sine", place=1, at=30.0)
    recordings = find_recordings(tmp_path, [recorded(tmp_path).file.group])
    timeline = Timeline(recordings)
    assert timeline.length == pytest.approx(30.0, abs=0.01)
    now = timeline.wall_clock(15.0)
    assert [one.at(now).state for one in recordings] == [State.RUNNING, State.RUNNING]


def test_the_reader_says_only_what_changed_and_goes_back_too(tmp_path: Path) -> None:
    ended(tmp_path, at=20.0)
    ended(tmp_path, "sine", place=1, at=30.0)
    recordings = find_recordings(tmp_path, [recorded(tmp_path).file.group])
    timeline = Timeline(recordings)
    clock = ReplayClock(timeline.length, monotonic=FakeTime())
    clock.pause()
    reader = ReplayReader(recordings, timeline, clock)
    clock.seek(25.0)
    first = reader.poll()
    assert first is not None
    assert reader.poll() is None
    assert [run.state for run in first.runs] == [State.FINISHED, State.RUNNING]
    clock.seek(27.0)
    second = reader.poll()
    assert second is not None
    assert second.runs[0] is first.runs[0]
    assert second.runs[1].version > first.runs[1].version
    clock.seek(5.0)
    third = reader.poll()
    assert third is not None
    assert third.runs[0].state is State.RUNNING
    assert len(third.runs[0].losses) < len(first.runs[0].losses)
    assert not third.runs[0].losses.flags.writeable
    assert not reader.anything_live


def test_runs_are_named_by_id_beginning_path_group_and_latest_and_each_is_played_once(tmp_path: Path) -> None:
    one = ended(tmp_path / "runs")
    two = ended(tmp_path / "runs", "sine", place=1)
    other = ended(tmp_path / "elsewhere", "x^2", place=2)
    named = [one.id, two.id[:-2], str(other.path), one.read().group, "latest"]
    assert [one.run.id for one in find_recordings(tmp_path / "runs", named)] == [one.id, two.id, other.id]


def test_runs_that_cannot_be_replayed_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there are no runs here"):
        find_recordings(tmp_path, ["latest"])
    dashboard_run(tmp_path, "linear", state=State.QUEUED)
    with pytest.raises(UserError, match="is queued; a replay shows runs that have ended"):
        find_recordings(tmp_path, ["latest"])
    dashboard_run(
        tmp_path, "sine", state=State.FAILED, created=CREATED + timedelta(seconds=9), error="no memory"
    )
    with pytest.raises(UserError, match="no losses were recorded"):
        find_recordings(tmp_path, ["latest"])
    with pytest.raises(UserError, match="no run in"):
        find_recordings(tmp_path, ["nobody"])


def test_a_run_whose_date_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    run = ended(tmp_path)
    run.write_run_file(msgspec.structs.replace(run.read(), created="yesterday"))
    with pytest.raises(UserError, match="expected a date"):
        recorded(tmp_path)


def test_nothing_can_be_done_to_the_runs_of_a_replay(tmp_path: Path) -> None:
    ended(tmp_path)
    runs = [recorded(tmp_path).at(QUEUED)]
    control = ReplayController(tmp_path)
    for act in (
        lambda: control.queue([], "quick"),
        control.wake,
        lambda: control.stop(runs),
        lambda: control.resume(runs),
        lambda: control.denoise(runs, []),
        lambda: control.delete(runs[0]),
        lambda: control.evaluate([]),
        lambda: control.fit(np.zeros((1, 8, 8), np.uint8), tmp_path / "kept.npz", []),
    ):
        with pytest.raises(UserError, match="this is a replay"):
            act()


def test_all_that_a_control_can_do_is_refused() -> None:
    able = {
        name for name, value in vars(RunController).items() if inspect.isfunction(value) and name[0] != "_"
    }
    assert able == {name for name in vars(ReplayController) if name in able}


def test_a_recording_is_never_written_to(tmp_path: Path) -> None:
    ended(tmp_path)
    found = recorded(tmp_path)
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    for second in range(70):
        replace(found.at(QUEUED + second))
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before
