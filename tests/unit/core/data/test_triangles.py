"""Triangles against geometry, probability and Pillow."""

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from core.data import DataRecipe, find_data_recipe
from core.data.triangles import HELDOUT, TRAIN, draw_colours, draw_corners, render

MEAN_AREA = 11 / 144
"""Expected area of a triangle with three corners uniform on the unit square."""
MEAN_SQUARED_AREA = 1 / 96


def shoelace(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y = corners[..., 0], corners[..., 1]
    signed: NDArray[np.float64] = (x * (np.roll(y, -1, -1) - np.roll(y, 1, -1))).sum(-1) / 2
    return np.abs(signed)


def inside(corners: NDArray[np.float64], size: int) -> NDArray[np.bool_]:
    """Mask of the pixel centres inside each triangle, by the sign of three cross products: [N, S, S]."""
    centres = np.arange(size) + 0.5
    px, py = np.meshgrid(centres, centres)
    sides = []
    for corner in range(3):
        x0, y0 = (corners[:, corner, axis, None, None] * size for axis in (0, 1))
        x1, y1 = (corners[:, (corner + 1) % 3, axis, None, None] * size for axis in (0, 1))
        sides.append((x1 - x0) * (py - y0) - (y1 - y0) * (px - x0) > 0)
    return np.all(sides, axis=0) | ~np.any(sides, axis=0)


def recipe(name: str, **changes: object) -> DataRecipe:
    made = find_data_recipe(name)
    fields = {field: getattr(made, field) for field in made.__struct_fields__}
    return DataRecipe(**{**fields, **changes})


def test_corners_are_uniform_on_the_unit_square() -> None:
    corners = draw_corners(20_000, seed=0, split=TRAIN)
    assert corners.min() >= 0
    assert corners.max() < 1
    counts, _ = np.histogram(corners, bins=20, range=(0, 1))
    expected = corners.size / 20
    # Chi squared with 19 degrees of freedom: 43.8 is passed by chance once in a thousand.
    assert ((counts - expected) ** 2 / expected).sum() < 43.8


def test_areas_have_the_moments_of_random_triangles() -> None:
    areas = shoelace(draw_corners(20_000, seed=0, split=TRAIN))
    deviation = np.sqrt(MEAN_SQUARED_AREA - MEAN_AREA**2)
    assert abs(areas.mean() - MEAN_AREA) < 3 * deviation / np.sqrt(len(areas))
    np.testing.assert_allclose((areas**2).mean(), MEAN_SQUARED_AREA, rtol=0.05)


def test_fewer_corners_are_a_prefix_of_more() -> None:
    many = draw_corners(100, seed=3, split=HELDOUT)
    np.testing.assert_array_equal(draw_corners(7, seed=3, split=HELDOUT), many[:7])
    np.testing.assert_array_equal(
        draw_colours(7, seed=3, split=TRAIN), draw_colours(100, seed=3, split=TRAIN)[:7]
    )


def test_seeds_and_splits_are_streams_of_their_own() -> None:
    streams = [draw_corners(50, seed=seed, split=split) for seed in (0, 1) for split in (TRAIN, HELDOUT)]
    assert len(np.unique(np.concatenate(streams).round(6), axis=0)) == 200


@pytest.mark.parametrize("size", [1, 8, 32, 100])
def test_an_array_is_white_exactly_where_a_pixel_centre_is_inside(size: int) -> None:
    corners = draw_corners(200, seed=1, split=TRAIN)
    images = render(recipe("array", size=size), corners)
    assert images.shape == (200, 1, size, size)
    np.testing.assert_array_equal(images[:, 0], inside(corners, size) * 255)


def test_an_array_has_the_area_of_its_triangle() -> None:
    corners = draw_corners(200, seed=2, split=TRAIN)
    images = render(recipe("array", size=256), corners)
    pixels = (images == 255).sum(axis=(1, 2, 3))
    edges = np.roll(corners, -1, axis=1) - corners
    around = np.hypot(edges[..., 0], edges[..., 1]).sum(axis=1) * 256
    # Only pixels that the outline passes can be counted wrongly, and those go both ways.
    assert (np.abs(pixels - shoelace(corners) * 256**2) <= around).all()
    np.testing.assert_allclose(pixels.sum(), shoelace(corners).sum() * 256**2, rtol=1e-3)


def test_smooth_edges_are_covered_areas() -> None:
    corners = draw_corners(200, seed=3, split=TRAIN)
    images = render(recipe("low", storage="png"), corners)
    ink = images.mean(axis=(1, 2, 3)) / 255
    np.testing.assert_allclose(ink, shoelace(corners), atol=5e-4)


def test_high_equals_the_large_image_resized_by_pillow() -> None:
    corners = draw_corners(40, seed=4, split=TRAIN)
    for canvas, size in ((720, 32), (100, 33), (64, 32), (32, 31), (720, 1)):
        large = render(recipe("array", size=canvas), corners)[:, 0]
        expected = [
            np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
            for image in large
        ]
        made = render(recipe("high", canvas=canvas, size=size), corners)
        np.testing.assert_array_equal(made[:, 0], np.stack(expected))


def test_high_looks_like_a_polygon_drawn_by_pillow() -> None:
    for corners in draw_corners(40, seed=5, split=TRAIN):
        image = Image.new("L", (720, 720))
        ImageDraw.Draw(image).polygon([tuple(corner) for corner in (corners * 720).tolist()], fill=255)
        expected = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
        made = render(recipe("high"), corners[None])[0, 0].astype(int)
        # Pillow paints the outline too, half a pixel of 720 on each side.
        assert np.abs(made - expected).max() <= 26
        assert np.abs(made - expected).mean() < 1


def test_low_has_grey_dots_far_from_the_triangle_and_the_others_have_none() -> None:
    corners = draw_corners(300, seed=6, split=TRAIN)
    near = render(recipe("low", storage="png"), corners)[:, 0] > 0
    moves = product(range(-2, 3), repeat=2)
    grown = np.any([np.roll(near, move, axis=(1, 2)) for move in moves], axis=0)
    dots = {
        name: float(((render(recipe(name), corners)[:, 0] > 0) & ~grown).sum(axis=(1, 2)).mean())
        for name in ("low", "high", "array")
    }
    assert dots["low"] > 30
    assert dots["high"] == dots["array"] == 0


def test_the_three_ways_draw_the_same_triangles() -> None:
    corners = draw_corners(100, seed=7, split=TRAIN)
    low, high, array = (render(recipe(name), corners).astype(float) for name in ("low", "high", "array"))
    for other in (low, array):
        assert np.abs(other - high).mean() < 6


def test_only_the_array_is_strictly_two_valued() -> None:
    corners = draw_corners(100, seed=8, split=TRAIN)
    assert set(np.unique(render(recipe("array"), corners))) == {0, 255}
    assert len(np.unique(render(recipe("high"), corners))) > 100
    assert len(np.unique(render(recipe("low"), corners))) > 200


def test_jpeg_of_a_higher_quality_is_nearer_to_the_image() -> None:
    corners = draw_corners(50, seed=9, split=TRAIN)
    plain = render(recipe("low", storage="png"), corners).astype(float)
    errors = [
        np.abs(render(recipe("low", quality=quality), corners) - plain).mean() for quality in (20, 75, 95)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] > 0


def test_a_large_canvas_can_go_through_a_jpeg_too() -> None:
    corners = draw_corners(5, seed=10, split=TRAIN)
    through = render(recipe("high", storage="jpeg"), corners).astype(float)
    plain = render(recipe("high"), corners).astype(float)
    assert 0 < np.abs(through - plain).mean() < 3


def test_images_in_colour_have_one_full_colour_each() -> None:
    corners, colours = (draw(60, seed=11, split=TRAIN) for draw in (draw_corners, draw_colours))
    assert len(np.unique(colours, axis=0)) == 7
    assert (colours.max(axis=1) == 1).all()
    grey = render(recipe("high"), corners)
    colour = render(recipe("high"), corners, colours)
    assert colour.shape == (60, 3, 32, 32)
    np.testing.assert_array_equal(colour, grey * colours[:, :, None, None])
    assert render(recipe("low"), corners, colours).shape == (60, 3, 32, 32)


def test_a_triangle_without_area_is_an_empty_image() -> None:
    for corners in ([[0.5, 0.5]] * 3, [[0.1, 0.1], [0.5, 0.5], [0.9, 0.9]], [[0, 0.5], [0.5, 0.5], [1, 0.5]]):
        for name in ("low", "high", "array"):
            assert render(recipe(name), np.array([corners], np.float64)).max() <= 12, (name, corners)


def test_the_canvas_as_a_whole_is_white_all_over_below_its_diagonal() -> None:
    corners = np.array([[[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]]])
    image = render(recipe("array"), corners)[0, 0] == 255
    assert np.tril(np.ones((32, 32), bool), -1)[image].sum() == 32 * 31 / 2
    assert not image[np.triu_indices(32, 1)].any()
