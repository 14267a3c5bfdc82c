"""The filled triangle that fits each picture best, and how well it fits.

Letters of shapes: N pictures, S pixels a side, P = S * S pixels.
A picture is explained as background + contrast * triangle. The corners are found by Levenberg and Marquardt's
method on all pictures at once; for each trial the two greys are found in closed form, leaning a little towards
black and white, since a sliver leaves open whether it is thin and white or thick and grey.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.evaluation.triangle_fit.initial_guess import largest_piece, moment_triangles
from core.evaluation.triangle_fit.raster import EDGES, Edge, coverage, coverage_and_slopes, distance_to_sides

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]

NEAR_EMPTY: Final = 3.0
"""Pixels of ink below which a picture is not asked for its shape."""
GREY_TOLERANCE: Final = 1 / 12
"""Greys this close to the picture's own black or white count as that: haze and grain are not matters of shape."""
STRAY_DISTANCE: Final = 2.0
STRAY_GREY: Final = 0.25
MAX_OUTSIDE_COVERAGE: Final = 1e-3
"""Share of a pixel that a triangle may cover while it counts as outside: more than rounding, less than a grey."""

_MIN_INK: Final = 0.1
"""Grey above the background that is no ink yet."""
_MIN_CONTRAST: Final = 0.2
"""Below it a shape counts as fainter than the triangle, instead of being stretched to white."""
_WHITE_PRIOR: Final = 2.0
"""Pixels' worth of evidence that the triangle is white."""
_MARGIN: Final = 1.0
"""How far outside the picture a corner may be, in pixels."""
_ANGLES: Final = 8
_INITIAL_STEPS: Final = 4
_STEPS: Final = 20
_MAX_STEP: Final = 4.0
_BATCH_PIXELS: Final = 1 << 15
_BLUR: Final[dict[Edge, float]] = {"area": 1 / 12, "tent": 1 / 6}


@dataclass(frozen=True, eq=False)
class TriangleFits:
    """Best-fitting triangles of N pictures; all is NaN, but the ink, where there is too little ink to fit one.

    Attributes:
        vertices: [N, 3, 2] as (x, y) in pixels of the picture.
        residual: [N], root of the mean squared difference from the fitted triangle, in grey of 0 to 1.
        soft_iou: [N], overlap of shape and triangle over their union, summed in greys, with the haze taken away:
            the background is subtracted, the contrast divided out, what is nearly black or white is so.
        outline: [N], px^2 by which the white pixels, cut at half grey, differ from the triangle's exact area.
        stray: [N], px^2 of ink that is farther than two pixels outside the triangle.
        ink: [N], px^2 above the background.
        background: [N], grey of 0 to 1.
        foreground: [N], likewise.
        edge: how the triangles were drawn.
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
        """[N], which pictures have too little ink for a triangle."""
        return self.ink < NEAR_EMPTY

    def select(self, rows: Mask | NDArray[np.intp] | slice) -> "TriangleFits":
        """Some of the pictures, as numpy would index them."""
        parts = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "edge"}
        return TriangleFits(edge=self.edge, **{name: part[rows] for name, part in parts.items()})


def fit_triangles(images: NDArray[np.floating], *, edge: Edge = "tent") -> TriangleFits:
    """Fit a filled triangle to each picture.

    Args:
        pictures: float [N, C, S, S] in [0, 1], light on dark; of several channels the lightest counts.
        edge: how the pictures were drawn, see `core.evaluation.triangle_fit.raster.coverage`; `find_edge` finds it out.

    Raises:
        ValueError: another shape or type, or NaN.
    """
    grey = lightest_channel(images)
    fits = [_fit(part, edge) for part in _batches(grey)]
    names = [field.name for field in fields(TriangleFits) if field.name != "edge"]
    joined = {name: np.concatenate([getattr(one, name) for one in fits]) for name in names}
    return TriangleFits(edge=edge, **joined)


def find_edge(images: NDArray[np.floating], *, count: int = 200) -> Edge:
    """How triangles were drawn: the edge that leaves the smaller median residual on the first `count` pictures."""
    few = images[:count]
    tent, area = (fit_triangles(few, edge=edge) for edge in EDGES)
    inked = ~tent.near_empty
    # Without a triangle nothing can be told, and nothing depends on it.
    if not inked.any() or np.median(tent.residual[inked]) <= np.median(area.residual[inked]):
        return "tent"
    return "area"


def lightest_channel(images: NDArray[np.floating]) -> Numbers:
    """Checked pictures as float64 [N, S, S] in [0, 1].

    Raises:
        ValueError: not float [N, C, S, S], or NaN in it.
    """
    if images.ndim != 4 or images.shape[2] != images.shape[3] or not images.shape[1]:
        raise ValueError(f"expected pictures [N, C, S, S], got {list(images.shape)}")
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"expected floats from 0 to 1, got {images.dtype}")
    grey = images.max(axis=1).astype(np.float64)
    if np.isnan(grey).any():
        raise ValueError("expected pictures without NaN")
    clipped: Numbers = np.clip(grey, 0.0, 1.0)
    return clipped


def _batches(grey: Numbers) -> Iterator[Numbers]:
    """A few pictures at a time stay in the processor's cache; at least one batch, if an empty one."""
    size = max(1, _BATCH_PIXELS // max(1, grey[0].size if len(grey) else 1))
    for begin in range(0, max(1, len(grey)), size):
        yield grey[begin : begin + size]


def _fit(grey: Numbers, edge: Edge) -> TriangleFits:
    ink = _ink(grey) if len(grey) else grey
    amount = ink.sum(axis=(1, 2))
    rows = np.flatnonzero(amount >= NEAR_EMPTY)
    found = np.full((len(grey), 3, 2), np.nan)
    numbers = np.full((6, len(grey)), np.nan)
    if len(rows):
        found[rows], numbers[:, rows] = _fit_inked(grey[rows], ink[rows], edge)
    residual, soft_iou, outline, stray, background, foreground = numbers
    return TriangleFits(found, residual, soft_iou, outline, stray, amount, background, foreground, edge)


def _ink(grey: Numbers) -> Numbers:
    """What is clearly lighter than the background, [N, S, S] from 0 to 1."""
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
    return np.clip((shape - GREY_TOLERANCE) / (1 - 2 * GREY_TOLERANCE), 0.0, 1.0)


def _initial_guesses(grey: Numbers, ink: Numbers) -> list[Numbers]:
    """Three guesses a picture, [N, 3, 2] each: two far apart from all the ink, one from its largest piece."""
    count, size = len(grey), grey.shape[-1]
    everyone = np.arange(count)
    found = []
    for source, kept in ((ink, 2), (largest_piece(ink), 1)):
        guesses = np.clip(moment_triangles(source, _ANGLES, blur=_BLUR["area"]), -_MARGIN, size + _MARGIN)
        drawn = coverage(guesses.reshape(-1, 3, 2), size).reshape(count, _ANGLES, -1)
        costs = np.stack(
            [_solve_greys(grey.reshape(count, -1), drawn[:, k])[2] for k in range(_ANGLES)], axis=1
        )
        first = costs.argmin(axis=1)
        found.append(guesses[everyone, first])
        if kept > 1:
            apart = np.abs((np.arange(_ANGLES) - first[:, None] + _ANGLES // 2) % _ANGLES - _ANGLES // 2)
            second = np.where(apart >= _ANGLES // 4, costs, np.inf).argmin(axis=1)
            found.append(guesses[everyone, second])
    return found


def _solve_greys(pixels: Numbers, drawn: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Background and contrast [N] with which a drawn triangle explains pixels best, and the cost of it.

    The cost is the sum of squares of what is left, and `_LEANING` times the square of what white lacks.

    Args:
        pixels: [N, P].
        drawn: [N, P].
    """
    count = pixels.shape[1]
    ones = count + _WHITE_PRIOR
    cross = drawn.sum(axis=1) + _WHITE_PRIOR
    squares = (drawn * drawn).sum(axis=1) + _WHITE_PRIOR
    right = pixels.sum(axis=1) + _WHITE_PRIOR
    right_drawn = (pixels * drawn).sum(axis=1) + _WHITE_PRIOR
    # Never zero: by Cauchy and Schwarz it is zero only if all pixels are drawn white, like the leaning.
    determinant = np.maximum(ones * squares - cross**2, 1e-9)
    background = (right * squares - right_drawn * cross) / determinant
    contrast = (right_drawn * ones - right * cross) / determinant
    left = pixels - background[:, None] - contrast[:, None] * drawn
    cost = (left * left).sum(axis=1) + _WHITE_PRIOR * (background + contrast - 1) ** 2
    return background, contrast, cost


class _LevenbergMarquardt:
    """Levenberg and Marquardt's method for the corners of many triangles at once.

    Each picture has its own damping; a picture that has settled takes no further part. The greys are solved for
    exactly after each step, and move along in the linear model of the next (Kaufman 1975).
    """

    def __init__(self, grey: Numbers, vertices: Numbers, edge: Edge) -> None:
        self.pixels = grey.reshape(len(grey), -1)
        self.size, self.edge = grey.shape[-1], edge
        self.vertices = vertices.copy()
        self.drawn, self.slopes = self._render(vertices)
        self.background, self.contrast, self.cost = _solve_greys(self.pixels, self.drawn)
        self.damping = np.full(len(grey), 1e-2)

    def run(self, steps: int) -> "_LevenbergMarquardt":
        """At most so many steps."""
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
        """One trial for some pictures; returns which of them need no further one."""
        before = self.vertices[rows].reshape(-1, 6)
        after = np.clip(before + self._proposed_step(rows, before), -_MARGIN, self.size + _MARGIN)
        drawn, slopes = self._render(after.reshape(-1, 3, 2))
        background, contrast, cost = _solve_greys(self.pixels[rows], drawn)
        gain = 1 - cost / np.maximum(self.cost[rows], 1e-12)
        better = gain > 0
        self.damping[rows] = np.clip(np.where(better, 0.2, 6.0) * self.damping[rows], 1e-6, 1e6)
        settled = (gain < 1e-3) & (np.abs(after - before).max(axis=1) < 0.01)

        accepted = rows[better]
        self.vertices[accepted] = after[better].reshape(-1, 3, 2)
        self.drawn[accepted], self.slopes[accepted] = drawn[better], slopes[better]
        self.background[accepted], self.contrast[accepted] = background[better], contrast[better]
        self.cost[accepted] = cost[better]
        done: Mask = (better & settled) | (self.damping[rows] > 1e3)
        return done

    def _proposed_step(self, rows: NDArray[np.intp], before: Numbers) -> Numbers:
        """Steps [n, 6] of the corners."""
        contrast, drawn = self.contrast[rows, None], self.drawn[rows]
        lean = 1 - self.background[rows] - contrast[:, 0]
        left = self.pixels[rows] - self.background[rows, None] - contrast * drawn
        slopes = self.slopes[rows] * contrast[:, :, None]
        # A corner at the limit that wants to go on is left out, or it would bend the others' step.
        uphill = (slopes @ left[:, :, None])[:, :, 0]
        free = ~(((before <= -_MARGIN) & (uphill < 0)) | ((before >= self.size + _MARGIN) & (uphill > 0)))
        model = np.concatenate(
            [slopes * free[:, :, None], np.ones_like(drawn)[:, None], drawn[:, None]], axis=1
        )
        normal = model @ model.transpose(0, 2, 1)
        normal[:, 6:, 6:] += _WHITE_PRIOR
        right = (model @ left[:, :, None])[:, :, 0]
        right[:, 6:] += _WHITE_PRIOR * lean[:, None]
        diagonal = np.einsum("nii->ni", normal)
        diagonal[:, :6] += self.damping[rows, None] * np.maximum(diagonal[:, :6], 1e-2) + 1e-9
        diagonal[:, 6:] += 1e-6
        step: Numbers = np.linalg.solve(normal, right[:, :, None])[:, :6, 0]
        longest = np.abs(step).max(axis=1, keepdims=True)
        bounded: Numbers = step * np.minimum(1.0, _MAX_STEP / np.maximum(longest, 1e-12))
        return bounded
