"""Splash screen: one frame before the board, from which the user can quit."""

from pathlib import Path

import pytest

from tests.support.fake_groups import comparison
from tests.support.tui_pilot import dashboard, make_app
from tui.app.dashboard import Dashboard
from tui.screens.board.screen import Board
from tui.screens.splash.screen import Splash


async def test_before_the_board_the_user_can_only_quit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Dashboard, "read_runs", lambda self: None)
    app = make_app(tmp_path / "[runs]")
    theme = app.theme
    async with app.run_test(size=(60, 15)) as pilot:
        for key in ("question_mark", "t", "colon", "c", "n"):
            await pilot.press(key)
        assert isinstance(app.screen, Splash)
        assert len(app.screen_stack) == 1
        assert app.theme == theme
        shown = "".join(segment.text for strip in app.screen._compositor.render_strips() for segment in strip)
        assert "reading [runs]" in shown
        await pilot.press("q")
        assert app._exit


async def test_the_board_replaces_the_splash_screen(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    async with dashboard(tmp_path) as driven:
        assert isinstance(driven.app.screen, Board)
        assert len(driven.app.screen_stack) == 1
        assert driven.app.is_open


async def test_a_board_that_is_ready_once_the_app_has_closed_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Dashboard, "read_runs", lambda self: None)
    app = make_app(tmp_path)
    async with app.run_test(size=(60, 15)):
        pass
    await app.on_board_ready()
    assert not app.is_open
