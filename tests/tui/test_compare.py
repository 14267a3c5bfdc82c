"""The screen that compares runs, driven by keys."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot

from core.runs.metrics import MetricsWriter
from core.runs.status import State
from tests.support.fake_groups import comparison, five_runs
from tests.support.fake_images import write_samples
from tests.support.fake_runs import STEPS, dashboard_run
from tests.support.tui_pilot import Driven, dashboard, make_app, ready
from tests.support.widget_bench import rendered_lines
from tui.commands import ALL, COMPARE
from tui.screens.compare.screen import CompareScreen
from tui.widgets.charts.canvas import GUTTER
from tui.widgets.charts.loss_chart import LossChart
from tui.widgets.epoch_slider import EpochSlider
from tui.widgets.images.image_wall import ImageWall


async def compare(driven: Driven) -> CompareScreen:
    """Press c and wait for the screen."""
    await driven.press("c")
    await driven.until(lambda: isinstance(driven.app.screen, CompareScreen) and driven.app.screen.runs)
    await driven.pilot.pause()
    screen = driven.app.screen
    assert isinstance(screen, CompareScreen)
    return screen


async def test_a_wide_terminal_shows_curves_numbers_and_images_at_once(tmp_path: Path) -> None:
    five_runs(tmp_path)
    async with dashboard(tmp_path, (160, 50)) as driven:
        screen = await compare(driven)
        assert screen.view == "all"
        text = driven.text()
        assert "log y · linear x" in text
        assert "schedule.name" in text
        assert "5 x^10 epoch 3" in text
        assert "epoch 3 of 3" in text
        assert screen.query_one(ImageWall).visible_rows == 2
        assert screen.query_one(LossChart).size.height >= 12


async def test_a_small_terminal_shows_one_part_at_a_time_and_nothing_is_cut_off(tmp_path: Path) -> None:
    comparison(tmp_path, "failed")
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await compare(driven)
        assert screen.view == "curves"
        text = driven.text()
        assert any(line.split()[:4] == ["2", "sine", "✖", "crashed"] for line in text.splitlines())
        assert any(line.split()[2:6] == ["✖", "failed", "3/100", "NaN"] for line in text.splitlines())
        await driven.press("2")
        assert screen.view == "images"
        assert "waiting in the" in driven.text()
        assert "5 x^10 epoch 3" in driven.text()
        await driven.press("tab")
        assert screen.view == "numbers"
        assert "terminal" in driven.text()
        assert "schedule.name" in driven.text()
        await driven.press("tab", "tab", "tab", "tab")
        assert screen.view == "curves"
        for widget in screen.query("*"):
            if widget.display and widget.size:
                assert widget.region.right <= 80
                assert widget.region.bottom <= 24


async def test_a_digit_shows_one_part_alone_and_again_all(tmp_path: Path) -> None:
    five_runs(tmp_path)
    async with dashboard(tmp_path, (160, 50)) as driven:
        screen = await compare(driven)
        await driven.press("1")
        assert screen.view == "curves"
        assert screen.query_one(LossChart).size.height > 30
        await driven.press("1")
        assert screen.view == "all"
        await driven.press("3", "0")
        assert screen.view == "all"
        await driven.press("tab", "tab")
        assert screen.view == "images"
        await driven.press("tab", "tab", "tab", "tab", "tab")
        assert screen.view == "all"


@pytest.mark.parametrize("key", ["escape", "q", "c"])
async def test_back_to_the_board(tmp_path: Path, key: str) -> None:
    five_runs(tmp_path)
    async with dashboard(tmp_path) as driven:
        await compare(driven)
        await driven.press(key)
        assert driven.app.screen is driven.board


async def test_only_marked_runs_are_compared_in_their_own_colours(tmp_path: Path) -> None:
    five_runs(tmp_path)
    async with dashboard(tmp_path, (160, 50)) as driven:
        await driven.press("2", "space", "4", "space")
        screen = await compare(driven)
        assert [run.label for run in screen.runs] == ["sine", "x^2"]
        assert [one.marker for one in screen.query_one(LossChart).series] == ["2", "4"]
        titles = [column.title for column in screen.query_one(ImageWall).columns]
        assert [title for title in titles if title] == ["2 sine", "4 x^2"]


async def test_keys_change_axes_smoothing_and_what_is_drawn(tmp_path: Path) -> None:
    five_runs(tmp_path)
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await compare(driven)
        chart = screen.query_one(LossChart)
        await driven.press("y", "x", "m")
        assert (chart.log_y, chart.log_x, chart.smoothing) == (False, True, 2)
        assert "linear y · log x · smoothing medium" in driven.text()
        assert "training only" in driven.text()
        await driven.press("h")
        assert "held-out only" in driven.text()
        await driven.press("h")
        assert chart.shown == "both"
        await driven.press("L", "X")
        assert (chart.log_y, chart.log_x) == (True, False)


async def test_u_goes_through_the_units_of_the_x_axis(tmp_path: Path) -> None:
    five_runs(tmp_path)
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await compare(driven)
        chart = screen.chart
        for unit, end in (("epochs", "epochs"), ("time", " s"), ("steps", "steps")):
            await driven.press("right_parenthesis", "u")
            assert chart.unit == unit
            assert chart.placed_cursor is None
            assert rendered_lines(chart)[-1].endswith(end)
            whole = chart.full_span()
            assert whole is not None
            assert whole.high == pytest.approx({"epochs": 3, "time": 15, "steps": 3 * STEPS}[unit])


async def test_keys_zoom_pan_and_go_back_to_the_whole(tmp_path: Path) -> None:
    five_runs(tmp_path)
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await compare(driven)
        chart = screen.chart
        await driven.press("right_curly_bracket")
        assert chart.span is None
        assert any("zoom in first" in message for message in driven.notifications())
        await driven.press("plus", "equals_sign")
        first = chart.span
        assert first is not None
        assert "zoomed" in driven.text()
        await driven.press("right_curly_bracket", "shift+right")
        assert chart.span is not None
        assert chart.span.low > first.low
        await driven.press("left_curly_bracket", "shift+left")
        assert chart.span == pytest.approx(first)
        await driven.press("minus", "minus", "minus")
        assert chart.span is None
        await driven.press("plus", "z")
        assert chart.span is None


async def test_keys_move_a_cursor_that_reads_the_curves(tmp_path: Path) -> None:
    five_runs(tmp_path)
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await compare(driven)
        chart = screen.chart
        await driven.press("right_parenthesis", "ctrl+right", "right_parenthesis")
        assert chart.column_at(chart.placed_cursor or 0.0) == 2
        await driven.press("left_parenthesis", "ctrl+left")
        assert chart.column_at(chart.placed_cursor or 0.0) == 0
        text = driven.text()
        assert "│ step 2" in text
        for reading in chart.readings():
            assert reading.loss is not None
            assert f"{reading.marker} {reading.name}" in text
        await driven.press("end")
        assert chart.cursor is None


async def test_a_click_into_the_curves_shows_the_images_of_that_epoch(tmp_path: Path) -> None:
    dashboard_run(tmp_path, "linear", state=State.STOPPED, epoch=12)
    async with dashboard(tmp_path, (160, 50)) as driven:
        screen = await compare(driven)
        chart = screen.chart
        column = chart.column_at(6.2 * STEPS)
        assert column is not None
        await driven.pilot.click(chart, offset=(GUTTER + column, 4))
        await driven.until(lambda: screen.epoch == 6)
        assert screen.query_one(ImageWall).columns[0].note == "epoch 6"
        assert chart.placed_cursor == pytest.approx(6.2 * STEPS, abs=STEPS / 4)
        await driven.pilot.click(chart, offset=(GUTTER + chart.plot_width - 1, 4))
        await driven.until(lambda: screen.epoch is None)


async def test_a_drag_along_the_slider_goes_through_the_epochs(tmp_path: Path) -> None:
    dashboard_run(tmp_path, "linear", state=State.STOPPED, epoch=12)
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await compare(driven)
        await driven.press("2")
        slider = screen.query_one(EpochSlider)
        await driven.pilot.mouse_down(slider, offset=(20, 0))
        await driven.until(lambda: screen.epoch is not None)
        first = screen.epoch
        await driven.pilot._post_mouse_events([events.MouseMove], slider, (40, 0), button=1)
        await driven.until(lambda: screen.epoch != first)
        assert first is not None
        assert screen.epoch is not None
        assert screen.epoch > first
        await driven.pilot.mouse_up(slider, offset=(40, 0))
        await driven.until(lambda: screen.query_one(ImageWall).columns[0].note == f"epoch {screen.epoch}")


async def test_all_columns_follow_the_epoch_and_the_chart_marks_it(tmp_path: Path) -> None:
    for place, (schedule, epoch) in enumerate((("linear", 12), ("sine", 5))):
        dashboard_run(tmp_path, schedule, state=State.STOPPED, epoch=epoch, index=place)
    async with dashboard(tmp_path, (160, 50)) as driven:
        screen = await compare(driven)
        wall, chart = screen.query_one(ImageWall), screen.query_one(LossChart)

        def notes() -> list[str]:
            return [column.note for column in wall.columns if column.title]

        assert notes() == ["epoch 12", "epoch 5"]
        assert chart.cursor is None
        await driven.press("left_square_bracket", "left")
        assert (screen.epoch, notes()) == (10, ["epoch 10", "epoch 5"])
        assert chart.cursor == 10 * STEPS
        await driven.press("home")
        assert notes() == ["epoch 1", "epoch 1"]
        await driven.press("left")
        assert notes() == ["epoch 1", "epoch 1"]
        await driven.press("right_square_bracket", "right")
        assert notes() == ["epoch 3", "epoch 3"]
        await driven.press("end")
        assert (screen.epoch, notes()) == (None, ["epoch 12", "epoch 5"])
        screen.query_one(EpochSlider).post_message(EpochSlider.EpochRequested(4))
        await driven.until(lambda: screen.epoch == 4)


async def test_space_plays_from_the_start_to_the_end_and_then_follows(tmp_path: Path) -> None:
    dashboard_run(tmp_path, "linear", state=State.STOPPED, epoch=4)
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await compare(driven)
        await driven.press("space")
        assert "playing" in driven.text()
        await driven.until(lambda: screen.epoch == 3)
        await driven.until(lambda: screen.epoch is None)
        assert "latest" in driven.text()
        await driven.press("space")
        await driven.press("space")
        assert "playing" not in driven.text()
        assert screen.epoch is not None


async def test_there_is_nothing_to_play_before_the_second_sheet(tmp_path: Path) -> None:
    dashboard_run(tmp_path, "linear", state=State.STOPPED, epoch=1)
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await compare(driven)
        await driven.press("space", "left", "home")
        assert screen.epoch is None
        assert any("no epochs to play" in message for message in driven.notifications())


async def test_new_losses_and_images_appear_by_themselves(tmp_path: Path) -> None:
    run = dashboard_run(tmp_path, "linear", epoch=3)
    async with dashboard(tmp_path, (160, 50)) as driven:
        screen = await compare(driven)
        chart = screen.query_one(LossChart)
        with MetricsWriter(run.metrics_file) as writer:
            writer.append_steps(3 * STEPS + 1, 4, 20.0, [0.05] * STEPS)
        write_samples(run.samples / "epoch-0004.png", 0.9, seed=3)
        await driven.until(lambda: len(chart.series[0].losses) == 4 * STEPS)
        await driven.until(lambda: screen.query_one(ImageWall).columns[0].note == "epoch 4")


async def test_a_run_that_is_deleted_leaves_the_comparison(tmp_path: Path) -> None:
    runs = [
        dashboard_run(tmp_path, schedule, state=State.STOPPED, epoch=2, index=place)
        for place, schedule in enumerate(("linear", "sine"))
    ]
    async with dashboard(tmp_path, (160, 50)) as driven:
        screen = await compare(driven)
        shutil.rmtree(runs[0].path)
        await driven.until(lambda: len(screen.runs) == 1)
        await driven.until(lambda: screen.query_one(ImageWall).columns[0].title.endswith("sine"))
        shutil.rmtree(runs[1].path)
        await driven.until(lambda: "no longer here" in driven.text())
        await driven.press("space", "left", "down", "y", "2", "tab", "end", "escape")
        assert driven.app.screen is driven.board


async def test_rows_of_images_and_long_lists_can_be_scrolled(tmp_path: Path) -> None:
    for place in range(14):
        dashboard_run(tmp_path, "linear", state=State.STOPPED, epoch=2, index=place, seed=place)
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await compare(driven)
        assert screen.query_one("#legend").max_scroll_y > 0
        await driven.press("down", "down")
        assert screen.query_one("#legend").scroll_offset.y == 2
        await driven.press("2", "down", "full_stop", "full_stop")
        wall = screen.query_one(ImageWall)
        assert (wall.first_row, wall.first_column) == (1, 2)
        await driven.press("up", "comma")
        assert (wall.first_row, wall.first_column) == (0, 1)
        await driven.press("3", "pagedown")
        assert (
            screen.query_one("#numbers").scroll_offset.y > 0 or not screen.query_one("#numbers").max_scroll_y
        )


async def test_the_same_comparison_fits_after_the_terminal_has_changed(tmp_path: Path) -> None:
    five_runs(tmp_path)
    async with dashboard(tmp_path, (160, 50)) as driven:
        screen = await compare(driven)
        for size in ((80, 24), (30, 8), (200, 60), (160, 50)):
            await driven.pilot.resize_terminal(*size)
            await driven.pilot.pause()
            assert screen.view == ("all" if size[0] >= 140 else "curves")
        assert screen.query_one(ImageWall).visible_rows == 2


async def test_help_lists_every_key_of_the_comparison(tmp_path: Path) -> None:
    five_runs(tmp_path)
    async with dashboard(tmp_path, (120, 70)) as driven:
        await compare(driven)
        await driven.press("question_mark")
        text = driven.text()
        for command in COMPARE:
            assert command.text in text


def test_no_two_commands_have_the_same_name() -> None:
    assert len({command.id for command in ALL}) == len(ALL)


# Snapshots


@pytest.fixture
def _truecolor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")


def compared(*keys: str) -> Callable[[Pilot[Any]], Any]:
    async def until_drawn(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await pilot.press("c")
        await pilot.pause()
        await pilot.press(*keys)
        await pilot.pause()

    return until_drawn


@pytest.mark.usefixtures("_truecolor")
@pytest.mark.parametrize(
    ("state", "size", "keys"),
    [
        ("finished", (160, 50), ()),
        ("failed", (160, 50), ("home", "x")),
        ("finished", (120, 36), ("u", "b", "plus", "plus", *["right_parenthesis"] * 9)),
        ("failed", (80, 24), ()),
        ("failed", (80, 24), ("2",)),
        ("failed", (80, 24), ("3",)),
        ("failed", (80, 24), ("4",)),
    ],
    ids=[
        *("160x50", "160x50-first-epoch", "120x36-read"),
        *("80x24-curves", "80x24-images", "80x24-numbers", "80x24-levels"),
    ],
)
def test_the_comparison_looks_as_it_did(
    snap_compare: Any, tmp_path: Path, state: str, size: tuple[int, int], keys: tuple[str, ...]
) -> None:
    comparison(tmp_path, state, clean=True)
    assert snap_compare(make_app(tmp_path), terminal_size=size, run_before=compared(*keys))
