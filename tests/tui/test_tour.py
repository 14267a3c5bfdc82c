"""Guided tour, and the empty state of a folder without runs."""

from pathlib import Path
from typing import Any

import pytest
from textual.content import Content
from textual.pilot import Pilot
from textual.widgets import Input

from tests.support.fake_groups import comparison
from tests.support.fake_images import write_strip
from tests.support.tui_pilot import Driven, dashboard, make_app, ready, still
from tui.commands import ALL
from tui.replay.app import ReplayDashboard
from tui.replay.recording import find_recordings
from tui.screens.board.empty_state import empty_state_text
from tui.screens.compare.screen import CompareScreen
from tui.screens.datasets.screen import DatasetsScreen
from tui.screens.denoise.screen import DenoiseScreen
from tui.screens.help.screen import HelpScreen
from tui.screens.new_run.screen import NewRunScreen
from tui.screens.schedules.screen import SchedulesScreen
from tui.tour.bar import LINES, TourBar
from tui.tour.steps import COMMANDS, STEPS, steps, with_keys
from tui.widgets.images.image_wall import ImageWall


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for run in comparison(tmp_path / "runs", "finished", clean=True):
        write_strip(run, 40)
    return tmp_path / "runs"


def asked(driven: Driven) -> str:
    """Return the step that the tour asks for."""
    return driven.app.tour[0].command if driven.app.tour else ""


async def test_doing_what_it_asks_for_leads_through_the_tour(runs: Path) -> None:
    async with dashboard(runs, (80, 24)) as driven:
        await driven.press("W")
        assert "tour 1/12  The board" in driven.text()
        done = []
        for keys, screen in (
            ("down", None),
            ("left", None),
            ("c", CompareScreen),
            ("y", CompareScreen),
            ("space", CompareScreen),
            ("d", DenoiseScreen),
            ("space", DenoiseScreen),
            ("q c s", SchedulesScreen),
            ("space", SchedulesScreen),
            ("s b", DatasetsScreen),
            ("tab", DatasetsScreen),
        ):
            done.append(asked(driven))
            await driven.press(*keys.split())
            assert screen is None or isinstance(driven.app.screen, screen)
            step = STEPS[len(done)]
            assert asked(driven) == step.command
            await driven.until(lambda step=step: step.title in driven.text())
        await driven.press("b", "n")
        assert isinstance(driven.app.screen, NewRunScreen)
        await driven.until(lambda: "tour end  That was the tour" in driven.text())
        assert "? lists the keys of a screen" in driven.text()
        await driven.press("escape")
        assert not driven.app.tour
        assert isinstance(driven.app.screen, NewRunScreen)
        assert not driven.app.screen.query(TourBar)
        await driven.press("escape")
        assert not driven.control.woken


async def test_its_own_key_does_it_all_from_wherever_one_is(tmp_path: Path) -> None:
    async with dashboard(tmp_path / "runs", (80, 24)) as driven:
        await driven.press("W")
        assert "tour 1/5  Noise schedules" in driven.text()
        await driven.press("b", "question_mark")
        assert isinstance(driven.app.screen, HelpScreen)
        await driven.press("escape")
        await driven.until(lambda: "Back, and then s" in driven.text())
        await driven.press("W")
        assert isinstance(driven.app.screen, SchedulesScreen)
        await driven.press("W", "W")
        assert isinstance(driven.app.screen, DatasetsScreen)
        assert asked(driven) == "datasets.view"
        await driven.press("W", "W")
        assert isinstance(driven.app.screen, NewRunScreen)
        assert "That was the tour" in driven.text()
        await driven.press("W")
        assert not driven.app.tour
        assert isinstance(driven.app.screen, NewRunScreen)


async def test_the_step_about_the_logarithmic_axis_says_what_the_screen_shows(runs: Path) -> None:
    async with dashboard(runs, (80, 24)) as driven:
        await driven.press("W", "down", "left", "c")
        await driven.until(lambda: asked(driven) == "compare.log_y")
        text = " ".join(driven.text().split())
        assert "their axis is logarithmic: compare a linear one" in text
        assert "log y" in text
        await driven.press("y")
        await driven.until(lambda: asked(driven) == "compare.play")
        assert "linear y" in driven.text()
        await driven.until(lambda: "y brings the logarithmic axis back" in " ".join(driven.text().split()))


async def test_escape_ends_it_and_stays_where_one_is(runs: Path) -> None:
    async with dashboard(runs, (80, 24)) as driven:
        before = driven.text()
        await driven.press("W", "c")
        assert driven.app.screen.styles.padding.top == 4
        await driven.press("escape")
        assert isinstance(driven.app.screen, CompareScreen)
        assert not driven.app.tour
        await driven.press("escape")
        assert driven.app.screen is driven.board
        await driven.until(lambda: driven.text() == before)


async def test_in_a_field_its_key_is_text_until_the_tour_has_begun(tmp_path: Path) -> None:
    async with dashboard(tmp_path / "runs", (80, 24)) as driven:
        await driven.press("n")
        field = driven.app.screen.query_one("#data-dataset", Input)
        field.focus()
        await driven.press("W")
        assert field.value == "W"
        assert not driven.app.tour


async def test_what_has_no_room_is_left_out(runs: Path) -> None:
    async with dashboard(runs, (80, 24)) as driven:
        await driven.press("W")
        for height, lines in ((18, 2), (16, 0), (24, 4)):
            await driven.pilot.resize_terminal(80, height)
            await driven.until(lambda lines=lines: driven.board.styles.padding.top == lines)
            assert ("tour 1/12" in driven.text()) == (lines > 0)
            assert "needs" not in driven.text()


async def test_a_replay_has_the_tour_below_its_own_line(runs: Path) -> None:
    app = ReplayDashboard(runs, find_recordings(runs, ["quick-20261124-101502"]))
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot)
        driven = Driven(app, pilot, app.control)  # type: ignore[arg-type]  # a replay has no use for what it records
        await driven.until(lambda: "REPLAY" in driven.text())
        await driven.press("W")
        await driven.until(lambda: "tour 1/11" in driven.text())
        assert "REPLAY" in driven.text()
        await driven.press("escape")
        assert driven.board.styles.padding.top == 1


def test_each_step_fits_and_names_commands_that_exist() -> None:
    for step in STEPS:
        text = with_keys(step.text, lambda command: command.keys.split(",")[0])
        assert len(Content(text).wrap(78)) <= 2, step.title
        assert step.command in COMMANDS
    assert len(STEPS) <= 13
    assert [step.command for step in steps(runs=False, refused=("new",))] == [
        "board.schedules",
        "schedules.play",
        "board.datasets",
        "datasets.view",
        "tour.end",
    ]


def test_the_welcome_names_the_keys_as_they_are_and_shows_a_folder_as_it_is_called() -> None:
    keys = {
        command.id: ["F9" if command.id == "tour.go" else "x"] for command in ALL if command.id != "run.new"
    }
    text = empty_state_text(keys, Path("/[b]/\x1b[31mruns")).plain
    assert "F9   take a tour" in text
    assert "a run of your own" not in text
    assert "[b]" in text
    assert "\x1b" not in text


async def test_the_welcome_follows_the_keys(tmp_path: Path) -> None:
    async with dashboard(tmp_path / "runs", (80, 24)) as driven:
        driven.app.rebind({"tour.go": ["K"]})
        await driven.until(lambda: "K    take a tour" in driven.text())
        await driven.press("K")
        assert driven.app.tour


def test_the_tour_looks_as_it_did(snap_compare: Any, runs: Path) -> None:
    async def second_step(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await pilot.press("W", "down")
        await still(pilot)

    assert snap_compare(make_app(runs), terminal_size=(80, 24), run_before=second_step)


async def test_the_board_takes_the_room_that_the_tour_leaves(runs: Path) -> None:
    async with dashboard(runs, (80, 24)) as driven:
        wall = driven.board.query_one(ImageWall)
        before = wall.region
        await driven.press("W")
        await driven.until(lambda: wall.region.height == before.height - LINES)
        assert wall.region.bottom == before.bottom
        await driven.press("escape")
        await driven.until(lambda: wall.region == before)
