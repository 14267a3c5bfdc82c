"""Covered screens are not drawn, and texts of unchanged size are not laid out again."""

from pathlib import Path
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.content import Content
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Static

from core.runs.metrics import MetricsWriter
from core.runs.status import State
from tests.support.fake_groups import comparison
from tests.support.fake_runs import STEPS, dashboard_run
from tests.support.tui_pilot import dashboard
from tui.screens.board.run_table import RunTable
from tui.screens.compare.screen import CompareScreen
from tui.screens.help.screen import HelpScreen
from tui.widgets.images.image_wall import ImageWall
from tui.widgets.title_bar import update_static


async def test_a_board_that_is_covered_is_drawn_once_it_is_seen_again(tmp_path: Path) -> None:
    run = dashboard_run(tmp_path, "linear", epoch=2, epochs=40)
    async with dashboard(tmp_path, (120, 36)) as driven:
        await driven.press("c")
        await driven.until(lambda: isinstance(driven.app.screen, CompareScreen))
        await driven.pilot.pause()
        assert not driven.board.is_current
        shown = driven.board.query_one(RunTable)._visible_rows[0].run
        with MetricsWriter(run.metrics_file) as metrics:
            metrics.append_steps(2 * STEPS + 1, 3, 99.0, [0.0123])
        # Whatever comes behind this message finds it taken; the table below is as it was.
        await driven.until(lambda: driven.board.selection.runs[0].losses[-1] == 0.0123)
        await driven.pilot.pause()
        assert driven.board.query_one(RunTable)._visible_rows[0].run is shown
        assert not driven.board._compositor._dirty_regions
        await driven.press("escape")
        await driven.until(lambda: driven.board.query_one(RunTable)._visible_rows[0].run is not shown)
        assert driven.board.is_current


async def test_a_board_fits_a_terminal_that_changed_its_size_while_it_was_covered(tmp_path: Path) -> None:
    comparison(tmp_path, "stopped")
    async with dashboard(tmp_path, (160, 50)) as driven:
        await driven.press("c")
        await driven.until(lambda: isinstance(driven.app.screen, CompareScreen))
        await driven.pilot.resize_terminal(80, 24)
        await driven.press("escape")
        await driven.until(lambda: driven.board.query_one(ImageWall).size.width <= 80)
        await driven.until(lambda: "quit" in driven.text().splitlines()[23])
        assert driven.app.screen is driven.board


async def test_a_board_that_is_visible_behind_help_is_updated(tmp_path: Path) -> None:
    run = dashboard_run(tmp_path, "linear", epoch=2, epochs=40)
    async with dashboard(tmp_path, (160, 50)) as driven:
        await driven.press("question_mark")
        await driven.until(lambda: isinstance(driven.app.screen, HelpScreen))
        run.write_status(run.read_status().__class__(state=State.STOPPED, epoch=2, epochs=40), fsync=False)
        await driven.until(
            lambda: driven.board.query_one(RunTable)._visible_rows[0].run.state is State.STOPPED
        )


class _Texts(App[None]):
    """A text above another one, both as high as they need."""

    CSS = "Static { height: auto; width: 12; }"

    def compose(self) -> ComposeResult:
        yield Static(Content("one two\nthree"), id="above")
        yield Static(Content("below"), id="below")


async def painted(pilot: Pilot[Any], text: Static) -> None:
    """Wait until a text that was changed is on the screen."""
    screen = pilot.app.screen
    while True:
        await pilot.pause()
        if not (text._repaint_required or screen._dirty_widgets or screen._layout_required):
            return


@pytest.mark.parametrize(
    ("text", "lines", "laid_out"),
    [
        ("two one\neerht", 2, False),
        ("two one\nthree!", 2, True),
        ("two one", 1, True),
        ("two one\nthree\nfour", 3, True),
        ("one two three four", 2, True),
    ],
)
async def test_only_a_text_of_another_size_has_its_screen_laid_out(
    text: str, lines: int, laid_out: bool
) -> None:
    app = _Texts()
    async with app.run_test(size=(40, 10)) as pilot:
        await painted(pilot, app.query_one("#above", Static))
        layouts: list[Screen[None]] = []
        app.screen.screen_layout_refresh_signal.subscribe(app.screen, layouts.append, immediate=True)
        above = app.query_one("#above", Static)
        update_static(above, Content(text))
        await painted(pilot, above)
        assert bool(layouts) is laid_out
        assert app.query_one("#below").region.y == above.region.height == lines
        assert above.render_line(0).text.split()[:2] == text.splitlines()[0].split()[:2]


async def test_texts_that_are_wrapped_are_laid_out_whenever_they_change() -> None:
    app = _Texts()
    async with app.run_test(size=(40, 10)) as pilot:
        above = app.query_one("#above", Static)
        for text, lines in (("aaaaaaa bbbbbbbb", 2), ("a bbbbbbbbbbbb c", 3)):
            update_static(above, Content(text))
            await painted(pilot, above)
            assert app.query_one("#below").region.y == above.region.height == lines
