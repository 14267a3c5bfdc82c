"""Texts of strangers' files on every screen: no cell has a control character or a bidirectional mark."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest

from core.runs import RunDirectory, State
from tests.support.fake_images import write_strip
from tests.support.hostile import FORBIDDEN, NAME, hostile_folder, hostile_recipes, hostile_run, hostile_runs
from tests.support.tui_pilot import LOAD, Driven, dashboard, ready
from tui.commands import SECTIONS
from tui.replay.app import ReplayDashboard
from tui.replay.recording import find_recordings

KEYS_OF_SCREENS: Final = {
    "board": "",
    "compare": "c",
    "denoise": "d",
    "schedules": "s",
    "datasets": "b",
    "new run": "n",
    "log": "l",
    "settings": "T",
}
ENDS: Final = ("close", "cancel", "quit", "suspend", "tour", "play", "replay", "theme")
"""Actions that leave the screen, or change over time what it shows."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    hostile_recipes(tmp_path / "datasets")
    hostile_folder(tmp_path / f"images{NAME}")
    return tmp_path


def check(driven: Driven, where: object) -> None:
    """Assert that no cell of the screens, and no notification, has a forbidden character."""
    for screen in driven.app.screen_stack:
        for strip in screen._compositor.render_strips():
            for segment in strip:
                if FORBIDDEN.search(segment.text):
                    pytest.fail(f"{where}: {segment.text!r}", pytrace=False)
    for text in driven.notifications():
        assert not FORBIDDEN.search(text), (where, text)


def keys(section: str) -> Iterable[str]:
    """The first key of each command of a section, without those that leave the screen."""
    for command in SECTIONS[section]:
        if not any(command.action.startswith(end) or command.id.endswith(end) for end in ENDS):
            yield command.keys.split(",")[0]


async def press_everything(driven: Driven, section: str) -> None:
    depth = len(driven.app.screen_stack)
    for key in keys(section):
        await driven.press(key)
        check(driven, (section, key))
        for _ in range(4):  # dialogs and screens that the key has opened
            if len(driven.app.screen_stack) > depth:
                await driven.press("escape")
                check(driven, (section, key, "escape"))


@pytest.mark.parametrize(
    ("section", "size"),
    [
        *((section, (160, 50)) for section in KEYS_OF_SCREENS),
        pytest.param("board", (80, 24), marks=pytest.mark.slow),
        pytest.param("compare", (80, 24), marks=pytest.mark.slow),
    ],
)
async def test_no_cell_of_a_screen_has_a_control_character(
    folder: Path, section: str, size: tuple[int, int]
) -> None:
    for run in hostile_runs(folder / "runs"):
        write_strip(run, 4)
    async with dashboard(folder / "runs", size) as driven:
        check(driven, "board")
        if KEYS_OF_SCREENS[section]:
            await driven.press("home", KEYS_OF_SCREENS[section])
            assert len(driven.app.screen_stack) > 1
        await driven.pilot.pause(0.1)
        check(driven, section)
        await press_everything(driven, section)


@pytest.mark.slow
async def test_no_run_that_is_selected_shows_a_control_character(folder: Path) -> None:
    for index, state in enumerate(State):
        hostile_run(folder / "runs", state, index=index)
    async with dashboard(folder / "runs") as driven:
        for _ in State:
            for key in "", *"il", "escape", *"s", "escape", "question_mark", "escape", "D":
                if key:
                    await driven.press(key)
                check(driven, key)
            await driven.press("escape", "down")
        for key in ("v", "v", "v", "g", "g", "g", "slash"):
            await driven.press(key)
            check(driven, key)
        for key in "g", "r", "o", "enter":
            await driven.press(key)
            check(driven, ("filter", key))


async def test_a_replay_of_hostile_runs_shows_no_control_characters(folder: Path) -> None:
    runs = [hostile_run(folder / "runs", State.FINISHED, index=index) for index in range(2)]
    app = ReplayDashboard(folder / "runs", find_recordings(folder / "runs", [run.id for run in runs]))
    app.machine = lambda: LOAD
    app.clock.pause()
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot)
        driven = Driven(app, pilot, app.control)  # type: ignore[arg-type]  # a control that does nothing at all
        for at in (0.0, 10.0, 1e9):
            app.clock.seek(at)
            await pilot.pause(0.3)
            for key in (
                "home",
                "down",
                *"ic",
                "escape",
                *"d",
                "escape",
                *"n",
                "escape",
                "question_mark",
                "escape",
            ):
                await driven.press(key)
                check(driven, (at, key))


async def test_a_picker_shows_hostile_names_without_control_characters(folder: Path) -> None:
    run: RunDirectory = hostile_run(folder / f"images{NAME}" / "runs")
    async with dashboard(run.path.parent) as driven:
        await driven.press("b", "o")
        await driven.pilot.pause(0.1)
        check(driven, "picker")
        for key in ("down", "right", "down", "backspace", "backspace", "tilde", "tab", "x", "enter"):
            await driven.press(key)
            check(driven, ("picker", key))
