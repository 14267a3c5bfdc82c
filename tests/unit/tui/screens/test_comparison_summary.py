"""Metrics, differing settings and cautions of compared runs."""

import itertools
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.config import DiffusionConfig, ModelConfig, RunConfig, SampleConfig, ScheduleConfig, TrainConfig
from core.runs.status import State
from tests.support.fake_groups import comparison, five_runs
from tests.support.fake_runs import CREATED, NOW, STEPS, dashboard_run, make_run
from tui.screens.compare.metrics_table import MetricsRow, difference_table, metric_table
from tui.screens.compare.summary import cautions, run_metrics, setting_differences
from tui.settings.series_colors import series_style
from tui.state.formatting import recent_loss, run_indices, run_labels, settings_line
from tui.state.reader import RunsReader
from tui.state.snapshot import Snapshot
from tui.widgets.charts.loss_series import epoch_to_x, loss_series, unit_scale, x_to_epoch
from tui.widgets.images.tile_size import height_above_wall


def read(root: Path) -> Snapshot:
    snapshot = RunsReader(root, now=lambda: NOW).poll()
    assert snapshot is not None
    return snapshot


def configured(root: Path, number: int, config: RunConfig, *, group: str = "g") -> None:
    make_run(
        root,
        config=config,
        epochs=2,
        images=False,
        group=group,
        run_id=f"run-{number}",
        created=CREATED + timedelta(seconds=number),
    )


def config(
    schedule: str = "linear", *, prediction: Any = "epsilon", epochs: int = 2, **settings: Any
) -> RunConfig:
    return RunConfig(
        schedule=ScheduleConfig(name=schedule, **settings),
        diffusion=DiffusionConfig(prediction_type=prediction),
        train=TrainConfig(epochs=epochs),
        sample=SampleConfig(),
    )


def test_metrics_are_of_the_last_whole_epoch_with_the_best_one(tmp_path: Path) -> None:
    dashboard_run(tmp_path, "x^10", state=State.FINISHED, epoch=5, epochs=5)
    (run,) = read(tmp_path).runs
    metrics = run_metrics(run)
    assert (metrics.state, metrics.epoch, metrics.epochs) == (State.FINISHED, 5, 5)
    assert metrics.loss == recent_loss(run) == pytest.approx(run.epochs[-1].mean)
    assert metrics.heldout == run.epochs[-1].heldout
    assert metrics.best == min(record.heldout for record in run.epochs)
    assert run.epochs[metrics.best_epoch - 1].heldout == metrics.best
    assert metrics.images_per_second == 620.0
    assert metrics.terminal_alpha_bar == pytest.approx(0.14557807)
    assert metrics.terminal == "bad"


def test_a_run_that_has_not_begun_has_no_metrics_and_a_broken_one_has_nan(tmp_path: Path) -> None:
    comparison(tmp_path, "failed")
    runs = read(tmp_path).runs
    queued = run_metrics(runs[2])
    assert (queued.loss, queued.heldout, queued.best, queued.images_per_second) == (None,) * 4
    failed = run_metrics(runs[4])
    assert failed.loss is not None
    assert failed.loss != failed.loss


def test_differences_are_the_settings_that_are_not_the_same_in_all_runs(tmp_path: Path) -> None:
    configured(tmp_path, 0, config("linear"))
    configured(tmp_path, 1, config("x^2", epochs=7))
    configured(tmp_path, 2, config("x^2", zero_terminal_snr=True, prediction="v_prediction"))
    found = {one.key: one.values for one in setting_differences(read(tmp_path).runs)}
    assert found == {
        "schedule.name": (("linear", (0,)), ("x^2", (1, 2))),
        "schedule.zero_terminal_snr": (("false", (0, 1)), ("true", (2,))),
        "diffusion.prediction_type": (("epsilon", (0, 1)), ("v_prediction", (2,))),
        "train.epochs": (("2", (0, 2)), ("7", (1,))),
    }


def test_a_setting_that_one_run_leaves_out_differs_from_one_that_gives_it(tmp_path: Path) -> None:
    configured(tmp_path, 0, config())
    steps = RunConfig(train=TrainConfig(epochs=2), sample=SampleConfig(steps=50))
    configured(tmp_path, 1, steps)
    assert [one.values for one in setting_differences(read(tmp_path).runs)] == [(("–", (0,)), ("50", (1,)))]


def test_a_width_that_was_left_to_the_network_is_no_difference_from_the_same_width(tmp_path: Path) -> None:
    configured(tmp_path, 0, RunConfig(train=TrainConfig(epochs=2), model=ModelConfig(width=32)))
    old = RunConfig(train=TrainConfig(epochs=2))
    configured(tmp_path, 1, old)
    file = tmp_path / "run-1" / "run.toml"
    file.write_text(file.read_text(encoding="utf-8").replace("width = 32\n", ""), encoding="utf-8")
    runs = read(tmp_path).runs
    assert [run.file.config.model.width for run in runs] == [32, None]
    assert setting_differences(runs) == []
    assert [settings_line(run.file.config) for run in runs] == [settings_line(old)] * 2


def test_the_same_run_twice_or_alone_has_no_differences(tmp_path: Path) -> None:
    configured(tmp_path, 0, config())
    configured(tmp_path, 1, config())
    runs = read(tmp_path).runs
    assert setting_differences(runs) == []
    assert setting_differences(runs[:1]) == []
    assert cautions(runs) == []


def test_the_reader_is_warned_where_losses_cannot_be_compared(tmp_path: Path) -> None:
    configured(tmp_path, 0, config("linear"))
    configured(tmp_path, 1, config("x^10", prediction="sample"))
    said = "\n".join(cautions(read(tmp_path).runs))
    assert "different prediction types" in said
    assert "different schedules" in said
    assert "Bad: sampling starts where training never was" in said


def test_a_run_keeps_the_colour_and_digit_that_it_has_on_the_board(tmp_path: Path) -> None:
    five_runs(tmp_path)
    snapshot = read(tmp_path)
    chosen = [snapshot.runs[3], snapshot.runs[1]]
    assert list(run_indices(snapshot, chosen).values()) == [3, 1]


def test_runs_of_several_groups_are_numbered_as_they_come(tmp_path: Path) -> None:
    configured(tmp_path, 0, config(), group="a")
    configured(tmp_path, 1, config(), group="b")
    snapshot = read(tmp_path)
    assert list(run_indices(snapshot, snapshot.runs[::-1]).values()) == [0, 1]


def test_labels_that_would_be_cut_off_give_way_to_the_schedule(tmp_path: Path) -> None:
    configured(tmp_path, 0, config("sine"))
    configured(tmp_path, 1, config("sine", epochs=7))
    snapshot = read(tmp_path)
    assert list(run_labels(snapshot.runs, short=True).values()) == ["sine epochs=2", "sine epochs=7"]
    configured(tmp_path, 2, config("sine", epochs=7, zero_terminal_snr=True, prediction="v_prediction"))
    assert set(run_labels(read(tmp_path).runs, short=True).values()) == {"sine"}


def test_an_epoch_has_a_place_on_each_axis_and_a_place_has_an_epoch(tmp_path: Path) -> None:
    comparison(tmp_path, "failed")
    runs = read(tmp_path).runs
    for unit, place in (("steps", 30.0 * STEPS), ("epochs", 30.0), ("time", 150.0)):
        assert epoch_to_x(runs, 30, unit) == pytest.approx(place)
        assert epoch_to_x(runs, 99, unit) is None
        assert x_to_epoch(runs, place * 1.01, unit) == 30
        assert x_to_epoch(runs, place * 99, unit) == 37
    assert x_to_epoch([], 1.0, "steps") is None
    assert x_to_epoch(runs[2:3], 1.0, "time") is None


def test_steps_since_the_last_epoch_have_a_place_too(tmp_path: Path) -> None:
    dashboard_run(tmp_path, "linear", epoch=3)
    (run,) = read(tmp_path).runs
    epochs, seconds = unit_scale(run, "epochs"), unit_scale(run, "time")
    assert epochs is not None
    assert seconds is not None
    steps = np.array([STEPS / 2, 3 * STEPS, 4 * STEPS])
    assert epochs.to_axis(steps).tolist() == pytest.approx([0.5, 3.0, 4.0])
    assert seconds.to_axis(steps)[:2].tolist() == pytest.approx([2.5, 15.0])


def test_a_run_that_has_not_begun_has_no_losses_on_an_axis_of_time(tmp_path: Path) -> None:
    comparison(tmp_path, "failed")
    runs = read(tmp_path).runs
    series = loss_series(runs, run_labels(runs, short=True), {}, unit="time")
    assert unit_scale(runs[2], "time") is None
    assert [len(one.losses) > 0 for one in series] == [True, True, False, True, True]
    assert all(one.scale is None for one in loss_series(runs, run_labels(runs, short=True), {}))


@pytest.mark.parametrize("width", [20, 40, 60, 79, 120])
def test_the_table_fits_into_any_width(tmp_path: Path, width: int) -> None:
    comparison(tmp_path, "failed")
    lines = [
        MetricsRow(run.label * 3, series_style(place), run_metrics(run))
        for place, run in enumerate(read(tmp_path).runs)
    ]
    text = metric_table(lines, width).plain.splitlines()
    assert len(text) == 6
    if width >= 40:
        assert all(len(line) <= width for line in text)
        assert "held-out" in text[0]


def test_at_eighty_columns_the_table_shows_every_column(tmp_path: Path) -> None:
    five_runs(tmp_path)
    runs = read(tmp_path).runs
    lines = [MetricsRow(run.label, series_style(place), run_metrics(run)) for place, run in enumerate(runs)]
    heading, first, *_ = metric_table(lines, 79).plain.splitlines()
    for word in ("state", "epoch", "loss", "held-out", "best", "img/s", "abar_T", "terminal"):
        assert word in heading
    assert first.split()[:5] == ["1", "linear", "✔", "finished", "3/3"]
    assert first.endswith("good    ")
    assert len(first) <= 79


def test_values_wrap_and_long_ones_are_cut(tmp_path: Path) -> None:
    for number, name in enumerate(("linear", "sine", "x^1.5", "x^2", "x^10", "cosine")):
        configured(tmp_path, number, config(name))
    runs = read(tmp_path).runs
    styles = [series_style(place) for place in range(6)]
    text = difference_table(setting_differences(runs), styles, 40, runs=6).plain.splitlines()
    assert len(text) == 3
    assert all(len(line) <= 40 for line in text)
    assert "1 linear   2 sine" in text[0]
    assert difference_table([], styles[:1], 40, runs=1).plain.strip().startswith("one run")
    assert "the same" in difference_table([], styles, 80, runs=2).plain


def test_curves_and_images_share_the_height_in_whole_rows_of_images() -> None:
    for body, tile in itertools.product(range(20, 80), (4, 8, 16, 32)):
        upper = height_above_wall(body, tile)
        assert 10 <= upper < body
        if body - 1 - tile >= 12:
            assert (body - upper - 1) % tile == 0
