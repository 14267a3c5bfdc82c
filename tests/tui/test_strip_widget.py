"""Widgets that skip the translation of colours have none to translate, in all themes and render modes."""

from pathlib import Path
from typing import get_args

import pytest
from rich.segment import Segment
from rich.terminal_theme import DEFAULT_TERMINAL_THEME
from textual.color import Color
from textual.filter import ANSIToTruecolor, Monochrome

from tests.support.fake_groups import comparison
from tests.support.tui_pilot import dashboard, still
from tui.settings.schema import ImageMode
from tui.textual_ext.strip_widget import StripWidget

TRANSLATE = ANSIToTruecolor(DEFAULT_TERMINAL_THEME)
KEYS = ("c", "escape", "s", "escape", "b")


def drawn(widget: StripWidget) -> list[Segment]:
    return [segment for y in range(widget.size.height) for segment in widget.render_line(y)]


@pytest.mark.parametrize("theme", ["dark", "light"])
async def test_no_theme_has_colours_to_translate(tmp_path: Path, theme: str) -> None:
    comparison(tmp_path / "runs", "running")
    async with dashboard(tmp_path / "runs", (160, 50), image_mode="truecolor") as driven:
        driven.app.use_theme(theme)
        for key in ("space", *KEYS):
            await driven.press(key)
            await still(driven.pilot)
            seen = [one for one in driven.app.screen.query(StripWidget).results() if one.is_on_screen]
            assert seen
            for widget in seen:
                segments = drawn(widget)
                assert TRANSLATE.apply(segments, Color(14, 17, 22)) == segments, widget


@pytest.mark.parametrize("mode", [one for one in get_args(ImageMode) if one not in ("auto", "kitty")])
async def test_images_reach_the_terminal_in_the_colours_of_their_mode(
    tmp_path: Path, mode: ImageMode
) -> None:
    comparison(tmp_path / "runs", "finished")
    async with dashboard(tmp_path / "runs", (160, 50), image_mode=mode) as driven:
        await still(driven.pilot)
        for widget in driven.app.screen.query(StripWidget).results():
            segments = drawn(widget)
            assert TRANSLATE.apply(segments, Color(14, 17, 22)) == segments


async def test_other_filters_are_still_applied(tmp_path: Path) -> None:
    async with dashboard(tmp_path / "runs", (160, 50)) as driven:
        driven.app._filters.append(Monochrome())
        kinds = [type(one) for one in driven.app.board.query(StripWidget).first().get_line_filters()]
        assert kinds == [Monochrome]
