"""Images as terminal cells, checked with pyte, a terminal emulator."""

import re

import numpy as np
import pyte
import pytest
from numpy.typing import NDArray

from core.imaging import side_by_side, to_ansi, to_halfblocks
from core.imaging.colors import COLOR_MODES, ColorMode, color_codes
from core.imaging.halfblock import ASCII_RAMP


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def seen(image: NDArray[np.uint8], color: ColorMode) -> list[list[pyte.screens.Char]]:
    """Cells of a terminal that shows an image."""
    height, width = -(-image.shape[0] // 2), image.shape[1]
    screen = pyte.Screen(width + 1, height + 1)
    pyte.Stream(screen).feed(to_ansi(image, color=color).replace("\n", "\r\n") + "x")
    assert screen.buffer[height - 1][width].fg == "default", "colours run on behind the picture"
    return [[screen.buffer[row][column] for column in range(width)] for row in range(height)]


def hexadecimal(pixel: NDArray[np.uint8]) -> str:
    return "".join(f"{value:02x}" for value in np.broadcast_to(pixel, 3).tolist())


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3), (2, 1), (2, 1, 3)])
def test_cells_hold_an_upper_and_a_lower_pixel(shape: tuple[int, ...]) -> None:
    image = noise(*shape)
    top, bottom = to_halfblocks(image)
    np.testing.assert_array_equal(np.stack([top, bottom], axis=1).reshape(shape), image)


def test_below_an_odd_last_row_is_black() -> None:
    top, bottom = to_halfblocks(np.full((3, 2), 200, np.uint8))
    assert top.tolist() == [[200, 200], [200, 200]]
    assert bottom.tolist() == [[200, 200], [0, 0]]


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3), (32, 32)])
def test_a_terminal_with_true_colours_shows_each_pixel_as_it_is(shape: tuple[int, ...]) -> None:
    image = noise(*shape)
    for row, line in enumerate(seen(image, "truecolor")):
        for column, cell in enumerate(line):
            assert cell.data == "▀"
            assert cell.fg == hexadecimal(image[2 * row, column])
            assert cell.bg == hexadecimal(image[2 * row + 1, column])


def test_with_256_colours_no_pixel_is_far_from_its_own_colour() -> None:
    greys = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for image, limit in ((greys, 10), (noise(16, 16, 3), 48)):
        for row, line in enumerate(seen(image, "256")):
            for column, cell in enumerate(line):
                shown = np.array([int(cell.fg[i : i + 2], 16) for i in (0, 2, 4)])
                assert np.abs(shown - image[2 * row, column].astype(int)).max() <= limit


def test_with_256_colours_black_and_white_are_black_and_white() -> None:
    cell = seen(np.array([[0], [255]], np.uint8), "256")[0][0]
    assert (cell.fg, cell.bg) == ("000000", "ffffff")


def test_with_16_colours_greys_become_four_levels_in_order() -> None:
    ramp = np.repeat(np.arange(0, 256, 5, dtype=np.uint8)[None], 2, axis=0)
    names = [cell.fg for cell in seen(ramp, "16")[0]]
    assert list(dict.fromkeys(names)) == ["black", "brightblack", "white", "brightwhite"]


def test_with_16_colours_a_flat_grey_is_dithered_to_its_own_brightness() -> None:
    brightness = np.zeros(16)
    brightness[[8, 7, 15]] = 85, 170, 255
    for grey in (42, 128, 213):
        codes = color_codes(np.full((32, 32), grey, np.uint8), "16")
        assert len(np.unique(codes)) == 2
        assert brightness[codes].mean() == pytest.approx(grey, abs=6)


def test_with_16_colours_nearly_black_or_white_is_not_dithered() -> None:
    for grey, code in ((0, 0), (12, 0), (85, 8), (243, 15), (255, 15)):
        assert (color_codes(np.full((8, 8), grey, np.uint8), "16") == code).all()


def test_with_16_colours_a_triangle_keeps_its_shape() -> None:
    rows, columns = np.mgrid[:32, :32]
    triangle = np.where((rows > 6) & (columns > rows / 2) & (columns < 31 - rows / 2), 235, 18)
    codes = color_codes(triangle.astype(np.uint8), "16")
    assert np.array_equal(np.isin(codes, (7, 15)), triangle > 128)


def test_with_16_colours_a_pure_red_is_red() -> None:
    red = np.array([[[170, 0, 0]], [[255, 85, 85]]], np.uint8)
    cell = seen(red, "16")[0][0]
    assert (cell.fg, cell.bg) == ("red", "brightred")


def test_ascii_has_no_escapes_and_grows_darker_to_brighter() -> None:
    ramp = np.repeat(np.linspace(0, 255, 40).astype(np.uint8)[None], 2, axis=0)
    text = to_ansi(ramp, color="ascii")
    assert "\x1b" not in text
    assert "".join(dict.fromkeys(text)) == ASCII_RAMP == " .:-=+*#%@"
    assert to_ansi(np.full((2, 3, 3), 255, np.uint8), color="ascii") == "@@@"


@pytest.mark.parametrize("color", COLOR_MODES)
def test_an_odd_last_row_shows_the_terminal_below_it(color: ColorMode) -> None:
    text = to_ansi(np.full((3, 4), 255, np.uint8), color=color)
    assert len(text.splitlines()) == 2
    if color != "ascii":
        assert seen(np.full((3, 4), 255, np.uint8), color)[1][0].bg == "default"


@pytest.mark.parametrize("color", COLOR_MODES)
def test_every_line_is_as_wide_as_the_image(color: ColorMode) -> None:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", to_ansi(noise(9, 13, 3), color=color))
    assert [len(line) for line in plain.split("\n")] == [13] * 5


def test_neighbours_of_one_colour_share_their_escapes() -> None:
    assert to_ansi(np.zeros((2, 50), np.uint8)) == "\x1b[38;2;0;0;0;48;2;0;0;0m" + "▀" * 50 + "\x1b[0m"


def test_images_are_side_by_side_and_aligned_at_the_top() -> None:
    joined = side_by_side([noise(2, 2), noise(3, 1)], gap=2, fill=7)
    assert joined.shape == (3, 5)
    np.testing.assert_array_equal(joined[:2, :2], noise(2, 2))
    np.testing.assert_array_equal(joined[:, 4:], noise(3, 1))
    assert joined[2, :4].tolist() == [7, 7, 7, 7]


def test_one_colour_image_makes_the_result_colour() -> None:
    joined = side_by_side([np.full((2, 2), 9, np.uint8), noise(2, 3, 3)], gap=0)
    assert joined.shape == (2, 5, 3)
    assert joined[0, 0].tolist() == [9, 9, 9]


@pytest.mark.parametrize(
    "image",
    [noise(2), noise(0, 4), noise(2, 2, 4), np.zeros((2, 2))],
    ids=["a row", "nothing", "four channels", "floats"],
)
def test_only_an_image_can_be_drawn(image: NDArray[np.uint8]) -> None:
    for draw in (to_halfblocks, to_ansi, lambda one: side_by_side([one])):
        with pytest.raises(ValueError, match="expected a uint8 image"):
            draw(image)


def test_an_unknown_color_mode_is_rejected() -> None:
    with pytest.raises(ValueError, match="expected color to be one of truecolor, 256, 16, ascii, got '8'"):
        to_ansi(noise(2, 2), color="8")  # type: ignore[arg-type]  # the point of the test


def test_side_by_side_needs_an_image() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        side_by_side([])
