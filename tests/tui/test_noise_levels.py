"""The view of a comparison with the error of the predicted noise by noise level and epoch."""

from pathlib import Path

import numpy as np

from core.statistics.noise_error_bins import BINS
from tests.support.fake_groups import five_runs
from tests.support.fake_runs import add_heldout_noise_errors, fake_noise_error
from tests.support.tui_pilot import dashboard
from tui.screens.compare.screen import CompareScreen
from tui.widgets.charts.noise_error_chart import NoiseErrorChart
from tui.widgets.charts.noise_error_heatmap import HeatmapRun, NoiseErrorHeatmap, heatmap_pixels


async def test_the_selected_runs_heatmap_is_first_and_curves_are_of_the_shown_epoch(tmp_path: Path) -> None:
    five_runs(tmp_path)
    async with dashboard(tmp_path, (80, 24)) as driven:
        await driven.press("c")
        await driven.until(lambda: isinstance(driven.app.screen, CompareScreen) and driven.app.screen.runs)
        screen = driven.app.screen
        assert isinstance(screen, CompareScreen)
        await driven.press("4")
        assert screen.view == "levels"
        text = driven.text()
        assert "1 linear" in text
        assert "epoch 3" in text
        assert "log SNR" in text
        assert not screen.query_one("#wall").display
        heatmap, chart = screen.query_one(NoiseErrorHeatmap), screen.query_one(NoiseErrorChart)
        assert [run.marker for run in heatmap._runs] == list("12345")
        assert [dict(run.epochs)[3] for run in heatmap._runs] == [line.bins for line in chart._lines]
        await driven.press("b", "left_square_bracket")
        assert [run.marker for run in heatmap._runs] == list("23451")
        assert [dict(run.epochs)[2] for run in heatmap._runs] == [
            chart._lines[index].bins for index in (1, 2, 3, 4, 0)
        ]
        await driven.press("s")
        assert [line.marker for line in chart._lines] == [run.marker for run in heatmap._runs] == ["2"]


async def test_errors_are_those_of_held_out_images_where_all_drawn_runs_have_them(tmp_path: Path) -> None:
    five_runs(tmp_path)
    for metrics in sorted(tmp_path.glob("*/metrics.jsonl"))[:-1]:
        add_heldout_noise_errors(metrics, (1, 3))  # epoch 2 has no sheet of samples
    async with dashboard(tmp_path, (80, 24)) as driven:
        await driven.press("c")
        await driven.until(lambda: isinstance(driven.app.screen, CompareScreen) and driven.app.screen.runs)
        await driven.press("4")
        screen = driven.app.screen
        heatmap, chart = screen.query_one(NoiseErrorHeatmap), screen.query_one(NoiseErrorChart)
        assert "on held-out images" not in driven.text()
        assert all(line.bins.images[-1] == 64 for line in chart._lines)
        await driven.press("s")  # only the selected run, which has them
        assert "on held-out images" in driven.text()
        epochs = dict(heatmap._runs[0].epochs)
        assert epochs[1] == epochs[2] != epochs[3] == chart._lines[0].bins
        assert epochs[1].images[-1] == 10
        await driven.press("left_square_bracket")
        assert [line.bins for line in chart._lines] == [epochs[1]]


def test_a_heatmap_has_epochs_to_the_right_noise_at_the_bottom_and_black_where_no_image_was() -> None:
    epochs = tuple((epoch, fake_noise_error(epoch)) for epoch in (1, 3))
    pixels = heatmap_pixels(HeatmapRun("1", "red", "linear", epochs), last_epoch=4, width=8, height=2 * BINS)
    black = (pixels == 0).all(axis=2)
    np.testing.assert_array_equal(black[:, 2:4], True)  # epoch 2 has no record
    np.testing.assert_array_equal(black[:, 6:], True)  # epoch 4 has not been trained yet
    np.testing.assert_array_equal(black[-2:], True)  # the lowest bin has no image
    assert not black[:-2, [0, 1, 4, 5]].any()
    brightness = pixels.astype(int).sum(axis=2)
    assert (brightness[:-2, 0] >= brightness[:-2, 4]).all()
    assert brightness[:-2, 0].argmax() in (14, 15, 16, 17)  # most was gained at a log SNR of 0
