"""Braille charts: every dot at its position, and none without a value."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from core.imaging import braille_chart

EMPTY = math.nan


def dots(chars: NDArray[np.str_]) -> NDArray[np.bool_]:
    """The dots of braille characters [4 h, 2 w], by the numbering of the Unicode standard."""
    height, width = chars.shape
    result = np.zeros((4 * height, 2 * width), np.bool_)
    places = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (3, 0), (3, 1)]
    for row in range(height):
        for column in range(width):
            char = str(chars[row, column])
            bits = 0 if char == " " else ord(char) - 0x2800
            for bit, (down, across) in enumerate(places):
                result[4 * row + down, 2 * column + across] = bool(bits >> bit & 1)
    return result


def extents(*pairs: tuple[float, float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    lowest, highest = np.array(pairs, dtype=np.float64).T
    return lowest, highest


def test_each_of_the_dots_of_a_cell_can_be_set() -> None:
    for row in range(4):
        for column in range(2):
            value = 3.5 - row
            pairs = [(EMPTY, EMPTY), (EMPTY, EMPTY)]
            pairs[column] = (value, value)
            chars, _ = braille_chart([extents(*pairs)], 1, (0, 4))
            expected = np.zeros((4, 2), np.bool_)
            expected[row, column] = True
            np.testing.assert_array_equal(dots(chars), expected)


def test_a_stroke_runs_from_the_lowest_to_the_highest_value() -> None:
    chars, _ = braille_chart([extents((0.5, 6.5), (2.5, 2.5))], 2, (0, 8))
    assert dots(chars)[:, 0].tolist() == [False, True, True, True, True, True, True, True]
    assert np.flatnonzero(dots(chars)[:, 1]).tolist() == [5]


def test_the_edges_of_the_range_are_inside() -> None:
    chars, _ = braille_chart([extents((0, 0), (8, 8))], 2, (0, 8))
    assert np.argwhere(dots(chars)).tolist() == [[0, 1], [7, 0]]


def test_strokes_are_cut_off_at_the_edges_and_not_drawn_beyond() -> None:
    outside = extents((-9, -1), (9, 20), (-9, 20), (-math.inf, math.inf))
    drawn = dots(braille_chart([outside], 2, (0, 8))[0])
    assert not drawn[:, :2].any()
    assert drawn[:, 2:].all()


def test_an_empty_column_has_no_dots() -> None:
    chars, owner = braille_chart([extents((EMPTY, EMPTY), (1, EMPTY), (EMPTY, 1), (2, 1))], 2, (0, 8))
    assert (chars == " ").all()
    assert (owner == -1).all()


def test_a_logarithmic_axis_spaces_powers_evenly() -> None:
    values = [10.0**k for k in range(4)]
    chars, _ = braille_chart([extents(*zip(values, values, strict=True))], 1, (10**-0.5, 10**3.5), log_y=True)
    assert np.argwhere(dots(chars)).tolist() == [[0, 3], [1, 2], [2, 1], [3, 0]]


def test_values_without_a_logarithm_are_not_drawn_but_a_stroke_from_below_is_cut() -> None:
    drawn = dots(braille_chart([extents((0, 0), (-5, -1), (-5, 10))], 1, (1, 10), log_y=True)[0])
    assert not drawn[:, :2].any()
    assert drawn[:, 2].all()


def test_where_series_cross_all_dots_are_seen_and_the_last_has_the_cell() -> None:
    rising, falling = extents((0.5, 0.5), (3.5, 3.5)), extents((3.5, 3.5), (0.5, 0.5))
    far = extents((EMPTY, EMPTY), (EMPTY, EMPTY), (1, 1), (1, 1))
    pad = extents((EMPTY, EMPTY), (EMPTY, EMPTY))
    wide = [tuple(np.concatenate(pair) for pair in zip(one, pad, strict=True)) for one in (rising, falling)]
    chars, owner = braille_chart([far, *wide], 1, (0, 4))
    assert owner.tolist() == [[2, 0]]
    assert dots(chars)[:, :2].sum() == 4


def test_an_odd_number_of_columns_has_half_a_cell_more() -> None:
    chars, owner = braille_chart([extents((1, 1), (1, 1), (1, 1))], 3, (0, 8))
    assert chars.shape == owner.shape == (3, 2)


def test_no_series_is_an_empty_chart() -> None:
    chars, owner = braille_chart([], 3, (0, 8))
    assert chars.shape == owner.shape == (3, 0)
    chars, _ = braille_chart([(np.array([]), np.array([]))], 3, (0, 8))
    assert chars.shape == (3, 0)


def test_huge_ranges_do_not_overflow() -> None:
    big = 1.7e308
    drawn = dots(braille_chart([extents((-big, -big), (0, 0), (big, big), (-big, big))], 1, (-big, big))[0])
    assert [np.flatnonzero(drawn[:, column]).tolist() for column in range(4)] == [[3], [2], [0], [0, 1, 2, 3]]


@pytest.mark.parametrize("y_range", [(1, 1), (2, 1), (0, math.nan), (0, math.inf)])
def test_an_empty_range_is_refused(y_range: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="expected a range"):
        braille_chart([extents((1, 1))], 2, y_range)


def test_a_logarithmic_range_starts_above_zero() -> None:
    with pytest.raises(ValueError, match="above 0 if log_y"):
        braille_chart([extents((1, 1))], 2, (0, 1), log_y=True)
