"""Render modes: images in every kind of terminal, and twice as large."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from rich.color import ColorSystem
from textual.strip import Strip

from core.imaging import ColorMode
from tests.support.fake_groups import comparison
from tests.support.fake_images import triangles
from tests.support.tui_pilot import dashboard
from tests.support.widget_bench import noise
from tui.__main__ import IMAGES_FORMS
from tui.screens.board.layout import plan_layout
from tui.settings.schema import IMAGE_MODES, Settings
from tui.terminal.encoding import allow_any_encoding
from tui.widgets.images.halfblocks import cell_lines
from tui.widgets.images.image_wall import ImageWall, WallColumn, plan_wall
from tui.widgets.images.render_mode import color_mode

SYSTEMS: dict[ColorMode, ColorSystem] = {
    "truecolor": ColorSystem.TRUECOLOR,
    "256": ColorSystem.EIGHT_BIT,
    "16": ColorSystem.STANDARD,
}
TRIANGLE = (triangles(1, 32, 3)[0] * 255).astype(np.uint8)


def sent(image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], mode: ColorMode) -> str:
    """The output to a terminal for an image."""
    system = SYSTEMS.get(mode, ColorSystem.TRUECOLOR)
    return "".join(
        Strip.render_style(style, text, system)
        for line in cell_lines(image, mode=mode)
        for text, style, _ in line
        if style is not None
    )


def test_the_colours_of_the_terminal_are_used_unless_the_user_chose_others() -> None:
    assert color_mode("auto", "truecolor", "utf-8") == "truecolor"
    assert color_mode("auto", "standard", "UTF8") == "16"
    assert color_mode("auto", None, "utf-8") == "truecolor"
    assert color_mode("auto", "truecolor", "ANSI_X3.4-1968") == "ascii"
    assert color_mode("16", "truecolor", "iso8859-1") == "16"
    assert IMAGES_FORMS == IMAGE_MODES


def test_with_256_colours_the_grey_ramp_is_sent_by_number() -> None:
    ramp = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None], 2, axis=0)
    numbers = {int(number) for number in re.findall(r"48;5;(\d+)", sent(ramp, "256"))}
    assert set(range(232, 256)) <= numbers
    assert "38;2;" not in sent(noise(1)[0], "256")


def test_with_16_colours_four_greys_are_sent_and_no_colour_is_translated() -> None:
    codes = set(re.findall(r"\x1b\[([0-9;]+)m", sent(TRIANGLE, "16")))
    assert {number for code in codes for number in code.split(";")} <= {
        *("30", "90", "37", "97", "40", "100", "47", "107", "0")
    }


def test_letters_are_plain_ascii_and_brighter_where_the_image_is() -> None:
    lines = ["".join(text for text, _, _ in line) for line in cell_lines(TRIANGLE, mode="ascii")]
    assert "".join(lines).isascii()
    bright = TRIANGLE.reshape(16, 2, 32).mean(axis=1) > 200
    letters = np.array([list(line) for line in lines])
    assert set(letters[bright].tolist()) <= set("#%@")


@pytest.mark.parametrize("mode", ["truecolor", "256", "16", "ascii"])
def test_a_lifted_tile_differs_from_its_neighbour_in_every_mode(mode: ColorMode) -> None:
    black = np.zeros((2, 4), np.uint8)
    assert cell_lines(black, raised_black=True, mode=mode) != cell_lines(black, mode=mode)


@pytest.mark.parametrize("mode", ["truecolor", "256", "16", "ascii"])
def test_tiles_are_as_wide_as_their_images_in_every_mode(mode: ColorMode) -> None:
    for image in (TRIANGLE, noise(1, 33, colour=True)[0]):
        widths = {sum(len(text) for text, _, _ in line) for line in cell_lines(image, mode=mode)}
        assert widths == {image.shape[1]}


def test_in_another_encoding_each_sign_becomes_a_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.__stderr__", io.TextIOWrapper(raw, encoding="latin-1"))
    allow_any_encoding()
    import sys

    assert sys.__stderr__ is not None
    sys.__stderr__.write("▀● ⠿ ─│ ✔é")
    sys.__stderr__.flush()
    assert raw.getvalue() == "#* . -| vé".encode("latin-1")


# Twice as large


def test_a_zoomed_pixel_is_two_cells_wide_and_columns_that_do_not_fit_are_paged() -> None:
    columns = [WallColumn(f"run {number}", noise(4)) for number in range(5)]
    layout = plan_wall(columns, 160, 2)
    assert (layout.tile, layout.lines, layout.shown) == (64, 32, 2)
    small = [WallColumn("run", noise(4, 8))]
    assert plan_wall(small, 160, 2).tile == 64
    assert plan_wall(columns, 60, 2) == plan_wall(columns, 60)


def test_a_zoomed_board_keeps_its_table_where_whole_images_are_left() -> None:
    large = plan_layout(160, 48, 5, zoom=2)
    assert large.table is not None
    assert large.wall is not None
    assert large.wall.height == 48 - large.table.height >= 33
    small = plan_layout(80, 22, 5, zoom=2)
    assert small.table is None
    assert small.wall is not None
    assert (small.wall.width, small.wall.height, small.selected_only) == (80, 22, True)
    assert plan_layout(60, 22, 5, zoom=2) == plan_layout(60, 22, 5)


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
async def test_one_key_draws_images_larger_on_board_comparison_and_schedules(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    comparison(tmp_path / "runs", "finished")
    async with dashboard(tmp_path / "runs", size) as driven:
        for key, images in (("", ""), ("c", "2"), ("s", "v" if size[0] == 80 else "")):
            await driven.press(*([key] if key else []), *images)
            wall = driven.app.screen.query_one(ImageWall)
            await driven.until(lambda wall=wall: wall.columns and wall.columns[0].images is not None)
            before = wall.tile_layout.tile
            await driven.press("Z")
            assert wall.tile_layout.tile == 64 > before
            await driven.press("Z")
            assert wall.tile_layout.tile == before
            await driven.press(*(["escape"] if key else []))


async def test_an_image_higher_than_the_wall_is_scrolled_in_halves(tmp_path: Path) -> None:
    comparison(tmp_path / "runs", "finished")
    async with dashboard(tmp_path / "runs", (80, 24), settings=Settings(zoom=2)) as driven:
        wall = driven.board.query_one(ImageWall)
        room = wall.content_size.height - 1
        await driven.press("pagedown")
        assert (wall.first_row, wall.first_line) == (0, room // 2)
        await driven.press("pagedown")
        assert (wall.first_row, wall.first_line) == (0, 32 - room)
        await driven.press("pagedown")
        assert (wall.first_row, wall.first_line) == (1, 0)
        await driven.press("pageup", "pageup", "pageup", "pageup")
        assert (wall.first_row, wall.first_line) == (0, 0)


async def test_the_option_overrides_the_settings(tmp_path: Path) -> None:
    settings = Settings(pictures="16")
    comparison(tmp_path, "finished")
    async with dashboard(tmp_path, settings=settings) as driven:
        assert driven.app.render_mode.mode == "16"
    async with dashboard(tmp_path, settings=settings, image_mode="ascii") as driven:
        assert driven.app.render_mode.mode == "ascii"
        assert "▀" not in driven.text()
        assert "@@@" in driven.text()
