"""The dashboard's benchmark: targets and the parts that measure. No test depends on speed."""

import asyncio
import math

import pytest

from bench.tui.chart_redraw import measure_redraws
from bench.tui.fake_live_runs import LiveRun
from bench.tui.memory_growth import measure_growth
from bench.tui.targets import DASHBOARD, EMPTY, FIRST, TARGETS, Target, result_rows, target_row
from core.imaging import read_sheet
from core.runs import RunStore, State


def test_a_row_names_its_target_and_whether_its_median_meets_it():
    target = Target("bytes", "KB/s", 50)
    assert target_row(target, [49.0, 50.0, 900.0]).note == "at most 50.0: met"
    assert target_row(target, [1.0, 50.1, 51.0]).note == "at most 50.0: NOT MET"
    assert target_row(target, [math.nan, 1.0, 2.0]).note == "at most 50.0: NOT MET"
    assert target_row(Target("reported", "ms"), [1.0]).note == ""


def test_the_cost_of_the_empty_app_is_subtracted_from_the_dashboards():
    ours = {"first": [300.0, 100.0], "all": [900.0], "key": [12.0] * 19 + [100.0], "idle": [1.0]}
    rows = result_rows({EMPTY: {"first": [200.0, 100.0], "key": [2.0] * 5}, DASHBOARD: ours})
    first, key, tail, idle, *reported = rows
    assert (first.name, first.values) == (FIRST.name, (1.5, 1.0))
    assert (key.median, key.note) == (10.0, "at most 20.0: met")
    assert tail.median == pytest.approx(12.0 + 0.05 * 88.0 - 2.0)
    assert (idle.name, idle.note) == (TARGETS["idle"].name, "at most 2.00: met")
    assert [one.name for one in reported] == [
        *("first frame: empty app", "first frame: dashboard", "newest runs shown: dashboard"),
        *("key to painted frame: empty app", "key to painted frame: dashboard"),
    ]


def test_curves_of_long_runs_are_drawn_once_a_growth():
    found = measure_redraws(points=5000, repeats=3)
    assert len(found) == 3
    assert all(math.isfinite(one) and one > 0 for one in found)


def test_the_memory_benchmark_runs_to_its_end(tmp_path):
    assert math.isfinite(asyncio.run(measure_growth(tmp_path, epochs=7)))
    infos = RunStore(tmp_path).infos()
    assert [(info.state, info.status.epoch) for info in infos] == [(State.RUNNING, 7)] * 5


def test_a_run_that_seems_to_train_has_noise_to_play(tmp_path):
    LiveRun(tmp_path, 0, epochs=1).close()
    (run,) = (info.directory for info in RunStore(tmp_path).infos())
    ((epoch, path),) = run.reverse_strips()
    sheet = read_sheet(path)
    assert (epoch, sheet.columns, sheet.images.shape) == (1, 10, (160, 32, 32))
