"""The rasteriser against supersampling and Pillow, its slopes against differences, the fits against known corners."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage, optimize

from core.evaluation.triangle_fit.fit import NEAR_EMPTY, find_edge, fit_triangles
from core.evaluation.triangle_fit.initial_guess import largest_piece, moment_triangles
from core.evaluation.triangle_fit.raster import EDGES, Edge, coverage, coverage_and_slopes, distance_to_sides
from tests.support.shapes import SIZE, ellipses, hazy, noisy, pairs, real

Numbers = NDArray[np.float64]
GRID = (np.arange(SIZE * 16) + 0.5) / 16


def corners(count: int, *, size: float = SIZE) -> Numbers:
    return np.random.default_rng(5).random((count, 3, 2)) * size


def areas(vertices: Numbers) -> Numbers:
    (x0, y0), (x1, y1), (x2, y2) = vertices.transpose(1, 2, 0)
    return np.abs((x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)) / 2


def corner_errors(found: Numbers, true: Numbers) -> Numbers:
    """The worst of a triangle's three corners, whichever way they are numbered."""
    orders = [list(order) for order in itertools.permutations(range(3))]
    return np.min(
        [np.hypot(*(found[:, order] - true).transpose(2, 0, 1)).max(axis=1) for order in orders], axis=0
    )


def supersampled(vertices: Numbers, edge: Edge) -> Numbers:
    """The share of 16 x 16 points inside, under a pixel's square or the tent around it."""
    x, y = np.meshgrid(GRID, GRID)
    images = []
    for triangle in vertices:
        sides = np.roll(triangle, -1, axis=0) - triangle
        turned = [
            dx * (y - y0) - dy * (x - x0) > 0 for (x0, y0), (dx, dy) in zip(triangle, sides, strict=True)
        ]
        inside = np.all(turned, axis=0) | ~np.any(turned, axis=0)
        fine = inside.astype(np.float64)
        for axis in (0, 1) if edge == "tent" else ():
            # A square twice is a tent; the second one, over whole pixels, is below.
            square = np.array([0.5, *np.ones(15), 0.5]) / 16
            fine = ndimage.convolve1d(fine, square, axis=axis, mode="constant")
        images.append(fine.reshape(SIZE, 16, SIZE, 16).mean(axis=(1, 3)))
    return np.stack(images)


@pytest.mark.parametrize("edge", EDGES)
def test_drawn_triangles_are_supersampled_ones(edge: Edge) -> None:
    vertices = corners(40)
    difference = np.abs(coverage(vertices, SIZE, edge=edge) - supersampled(vertices, edge))
    # Apart from the border, where the tent is cut off; the samples themselves err by about 1/16 of an edge pixel.
    inner = difference[:, 1:-1, 1:-1]
    assert inner.max() < 0.04
    assert inner.mean() < 4e-4


def test_covered_areas_add_up_to_the_triangles() -> None:
    vertices = corners(300)
    np.testing.assert_allclose(coverage(vertices, SIZE).sum(axis=(1, 2)), areas(vertices), atol=1e-9)


def test_the_tent_is_how_high_is_drawn() -> None:
    images, vertices = real(200)
    difference = coverage(vertices, SIZE, edge="tent") - images[:, 0]
    # Pillow keeps whole grey levels after each of two passes, and the canvas has 22.5 pixels for each of ours.
    assert np.sqrt((difference**2).mean()) < 0.001
    assert np.abs(difference).max() < 0.03


@pytest.mark.parametrize("edge", EDGES)
def test_neither_the_first_corner_nor_the_turning_matters(edge: Edge) -> None:
    vertices = corners(20)
    expected = coverage(vertices, SIZE, edge=edge)
    for order in itertools.permutations(range(3)):
        np.testing.assert_allclose(coverage(vertices[:, list(order)], SIZE, edge=edge), expected, atol=1e-9)


@pytest.mark.parametrize("edge", EDGES)
def test_triangles_may_reach_out_of_the_image(edge: Edge) -> None:
    large = coverage(corners(30, size=48) - 8, SIZE, edge="area")
    wide = coverage(corners(30, size=48) - 8 + 16, SIZE + 32, edge="area")
    np.testing.assert_allclose(large, wide[:, 16:-16, 16:-16], atol=1e-9)
    all_of_it = np.array([[(-9.0, -9.0), (99.0, -9.0), (-9.0, 99.0)]])
    np.testing.assert_allclose(coverage(all_of_it, SIZE, edge=edge), 1, atol=1e-6)
    assert coverage(all_of_it - 200, SIZE, edge=edge).max() < 1e-6


@pytest.mark.parametrize("edge", EDGES)
def test_triangles_without_area_are_black(edge: Edge) -> None:
    point, line = np.full((3, 2), 7.5), np.array([(1.0, 2.0), (5.0, 10.0), (9.0, 18.0)])
    upright = np.array([(4.0, 1.0), (4.0, 9.0), (4.0, 30.0)])
    images, slopes = coverage_and_slopes(np.stack([point, line, upright]), SIZE, edge=edge)
    assert not images.any()
    assert np.isfinite(slopes).all()


@pytest.mark.parametrize("edge", EDGES)
def test_whole_pixels_are_covered_exactly(edge: Edge) -> None:
    half_square = np.array([[(4.0, 4.0), (12.0, 4.0), (4.0, 12.0)]])
    expected = np.zeros((16, 16))
    steps = np.add.outer(np.arange(8), np.arange(8))
    expected[4:12, 4:12] = np.where(steps < 7, 1.0, np.where(steps == 7, 0.5, 0.0))
    image = coverage(half_square, 16, edge=edge)[0]
    if edge == "tent":
        # Inside, a tent sees nothing of the edge; half of it sees each straight side.
        assert image[6, 6] == pytest.approx(1)
        assert image[7, 4] + image[7, 3] == pytest.approx(1)
    else:
        np.testing.assert_allclose(image, expected, atol=1e-12)


@pytest.mark.parametrize("edge", EDGES)
def test_slopes_are_differences(edge: Edge) -> None:
    vertices, step = corners(25), 1e-4
    _, slopes = coverage_and_slopes(vertices, SIZE, edge=edge)
    for number in range(6):
        moved = np.zeros(6)
        moved[number] = step
        higher, lower = (coverage(vertices + way * moved.reshape(3, 2), SIZE, edge=edge) for way in (1, -1))
        # A side that crosses a corner of a pixel within the step bends the difference.
        np.testing.assert_allclose(slopes[:, number], (higher - lower) / (2 * step), atol=1e-3)


def test_distances_are_to_the_nearest_point_of_a_side() -> None:
    vertices = corners(5, size=12)
    along = np.linspace(0, 1, 4001)[:, None]
    centres = np.stack(np.meshgrid(np.arange(12) + 0.5, np.arange(12) + 0.5), axis=-1)
    for triangle, found in zip(vertices, distance_to_sides(vertices, 12), strict=True):
        points = np.concatenate(
            [a + along * (b - a) for a, b in itertools.pairwise([*triangle, triangle[0]])]
        )
        expected = np.linalg.norm(centres[:, :, None] - points, axis=-1).min(axis=-1)
        np.testing.assert_allclose(found, expected, atol=0.003)


def test_moments_put_a_guess_near_every_triangle() -> None:
    vertices = corners(200)
    guesses = moment_triangles(coverage(vertices, SIZE), 24, blur=1 / 12)
    errors = np.min([corner_errors(guesses[:, k], vertices) for k in range(24)], axis=0)
    longest = np.linalg.norm(vertices - np.roll(vertices, 1, axis=1), axis=-1).max(axis=1)
    # The nearest of 24 angles is at most 2.5 degrees off.
    clear = areas(vertices) > 10
    assert (errors[clear] / longest[clear]).max() < 0.05


def test_the_largest_piece_keeps_its_soft_edge_and_nothing_else() -> None:
    ink = np.zeros((2, 8, 8))
    ink[0, 1:4, 1:4], ink[0, 4, 1:4] = 1, 0.3
    ink[0, 6, 6:] = 1
    ink[1, 2, 2], ink[1, 3, 3] = 1, 1
    expected = ink.copy()
    expected[0, 6] = 0
    np.testing.assert_array_equal(largest_piece(ink), expected)


def test_corners_of_high_are_found() -> None:
    images, vertices = real(250)
    fits = fit_triangles(images)
    errors = corner_errors(fits.vertices, vertices)
    large = areas(vertices) > 30
    assert np.median(errors[large]) < 0.01
    assert errors[large].max() < 0.15
    small = ~large & ~fits.near_empty
    assert np.median(errors[small]) < 0.1
    # A grey level is 0.0039; nothing of the triangle is left over, in slivers neither.
    assert np.nanmax(fits.residual) < 0.01
    assert np.nanmedian(fits.soft_iou) > 0.995


def test_corners_of_low_are_found_through_its_jpeg() -> None:
    images, vertices = real(120, dataset="low")
    fits = fit_triangles(images, edge="area")
    assert np.median(corner_errors(fits.vertices, vertices)[areas(vertices) > 30]) < 0.1


def test_corners_of_array_are_found_within_a_pixel() -> None:
    images, vertices = real(120, dataset="array")
    fits = fit_triangles(images, edge="area")
    assert np.median(corner_errors(fits.vertices, vertices)[areas(vertices) > 30]) < 0.6


def test_haze_and_a_grey_triangle_are_no_matter_of_shape() -> None:
    images, vertices = real(100)
    clean = fit_triangles(images)
    veiled = fit_triangles(0.05 + 0.8 * images)
    clear = areas(vertices) > 30
    assert np.abs(veiled.soft_iou - clean.soft_iou)[clear].max() < 0.03
    np.testing.assert_allclose(veiled.background[clear], 0.05, atol=0.002)
    np.testing.assert_allclose(np.median(veiled.foreground[clear]), 0.85, atol=0.01)
    assert np.median(corner_errors(veiled.vertices, vertices)[clear]) < 0.05


def test_a_faint_haze_changes_no_soft_iou() -> None:
    images, _ = real(100)
    clean, veiled = fit_triangles(images), fit_triangles(hazy(images, 0.02))
    inked = ~clean.near_empty
    assert np.abs(veiled.soft_iou - clean.soft_iou)[inked].max() < 0.01


def test_turned_and_mirrored_images_fit_as_well() -> None:
    images = ellipses(40, np.random.default_rng(0))
    expected = fit_triangles(images)
    turned = fit_triangles(np.ascontiguousarray(np.rot90(images, axes=(2, 3))))
    mirrored = fit_triangles(np.ascontiguousarray(images.swapaxes(2, 3)))
    inked = ~expected.near_empty
    for other in (turned, mirrored):
        # A disc has no best triangle but a circle of them, so the overlap is compared, not the corners.
        assert np.quantile(np.abs(other.soft_iou - expected.soft_iou)[inked], 0.95) < 0.02


def test_the_triangle_nearest_to_a_disc_overlaps_as_geometry_says() -> None:
    x, y = np.meshgrid(*[np.arange(64 * 8) / 8 + 1 / 16] * 2)
    disc = (np.hypot(x - 32, y - 32) < 15).reshape(64, 8, 64, 8).mean(axis=(1, 3))

    def parts(inradius: float) -> tuple[float, float]:
        """Areas of an equilateral triangle, and of its overlap with the unit disc."""
        segment = np.arccos(inradius) - inradius * np.sqrt(1 - inradius**2)
        return 3 * np.sqrt(3) * inradius**2, np.pi - 3 * segment

    pixels, radius = 64 * 64, 15.0

    def unexplained(inradius: float) -> float:
        """Less the squared correlation of disc and triangle, but for a factor: greys are free."""
        triangle, shared = (radius**2 * part for part in parts(inradius))
        return -((shared - triangle * np.pi * radius**2 / pixels) ** 2) / (triangle * (1 - triangle / pixels))

    best = optimize.minimize_scalar(unexplained, bounds=(0.5, 1), method="bounded").x
    triangle, shared = parts(best)
    found = fit_triangles(disc[None, None])
    # The optimum is flat: 5% of area more or less change the squared difference by 1%.
    assert areas(found.vertices)[0] == pytest.approx(triangle * radius**2, rel=0.07)
    # Greys of the contrast are stretched to white, but what sticks out stays out.
    assert found.soft_iou[0] == pytest.approx(shared / (np.pi + triangle - shared), abs=0.03)


def test_of_two_pieces_the_triangle_is_one_and_the_other_is_stray() -> None:
    images = pairs(30, np.random.default_rng(1))
    fits = fit_triangles(images)
    assert (fits.stray[~fits.near_empty] > 1).mean() > 0.7
    assert fit_triangles(real(50)[0]).stray[:10].max() == 0


def test_noise_leaves_corners_where_they_are() -> None:
    images, vertices = real(100)
    fits = fit_triangles(noisy(images, 0.05, np.random.default_rng(2)))
    clear = areas(vertices) > 30
    assert np.median(corner_errors(fits.vertices, vertices)[clear]) < 0.3
    np.testing.assert_allclose(np.nanmedian(fits.residual), 0.031, atol=0.003)  # half of the noise is cut off


def test_images_with_too_little_ink_have_no_triangle() -> None:
    images = np.zeros((4, 1, SIZE, SIZE))
    images[1, 0, 3, 3:5] = 1
    images[2] = 0.02
    images[3, 0, 10:20, 10:20] = 1
    fits = fit_triangles(images)
    np.testing.assert_array_equal(fits.near_empty, [True, True, True, False])
    np.testing.assert_allclose(fits.ink, [0, 2, 0, 100])
    for part in (fits.vertices, fits.residual, fits.soft_iou, fits.outline, fits.stray, fits.background):
        assert np.isnan(part[:3]).all()
        assert np.isfinite(part[3]).all()
    assert fits.ink[1] < NEAR_EMPTY


@pytest.mark.parametrize("grey", [0.4, 0.6, 1.0])
def test_a_plain_image_is_no_triangle(grey: float) -> None:
    fits = fit_triangles(np.full((1, 1, SIZE, SIZE), grey))
    assert fits.near_empty[0] or fits.soft_iou[0] < 0.7


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("size", [1, 2, 3, 8, 48])
def test_images_of_any_size_are_fitted(size: int, edge: Edge) -> None:
    vertices = np.array([[(0.1, 0.1), (0.9, 0.3), (0.4, 0.95)]]) * size
    fits = fit_triangles(coverage(vertices, size, edge=edge)[:, None], edge=edge)
    if size < 8:
        assert len(fits) == 1
    else:
        assert corner_errors(fits.vertices, vertices).max() < 0.05


@pytest.mark.filterwarnings("error")
def test_noise_of_all_kinds_is_fitted_without_a_word() -> None:
    rng = np.random.default_rng(0)
    speckles = (rng.random((20, 1, SIZE, SIZE)) < rng.random((20, 1, 1, 1))).astype(np.float64)
    lines = np.zeros((3, 1, SIZE, SIZE))
    lines[0, 0, 5], lines[1, 0, :, 31], lines[2, 0, range(SIZE), range(SIZE)] = 1, 1, 1
    fits = fit_triangles(np.concatenate([rng.random((20, 1, SIZE, SIZE)), speckles, lines]))
    inked = ~fits.near_empty
    assert np.isfinite(fits.vertices[inked]).all()
    assert (fits.vertices[inked] >= -1).all()
    assert (fits.vertices[inked] <= SIZE + 1).all()
    assert fits.soft_iou[inked][:20].max() < 0.8


def test_no_images_have_no_fits() -> None:
    fits = fit_triangles(np.zeros((0, 1, SIZE, SIZE)))
    assert len(fits) == 0
    assert fits.vertices.shape == (0, 3, 2)


def test_a_image_is_fitted_alike_alone_and_among_others() -> None:
    images, _ = real(80)
    together, alone = fit_triangles(images), fit_triangles(images[70:71])
    np.testing.assert_allclose(alone.vertices, together.select(slice(70, 71)).vertices, atol=1e-6)


def test_coloured_triangles_are_fitted_by_their_lightest_channel() -> None:
    images, _ = real(20)
    coloured = np.concatenate([images * 0, images, images], axis=1)
    np.testing.assert_array_equal(fit_triangles(coloured).vertices, fit_triangles(images).vertices)


def test_fits_are_selected_as_numpy_would() -> None:
    fits = fit_triangles(real(30)[0])
    chosen = fits.select(fits.ink > 50)
    assert len(chosen) == (fits.ink > 50).sum()
    np.testing.assert_array_equal(chosen.vertices, fits.vertices[fits.ink > 50])
    assert chosen.edge == fits.edge


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 32, 32)), r"expected images \[N, C, S, S\], got \[2, 32, 32\]"),
        (np.zeros((2, 1, 32, 16)), r"got \[2, 1, 32, 16\]"),
        (np.zeros((2, 0, 32, 32)), r"got \[2, 0, 32, 32\]"),
        (np.zeros((2, 1, 32, 32), np.uint8), "expected floats from 0 to 1, got uint8"),
        (np.full((2, 1, 32, 32), np.nan), "expected images without NaN"),
    ],
)
def test_what_cannot_be_fitted_is_refused(images: NDArray[np.floating], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_triangles(images)


@pytest.mark.parametrize(("dataset", "edge"), [("high", "tent"), ("low", "area"), ("array", "area")])
def test_the_edge_of_each_data_set_is_found(dataset: str, edge: Edge) -> None:
    assert find_edge(real(60, dataset=dataset)[0]) == edge


def test_images_without_triangles_have_the_default_edge() -> None:
    assert find_edge(np.zeros((3, 1, SIZE, SIZE))) == "tent"
