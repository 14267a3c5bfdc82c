"""Settings screen: choices apply at once and are kept, conflicting keys are refused, nothing is lost."""

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.support.fake_groups import comparison
from tests.support.tui_pilot import Driven, dashboard, make_app, ready, still
from tui.commands import ALL, SECTIONS
from tui.dialogs.confirm import ConfirmScreen
from tui.dialogs.input import KeyScreen, TextScreen
from tui.screens.compare.screen import CompareScreen
from tui.screens.new_run.screen import NewRunScreen
from tui.screens.settings.screen import SettingsScreen
from tui.settings.keymap import conflict, keys_of_command, read_keymap, rebound_keys
from tui.settings.schema import Settings
from tui.settings.store import read_settings
from tui.settings.themes import LIGHT

BY_ID = {command.id: command for command in ALL}


def open_at(driven: Driven, name: str) -> SettingsScreen:
    """The screen with its cursor on a setting or a command."""
    screen = driven.app.screen
    assert isinstance(screen, SettingsScreen)
    names = [row.setting or (row.command.id if row.command else "") for row in screen.rows]
    screen._list.highlighted = names.index(name)
    return screen


async def test_each_setting_applies_at_once_and_is_kept(tmp_path: Path) -> None:
    state = tmp_path / "state"
    comparison(tmp_path / "runs", "finished")
    async with dashboard(
        tmp_path / "runs", (80, 24), remember=state, image_mode="ascii", settings=Settings()
    ) as driven:
        await driven.press("T")
        assert "‹ ascii ›" in driven.text()
        await driven.press("right")
        assert driven.app.theme == LIGHT.name
        assert read_settings(state)[0].theme == "light"
        await driven.press("down", "right")
        assert driven.app.image_mode is None
        assert driven.app.render_mode.mode != "ascii"
        await driven.press("down", "space", "j", "left", "down", "right")
        kept = read_settings(state)[0]
        assert kept == driven.app.settings == Settings(theme="light", zoom=2, bell=False, refresh=2.0)
        assert driven.app.render_mode.zoom == 2
        await driven.press("backspace")
        assert read_settings(state)[0].refresh == 1.0
        await driven.press("escape")
        assert driven.app.screen is driven.board


async def test_seconds_are_typed_and_checked(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with dashboard(tmp_path / "runs", (80, 24), remember=state) as driven:
        await driven.press("f3")
        open_at(driven, "refresh")
        await driven.press("enter", "9", "9", "enter")
        assert isinstance(driven.app.screen, TextScreen)
        assert "refresh = 99.0: expected seconds, from 0.1 to 10" in driven.text()
        await driven.press("backspace", "backspace", "0", ".", "4", "enter")
        assert driven.app.settings.refresh == read_settings(state)[0].refresh == 0.4
        await driven.press("right")
        assert driven.app.settings.refresh == 0.5
        await driven.press("enter", "x", "escape")
        assert driven.app.settings.refresh == 0.5


async def test_a_command_gets_the_key_that_is_pressed(tmp_path: Path) -> None:
    keys = tmp_path / "config" / "keys.toml"
    comparison(tmp_path / "runs", "finished")
    async with dashboard(tmp_path / "runs", (80, 24), keys=keys) as driven:
        await driven.press("T")
        open_at(driven, "run.compare")
        await driven.press("enter", "K")
        assert keys.read_text(encoding="utf-8") == '"run.compare" = "K"\n'
        await driven.press("a", "ctrl+k")
        assert read_keymap(keys) == {"run.compare": "K,ctrl+k"}
        await driven.press("escape")
        assert "K compare" in driven.text()
        await driven.press("c")
        assert driven.app.screen is driven.board
        await driven.press("K")
        assert isinstance(driven.app.screen, CompareScreen)
        await driven.press("T")
        open_at(driven, "run.compare")
        await driven.press("delete", "escape", "escape")
        assert keys.read_text(encoding="utf-8") == ""
        assert "c compare" in driven.text()
        await driven.press("c")
        assert isinstance(driven.app.screen, CompareScreen)


async def test_a_key_that_is_in_use_is_refused_in_a_line(tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    async with dashboard(tmp_path / "runs", (80, 24), keys=keys) as driven:
        await driven.press("T")
        open_at(driven, "run.stop")
        await driven.press("enter", "c")
        assert "c is in use by run.compare: Compare the marked runs" in driven.text()
        assert not keys.exists()
        await driven.press("enter", "escape")
        assert "is in use" not in driven.text()
        await driven.press("enter")
        assert isinstance(driven.app.screen, KeyScreen)
        await driven.press("tab")
        assert read_keymap(keys) == {"run.stop": "tab"}


async def test_default_keys_are_restored_unless_they_are_in_use(tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    async with dashboard(tmp_path / "runs", (80, 24), keys=keys) as driven:
        await driven.press("T")
        open_at(driven, "run.stop")
        await driven.press("enter", "K")
        open_at(driven, "run.log")
        await driven.press("enter", "x")
        open_at(driven, "run.stop")
        await driven.press("delete")
        assert "x is in use by run.log" in driven.text()
        await driven.press("D")
        assert isinstance(driven.app.screen, ConfirmScreen)
        await driven.press("y")
        assert driven.app.keymap == read_keymap(keys) == {}


async def test_a_broken_file_is_named_in_a_line_and_left_as_it_is(tmp_path: Path) -> None:
    state, keys = tmp_path / "state", tmp_path / "keys.toml"
    state.mkdir()
    settings = state / "settings.toml"
    settings.write_text("zoom = \x1b[31m", encoding="utf-8")
    keys.write_text('"run.stpo" = "s"\n', encoding="utf-8")
    async with dashboard(tmp_path / "runs", (120, 36), remember=state, keys=keys) as driven:
        await driven.press("T")
        text = " ".join(driven.text().split())
        assert "settings.toml: not valid TOML" in text
        assert "keys.toml: unknown command run.stpo; did you mean run.stop?" in text
        assert "\x1b" not in text
        open_at(driven, "zoom")
        await driven.press("right")
        open_at(driven, "run.stop")
        await driven.press("enter", "K")
        assert driven.app.render_mode.zoom == 2
        assert driven.app.keymap == {"run.stop": "K"}
        titles = [notification.title for notification in driven.app._notifications]
        assert titles == ["settings are not kept", "keys are not kept"]
    assert settings.read_text(encoding="utf-8") == "zoom = \x1b[31m"
    assert keys.read_text(encoding="utf-8") == '"run.stpo" = "s"\n'


async def test_problems_at_the_start_are_shown_once(tmp_path: Path) -> None:
    app = make_app(tmp_path / "runs", settings=Settings())
    app.startup_problems = ("settings.toml: speed = 3 [b]",)
    async with app.run_test() as pilot:
        await ready(pilot)
        assert [note.message for note in app._notifications] == ["settings.toml: speed = 3 [b]"]


async def test_settings_open_over_a_form_which_then_shows_the_new_keys(tmp_path: Path) -> None:
    async with dashboard(tmp_path / "runs", (80, 24)) as driven:
        await driven.press("n", "f3")
        open_at(driven, "new.start")
        await driven.press("enter", "s")
        assert "s is text in a form" in driven.text()
        await driven.press("enter", "f12", "escape")
        assert isinstance(driven.app.screen, NewRunScreen)
        assert "Start  f12" in driven.text()
        assert "f12 start" in driven.text()


async def test_the_cursor_stays_on_lines_that_can_be_chosen(tmp_path: Path) -> None:
    async with dashboard(tmp_path / "runs", (80, 24)) as driven:
        await driven.press("T", "up")
        screen = driven.app.screen
        assert isinstance(screen, SettingsScreen)
        assert screen.row.setting == "theme"
        seen = []
        for _ in range(len(SECTIONS) + 1):
            await driven.press("tab")
            seen.append(screen.row.command.id.split(".")[0] if screen.row.command else screen.row.setting)
        assert seen[:3] == ["app", "board", "compare"]
        assert seen[-1] == "theme"
        await driven.press("end", "down")
        assert screen.row.command is not None
        assert screen.row.command.id == "tour.end"
        await driven.press("home", *["pagedown"] * 2)
        assert screen.row.command is not None
        assert screen.row.command.id.startswith("board.")


def test_default_keys_do_not_conflict() -> None:
    found = {
        (command.id, key): conflict(command, key, {})
        for command in ALL
        for key in keys_of_command(command, {})
    }
    assert {pair: wrong for pair, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize(
    ("name", "key", "keymap", "message"),
    [
        ("run.stop", "c", {}, "run.compare"),
        ("run.stop", "c", {"run.compare": "K"}, ""),
        ("run.stop", "u", {}, ""),
        ("run.stop", "T", {}, "app.settings"),
        ("app.theme", "u", {}, "compare.unit"),
        ("replay.pause", "c", {}, "run.compare"),
        ("run.stop", "5", {}, "board.number_5"),
        ("run.stop", "5", {"board.number_5": "K"}, ""),
        ("board.number_5", "c", {}, "run.compare"),
        ("board.number_5", "6", {}, "board.number_6"),
        ("schedules.number_5", "c", {}, ""),
        ("app.theme", "9", {}, "board.number_9"),
        ("log.down", "G", {}, "log.last"),
        ("log.down", "n", {}, ""),
        ("compare.unit", "7", {}, ""),
        ("run.stop", "ctrl+c", {}, "always leaves"),
        ("new.start", "a", {}, "text in a form"),
        ("new.start", "ctrl+k", {}, ""),
        ("run.stop", "question_mark", {"app.help": "?"}, "app.help"),
    ],
)
def test_a_key_conflicts_with_commands_that_are_active_at_the_same_time(
    name: str, key: str, keymap: dict[str, str], message: str
) -> None:
    wrong = conflict(BY_ID[name], key, keymap)
    assert message in wrong
    assert bool(message) == bool(wrong)


def test_escape_is_kept_when_a_command_is_rebound() -> None:
    assert rebound_keys(BY_ID["compare.close"], "W", {}) == ("W", "escape")
    assert rebound_keys(BY_ID["run.stop"], "W", {}) == ("W",)
    assert rebound_keys(BY_ID["run.stop"], "W", {}, more=True) == ("x", "W")


@pytest.mark.parametrize("size", [(80, 24), (120, 36)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_it_looks_as_it_did(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    async def changed(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await pilot.press("T", "down", "down", "right", *["tab"] * 2, "enter", "x")
        await still(pilot)

    assert snap_compare(make_app(tmp_path, settings=Settings()), terminal_size=size, run_before=changed)
