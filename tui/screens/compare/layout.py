"""Layout of a comparison at each size of the terminal, as arithmetic without widgets."""

from dataclasses import dataclass
from typing import Final

from tui.widgets.area import Area
from tui.widgets.images.tile_size import Tile, height_above_wall

VIEWS: Final = ("curves", "images", "numbers", "levels", "why", "sweep")
VIEW_KEYS: Final = {"all": "0", **{view: str(number) for number, view in enumerate(VIEWS, start=1)}}
WIDE: Final = 140
HIGH: Final = 36
NUMBERS_WIDTH: Final = 80
MIN_NUMBERS_WIDTH: Final = 56
"""Cells that the tables need beside the wall, for a few runs."""
HEAD_WIDTH: Final = 20
VALUE_WIDTH: Final = 11
GAP: Final = 1
SPACE: Final = 2
"""Cells between the wall and the numbers beside it."""
FILLED: Final = 0.75
"""A wall below that share of the width leaves its room to the numbers."""


@dataclass(frozen=True, slots=True)
class ComparisonLayout:
    """Areas of the parts; None for a part that is not shown.

    Attributes:
        curves: the loss curves.
        numbers: the tables.
        wall: the images.
        levels: the errors by noise level.
        why: the explanation.
        sweep: a metric against a setting.
        per_run: columns of tiles for each run.
        tall_numbers: whether the tables have the whole height, and so room for all metrics.
    """

    curves: Area | None = None
    numbers: Area | None = None
    wall: Area | None = None
    levels: Area | None = None
    why: Area | None = None
    sweep: Area | None = None
    per_run: int = 1
    tall_numbers: bool = True


def available_views(width: int, height: int) -> tuple[str, ...]:
    """The views in a terminal of this size, the default first."""
    return ("all", *VIEWS) if width >= WIDE and height >= HIGH else VIEWS


def plan_comparison(
    view: str, width: int, height: int, runs: int, tile: Tile, number_lines: int = 0
) -> ComparisonLayout:
    """Plan the areas of a view.

    Args:
        view: one of `available_views`.
        width: cells.
        height: lines between the title and the slider.
        runs: number of runs, at least 1.
        tile: the size of an image.
        number_lines: lines of the tables that must be visible, where there are images too.
    """
    whole = Area(0, 0, width, height)
    across = tile.width + GAP
    per_run = max(1, (width + GAP) // (runs * across))
    if view == "images":
        return ComparisonLayout(wall=whole, per_run=per_run)
    if view == "curves":
        return ComparisonLayout(curves=whole)
    if view == "levels":
        return ComparisonLayout(levels=whole)
    if view == "why":
        return ComparisonLayout(why=Area(0, 0, width, height + 1))
    if view == "sweep":
        return ComparisonLayout(sweep=Area(0, 0, width, height + 1))
    if view == "numbers":
        return ComparisonLayout(numbers=Area(0, 0, width, height + 1))
    numbers_width = min(NUMBERS_WIDTH, max(MIN_NUMBERS_WIDTH, HEAD_WIDTH + runs * VALUE_WIDTH))
    wall_width = runs * across - GAP
    if runs * per_run * across - GAP < FILLED * width and wall_width + SPACE + numbers_width <= width:
        left = width - SPACE - min(NUMBERS_WIDTH, width - SPACE - wall_width)
        upper = height_above_wall(height, tile.height)
        return ComparisonLayout(
            curves=Area(0, 0, left, upper),
            numbers=Area(left + SPACE, 0, width - left - SPACE, height),
            wall=Area(0, upper, left, height - upper),
            per_run=max(1, (left + GAP) // (runs * across)),
        )
    lines = tile.height_at(min(tile.width, max(1, width // runs)))
    upper = max(height_above_wall(height, lines), min(number_lines, height - 1 - lines))
    return ComparisonLayout(
        curves=Area(0, 0, width - NUMBERS_WIDTH, upper),
        numbers=Area(width - NUMBERS_WIDTH, 0, NUMBERS_WIDTH, upper),
        wall=Area(0, upper, width, height - upper),
        per_run=per_run,
        tall_numbers=False,
    )
