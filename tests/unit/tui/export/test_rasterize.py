"""Rasterized characters, and screenshots made of them."""

import unicodedata

import numpy as np
import pytest
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tui.export import rasterize
from tui.export.rasterize import CELL_HEIGHT, CELL_WIDTH, glyph, load_font
from tui.export.screenshot import Screenshot, screen_pixels

RED, BLUE, WHITE, BLACK = (255, 0, 0), (0, 0, 255), (250, 250, 250), (5, 5, 5)


def sides(character: str) -> set[str]:
    """The sides of the cell that a character's ink touches in their middle."""
    mask = glyph(character)
    middle = {
        "up": mask[0, CELL_WIDTH // 2],
        "down": mask[-1, CELL_WIDTH // 2],
        "left": mask[CELL_HEIGHT // 2, 0],
        "right": mask[CELL_HEIGHT // 2, -1],
    }
    return {side for side, ink in middle.items() if ink}


def test_a_half_block_fills_exactly_half_of_its_cell() -> None:
    upper, lower = glyph("▀"), glyph("▄")
    assert (upper[: CELL_HEIGHT // 2] == 255).all()
    assert not upper[CELL_HEIGHT // 2 :].any()
    assert np.array_equal(upper, 255 - lower)
    assert (glyph("█") == 255).all()


def test_eighths_grow_from_below_and_from_the_left() -> None:
    heights = [int((glyph(character)[:, 0] > 0).sum()) for character in "▁▂▃▄▅▆▇█"]
    widths = [int((glyph(character)[0] > 0).sum()) for character in "▏▎▍▌▋▊▉█"]
    assert heights == [CELL_HEIGHT * eighths // 8 for eighths in range(1, 9)]
    assert widths == sorted(widths)
    assert len(set(widths)) == 8
    assert glyph("▂")[-1].all()
    assert glyph("▎")[:, 0].all()


def test_quadrants_and_their_counterparts_fill_the_cell() -> None:
    for one, other in ("▘▟", "▝▙", "▖▜", "▗▛", "▌▐", "▚▞"):
        assert np.array_equal(glyph(one), 255 - glyph(other))


def test_every_braille_character_has_its_dots_and_no_others() -> None:
    single = [glyph(chr(0x2800 + (1 << bit))) for bit in range(8)]
    assert all(int((mask > 0).sum()) == 16 for mask in single)
    assert int((sum(mask > 0 for mask in single) > 1).sum()) == 0
    for bits in range(256):
        expected = np.zeros((CELL_HEIGHT, CELL_WIDTH), np.uint8)
        for bit in range(8):
            expected |= single[bit] * (bits >> bit & 1)
        assert np.array_equal(glyph(chr(0x2800 + bits)), expected)
    assert single[0][: CELL_HEIGHT // 4, : CELL_WIDTH // 2].any()
    assert single[7][-CELL_HEIGHT // 4 :, CELL_WIDTH // 2 :].any()


@pytest.mark.parametrize(
    ("character", "touched"),
    [
        ("─", {"left", "right"}),
        ("│", {"up", "down"}),
        ("└", {"up", "right"}),
        ("╭", {"down", "right"}),
        ("┤", {"up", "down", "left"}),
        ("┬", {"left", "right", "down"}),
        ("╋", {"up", "down", "left", "right"}),
        ("╴", {"left"}),
        ("┡", {"up", "down", "right"}),
        ("╚", {"up", "right"}),
        ("╾", {"left", "right"}),
    ],
)
def test_a_line_of_a_box_goes_to_the_sides_that_its_name_says(character: str, touched: set[str]) -> None:
    assert sides(character) == touched


def test_every_character_of_boxes_blocks_and_shades_leaves_ink() -> None:
    for number in range(0x2500, 0x25A0):
        assert glyph(chr(number)).any(), unicodedata.name(chr(number))


def test_letters_keep_to_their_cells_and_bold_has_more_ink() -> None:
    assert glyph("M").shape == (CELL_HEIGHT, CELL_WIDTH)
    assert glyph("漢", 2).shape == (CELL_HEIGHT, 2 * CELL_WIDTH)
    assert glyph("n", bold=True).sum() > glyph("n").sum() > 0
    assert not np.array_equal(glyph("n", italic=True), glyph("n"))


def test_without_its_font_text_is_drawn_in_the_default_font(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rasterize, "_font_folders", list)
    font = load_font.__wrapped__()
    assert rasterize._text("A", 1, font).any()


def shot(*strips: Strip) -> Screenshot:
    return Screenshot(strips, WHITE, BLACK, "title")


def test_a_cell_has_the_colours_of_its_text_and_background() -> None:
    style = Style(color="rgb(255,0,0)", bgcolor="rgb(0,0,255)")
    pixels = screen_pixels(shot(Strip([Segment("▀", style)])))
    assert pixels.shape == (CELL_HEIGHT, CELL_WIDTH, 3)
    assert (pixels[: CELL_HEIGHT // 2] == RED).all()
    assert (pixels[CELL_HEIGHT // 2 :] == BLUE).all()


def test_reversed_dim_underlined_and_struck_text_looks_so() -> None:
    full = "█"
    reverse, dim, under, strike = (
        screen_pixels(shot(Strip([Segment(text, Style.parse(style))])))
        for text, style in ((full, "reverse"), (full, "dim"), (" ", "underline"), (" ", "strike"))
    )
    assert (reverse == BLACK).all()
    assert (dim == 127).all()
    assert (under[CELL_HEIGHT - 4] == WHITE).all()
    assert (under[0] == BLACK).all()
    assert (strike[CELL_HEIGHT // 2] == WHITE).all()


def test_wide_and_combining_characters_do_not_shift_what_follows() -> None:
    pixels = screen_pixels(shot(Strip([Segment("漢e\u0301█")])))
    assert pixels.shape[1] == 4 * CELL_WIDTH
    assert (pixels[:, 3 * CELL_WIDTH :] == WHITE).all()


def test_shorter_lines_are_filled_with_the_background() -> None:
    pixels = screen_pixels(shot(Strip([Segment("██")]), Strip([Segment("█")])))
    assert pixels.shape == (2 * CELL_HEIGHT, 2 * CELL_WIDTH, 3)
    assert (pixels[CELL_HEIGHT:, CELL_WIDTH:] == BLACK).all()
