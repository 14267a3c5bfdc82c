"""Least-squares fit of a filled triangle to each image, and measures of the fit.

The model of an image is background + contrast * triangle. The Levenberg-Marquardt method finds the corners in all
images at once. For each trial the two greys follow in closed form, with a weak prior that the triangle is white. The
prior is needed because a sliver may be thin and white or thick and grey.

Letters of shapes: N images, S pixels a side, P = S * S pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.evaluation.triangle_fit.initial_guess import largest_piece, moment_triangles
from core.evaluation.triangle_fit.raster import EDGES, Edge, coverage, coverage_and_slopes, distance_to_sides

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]

NEAR_EMPTY: Final = 3.0
"""Pixels of ink below which no triangle is fitted to an image."""
GREY_TOLERANCE: Final = 1 / 12
"""Greys this close to the image's own black or white count as black or white: haze and grain are not shape."""
STRAY_DISTANCE: Final = 2.0
STRAY_GREY: Final = 0.25
MAX_OUTSIDE_COVERAGE: Final = 1e-3
"""Largest share of a pixel, above rounding and below a grey level, that may be covered while it counts as outside."""

_MIN_INK: Final = 0.1
"""Grey above the background from which on a pixel counts as ink."""
_MIN_CONTRAST: Final = 0.2
"""Smallest contrast that is stretched to white; below it, a shape counts as fainter than the triangle."""
_WHITE_PRIOR: Final = 2.0
"""Weight of the prior that the triangle is white, in pixels."""
_MARGIN: Final = 1.0
"""Largest distance of a corner outside the image, in pixels."""
_ANGLES: Final = 8
_INITIAL_STEPS: Final = 4
_STEPS: Final = 20
_MAX_STEP: Final = 4.0
_BATCH_PIXELS: Final = 1 << 15
_BLUR: Final[dict[Edge, float]] = {"area": 1 / 12, "tent": 1 / 6}


@dataclass(frozen=True, eq=False)
class TriangleFits:
    """Best-fitting triangles of N images; where there is too little ink to fit one, all but the ink is NaN.

    Attributes:
        vertices: [N, 3, 2] as (x, y) in pixels of the image.
        residual: [N], root of the mean squared difference from the fitted triangle, in grey of 0 to 1.
        soft_iou: [N], overlap of shape and triangle over their union, summed in greys, without the haze: the
            background is subtracted, the contrast divided out, and nearly black or white becomes black or white.
        outline: [N], px^2 by which the white pixels, thresholded at half grey, differ from the triangle's exact area.
        stray: [N], px^2 of ink more than two pixels outside the triangle.
        ink: [N], px^2 above the background.
        background: [N], grey of 0 to 1.
        foreground: [N], likewise.
        edge: edge of the rendered triangles.
    """

    vertices: Numbers
    residual: Numbers
    soft_iou: Numbers
    outline: Numbers
    stray: Numbers
    ink: Numbers
    background: Numbers
    foreground: Numbers
    edge: Edge

    def __len__(self) -> int:
        return len(self.ink)

    @property
    def near_empty(self) -> Mask:
        """[N], True for images with too little ink for a triangle."""
        return self.ink < NEAR_EMPTY

    def select(self, rows: Mask | NDArray[np.intp] | slice) -> "TriangleFits":
        """Select some of the images, as numpy indexes them."""
        return TriangleFits(edge=self.edge, **{name: getattr(self, name)[rows] for name in ARRAYS})

    @classmethod
    def concatenate(cls, parts: Sequence["TriangleFits"]) -> "TriangleFits":
        """Concatenate fits of several sets of images; at least one, and all with the same edge."""
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ARRAYS}
        return cls(edge=parts[0].edge, **arrays)


ARRAYS: Final = tuple(field.name for field in fields(TriangleFits) if field.name != "edge")
"""Names of the arrays of `TriangleFits`."""


def fit_triangles(images: NDArray[np.floating], *, edge: Edge = "tent") -> TriangleFits:
    """Fit a filled triangle to each image.

    Args:
        images: float [N, C, S, S] in [0, 1], light on dark; of several channels the lightest counts.
        edge: edge of the images' triangles, see `core.evaluation.triangle_fit.raster.coverage` and `find_edge`.

    Raises:
        ValueError: another shape or type, or NaN.
    """
    grey = lightest_channel(images)
    return TriangleFits.concatenate([_fit(part, edge) for part in _batches(grey)])


def find_edge(images: NDArray[np.floating], *, count: int = 200) -> Edge:
    """Find the edge that leaves the smaller median residual on the first `count` images."""
    tent, area = (fit_triangles(images[:count], edge=edge) for edge in EDGES)
    inked = ~tent.near_empty
    # Without a triangle the edge cannot be found, but then nothing depends on it.
    if not inked.any() or np.median(tent.residual[inked]) <= np.median(area.residual[inked]):
        return "tent"
    return "area"


def lightest_channel(images: NDArray[np.floating]) -> Numbers:
    """Check images and reduce them to their lightest channel, float64 [N, S, S] in [0, 1].

    Raises:
        ValueError: not float [N, C, S, S], or NaN in it.
    """
    if images.ndim != 4 or images.shape[2] != images.shape[3] or not images.shape[1]:
        raise ValueError(f"expected images [N, C, S, S], got {list(images.shape)}")
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"expected floats from 0 to 1, got {images.dtype}")
    grey = images.max(axis=1).astype(np.float64)
    if np.isnan(grey).any():
        raise ValueError("expected images without NaN")
    clipped: Numbers = np.clip(grey, 0.0, 1.0)
    return clipped


def _batches(grey: Numbers) -> Iterator[Numbers]:
    """Split images into batches that stay in the processor's cache; at least one batch, which may be empty."""
    size = max(1, _BATCH_PIXELS // max(1, grey[0].size if len(grey) else 1))
    for begin in range(0, max(1, len(grey)), size):
        yield grey[begin : begin + size]


def _fit(grey: Numbers, edge: Edge) -> TriangleFits:
    ink = _ink(grey) if len(grey) else grey
    amount = ink.sum(axis=(1, 2))
    rows = np.flatnonzero(amount >= NEAR_EMPTY)
    vertices = np.full((len(grey), 3, 2), np.nan)
    numbers = np.full((6, len(grey)), np.nan)
    if len(rows):
        vertices[rows], numbers[:, rows] = _fit_inked(grey[rows], ink[rows], edge)
    residual, soft_iou, outline, stray, background, foreground = numbers
    return TriangleFits(vertices, residual, soft_iou, outline, stray, amount, background, foreground, edge)


def _ink(grey: Numbers) -> Numbers:
    """Extract what is clearly lighter than the background, [N, S, S] from 0 to 1."""
    background = np.minimum(np.median(grey, axis=(1, 2), keepdims=True), 0.5)
    lighter: Numbers = np.clip((grey - background) / (1 - background), 0.0, 1.0)
    return lighter * (lighter > _MIN_INK)


def _fit_inked(grey: Numbers, ink: Numbers, edge: Edge) -> tuple[Numbers, Numbers]:
    count, size = len(grey), grey.shape[-1]
    trials = [
        _LevenbergMarquardt(grey, start, "area").run(_INITIAL_STEPS) for start in _initial_guesses(grey, ink)
    ]
    best = np.argmin([trial.cost for trial in trials], axis=0)
    vertices = np.stack([trial.vertices for trial in trials])[best, np.arange(count)]
    fitter = _LevenbergMarquardt(grey, vertices, edge).run(_STEPS)

    background, contrast = fitter.background[:, None, None], fitter.contrast[:, None, None]
    drawn = fitter.drawn.reshape(grey.shape)
    residual = np.sqrt(((grey - background - contrast * drawn) ** 2).mean(axis=(1, 2)))
    shape = np.clip((grey - background) / np.maximum(contrast, _MIN_CONTRAST), 0.0, 1.0)
    left, right = _saturated(shape), _saturated(drawn)
    union = np.maximum(left, right).sum(axis=(1, 2))
    shared = np.minimum(left, right).sum(axis=(1, 2))
    soft_iou = np.divide(shared, union, out=np.zeros(count), where=union > 0)
    area = coverage(fitter.vertices, size)
    outline = np.abs((shape >= 0.5) - area).sum(axis=(1, 2))
    beyond = (area < MAX_OUTSIDE_COVERAGE) & (distance_to_sides(fitter.vertices, size) > STRAY_DISTANCE)
    stray = (shape * (beyond & (shape > STRAY_GREY))).sum(axis=(1, 2))
    greys = (fitter.background, fitter.background + fitter.contrast)
    return fitter.vertices, np.stack([residual, soft_iou, outline, stray, *greys])


def _saturated(shape: Numbers) -> Numbers:
    """Stretch the contrast so that greys within `GREY_TOLERANCE` of black or white become black or white."""
    return np.clip((shape - GREY_TOLERANCE) / (1 - 2 * GREY_TOLERANCE), 0.0, 1.0)


def _initial_guesses(grey: Numbers, ink: Numbers) -> list[Numbers]:
    """Guess three triangles an image, [N, 3, 2] each: two far apart from all the ink, one from its largest piece."""
    count, size = len(grey), grey.shape[-1]
    everyone = np.arange(count)
    selected = []
    for source, kept in ((ink, 2), (largest_piece(ink), 1)):
        guesses = np.clip(moment_triangles(source, _ANGLES, blur=_BLUR["area"]), -_MARGIN, size + _MARGIN)
        drawn = coverage(guesses.reshape(-1, 3, 2), size).reshape(count, _ANGLES, -1)
        costs = np.stack(
            [_solve_greys(grey.reshape(count, -1), drawn[:, k])[2] for k in range(_ANGLES)], axis=1
        )
        first = costs.argmin(axis=1)
        selected.append(guesses[everyone, first])
        if kept > 1:
            apart = np.abs((np.arange(_ANGLES) - first[:, None] + _ANGLES // 2) % _ANGLES - _ANGLES // 2)
            second = np.where(apart >= _ANGLES // 4, costs, np.inf).argmin(axis=1)
            selected.append(guesses[everyone, second])
    return selected


def _solve_greys(pixels: Numbers, drawn: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Solve for the background and contrast [N] that fit a rendered triangle to the pixels best.

    The cost is the sum of squared residuals, plus `_WHITE_PRIOR` times the square of the foreground's distance to
    white.

    Args:
        pixels: [N, P].
        drawn: [N, P].

    Returns:
        Background, contrast and cost, each [N].
    """
    count = pixels.shape[1]
    ones = count + _WHITE_PRIOR
    cross = drawn.sum(axis=1) + _WHITE_PRIOR
    squares = (drawn * drawn).sum(axis=1) + _WHITE_PRIOR
    right = pixels.sum(axis=1) + _WHITE_PRIOR
    right_drawn = (pixels * drawn).sum(axis=1) + _WHITE_PRIOR
    # Never zero: by Cauchy and Schwarz it is zero only if all pixels are drawn white, like the prior.
    determinant = np.maximum(ones * squares - cross**2, 1e-9)
    background = (right * squares - right_drawn * cross) / determinant
    contrast = (right_drawn * ones - right * cross) / determinant
    left = pixels - background[:, None] - contrast[:, None] * drawn
    cost = (left * left).sum(axis=1) + _WHITE_PRIOR * (background + contrast - 1) ** 2
    return background, contrast, cost


class _LevenbergMarquardt:
    """The Levenberg-Marquardt method for the corners of many triangles at once.

    Each image has its own damping, and an image that has converged is left out of further steps. The greys are solved
    for exactly after each step, and are variables of the linear model of the next step (Kaufman 1975).
    """

    def __init__(self, grey: Numbers, vertices: Numbers, edge: Edge) -> None:
        self.pixels = grey.reshape(len(grey), -1)
        self.size, self.edge = grey.shape[-1], edge
        self.vertices = vertices.copy()
        self.drawn, self.slopes = self._render(vertices)
        self.background, self.contrast, self.cost = _solve_greys(self.pixels, self.drawn)
        self.damping = np.full(len(grey), 1e-2)

    def run(self, steps: int) -> "_LevenbergMarquardt":
        """Make at most `steps` steps."""
        rows = np.arange(len(self.pixels))
        for _ in range(steps):
            rows = rows[~self._step(rows)]
            if not len(rows):
                break
        return self

    def _render(self, vertices: Numbers) -> tuple[Numbers, Numbers]:
        drawn, slopes = coverage_and_slopes(vertices, self.size, edge=self.edge)
        return drawn.reshape(len(vertices), -1), slopes.reshape(len(vertices), 6, -1)

    def _step(self, rows: NDArray[np.intp]) -> Mask:
        """Make one trial step for some images; returns True for those that need no further step."""
        before = self.vertices[rows].reshape(-1, 6)
        after = np.clip(before + self._proposed_step(rows, before), -_MARGIN, self.size + _MARGIN)
        drawn, slopes = self._render(after.reshape(-1, 3, 2))
        background, contrast, cost = _solve_greys(self.pixels[rows], drawn)
        gain = 1 - cost / np.maximum(self.cost[rows], 1e-12)
        better = gain > 0
        self.damping[rows] = np.clip(np.where(better, 0.2, 6.0) * self.damping[rows], 1e-6, 1e6)
        converged = (gain < 1e-3) & (np.abs(after - before).max(axis=1) < 0.01)

        accepted = rows[better]
        self.vertices[accepted] = after[better].reshape(-1, 3, 2)
        self.drawn[accepted], self.slopes[accepted] = drawn[better], slopes[better]
        self.background[accepted], self.contrast[accepted] = background[better], contrast[better]
        self.cost[accepted] = cost[better]
        done: Mask = (better & converged) | (self.damping[rows] > 1e3)
        return done

    def _proposed_step(self, rows: NDArray[np.intp], before: Numbers) -> Numbers:
        """Compute the steps of the corners, [n, 6]."""
        contrast, drawn = self.contrast[rows, None], self.drawn[rows]
        below_white = 1 - self.background[rows] - contrast[:, 0]
        left = self.pixels[rows] - self.background[rows, None] - contrast * drawn
        slopes = self.slopes[rows] * contrast[:, :, None]
        # A corner at the limit whose step leads outside is left out, or it would bend the other corners' step.
        uphill = (slopes @ left[:, :, None])[:, :, 0]
        free = ~(((before <= -_MARGIN) & (uphill < 0)) | ((before >= self.size + _MARGIN) & (uphill > 0)))
        model = np.concatenate(
            [slopes * free[:, :, None], np.ones_like(drawn)[:, None], drawn[:, None]], axis=1
        )
        normal = model @ model.transpose(0, 2, 1)
        normal[:, 6:, 6:] += _WHITE_PRIOR
        right = (model @ left[:, :, None])[:, :, 0]
        right[:, 6:] += _WHITE_PRIOR * below_white[:, None]
        diagonal = np.einsum("nii->ni", normal)
        diagonal[:, :6] += self.damping[rows, None] * np.maximum(diagonal[:, :6], 1e-2) + 1e-9
        diagonal[:, 6:] += 1e-6
        step: Numbers = np.linalg.solve(normal, right[:, :, None])[:, :6, 0]
        longest = np.abs(step).max(axis=1, keepdims=True)
        bounded: Numbers = step * np.minimum(1.0, _MAX_STEP / np.maximum(longest, 1e-12))
        return bounded
