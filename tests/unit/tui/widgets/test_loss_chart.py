"""Loss chart, as cells."""

import itertools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from textual.strip import Strip

from core.runs.status import State
from tests.support.fake_runs import NOW, dashboard_run
from tests.support.widget_bench import BLUE, ORANGE, WidgetApp, rendered_lines
from tui.state.formatting import recent_loss, run_labels
from tui.state.reader import RunsReader
from tui.widgets.charts.canvas import GUTTER
from tui.widgets.charts.loss_chart import LossChart
from tui.widgets.charts.loss_series import loss_series as run_series
from tui.widgets.charts.schedule_chart import Line, ScheduleChart
from tui.widgets.charts.series import Series


def loss_series(
    losses: Iterable[float], name: str = "linear", color: str = BLUE, *, heldout: bool = False
) -> Series:
    values = np.array(list(losses), dtype=np.float64)
    steps = np.arange(1.0, len(values) + 1)
    points = (steps[9::10], values[9::10] * 1.1) if heldout else None
    return Series(name, color, steps, values, points)


def falling(steps: int = 400, floor: float = 0.02) -> NDArray[np.float64]:
    return floor + np.exp(-np.arange(1, steps + 1) / 20)


def is_braille(char: str) -> bool:
    return "\u2801" <= char <= "\u28ff"


async def test_a_chart_has_a_legend_axes_curves_and_a_digit_at_the_end_of_each() -> None:
    chart = LossChart()
    async with WidgetApp(chart).run_test(size=(100, 20)) as pilot:
        chart.show([loss_series(falling()), loss_series(falling(200, 0.1), "x^10", ORANGE)])
        await pilot.pause()
        lines = rendered_lines(chart)
        assert "1 linear" in lines[0]
        assert "2 x^10" in lines[0]
        assert "log y · linear x · smoothing light" in lines[0]
        assert any("0.1┤" in line for line in lines)
        assert lines[-2][GUTTER - 1] == "└"
        assert lines[-1].endswith("steps")
        plot = [line[GUTTER:] for line in lines[1:-2]]
        assert any(is_braille(char) for line in plot for char in line)
        assert sum(line.count("1") for line in plot) == 1
        assert sum(line.count("2") for line in plot) == 1
        assert all(len(line) == 100 for line in lines)


async def test_a_falling_loss_falls_on_the_screen() -> None:
    chart = LossChart()
    async with WidgetApp(chart).run_test(size=(80, 24)) as pilot:
        chart.show([loss_series(falling())])
        chart.legend = False
        await pilot.pause()
        plot = [line[GUTTER:] for line in rendered_lines(chart)[:-2]]
        columns_drawn = range(0, 60, 5)
        tops = [
            min((row for row, line in enumerate(plot) if is_braille(line[column])), default=99)
            for column in columns_drawn
        ]
        assert tops == sorted(tops)
        assert tops[0] < tops[-1] < 99


@pytest.mark.parametrize("width", [40, 80, 250])
@pytest.mark.parametrize("epochs", [1, 3, 40])
async def test_a_smoothed_line_ends_in_the_loss_of_the_tables(
    tmp_path: Path, width: int, epochs: int
) -> None:
    dashboard_run(tmp_path, "linear", state=State.STOPPED, epoch=epochs, epochs=80)
    dashboard_run(tmp_path, "sine", index=1, epoch=80, epochs=80)
    snapshot = RunsReader(tmp_path, now=lambda: NOW).poll()
    assert snapshot is not None
    live = replace(snapshot.runs[0], losses=snapshot.runs[0].losses[:-7], steps=snapshot.runs[0].steps[:-7])
    runs = [*snapshot.runs, live]
    chart = LossChart()
    async with WidgetApp(chart).run_test(size=(width, 20)) as pilot:
        for unit, log_y, smoothing in itertools.product(
            ("steps", "epochs", "time"), (False, True), (1, 2, 3)
        ):
            chart.unit, chart.log_y, chart.smoothing = unit, log_y, smoothing
            chart.show(run_series(runs, run_labels(runs), {}, unit=unit))
            for run, one in zip(runs, chart.series, strict=True):
                chart.cursor = float(one.steps_to_x(run.steps[-1:])[0])
                await pilot.pause()
                rendered_lines(chart)
                reading = chart.readings()[chart.series.index(one)]
                assert reading.loss == pytest.approx(recent_loss(run), rel=1e-9)


async def test_a_loss_that_was_not_finite_breaks_the_line_and_is_marked() -> None:
    chart = LossChart()
    async with WidgetApp(chart).run_test(size=(80, 20)) as pilot:
        losses = falling()
        losses[200:] = np.nan
        chart.show([loss_series(losses)])
        await pilot.pause()
        lines = rendered_lines(chart)
        marked = [line for line in lines if "✖" in line]
        assert len(marked) == 1
        assert marked[0].index("✖") == pytest.approx(GUTTER + 70 / 2, abs=2)
        assert not any(is_braille(char) for line in lines for char in line[marked[0].index("✖") + 1 :])


@pytest.mark.parametrize(
    "losses",
    [
        [0.5],
        [np.nan],
        [np.inf, 1.0],
        [1.0, 1.0, 1.0],
        [0.0, 0.0],
        [-1.0, 2.0, -3.0],
        [np.nan, 1.0, np.nan, 0.5, np.nan],
        [1e300, 1e-300, 1.0],
        [1e308] * 500,
        [1e-320] * 3,
        [],
    ],
    ids=lambda losses: str(losses[:9]),
)
async def test_no_loss_is_too_strange_to_be_drawn(losses: list[float]) -> None:
    chart = LossChart()
    async with WidgetApp(chart).run_test(size=(60, 12)) as pilot:
        chart.show([loss_series(losses), loss_series([], "empty")])
        for log_x, log_y, smoothing in itertools.product((False, True), (False, True), range(4)):
            chart.log_x, chart.log_y, chart.smoothing = log_x, log_y, smoothing
            await pilot.pause()
            assert all(len(line) == 60 for line in rendered_lines(chart))


async def test_a_chart_without_losses_says_so_and_so_does_one_that_is_too_small() -> None:
    chart = LossChart()
    async with WidgetApp(chart).run_test(size=(60, 12)) as pilot:
        assert any("no losses yet" in line for line in rendered_lines(chart))
        chart.show([loss_series([np.nan, np.nan])])
        await pilot.pause()
        assert any("no finite losses yet" in line for line in rendered_lines(chart))
        await pilot.resize_terminal(12, 4)
        await pilot.pause()
        assert rendered_lines(chart)[0].strip() == "too small"


async def test_the_same_series_are_not_drawn_again_and_one_more_step_is() -> None:
    chart = LossChart()
    async with WidgetApp(chart).run_test(size=(80, 20)) as pilot:
        one = loss_series(falling(), heldout=True)
        chart.show([one])
        await pilot.pause()
        draws = chart.draws
        same = Series(one.name, one.color, one.steps, one.losses, one.heldout)
        chart.show([same])
        await pilot.pause()
        assert chart.draws == draws
        chart.show([loss_series(falling(401))])
        await pilot.pause()
        assert chart.draws == draws + 1


async def test_axes_smoothing_and_what_is_shown_can_be_changed() -> None:
    chart = LossChart()
    async with WidgetApp(chart).run_test(size=(100, 20)) as pilot:
        chart.show([loss_series(falling(), heldout=True)])
        await pilot.pause()
        assert "held-out" in rendered_lines(chart)[0]
        images = [rendered_lines(chart)]
        for change in (
            lambda: setattr(chart, "log_y", False),
            lambda: setattr(chart, "log_x", True),
            lambda: setattr(chart, "smoothing", 4),
            chart.cycle_shown,
            chart.cycle_shown,
        ):
            change()
            await pilot.pause()
            images.append(rendered_lines(chart))
        assert len({"\n".join(lines) for lines in images}) == len(images)
        assert "linear y · log x · held-out only" in images[-1][0]
        assert chart.smoothing == 0
        chart.cycle_shown()
        assert chart.shown == "both"


async def test_the_band_is_behind_the_highlighted_series_and_the_only_one() -> None:
    def backgrounds(strips: Iterable[Strip]) -> int:
        return len({segment.style.bgcolor for strip in strips for segment in strip if segment.style})

    chart = LossChart()
    rng = np.random.default_rng(0)
    noisy = [loss_series(falling(5000) * rng.lognormal(0, 0.5, 5000), str(seed)) for seed in range(2)]
    async with WidgetApp(chart).run_test(size=(100, 20)) as pilot:
        chart.show(noisy)
        await pilot.pause()
        assert backgrounds(map(chart.render_line, range(20))) == 1
        chart.highlight = 1
        await pilot.pause()
        assert backgrounds(map(chart.render_line, range(20))) == 2
        chart.highlight = None
        chart.show(noisy[:1])
        await pilot.pause()
        assert backgrounds(map(chart.render_line, range(20))) == 2


async def test_the_cursor_stands_at_its_step() -> None:
    chart = LossChart()
    async with WidgetApp(chart).run_test(size=(110, 20)) as pilot:
        chart.show([loss_series(falling(1000))])
        chart.cursor = 501.0
        await pilot.pause()
        assert rendered_lines(chart)[1][GUTTER + 50] == "┊"
        chart.cursor = 99_999.0
        await pilot.pause()
        assert "┊" not in "".join(rendered_lines(chart))


async def test_a_million_steps_look_like_the_thousand_means_they_are() -> None:
    """A chart of many steps looks like one of the means of equal parts."""
    chart = LossChart()
    losses = np.repeat(falling(1000), 1000)
    async with WidgetApp(chart).run_test(size=(80, 20)) as pilot:
        chart.legend = False
        chart.show([loss_series(losses)])
        await pilot.pause()
        long = [line[GUTTER:] for line in rendered_lines(chart)[:-2]]
        chart.show([loss_series(falling(1000))])
        await pilot.pause()
        short = [line[GUTTER:] for line in rendered_lines(chart)[:-2]]
        differ = sum(a != b for x, y in zip(long, short, strict=True) for a, b in zip(x, y, strict=True))
        assert differ < 25


@pytest.mark.parametrize("width", range(4, 14))
async def test_neighbouring_charts_that_are_too_small_say_so_in_words_of_their_own(width: int) -> None:
    charts = LossChart(), ScheduleChart("beta_t")
    async with WidgetApp(charts[0]).run_test(size=(width, 8)) as pilot:
        await pilot.app.mount(charts[1])
        charts[0].show([loss_series(falling())])
        charts[1].show([Line("1", BLUE, falling())])
        await pilot.pause()
        for chart in charts:
            text = "\n".join(rendered_lines(chart))
            assert "too small" in text if width >= 9 else "…" in text
