"""Interactive loss chart: axes, pan, zoom, and the readout at the cursor."""

import doctest

import numpy as np
import pytest
from textual import events

from tests.support.widget_bench import BLUE, ORANGE, WidgetApp, rendered_lines
from tui.widgets.charts import x_axis
from tui.widgets.charts.canvas import GUTTER
from tui.widgets.charts.cursor_readout import Reading, readout_box
from tui.widgets.charts.interactive_loss_chart import InteractiveLossChart
from tui.widgets.charts.series import Series
from tui.widgets.charts.x_axis import Scale, Span, panned, scale_from_pairs, x_text, zoomed

STEPS = np.arange(1.0, 1001.0)
EPOCHS = scale_from_pairs([(0.0, 0.0), (500.0, 5.0), (1000.0, 10.0)])


def two(scale: Scale | None = None) -> list[Series]:
    """One run at 1 at first and then at 0.1, one at 0.5; the second has held-out losses of 0.25."""
    falls = np.where(STEPS <= 500, 1.0, 0.1)
    level = np.full(1000, 0.5)
    heldout = (np.array([500.0, 1000.0]), np.array([0.25, 0.25]))
    return [
        Series("falls", BLUE, STEPS, falls, scale=scale),
        Series("level", ORANGE, STEPS, level, heldout, scale=scale),
    ]


def run_chart(chart: InteractiveLossChart, size: tuple[int, int] = (110, 20)):
    chart.legend = False
    return WidgetApp(chart).run_test(size=size)


def test_the_arithmetic_of_the_axis_is_as_its_examples_say() -> None:
    assert doctest.testmod(x_axis).failed == 0


def test_a_scale_goes_there_and_back() -> None:
    scale = scale_from_pairs([(0.0, 0.0), (40.0, 4.0), (80.0, 16.0)])
    assert scale is not None
    steps = np.array([0.0, 10.0, 40.0, 60.0, 80.0, 100.0])
    assert scale.to_axis(steps).tolist() == [0.0, 1.0, 4.0, 10.0, 16.0, 22.0]
    assert scale.to_steps(scale.to_axis(steps)).tolist() == steps.tolist()


def test_points_that_do_not_rise_are_passed_over_and_one_alone_is_no_scale() -> None:
    assert scale_from_pairs([]) is None
    assert scale_from_pairs([(0.0, 0.0), (10.0, 0.0), (0.0, 5.0), (float("nan"), 5.0)]) is None
    scale = scale_from_pairs([(0.0, 0.0), (10.0, 0.0), (10.0, 5.0), (20.0, float("nan"))])
    assert scale is not None
    assert [scale.steps.tolist(), scale.values.tolist()] == [[0.0, 10.0], [0.0, 5.0]]


@pytest.mark.parametrize("log", [False, True])
def test_zooming_in_and_out_again_comes_back_to_the_whole(log: bool) -> None:
    whole = Span(1.0, 1000.0)
    closer = zoomed(whole, whole, 4.0, 100.0, log=log)
    assert whole.low < closer.low < 100.0 < closer.high < whole.high
    back = zoomed(closer, whole, 0.25, 100.0, log=log)
    assert back == pytest.approx(whole)
    assert zoomed(whole, whole, 0.1, 100.0, log=log) == pytest.approx(whole)
    far = panned(closer, whole, 99.0, log=log)
    assert far.high == pytest.approx(whole.high)
    ratio = (far.high / far.low, closer.high / closer.low)
    width = (far.high - far.low, closer.high - closer.low)
    assert (ratio if log else width)[0] == pytest.approx((ratio if log else width)[1])


def test_no_zoom_is_so_close_that_nothing_is_left() -> None:
    span = whole = Span(0.0, 10.0)
    for _ in range(200):
        span = zoomed(span, whole, 2.0, 3.0, log=False)
    assert span.low <= 3.0 <= span.high
    assert span.high > span.low


def test_long_times_are_told_in_hours_and_short_ones_in_seconds() -> None:
    assert [x_text(seconds, "time") for seconds in (7.25, 59.0, 3599.0, 7500.0)] == [
        "7.25 s",
        "59 s",
        "59 min 59 s",
        "2 h 5 min",
    ]


async def test_the_cursor_reads_each_line_where_it_stands() -> None:
    chart = InteractiveLossChart()
    async with run_chart(chart) as pilot:
        chart.show(two())
        chart.smoothing = 0
        chart.place_cursor(250.0)
        await pilot.pause()
        early, level = chart.readings()
        assert (early.loss, early.heldout) == (pytest.approx(1.0), None)
        assert level.loss == pytest.approx(0.5)
        text = rendered_lines(chart)
        assert "step 250" in text[1]
        assert "loss held-out" in text[2]
        assert text[3].split("│")[-2].split() == ["1", "falls", "1", "–"]
        chart.place_cursor(800.0)
        await pilot.pause()
        late, level = chart.readings()
        assert late.loss == pytest.approx(0.1)
        assert (level.loss, level.heldout) == (pytest.approx(0.5), pytest.approx(0.25))
        chart.shown = "held-out"
        await pilot.pause()
        assert any("2 level" in line and "0.25" in line for line in rendered_lines(chart))
        chart.place_cursor(None)
        await pilot.pause()
        assert chart.readings() == []
        assert not any("step" in line for line in rendered_lines(chart)[:-1])


async def test_losses_that_are_not_finite_are_read_as_such_and_those_beyond_the_end_not_at_all() -> None:
    chart = InteractiveLossChart()
    async with run_chart(chart) as pilot:
        losses = np.where(STEPS < 600, 0.5, np.nan)
        chart.show(
            [Series("breaks", BLUE, STEPS, losses), Series("short", ORANGE, STEPS[:300], losses[:300])]
        )
        chart.place_cursor(900.0)
        await pilot.pause()
        broken, short = chart.readings()
        assert broken.loss != broken.loss
        assert short.loss is None
        assert any("1 breaks" in line and "NaN" in line for line in rendered_lines(chart))


@pytest.mark.parametrize(("unit", "scale", "end"), [("steps", None, "1k"), ("epochs", EPOCHS, "10")])
async def test_the_axis_is_in_its_unit(unit: str, scale: Scale | None, end: str) -> None:
    chart = InteractiveLossChart()
    async with run_chart(chart) as pilot:
        chart.unit = unit
        chart.show(two(scale))
        await pilot.pause()
        assert rendered_lines(chart)[-1].endswith(f" {unit}")
        whole = chart.full_span()
        assert whole is not None
        assert whole.high == (1000.0 if unit == "steps" else 10.0)
        # Both lines look alike whatever they are over, because an epoch has the same number of steps here.
        chart.place_cursor(whole.high * 0.8)
        await pilot.pause()
        assert [one.loss for one in chart.readings()] == [pytest.approx(0.1), pytest.approx(0.5)]


async def test_an_axis_of_time_is_marked_in_minutes_or_hours() -> None:
    chart = InteractiveLossChart()
    async with run_chart(chart) as pilot:
        chart.unit = "time"
        for seconds, name in ((100.0, "s"), (1000.0, "min"), (50_000.0, "h")):
            chart.show(two(scale_from_pairs([(0.0, 0.0), (1000.0, seconds)])))
            await pilot.pause()
            assert rendered_lines(chart)[-1].endswith(f" {name}")


async def test_runs_of_another_pace_end_elsewhere_on_an_axis_of_time() -> None:
    chart = InteractiveLossChart()
    async with run_chart(chart) as pilot:
        fast, slow = two()
        chart.unit, chart.smoothing = "time", 0
        chart.show(
            [
                Series(
                    "fast",
                    BLUE,
                    fast.steps,
                    fast.losses,
                    scale=scale_from_pairs([(0.0, 0.0), (1000.0, 100.0)]),
                ),
                Series(
                    "slow",
                    ORANGE,
                    slow.steps,
                    slow.losses,
                    scale=scale_from_pairs([(0.0, 0.0), (1000.0, 200.0)]),
                ),
            ]
        )
        chart.place_cursor(150.0)
        await pilot.pause()
        assert [one.loss for one in chart.readings()] == [None, pytest.approx(0.5)]
        chart.place_cursor(75.0)
        await pilot.pause()
        assert [one.loss for one in chart.readings()] == [pytest.approx(0.1), pytest.approx(0.5)]


async def test_the_y_axis_fits_what_is_seen() -> None:
    chart = InteractiveLossChart()
    async with run_chart(chart) as pilot:
        chart.smoothing, chart.log_y = 0, False
        chart.show(two()[:1])
        await pilot.pause()
        assert any(line.strip().startswith("1┤") for line in rendered_lines(chart))
        chart.span = Span(700.0, 900.0)
        await pilot.pause()
        assert not any(line.strip().startswith("1┤") for line in rendered_lines(chart))
        assert "zoomed" in chart.describe()
        chart.span = Span(2000.0, 3000.0)
        await pilot.pause()
        assert any("no finite losses here" in line for line in rendered_lines(chart))


async def test_held_out_losses_stay_at_the_same_height_when_zoomed_in() -> None:
    chart = InteractiveLossChart()
    async with run_chart(chart) as pilot:
        steps, losses = np.array([100.0, 1000.0]), np.array([1.0, 0.1])
        chart.log_y = False
        chart.show([Series("only", BLUE, STEPS, np.full(1000, 0.5), (steps, losses))])
        chart.span = Span(400.0, 600.0)
        chart.place_cursor(550.0)
        await pilot.pause()
        (one,) = chart.readings()
        assert one.heldout == pytest.approx(0.55, abs=0.01)


async def test_the_mouse_reads_and_a_click_leaves_the_cursor_there() -> None:
    chart = InteractiveLossChart()
    async with run_chart(chart) as pilot:
        chart.show(two())
        await pilot.pause()
        await pilot.hover(chart, offset=(GUTTER + 50, 5))
        assert chart.cursor == pytest.approx(505.0, abs=10)
        assert chart.placed_cursor is None
        await pilot.click(chart, offset=(GUTTER + 25, 5))
        assert chart.placed_cursor == chart.cursor == pytest.approx(255.0, abs=10)
        await pilot.hover(chart, offset=(GUTTER + 80, 5))
        assert chart.cursor == pytest.approx(805.0, abs=10)
        await pilot.hover(chart, offset=(2, 5))
        assert chart.cursor == chart.placed_cursor


async def test_a_drag_moves_the_curves_and_not_the_cursor() -> None:
    chart = InteractiveLossChart()
    async with run_chart(chart) as pilot:
        chart.show(two())
        chart.zoom(3, at=500.0)
        await pilot.pause()
        before = chart.span
        assert before is not None
        width = chart.plot_width
        await pilot.mouse_down(chart, offset=(GUTTER + 60, 5))
        await pilot._post_mouse_events([events.MouseMove], chart, (GUTTER + 40, 5), button=1)
        await pilot.mouse_up(chart, offset=(GUTTER + 40, 5))
        after = chart.span
        assert after is not None
        assert after.low - before.low == pytest.approx((before.high - before.low) * 20 / width)
        assert after.high - after.low == pytest.approx(before.high - before.low)
        assert chart.placed_cursor is None


async def test_the_wheel_zooms_where_the_mouse_is() -> None:
    chart = InteractiveLossChart()
    async with run_chart(chart) as pilot:
        chart.show(two())
        await pilot.pause()
        x = chart.x_at_offset(GUTTER + 20)
        await pilot._post_mouse_events([events.MouseScrollUp], chart, (GUTTER + 20, 5), button=0)
        assert chart.span is not None
        assert chart.span.low <= x <= chart.span.high
        assert chart.x_at_offset(GUTTER + 20) == pytest.approx(x, abs=10)
        await pilot._post_mouse_events([events.MouseScrollDown], chart, (GUTTER + 20, 5), button=0)
        assert chart.span is None


async def test_the_cursor_moves_by_cells_and_comes_in_at_either_end() -> None:
    chart = InteractiveLossChart()
    async with run_chart(chart) as pilot:
        chart.step_cursor(1)
        assert chart.placed_cursor is None
        chart.show(two())
        await pilot.pause()
        chart.step_cursor(1)
        assert chart.column_at(chart.placed_cursor or 0.0) == 0
        chart.step_cursor(3)
        assert chart.column_at(chart.placed_cursor or 0.0) == 3
        chart.step_cursor(-9)
        assert chart.column_at(chart.placed_cursor or 0.0) == 0
        chart.place_cursor(None)
        chart.step_cursor(-1)
        assert chart.column_at(chart.placed_cursor or 0.0) == chart.plot_width - 1


async def test_moving_the_cursor_does_not_compute_the_lines_again() -> None:
    chart = InteractiveLossChart()
    async with run_chart(chart) as pilot:
        chart.show(two())
        await pilot.pause()
        lines = chart._lines
        chart.place_cursor(500.0)
        await pilot.pause()
        assert chart._lines is lines
        chart.smoothing += 1
        await pilot.pause()
        assert chart._lines is not lines


def test_a_box_has_lines_of_one_width_and_counts_the_runs_that_it_leaves_out() -> None:
    many = [Reading(str(n), f"run number {n} of many", 0.1 * n, None) for n in range(1, 10)]
    lines = ["".join(text for text, _ in line) for line in readout_box("step 7", many, 60, 8, both=False)]
    assert len({len(line) for line in lines}) == 1
    assert len(lines) == 8
    assert "and 5 more" in lines[-2]
    assert readout_box("step 7", many, 60, 3, both=False) == []
    assert readout_box("step 7", many, 12, 20, both=True) == []
    assert readout_box("step 7", [], 60, 20, both=True) == []
    narrow = ["".join(text for text, _ in line) for line in readout_box("step 7", many, 24, 20, both=False)]
    assert max(map(len, narrow)) <= 24
    assert "1 run numbe…" in narrow[2]
