"""Widgets by themselves: pictures as cells, losses as curves, and what of them is drawn again."""

import doctest
import importlib
import itertools
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.segment import Segment
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from core.imaging.sheet import write_sheet
from core.imaging.sparkline import sparkline
from core.runs.decimate import minmax_buckets
from tui.widgets.axes import linear_ticks, log_ticks, value_label
from tui.widgets.buckets import BLOCK, BucketedSeries
from tui.widgets.chart_canvas import GUTTER, spread
from tui.widgets.curves import at_points, bridged, column_edges, connected, envelope, patterned, smoothed
from tui.widgets.epoch_slider import EpochSlider
from tui.widgets.loss_chart import LossChart, Series
from tui.widgets.pictures import PictureCache
from tui.widgets.tiles import LIFT, cell_lines, fit
from tui.widgets.trend import trend
from tui.widgets.wall import Wall, WallColumn, plan

Pixels = NDArray[np.uint8]
BLUE, ORANGE = "#56B4E9", "#E69F00"


@pytest.mark.parametrize(
    "name",
    [
        "tui.comparison",
        "tui.draft",
        "tui.widgets.axes",
        "tui.widgets.buckets",
        "tui.widgets.chart_canvas",
        "tui.widgets.epoch_slider",
    ],
)
def test_the_examples_in_docstrings_hold(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
    assert result.attempted > 0


class Bench(App[None]):
    """Shows one widget and nothing else."""

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget

    def compose(self) -> ComposeResult:
        yield self.widget


def lines_of(widget: Widget) -> list[str]:
    return [widget.render_line(y).text for y in range(widget.size.height)]


# Pictures from files


def noise(count: int = 4, size: int = 32, *, colour: bool = False, seed: int = 0) -> Pixels:
    shape = (count, size, size, 3) if colour else (count, size, size)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_a_sheet_is_the_same_object_until_its_file_changes(tmp_path: Path) -> None:
    path, cache = tmp_path / "epoch-0001.png", PictureCache()
    write_sheet(path, noise(), columns=2)
    first = cache.sheet(path)
    assert first is not None
    assert cache.sheet(path) is first
    assert cache.reads == 1
    write_sheet(path, noise(5), columns=2)
    second = cache.sheet(path)
    assert second is not None
    assert len(second.pictures) == 5


def test_a_damaged_sheet_is_none_and_is_read_once(tmp_path: Path) -> None:
    path, cache = tmp_path / "epoch-0001.png", PictureCache()
    path.write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    assert cache.sheet(path) is None
    assert cache.sheet(path) is None
    assert cache.reads == 1
    write_sheet(path, noise(), columns=2)
    assert cache.sheet(path) is not None


def test_a_missing_sheet_is_none_and_one_that_comes_is_found(tmp_path: Path) -> None:
    path, cache = tmp_path / "epoch-0001.png", PictureCache()
    assert cache.sheet(path) is None
    write_sheet(path, noise(), columns=2)
    assert cache.sheet(path) is not None
    os.unlink(path)
    assert cache.sheet(path) is None


def test_the_least_recently_used_sheet_is_forgotten_first(tmp_path: Path) -> None:
    cache = PictureCache(capacity=2)
    paths = [tmp_path / f"epoch-000{number}.png" for number in range(3)]
    for path in paths:
        write_sheet(path, noise(1, 4), columns=1)
    first = cache.sheet(paths[0])
    cache.sheet(paths[1])
    assert cache.sheet(paths[0]) is first
    cache.sheet(paths[2])
    assert cache.sheet(paths[0]) is first
    assert cache.reads == 3
    cache.sheet(paths[1])
    assert cache.reads == 4
    with pytest.raises(ValueError, match="capacity of at least 1"):
        PictureCache(0)


# Pictures as cells


def pixels_of(lines: Iterable[list[Segment]]) -> list[list[tuple[int, int, int]]]:
    """The colours of all pixels that segments of half-blocks show, two rows a line."""
    rows: list[list[tuple[int, int, int]]] = []
    for line in lines:
        top: list[tuple[int, int, int]] = []
        bottom: list[tuple[int, int, int]] = []
        for text, style, _ in line:
            assert style is not None
            assert style.bgcolor is not None
            below = tuple(style.bgcolor.get_truecolor())
            above = below
            if text[0] == "▀":
                assert style.color is not None
                above = tuple(style.color.get_truecolor())
            top += [above] * len(text)
            bottom += [below] * len(text)
        rows += [top, bottom]
    return rows


@pytest.mark.parametrize("colour", [False, True])
def test_cells_show_every_pixel_in_sixteen_levels(colour: bool) -> None:
    picture = noise(1, 12, colour=colour)[0]
    shown = np.array(pixels_of(cell_lines(picture)))
    assert shown.shape == (12, 12, 3)
    wanted = picture if colour else np.stack([picture] * 3, axis=-1)
    assert np.abs(shown - wanted.astype(int)).max() <= 9
    assert len(np.unique(shown)) <= 16


def test_black_and_white_stay_black_and_white_and_lifted_black_is_a_little_brighter() -> None:
    picture = np.array([[0, 255], [255, 0]], dtype=np.uint8)
    assert pixels_of(cell_lines(picture)) == [[(0,) * 3, (255,) * 3], [(255,) * 3, (0,) * 3]]
    assert pixels_of(cell_lines(picture, lifted=True))[0] == [(LIFT,) * 3, (255,) * 3]


def test_an_odd_last_row_stands_on_black() -> None:
    lines = cell_lines(np.full((3, 2), 255, dtype=np.uint8))
    assert len(lines) == 2
    assert pixels_of(lines)[3] == [(0, 0, 0), (0, 0, 0)]


def test_cells_that_look_alike_are_one_segment() -> None:
    assert [len(line) for line in cell_lines(np.zeros((4, 32), dtype=np.uint8))] == [1, 1]


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("size", [1, 7, 16, 31])
def test_a_shrunk_picture_keeps_its_mean(size: int, colour: bool) -> None:
    picture = noise(1, 32, colour=colour)[0]
    small = fit(picture, size)
    assert small.shape == (size, size, *picture.shape[2:])
    assert small.mean() == pytest.approx(picture.mean(), abs=0.6)


def test_a_picture_shrunk_by_half_is_the_mean_of_squares() -> None:
    picture = noise(1, 8)[0]
    squares = picture.reshape(4, 2, 4, 2).mean(axis=(1, 3))
    assert np.abs(fit(picture, 4) - squares).max() <= 0.5


def test_a_picture_of_the_right_size_is_left_alone_and_a_small_one_repeats_its_pixels() -> None:
    picture = noise(1, 8)[0]
    assert fit(picture, 8) is picture
    assert np.array_equal(fit(picture, 17), picture.repeat(2, axis=0).repeat(2, axis=1))
    wide = np.zeros((4, 8), dtype=np.uint8)
    assert fit(wide, 4).shape == (2, 4)


# The wall


def columns(count: int, *, size: int = 32, rows: int = 4) -> list[WallColumn]:
    return [
        WallColumn(f"run {number}", noise(rows, size, seed=number), "epoch 3", BLUE)
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("count", "size", "width", "tile", "lines", "shown"),
    [
        (5, 32, 160, 32, 16, 5),
        (5, 32, 120, 24, 12, 5),
        (5, 32, 80, 16, 8, 5),
        (2, 32, 80, 32, 16, 2),
        (10, 32, 80, 16, 8, 5),
        (1, 32, 20, 20, 10, 1),
        (1, 32, 9, 8, 4, 1),
        (2, 8, 80, 32, 16, 2),
        (5, 8, 80, 16, 8, 5),
        (1, 256, 160, 64, 32, 1),
    ],
)
def test_tiles_are_as_large_as_lets_all_columns_be_seen(
    count: int, size: int, width: int, tile: int, lines: int, shown: int
) -> None:
    layout = plan(columns(count, size=size), width)
    assert (layout.tile, layout.lines, layout.shown) == (tile, lines, shown)
    assert layout.left + (shown - 1) * layout.step + layout.tile <= width


def test_a_plan_without_columns_or_pictures_is_one_empty_tile() -> None:
    assert plan([], 80).shown == 1
    assert plan([WallColumn("a", None)], 80).tile == 32


class RecordingWall(Wall):
    """Remembers what it asked to be drawn again."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Region, ...]] = []

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> "RecordingWall":
        if hasattr(self, "asked"):
            self.asked.append(regions)
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)


async def test_a_wall_shows_titles_notes_and_pictures() -> None:
    wall = Wall()
    async with Bench(wall).run_test(size=(70, 20)) as pilot:
        wall.show(columns(2))
        await pilot.pause()
        assert wall.render_line(0).text.startswith("run 0 epoch 3")
        first = wall.columns[0].pictures
        assert first is not None
        cells = list(wall.render_line(1).crop(0, 32))
        assert np.abs(np.array(pixels_of([cells]))[:, :, 0] - first[0][:2].astype(int)).max() <= 9
        assert all(wall.render_line(y).cell_length == 70 for y in range(20))


async def test_only_the_column_that_changed_is_drawn_again() -> None:
    wall = RecordingWall()
    async with Bench(wall).run_test(size=(160, 40)) as pilot:
        shown = columns(5)
        wall.show(shown)
        await pilot.pause()
        wall.asked.clear()
        wall.show(shown)
        wall.show([WallColumn(c.title, c.pictures, c.note, c.color) for c in shown])
        assert wall.asked == []
        shown[2] = WallColumn("run 2", noise(4, seed=99), "epoch 4", BLUE)
        wall.show(shown)
        assert wall.asked == [(Region(64, 0, 32, 40),)]
        wall.asked.clear()
        shown[1] = WallColumn("run 1", shown[1].pictures, "epoch 9", BLUE)
        wall.show(shown)
        assert wall.asked == [(Region(32, 0, 32, 1),)]
        await pilot.pause()
        assert "epoch 9" in wall.render_line(0).text


async def test_lines_are_drawn_once_and_then_come_from_the_cache() -> None:
    wall = Wall()
    async with Bench(wall).run_test(size=(160, 40)) as pilot:
        wall.show(columns(5))
        await pilot.pause()
        drawn = wall.lines_drawn
        first = [wall.render_line(y) for y in range(40)]
        assert wall.lines_drawn == drawn
        assert all(wall.render_line(y) is line for y, line in enumerate(first))


async def test_rows_scroll_and_stop_at_both_ends() -> None:
    wall = Wall()
    async with Bench(wall).run_test(size=(64, 35)) as pilot:
        wall.show(columns(2, rows=5))
        await pilot.pause()
        assert wall.visible_rows == 2
        assert not wall.scroll_rows(-1)
        before = wall.render_line(17).text, wall.render_line(17)
        assert wall.scroll_rows(1)
        await pilot.pause()
        assert wall.render_line(1).text == before[0]
        wall.scroll_rows(99)
        assert wall.first_row == 3
        assert not wall.scroll_rows(1)
        wall.show(columns(2, rows=1))
        assert wall.first_row == 0


async def test_columns_that_do_not_fit_are_paged_and_said_to_be_there() -> None:
    wall = Wall()
    async with Bench(wall).run_test(size=(80, 20)) as pilot:
        wall.show(columns(8))
        await pilot.pause()
        assert wall.render_line(0).text.endswith(" 3›")
        assert wall.scroll_columns(2)
        await pilot.pause()
        title = wall.render_line(0).text
        assert title.startswith("‹2 run 2")
        assert title.endswith(" 1›")
        wall.scroll_columns(99)
        await pilot.pause()
        assert wall.render_line(0).text.startswith("‹3 run 3")
        assert "›" not in wall.render_line(0).text
        wall.show(columns(3))
        await pilot.pause()
        assert wall.first_column == 0


async def test_a_column_without_pictures_says_why_on_as_many_lines_as_it_needs() -> None:
    wall = Wall()
    async with Bench(wall).run_test(size=(80, 12)) as pilot:
        wall.show([*columns(4), WallColumn("late", None, empty="waits for its turn to come")])
        await pilot.pause()
        text = [line[64:].strip() for line in lines_of(wall)]
        assert text[0] == "late"
        assert [line for line in text[1:] if line] == ["waits for its", "turn to come"]


async def test_a_note_gives_way_to_its_last_word_and_then_to_nothing_before_a_title_does() -> None:
    wall = Wall()
    async with Bench(wall).run_test(size=(48, 12)) as pilot:
        pictures = noise()
        wall.show([WallColumn(title, pictures, "epoch 12") for title in ("ab", "abcdefghij", "a" * 40)])
        await pilot.pause()
        text = wall.render_line(0).text
        assert [text[at : at + 16].rstrip() for at in (0, 16, 32)] == [
            "ab epoch 12",
            "abcdefghij 12",
            "a" * 15 + "…",
        ]


async def test_a_wall_with_nothing_to_show_is_blank_and_grey_and_colour_stand_side_by_side() -> None:
    wall = Wall()
    async with Bench(wall).run_test(size=(80, 12)) as pilot:
        assert all(not line.strip() for line in lines_of(wall))
        wall.show([WallColumn("grey", noise()), WallColumn("colour", noise(colour=True))])
        await pilot.pause()
        assert all(wall.render_line(y).cell_length == 80 for y in range(12))
        wall.show([])
        await pilot.pause()
        assert all(not line.strip() for line in lines_of(wall))


async def test_a_wall_lays_itself_out_anew_when_its_size_changes() -> None:
    wall = Wall()
    async with Bench(wall).run_test(size=(160, 40)) as pilot:
        wall.show(columns(5))
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert wall.tile_layout.tile == 16
        assert all(wall.render_line(y).cell_length == 80 for y in range(24))


# Losses in buckets


def brute_force(
    x: NDArray[np.float64], y: NDArray[np.float64], edges: NDArray[np.float64]
) -> list[list[float]]:
    """What buckets must say, one column at a time: low, high, mean, finite, total."""
    rows = []
    for column, (left, right) in enumerate(itertools.pairwise(edges)):
        inside = (x >= left) & ((x < right) | ((column == len(edges) - 2) & (x == right)))
        good = y[inside][np.isfinite(y[inside])]
        values = [good.min(), good.max(), good.mean()] if len(good) else [np.nan] * 3
        rows.append([*values, len(good), int(inside.sum())])
    return rows


@pytest.mark.parametrize("length", [0, 1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 17, 20_000])
@pytest.mark.parametrize("log", [False, True])
def test_buckets_are_exact_however_the_series_came_to_be(length: int, log: bool) -> None:
    rng = np.random.default_rng(length)
    x, y = np.arange(1.0, length + 1), rng.exponential(size=length)
    y[rng.random(length) < 0.05] = np.nan
    y[rng.random(length) < 0.01] = np.inf
    series = BucketedSeries()
    for part in (length // 3, length // 2, length):
        series.update(x[:part], y[:part])
    for columns_wanted in (1, 7, 150):
        edges = column_edges(1.0, float(max(length, 2)), columns_wanted, log=log)
        np.testing.assert_allclose(
            np.stack(series.buckets(edges), axis=1), brute_force(x, y, edges), rtol=1e-12
        )


def test_buckets_agree_with_those_of_the_run_reader() -> None:
    x, y = np.arange(1.0, 5001), np.random.default_rng(1).exponential(size=5000)
    series = BucketedSeries()
    series.update(x, y)
    ours = series.buckets(np.linspace(1, 5000, 81))
    low, high, mean = minmax_buckets(x, y, 80)
    np.testing.assert_array_equal(ours.low, low)
    np.testing.assert_array_equal(ours.high, high)
    np.testing.assert_allclose(ours.mean, mean)


def test_a_series_that_was_replaced_is_taken_anew() -> None:
    series, edges = BucketedSeries(), np.array([0.0, 5000.0])
    x = np.arange(1.0, 4001)
    series.update(x, np.ones(4000))
    series.update(x, np.full(4000, 2.0))
    assert series.buckets(edges).mean.tolist() == [2.0]
    series.update(x[:300], np.full(300, 3.0))
    assert series.buckets(edges).mean.tolist() == [3.0]
    series.update(x, np.concatenate([np.full(300, 3.0), np.full(3700, 4.0)]))
    assert series.buckets(edges).high.tolist() == [4.0]
    with pytest.raises(ValueError, match="as many x as y"):
        series.update(x, np.ones(3))


# Curves


def buckets_of(y: Iterable[float], columns_wanted: int) -> tuple[BucketedSeries, NDArray[np.float64]]:
    values = np.array(list(y), dtype=np.float64)
    series = BucketedSeries()
    series.update(np.arange(1.0, len(values) + 1), values)
    return series, column_edges(1.0, float(len(values)), columns_wanted, log=False)


def test_smoothing_leaves_a_constant_alone_and_gives_each_step_the_same_weight() -> None:
    series, edges = buckets_of([3.0] * 1000, 120)
    for level in range(4):
        np.testing.assert_allclose(smoothed(series.buckets(edges), level), 3.0)
    rng = np.random.default_rng(0)
    series, edges = buckets_of(rng.exponential(size=12_000), 120)
    middle = smoothed(series.buckets(edges), 3)[60]
    half = int(120 / 8 / 2)
    inside = (series.x >= edges[60 - half]) & (series.x < edges[60 + half + 1])
    assert middle == pytest.approx(series.y[inside].mean())


def test_gaps_without_steps_are_bridged_and_losses_that_were_not_finite_are_not() -> None:
    values = np.array([np.nan, 1.0, np.nan, 3.0, np.nan, np.nan, 6.0, np.nan])
    broken = np.zeros(8, dtype=np.bool_)
    np.testing.assert_allclose(bridged(values, broken), [np.nan, 1, 2, 3, 4, 5, 6, np.nan])
    broken[4] = True
    np.testing.assert_allclose(bridged(values, broken), [np.nan, 1, 2, 3, np.nan, np.nan, 6, np.nan])
    np.testing.assert_array_equal(bridged(np.full(3, np.nan), broken[:3]), np.full(3, np.nan))


def test_a_connected_line_has_no_holes_between_neighbours() -> None:
    line = connected(np.array([0.0, 10.0, np.nan, 5.0]))
    assert line.low[1] <= line.high[0]
    assert np.isnan(line.low[2])
    assert (line.low[3], line.high[3]) == (5.0, 5.0)
    band = envelope(np.array([0.0, 8.0]), np.array([1.0, 9.0]))
    assert band.low[1] <= band.high[0]


def test_points_become_a_line_from_the_first_to_the_last() -> None:
    edges = np.linspace(0, 100, 101)
    line = at_points(np.array([20.0, 60.0]), np.array([1.0, 3.0]), edges, log_x=False)
    known = np.flatnonzero(np.isfinite(line))
    assert (known[0], known[-1]) == (19, 60)
    assert line[40] == pytest.approx(2.0, abs=0.05)
    assert np.isnan(at_points(np.array([]), np.array([]), edges, log_x=False)).all()
    alone = at_points(np.array([50.0]), np.array([2.0]), edges, log_x=True)
    assert set(alone[np.isfinite(alone)]) == {2.0}


def test_a_pattern_keeps_the_last_column_that_is_drawn() -> None:
    dotted = patterned(connected(np.array([1.0] * 8 + [np.nan])), (1, 3))
    assert np.flatnonzero(np.isfinite(dotted.low)).tolist() == [0, 3, 6, 7]


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.0213, 0.0267), (-3.0, 12_345.0), (1e-9, 3e-9)])
@pytest.mark.parametrize("most", [1, 2, 5, 12])
def test_ticks_are_round_few_and_inside(low: float, high: float, most: int) -> None:
    ticks = linear_ticks(low, high, most)
    assert len(ticks) <= most
    assert all(low - 1e-12 <= tick <= high + 1e-12 for tick in ticks)
    assert np.allclose(np.diff(ticks), np.diff(ticks)[:1])
    if low > 0:
        assert len(log_ticks(low, high, most)) <= most


def test_an_axis_without_extent_has_no_ticks() -> None:
    assert linear_ticks(1.0, 1.0, 5) == []
    assert linear_ticks(0.0, float("inf"), 5) == []
    assert log_ticks(0.0, 1.0, 5) == []
    assert len(log_ticks(1e-30, 1e30, 6)) <= 6


@pytest.mark.parametrize("value", [1e-12, 0.00123, 0.5, 1.0, 999.9, 1e5, -0.25, 1e300])
def test_a_tick_says_its_value_in_three_digits_and_seldom_needs_more_than_seven_characters(
    value: float,
) -> None:
    assert float(value_label(value)) == pytest.approx(value, rel=0.005)
    assert len(value_label(value)) < GUTTER or not 1e-9 < abs(value) < 1e9


def test_labels_are_spread_in_order_without_meeting() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        height = int(rng.integers(1, 20))
        wanted = sorted(rng.integers(0, height, int(rng.integers(0, height + 3))).tolist())
        rows = spread(wanted, height)
        assert len(rows) == min(len(wanted), height)
        assert all(0 <= row < height for row in rows)
        assert all(a < b for a, b in itertools.pairwise(rows))


# The trend


def test_a_short_history_is_the_sparkline_itself() -> None:
    losses = np.array([1.0, 0.5, 0.2, 0.1])
    assert trend(losses, 10) == sparkline(losses, 10)
    assert trend(np.array([]), 10) == ""


def test_a_trend_falls_and_shows_that_the_last_loss_was_not_a_number() -> None:
    losses = np.exp(-np.linspace(0, 5, 1_000_000))
    text = trend(losses, 20)
    assert len(text) == 20
    assert list(text) == sorted(text, reverse=True)
    losses[-1] = np.nan
    assert trend(losses, 20)[-1] == "·"
    assert "·" not in trend(losses, 20)[:-1]


# The chart


def series_of(
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
    async with Bench(chart).run_test(size=(100, 20)) as pilot:
        chart.show([series_of(falling()), series_of(falling(200, 0.1), "x^10", ORANGE)])
        await pilot.pause()
        lines = lines_of(chart)
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
    async with Bench(chart).run_test(size=(80, 24)) as pilot:
        chart.show([series_of(falling())])
        chart.legend = False
        await pilot.pause()
        plot = [line[GUTTER:] for line in lines_of(chart)[:-2]]
        columns_drawn = range(0, 60, 5)
        tops = [
            min((row for row, line in enumerate(plot) if is_braille(line[column])), default=99)
            for column in columns_drawn
        ]
        assert tops == sorted(tops)
        assert tops[0] < tops[-1] < 99


async def test_a_loss_that_was_not_finite_breaks_the_line_and_is_marked() -> None:
    chart = LossChart()
    async with Bench(chart).run_test(size=(80, 20)) as pilot:
        losses = falling()
        losses[200:] = np.nan
        chart.show([series_of(losses)])
        await pilot.pause()
        lines = lines_of(chart)
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
    async with Bench(chart).run_test(size=(60, 12)) as pilot:
        chart.show([series_of(losses), series_of([], "empty")])
        for log_x, log_y, smoothing in itertools.product((False, True), (False, True), range(4)):
            chart.log_x, chart.log_y, chart.smoothing = log_x, log_y, smoothing
            await pilot.pause()
            assert all(len(line) == 60 for line in lines_of(chart))


async def test_a_chart_without_losses_says_so_and_so_does_one_that_is_too_small() -> None:
    chart = LossChart()
    async with Bench(chart).run_test(size=(60, 12)) as pilot:
        assert any("no losses yet" in line for line in lines_of(chart))
        chart.show([series_of([np.nan, np.nan])])
        await pilot.pause()
        assert any("no finite losses yet" in line for line in lines_of(chart))
        await pilot.resize_terminal(12, 4)
        await pilot.pause()
        assert lines_of(chart)[0] == "too small fo"


async def test_the_same_series_are_not_drawn_again_and_one_more_step_is() -> None:
    chart = LossChart()
    async with Bench(chart).run_test(size=(80, 20)) as pilot:
        one = series_of(falling(), heldout=True)
        chart.show([one])
        await pilot.pause()
        draws = chart.draws
        same = Series(one.name, one.color, one.steps, one.losses, one.heldout)
        chart.show([same])
        await pilot.pause()
        assert chart.draws == draws
        chart.show([series_of(falling(401))])
        await pilot.pause()
        assert chart.draws == draws + 1


async def test_axes_smoothing_and_what_is_shown_can_be_changed() -> None:
    chart = LossChart()
    async with Bench(chart).run_test(size=(100, 20)) as pilot:
        chart.show([series_of(falling(), heldout=True)])
        await pilot.pause()
        assert "held-out" in lines_of(chart)[0]
        pictures = [lines_of(chart)]
        for change in (
            lambda: setattr(chart, "log_y", False),
            lambda: setattr(chart, "log_x", True),
            lambda: setattr(chart, "smoothing", 4),
            chart.next_shown,
            chart.next_shown,
        ):
            change()
            await pilot.pause()
            pictures.append(lines_of(chart))
        assert len({"\n".join(lines) for lines in pictures}) == len(pictures)
        assert "linear y · log x · held-out only" in pictures[-1][0]
        assert chart.smoothing == 0
        chart.next_shown()
        assert chart.shown == "both"


async def test_the_band_is_behind_the_highlighted_series_and_the_only_one() -> None:
    def grounds(strips: Iterable[Strip]) -> int:
        return len({segment.style.bgcolor for strip in strips for segment in strip if segment.style})

    chart = LossChart()
    rng = np.random.default_rng(0)
    noisy = [series_of(falling(5000) * rng.lognormal(0, 0.5, 5000), str(seed)) for seed in range(2)]
    async with Bench(chart).run_test(size=(100, 20)) as pilot:
        chart.show(noisy)
        await pilot.pause()
        assert grounds(map(chart.render_line, range(20))) == 1
        chart.highlight = 1
        await pilot.pause()
        assert grounds(map(chart.render_line, range(20))) == 2
        chart.highlight = None
        chart.show(noisy[:1])
        await pilot.pause()
        assert grounds(map(chart.render_line, range(20))) == 2


async def test_the_cursor_stands_at_its_step() -> None:
    chart = LossChart()
    async with Bench(chart).run_test(size=(110, 20)) as pilot:
        chart.show([series_of(falling(1000))])
        chart.cursor = 501.0
        await pilot.pause()
        assert lines_of(chart)[1][GUTTER + 50] == "┊"
        chart.cursor = 99_999.0
        await pilot.pause()
        assert "┊" not in "".join(lines_of(chart))


async def test_a_million_steps_look_like_the_thousand_means_they_are() -> None:
    """The chart never looks at each step: what it draws is what it would draw of the means of equal parts."""
    chart = LossChart()
    losses = np.repeat(falling(1000), 1000)
    async with Bench(chart).run_test(size=(80, 20)) as pilot:
        chart.legend = False
        chart.show([series_of(losses)])
        await pilot.pause()
        long = [line[GUTTER:] for line in lines_of(chart)[:-2]]
        chart.show([series_of(falling(1000))])
        await pilot.pause()
        short = [line[GUTTER:] for line in lines_of(chart)[:-2]]
        differ = sum(a != b for x, y in zip(long, short, strict=True) for a, b in zip(x, y, strict=True))
        assert differ < 25


# The slider


async def test_the_slider_says_which_epoch_is_seen_and_a_click_asks_for_another() -> None:
    slider = EpochSlider()
    asked: list[int | None] = []

    class Listening(Bench):
        def on_epoch_slider_sought(self, message: EpochSlider.Sought) -> None:
            asked.append(message.epoch)

    async with Listening(slider).run_test(size=(80, 3)) as pilot:
        assert "no pictures yet" in str(slider.render())
        slider.show(range(10, 110, 10), 30)
        await pilot.pause()
        assert "epoch  30 of 100" in str(slider.render())
        assert "held" in str(slider.render())
        slider.show(range(10, 110, 10), None)
        assert "latest" in str(slider.render())
        slider.show(range(10, 110, 10), 30, playing=True)
        assert "playing" in str(slider.render())
        await pilot.pause()
        await pilot.click(slider, offset=(19, 0))
        await pilot.click(slider, offset=(79, 0))
        await pilot.pause()
        assert asked[0] == 10
        assert asked[-1] is None


async def test_a_slider_with_one_epoch_or_little_room_still_says_it() -> None:
    slider = EpochSlider()
    async with Bench(slider).run_test(size=(24, 1)) as pilot:
        slider.show([7], None)
        await pilot.pause()
        assert str(slider.render()).strip().startswith("epoch 7 of 7")
        await pilot.resize_terminal(80, 1)
        await pilot.pause()
        assert "●" in str(slider.render())
