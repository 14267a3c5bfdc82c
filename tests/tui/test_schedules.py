"""The schedules screen, driven by keys; and its chart."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from textual.pilot import Pilot
from textual.widgets import Input

from core.runs.status import State
from core.runs.store import RunStore
from core.schedules import SCHEDULE_NAMES, make_schedule
from tests.support.fake_runs import dashboard_run
from tests.support.tui_pilot import Driven, dashboard, make_app, ready
from tests.support.widget_bench import BLUE, ORANGE, WidgetApp, rendered_lines
from tui.commands import SCHEDULES
from tui.screens.new_run.screen import NewRunScreen
from tui.screens.schedules.noising import add_noise, heldout_images
from tui.screens.schedules.screen import SchedulesScreen
from tui.widgets.charts.schedule_chart import Line, ScheduleChart
from tui.widgets.chip_line import ChipLine
from tui.widgets.images.image_wall import ImageWall
from tui.widgets.scrubber import Scrubber


async def schedules(driven: Driven) -> SchedulesScreen:
    """Press s, wait for the screen and its images."""
    await driven.press("s")
    await driven.until(lambda: isinstance(driven.app.screen, SchedulesScreen))
    screen = driven.app.screen
    assert isinstance(screen, SchedulesScreen)
    await driven.until(lambda: screen.explorer.images is not None)
    await driven.pilot.pause()
    return screen


async def retype(driven: Driven, field: str, text: str) -> None:
    driven.app.screen.query_one(f"#{field}", Input).value = text
    await driven.pilot.pause()


def columns(screen: SchedulesScreen) -> list[Any]:
    return [one.images for one in screen.query_one(ImageWall).columns]


# The chart


def braille(lines: list[str]) -> list[tuple[int, int]]:
    return [
        (x, y) for y, line in enumerate(lines) for x, char in enumerate(line) if "\u2801" <= char <= "\u28ff"
    ]


async def test_a_rising_and_a_falling_curve_cross_and_end_at_their_markers() -> None:
    chart = ScheduleChart("what it is")
    async with WidgetApp(chart).run_test(size=(60, 16)) as pilot:
        rising = np.linspace(0.0, 1.0, 100)
        chart.show([Line("1", BLUE, rising), Line("2", ORANGE, rising[::-1])])
        chart.cursor = 50
        await pilot.pause()
        lines = rendered_lines(chart)
        assert lines[0].strip() == "what it is"
        assert "┊" in "".join(lines)
        assert lines[-1].split() == ["25", "50", "75", "100", "t"]
        rows = [y for y, line in enumerate(lines) if line.rstrip().endswith(("1", "2"))]
        assert lines[rows[0]].rstrip().endswith("1")
        assert lines[rows[-1]].rstrip().endswith("2")
        left = [y for x, y in braille(lines) if x == 8]
        assert max(left) - min(left) > 8


async def test_the_axis_holds_its_span_and_leaves_out_what_few_timesteps_reach() -> None:
    betas = make_schedule("cosine").betas
    for steady, top in ((False, "1"), (True, "0.0")):
        chart = ScheduleChart("beta_t", span=(0.0, 0.0), clip_outliers=steady)
        async with WidgetApp(chart).run_test(size=(60, 16)) as pilot:
            chart.show([Line("1", BLUE, betas)])
            await pilot.pause()
            labels = [line.split("┤")[0].strip() for line in rendered_lines(chart) if "┤" in line]
            assert labels[0].startswith(top)
            assert labels[-1] == "0"


@pytest.mark.parametrize(
    "values", [[], [np.nan, np.nan], [1.0], [0.0, 0.0], [np.inf, 1.0, -np.inf, 2.0], [1e300, -1e300]]
)
async def test_every_curve_can_be_drawn(values: list[float]) -> None:
    chart = ScheduleChart("c")
    async with WidgetApp(chart).run_test(size=(40, 10)) as pilot:
        chart.show([Line("1", BLUE, np.array(values))])
        for size in ((40, 10), (12, 4), (40, 3)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert all(len(line) <= 40 for line in rendered_lines(chart))
        chart.show([])
        await pilot.pause()
        assert "nothing to draw" in "".join(rendered_lines(chart))


# The screen


async def test_the_five_schedules_are_there_before_there_is_any_run(tmp_path: Path) -> None:
    async with dashboard(tmp_path, (160, 50)) as driven:
        screen = await schedules(driven)
        text = driven.text()
        for part in (
            "5 of 9",
            "beta_t",
            "abar_t",
            "SNR in dB",
            "4.0e-05",
            "✖ x^10 bad: 38%",
            "t  500 of 1000",
        ):
            assert part in text
        images = heldout_images("high")
        for shown, name in zip(columns(screen), SCHEDULE_NAMES, strict=True):
            assert np.array_equal(shown, add_noise(images, make_schedule(name), 500))


async def test_it_starts_from_the_selected_runs(tmp_path: Path) -> None:
    for index, schedule in enumerate(("x^2", "x^3.5")):
        dashboard_run(tmp_path, schedule, state=State.STOPPED, epoch=1, index=index, dataset="array")
    async with dashboard(tmp_path, (120, 40)) as driven:
        screen = await schedules(driven)
        assert screen.explorer.chosen == {"x^2", "x^3.5"}
        assert "2 of 10" in driven.text()
        assert np.array_equal(screen.explorer.images, heldout_images("array"))


async def test_keys_move_t_and_all_images_follow(tmp_path: Path) -> None:
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await schedules(driven)
        for keys, t in (
            *((("left",), 490), (("right", "right"), 510), (("pagedown",), 610), (("pageup",), 510)),
            *((("home", "left"), 0), (("end", "right"), 1000)),
        ):
            await driven.press(*keys)
            assert screen.t == t
            assert f"t {t:4} of 1000" in driven.text()
        screen.query_one(Scrubber).request_index(250)
        await driven.until(lambda: screen.t == 250)
        assert all(chart.cursor == 250 for chart in screen.query(ScheduleChart))


async def test_few_timesteps_are_stepped_through_one_by_one(tmp_path: Path) -> None:
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await schedules(driven)
        await retype(driven, "schedule-timesteps", "3")
        await driven.press("home", "right")
        assert screen.t == 1
        await retype(driven, "schedule-timesteps", "1")
        await driven.press("end")
        assert "t 1 of 1" in driven.text()


async def test_it_plays_from_image_to_noise(tmp_path: Path) -> None:
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await schedules(driven)
        await driven.press("end", "space")
        assert "▶ playing" in driven.text()
        await driven.until(lambda: 0 < screen.explorer.share < 1)
        await driven.press("space")
        assert "playing" not in driven.text()
        screen.explorer.share = 0.97
        await driven.press("space")
        await driven.until(lambda: screen.explorer.share == 1.0)
        assert "playing" not in driven.text()


async def test_digits_and_clicks_choose_schedules(tmp_path: Path) -> None:
    async with dashboard(tmp_path, (160, 50)) as driven:
        screen = await schedules(driven)
        await driven.press("6", "1")
        assert [one.title for one in screen.query_one(ImageWall).columns] == [
            *("2 sine", "3 x^1.5", "4 x^2", "5 x^10", "6 cosine")
        ]
        line = screen.query_one(ChipLine)
        await driven.pilot.click(line, offset=(2, 0))
        await driven.until(lambda: "linear" in screen.explorer.chosen)
        await driven.pilot.click(line, offset=(150, 0))
        for digit in "123456":
            await driven.press(digit)
        assert screen.explorer.chosen == frozenset()
        assert "0 of 9" in driven.text()
        await driven.press("left", "space", "space", "v", "v", "v", "v", "n")
        assert any("choose at least one" in text for text in driven.notifications())
        assert isinstance(driven.app.screen, SchedulesScreen)


async def test_numbers_are_edited_and_their_effect_is_shown_at_once(tmp_path: Path) -> None:
    async with dashboard(tmp_path, (160, 50)) as driven:
        screen = await schedules(driven)
        await driven.press("e")
        assert "leave the field" in driven.text()
        await driven.press("3", "0", "0")
        assert "0.048" in driven.text()
        assert "t 150 of 300" in driven.text()
        await driven.press("down")
        assert screen.query_one("#schedule-timesteps", Input).value == "250"
        await driven.press("tab", "tab", "up")
        assert screen.query_one("#schedule-beta_end", Input).value == "0.024"
        await driven.press("tab", "tab", "4")
        assert "x^4" in driven.text()
        await driven.press("escape")
        assert screen.focused is None
        await driven.press("z")
        assert "rescaled to zero terminal SNR" in driven.text()
        assert "-∞ dB" in driven.text()
        await driven.press("z", "q")
        assert driven.app.screen is driven.board


async def test_an_invalid_number_is_shown_and_no_run_is_set_up(tmp_path: Path) -> None:
    async with dashboard(tmp_path, (120, 40)) as driven:
        await schedules(driven)
        await retype(driven, "schedule-beta_end", "2")
        assert "beta_T: expected a number < 1.0" in driven.text()
        assert "cannot be made" in driven.text()
        await driven.press("left", "space", "end", "n")
        assert isinstance(driven.app.screen, SchedulesScreen)
        await retype(driven, "schedule-beta_end", "0.02")
        assert "expected" not in driven.text()


async def test_an_own_image_is_noised_and_a_wrong_path_is_an_error(tmp_path: Path) -> None:
    Image.new("RGB", (50, 40), (200, 0, 0)).save(tmp_path / "mine.png")
    async with dashboard(tmp_path / "runs", (120, 40)) as driven:
        screen = await schedules(driven)
        screen.query_one("#image", Input).focus()
        await retype(driven, "image", str(tmp_path / "none.png"))
        await driven.press("enter")
        await driven.until(lambda: "no such file; expected an image" in driven.text())
        assert screen.focused is None
        await retype(driven, "image", str(tmp_path / "mine.png"))
        screen.query_one("#image", Input).focus()
        await driven.press("enter")
        await driven.until(lambda: columns(screen)[0].shape == (1, 32, 32, 3))
        await driven.press("home")
        assert (columns(screen)[0][..., 0] == 200).all()
        assert "no such file" not in driven.text()
        screen.query_one("#image", Input).focus()
        await retype(driven, "image", "")
        await driven.press("enter")
        await driven.until(lambda: columns(screen)[0].shape == (4, 32, 32))


async def test_a_missing_dataset_is_an_error(tmp_path: Path) -> None:
    dashboard_run(tmp_path, "linear", state=State.STOPPED, epoch=1, dataset="hihg")
    async with dashboard(tmp_path, (120, 40)) as driven:
        await driven.press("s")
        await driven.until(lambda: "no data set called 'hihg'" in driven.text())
        await driven.press("left", "v", "end")
        assert isinstance(driven.app.screen, SchedulesScreen)


async def test_the_schedules_are_passed_to_a_new_run(tmp_path: Path) -> None:
    async with dashboard(tmp_path, (160, 50)) as driven:
        await schedules(driven)
        await driven.press("3", "5", "z")
        await retype(driven, "schedule-timesteps", "300")
        await retype(driven, "schedule-beta_end", "0.03")
        await retype(driven, "power", "0.7")
        await driven.press("n")
        await driven.until(lambda: isinstance(driven.app.screen, NewRunScreen))
        await driven.pilot.pause()
        assert "new run  current schedules" in driven.text()
        assert "4 runs will be queued" in driven.text()
        await driven.press("escape")
        assert isinstance(driven.app.screen, SchedulesScreen)
        await driven.press("n")
        await driven.until(lambda: isinstance(driven.app.screen, NewRunScreen))
        await driven.press("f5")
        await driven.until(lambda: driven.app.screen is driven.board and len(driven.board.runs) == 4)
        made = {info.file.config.schedule for info in RunStore(tmp_path).infos()}
        assert {one.name for one in made} == {"linear", "sine", "x^2", "x^0.7"}
        assert {(one.timesteps, one.beta_end, one.zero_terminal_snr) for one in made} == {(300, 0.03, True)}


async def test_a_small_terminal_shows_one_part_at_a_time_and_nothing_is_cut_off(tmp_path: Path) -> None:
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await schedules(driven)
        views = []
        for _ in range(4):
            views.append(screen.view)
            for widget in screen.query("*"):
                if widget.display and widget.size:
                    assert widget.region.right <= 80
                    assert widget.region.bottom <= 24
            await driven.press("down", "up", "v")
        assert views == ["curves", "images", "numbers", "curves"]
        await driven.pilot.resize_terminal(160, 50)
        await driven.pilot.pause()
        await driven.press("v", "v")
        assert screen.view == "all"


async def test_no_size_of_terminal_breaks_it(tmp_path: Path) -> None:
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await schedules(driven)
        for size in ((20, 5), (30, 8), (250, 70), (80, 24)):
            await driven.pilot.resize_terminal(*size)
            await driven.press("left", "v", "6", "z", "v", "t", "e", "down", "escape")
            assert screen.size == size


async def test_help_lists_every_key_of_the_screen(tmp_path: Path) -> None:
    async with dashboard(tmp_path, (120, 70)) as driven:
        await schedules(driven)
        await driven.press("question_mark")
        for command in SCHEDULES:
            assert command.text in driven.text()
        assert "Show or hide the schedule of that number" in driven.text()


# Snapshots


@pytest.fixture
def _truecolor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")


def pressed(*keys: str) -> Callable[[Pilot[Any]], Any]:
    async def until_drawn(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await pilot.press("s")
        await pilot.pause()
        screen = pilot.app.screen
        assert isinstance(screen, SchedulesScreen)
        while screen.explorer.images is None:
            await pilot.pause(0.01)
        await pilot.press(*keys)
        await pilot.pause()

    return until_drawn


@pytest.mark.usefixtures("_truecolor")
@pytest.mark.parametrize("size", [(80, 24), (120, 36), (160, 50)], ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize(
    "keys", [("home",), ("v", "6"), ("home", "5", "v", "v", "z")], ids=["first", "second", "third"]
)
def test_it_looks_as_it_did(
    snap_compare: Any, tmp_path: Path, size: tuple[int, int], keys: tuple[str, ...]
) -> None:
    assert snap_compare(make_app(tmp_path), terminal_size=size, run_before=pressed(*keys))
