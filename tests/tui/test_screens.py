"""Screens over the board: log, help and palette; themes and keys on all of them."""

import os
import re
from pathlib import Path

import pytest
from textual.widgets import Log

from core.runs.status import State
from tests.support.fake_groups import comparison
from tests.support.fake_runs import dashboard_run
from tests.support.tui_pilot import dashboard
from tui.commands import BOARD, EVERYWHERE
from tui.screens.log.screen import HORIZONTAL_STEP, LINE_LIMIT, LogScreen
from tui.settings.store import read_settings
from tui.settings.themes import THEMES
from tui.widgets.images.image_wall import ImageWall


async def test_the_log_follows_what_is_appended_and_starts_over_with_a_new_file(tmp_path: Path) -> None:
    run = dashboard_run(tmp_path, "linear", epoch=1)
    async with dashboard(tmp_path) as driven:
        await driven.press("l")
        assert isinstance(driven.app.screen, LogScreen)
        await driven.until(lambda: "epoch 49 loss 0.049" in driven.text())
        with run.log.open("a", encoding="utf-8") as log:
            log.write("\x1b[31mred\x1b[0m [bold]words[/]\nhalf a li")
        await driven.until(lambda: "red [bold]words[/]" in driven.text())
        assert "half" not in driven.text()
        with run.log.open("a", encoding="utf-8") as log:
            log.write("ne\n")
        await driven.until(lambda: "half a line" in driven.text())
        run.log.write_text("restarted\n", encoding="utf-8")
        await driven.until(lambda: "restarted" in driven.text() and "half" not in driven.text())
        await driven.press("escape")
        assert driven.app.screen is driven.board


async def test_a_log_that_is_followed_is_followed_in_another_size_and_one_that_is_not_stays(
    tmp_path: Path,
) -> None:
    dashboard_run(tmp_path, "linear", state=State.STOPPED, epoch=1)
    async with dashboard(tmp_path, (80, 24)) as driven:
        await driven.press("l")
        await driven.until(lambda: "epoch 49" in driven.text())
        for height in (60, 24, 10):
            await driven.pilot.resize_terminal(80, height)
            await driven.until(lambda: "epoch 49" in driven.text())
        await driven.press("g")
        await driven.until(lambda: "epoch 10" in driven.text())
        await driven.pilot.resize_terminal(80, 12)
        await driven.pilot.pause()
        assert "epoch 10" in driven.text()
        assert "epoch 49" not in driven.text()


async def test_the_log_s_keys_can_be_rebound_and_its_bar_says_so(tmp_path: Path) -> None:
    dashboard_run(tmp_path, "linear", state=State.STOPPED, epoch=1)
    keymap = {"log.first": "f6", "log.last": "f7", "log.down": "n", "log.up": "p", "log.close": "escape"}
    async with dashboard(tmp_path, (80, 24), keymap=keymap) as driven:
        await driven.press("l")
        await driven.pilot.resize_terminal(80, 10)
        await driven.until(lambda: "epoch 49" in driven.text())
        assert "n scroll" in driven.text()
        assert "f6 beginning" in driven.text()
        log = driven.app.screen.query_one(Log)
        end = log.scroll_y
        await driven.press("k", "g", "l", "up", "home")
        assert (driven.app.screen, log.scroll_y) == (log.screen, end)
        await driven.press("p", "p", "n")
        assert log.scroll_y == end - 1
        await driven.press("pageup")
        assert log.scroll_y == end - 1 - log.size.height
        await driven.press("f6")
        assert log.scroll_y == 0
        await driven.press("pagedown")
        assert log.scroll_y == log.size.height
        await driven.press("f7")
        assert log.scroll_y == end
        log.write_line("x" * 200)
        await driven.pilot.pause()
        await driven.press("right")
        assert log.scroll_x == HORIZONTAL_STEP
        await driven.press("left", "left")
        assert log.scroll_x == 0


async def test_digits_can_be_rebound_and_the_help_says_so(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    async with dashboard(tmp_path, (120, 120), keymap={"board.number_2": "K", "run.log": "2"}) as driven:
        await driven.press("K")
        assert driven.board.selection.row == 1
        await driven.press("3")
        assert driven.board.selection.row == 2
        await driven.press("question_mark")
        assert re.search(r"\bK +Select run 2\b", driven.text())
        assert re.search(r"\b3 +Select run 3\b", driven.text())
        assert "of that number" not in driven.text()
        await driven.press("escape", "2")
        assert isinstance(driven.app.screen, LogScreen)


async def test_a_pipe_in_place_of_a_log_is_not_waited_at_and_an_endless_line_is_cut(tmp_path: Path) -> None:
    run = dashboard_run(tmp_path, "linear", epoch=1)
    run.log.unlink()
    os.mkfifo(run.log)
    async with dashboard(tmp_path) as driven:
        await driven.press("l")
        await driven.until(lambda: "cannot be read (not a plain file)" in driven.text())
        run.log.unlink()
        run.log.write_bytes(b"x" * 3_000_000 + b"\nthe end\n")
        await driven.until(lambda: "the end" in driven.text())
        log = driven.app.screen.query_one(Log)
        await driven.press("w")
        await driven.until(lambda: max(len(line) for line in log.lines) == LINE_LIMIT)


async def test_long_lines_of_a_log_are_wrapped_at_any_width(tmp_path: Path) -> None:
    run = dashboard_run(tmp_path, "linear", epoch=1)
    words = [f"word{number}" for number in range(60)]
    run.log.write_text(" ".join(words) + "\n", encoding="utf-8")
    async with dashboard(tmp_path, (80, 24)) as driven:
        await driven.press("l")
        await driven.until(lambda: words[-1] in driven.text())
        assert all(word in driven.text().split() for word in words)
        await driven.pilot.resize_terminal(60, 24)
        await driven.until(lambda: all(word in driven.text().split() for word in words))
        await driven.press("w")
        await driven.until(lambda: words[-1] not in driven.text())
        await driven.press("w")
        await driven.until(lambda: words[-1] in driven.text())


async def test_a_run_without_a_log_says_so_and_shows_it_when_it_comes(tmp_path: Path) -> None:
    run = dashboard_run(tmp_path, "linear", state=State.QUEUED)
    run.log.unlink()
    async with dashboard(tmp_path) as driven:
        await driven.press("l")
        await driven.until(lambda: "no log yet" in driven.text())
        run.log.write_text("first words\n", encoding="utf-8")
        await driven.until(lambda: "first words" in driven.text() and "no log yet" not in driven.text())


async def test_help_lists_every_command(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    async with dashboard(tmp_path, (120, 120)) as driven:
        await driven.press("question_mark")
        text = driven.text()
        for command in (*BOARD, *EVERYWHERE):
            assert command.text in text or command.action == "start_quick"
        assert "ctrl+q" not in text  # the framework's own, beside q
        assert "^q" not in text
        assert "mean over the last epoch" in text
        assert "esc closes this list" in text
        await driven.press("escape")
        assert driven.app.screen is driven.board


async def test_every_command_is_in_the_palette(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    async with dashboard(tmp_path) as driven:
        names = {command.title for command in driven.app.get_system_commands(driven.board)}
    wanted = {command.text for command in (*BOARD, *EVERYWHERE)}
    assert wanted - names == {
        "Find a command by name",
        "Start the quick comparison of five schedules",
    }
    assert {f"Theme: {theme.name.removeprefix('ddpm-')}" for theme in THEMES} <= names


async def test_no_command_needs_a_key_that_terminals_keep_for_themselves(tmp_path: Path) -> None:
    for command in (*BOARD, *EVERYWHERE):
        keys = command.keys.split(",")
        if command.id != "app.suspend":  # which is what terminals keep ctrl+z for
            assert set(keys) - {"ctrl+a", "ctrl+b", "ctrl+q", "ctrl+s", "ctrl+z"}, command


async def test_the_palette_opens_with_a_colon_and_acts_on_the_board(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    async with dashboard(tmp_path) as driven:
        await driven.press("colon")
        await driven.until(lambda: driven.app.screen is not driven.board)
        await driven.press(*"Select the last")
        await driven.until(lambda: "Select the last run" in driven.text())
        await driven.pilot.pause(0.2)
        await driven.press("enter")
        await driven.until(
            lambda: driven.board.selected is not None and driven.board.selected.label == "x^10"
        )


async def test_themes_go_round_and_redraw_the_colours(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    async with dashboard(tmp_path, (160, 50)) as driven:
        seen = []
        for _ in THEMES:
            seen.append((driven.app.theme, driven.board.query_one(ImageWall).columns[0].color))
            await driven.press("t")
        assert [name for name, _ in seen] == [theme.name for theme in THEMES]
        assert seen[1][1] != seen[0][1]
        assert driven.app.theme == THEMES[0].name


async def test_a_chosen_theme_is_there_again_next_time(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with dashboard(tmp_path / "runs", remember=state) as driven:
        await driven.press("t")
        assert driven.app.theme == "ddpm-light"
    async with dashboard(tmp_path / "runs", remember=state, settings=read_settings(state)[0]) as driven:
        assert driven.app.theme == "ddpm-light"


async def test_keys_can_be_rebound_and_the_bar_and_the_help_say_so(tmp_path: Path) -> None:
    run = dashboard_run(tmp_path, "linear", state=State.QUEUED)
    async with dashboard(tmp_path, keymap={"run.stop": "s"}) as driven:
        assert "s stop" in driven.text().splitlines()[-1]
        await driven.press("x")
        assert run.read_status().state is State.QUEUED
        await driven.press("s")
        await driven.until(lambda: run.read_status().state is State.STOPPED)


@pytest.mark.parametrize("key", ["question_mark", "D", "r", "l", "colon"])
async def test_other_screens_survive_a_terminal_of_20_by_5(tmp_path: Path, key: str) -> None:
    dashboard_run(tmp_path, "linear", state=State.FINISHED, epoch=4, epochs=4)
    async with dashboard(tmp_path, (80, 24)) as driven:
        await driven.press(key)
        for size in ((20, 5), (1, 1), (80, 24)):
            await driven.pilot.resize_terminal(*size)
            await driven.pilot.pause()
        await driven.press("escape")
        assert driven.app.screen is driven.board


async def test_leaving_with_q_and_ctrl_c_ends_the_app(tmp_path: Path) -> None:
    comparison(tmp_path, "running")
    for key in ("q", "ctrl+c", "ctrl+q"):
        async with dashboard(tmp_path) as driven:
            await driven.press(key)
            assert driven.app._exit
