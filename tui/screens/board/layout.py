"""Layout of the board's parts at each size of the terminal, as arithmetic without widgets."""

from dataclasses import dataclass, replace
from typing import Final

from tui.widgets.area import Area
from tui.widgets.images.tile_size import FULL_SIZE_TILE, FULL_TILE, MIN_TILE, Tile

MIN_WIDTH: Final = 60
MIN_HEIGHT: Final = 15

NARROW_WIDTH: Final = 100
"""Below this width the wall shows images of the selected run alone."""
SIDE_BY_SIDE_WIDTH: Final = 140
"""From this width on, table and chart are side by side."""
TABLE_WIDTH: Final = 78
"""Cells that the table needs beside a chart or a wall."""
MIN_CHART_HEIGHT: Final = 6
DETAILS_WIDTH: Final = 30
MIN_DETAILS_WIDTH: Final = 13
DETAILS_LINES: Final = 4
GAP: Final = 1
SYSTEM_HEIGHT: Final = 40
"""From this height on, a wide terminal shows the system load by default."""
MIN_TABLE_HEIGHT: Final = 3


@dataclass(frozen=True, slots=True)
class Layout:
    """Areas of the parts; None where a part does not fit.

    Attributes:
        table: the table of runs.
        details: the details of the selected run.
        chart: the loss curves.
        wall: the sample images.
        selected_only: whether the wall shows images of the selected run only.
        per_run: columns of tiles for each run.
        titles: whether these columns have titles.
    """

    table: Area | None
    details: Area | None = None
    chart: Area | None = None
    wall: Area | None = None
    selected_only: bool = False
    per_run: int = 1
    titles: bool = True


def plan_layout(width: int, height: int, runs: int, tile: Tile = FULL_SIZE_TILE, zoom: int = 1) -> Layout:
    """Lay out the parts in `width` x `height` cells.

    Args:
        width: columns.
        height: rows between the header and the key bar.
        runs: number of runs listed, at least 1.
        tile: size of one image.
        zoom: factor by which images are enlarged; above 1 only they and, with room, the table are shown.
    """
    if zoom > 1 and width >= zoom * tile.width:
        return _zoomed(width, height, runs, Tile(zoom * tile.width, zoom * tile.height))
    if width < NARROW_WIDTH:
        return _narrow(width, height, runs, tile)
    shown = max(1, min(runs, width // MIN_TILE))
    wall_width = shown * (tile.width + GAP) - GAP
    left_height = runs + 1 + 1 + DETAILS_LINES + 1 + MIN_CHART_HEIGHT
    if width - wall_width - 2 >= TABLE_WIDTH and height >= max(left_height, tile.height + 1):
        return _columns(width, height, runs, wall_width, shown, tile)
    return (_split if width >= SIDE_BY_SIDE_WIDTH else _stacked)(width, height, runs, shown, tile)


def _columns(width: int, height: int, runs: int, wall_width: int, shown: int, tile: Tile) -> Layout:
    """Very wide: table, details and chart one below the other on the left, the wall on the right."""
    per_run = max(1, (width - 2 - TABLE_WIDTH + GAP) // (shown * (tile.width + GAP)))
    wall_width = shown * per_run * (tile.width + GAP) - GAP
    left = width - wall_width - 2
    table = Area(0, 0, left, runs + 1)
    details = Area(0, runs + 2, left, DETAILS_LINES)
    top = details.y + details.height + 1
    chart = Area(0, top, left, height - top)
    wall = Area(left + 2, 0, wall_width, 1 + (height - 1) // tile.height * tile.height)
    return Layout(table, details, chart, wall, per_run=per_run)


def _zoomed(width: int, height: int, runs: int, tile: Tile) -> Layout:
    """The wall, below as much of the table as leaves room for whole images."""
    shown = max(1, min(runs, width // tile.width))
    per_run = max(1, (width + GAP) // (shown * (tile.width + GAP)))
    rows = (height - MIN_TABLE_HEIGHT - 1) // tile.height
    if rows < 1:
        return Layout(None, wall=Area(0, 0, width, height), selected_only=shown == 1, per_run=per_run)
    top = min(runs + 1, height - 1 - rows * tile.height)
    wall = Area(0, top, width, height - top)
    return Layout(Area(0, 0, width, top), wall=wall, selected_only=shown == 1, per_run=per_run)


def _split(width: int, height: int, runs: int, shown: int, tile: Tile) -> Layout:
    """Wide: table and details beside the chart, below them as many rows of images as fit."""
    table_rows = min(runs + 1, max(6, height // 3))
    wall, per_run = _wall_area(width, height, shown, tile, table_rows + 1 + DETAILS_LINES, table_rows + 1)
    top = wall.y if wall else height
    left = max(TABLE_WIDTH, width // 2)
    spare = top - table_rows
    details = Area(0, table_rows + 1, left, spare - 2 if wall else spare - 1) if spare > 4 else None
    chart = Area(left + 1, 0, width - left - 1, top - (1 if wall else 0))
    table = Area(0, 0, left, table_rows)
    return Layout(table, details, chart if chart.height >= MIN_CHART_HEIGHT else None, wall, per_run=per_run)


def _stacked(width: int, height: int, runs: int, shown: int, tile: Tile) -> Layout:
    """Medium: the table, below it chart and details, below them the wall."""
    table_rows = min(runs + 1, max(6, height // 3))
    wall, per_run = _wall_area(width, height, shown, tile, table_rows + MIN_CHART_HEIGHT + 2, table_rows)
    middle = (wall.y if wall else height) - table_rows
    result = Layout(Area(0, 0, width, table_rows), wall=wall, per_run=per_run)
    if middle >= MIN_CHART_HEIGHT + 1:
        chart = Area(0, table_rows + 1, width - DETAILS_WIDTH - 2, middle - 1)
        details = Area(width - DETAILS_WIDTH, table_rows + 1, DETAILS_WIDTH, middle - 1)
        return replace(result, chart=chart, details=details)
    return replace(result, details=Area(0, table_rows + 1, width, middle - 2)) if middle >= 3 else result


def _wall_area(
    width: int, height: int, shown: int, tile: Tile, above: int, at_least: int
) -> tuple[Area | None, int]:
    """Return the wall at the foot of the board, and the number of columns of tiles for each run.

    Args:
        above: lines to leave above the wall if an image at full width then still fits.
        at_least: lines to leave above the wall otherwise.
    """
    room = width // shown
    across = tile.width_within(room, height)
    if across < tile.width:
        across = tile.width_within(room - GAP, height) or across
    if not across:
        return None, 1
    lines = tile.height_at(across)
    rows = (height - above - 1) // lines
    if rows < 1:
        rows, across = 1, tile.width_within(across, height - at_least - 1)
        if not across:
            return None, 1
        lines = tile.height_at(across)
    per_run = max(1, (width + GAP) // (shown * (across + GAP)))
    wall_width = min(width, shown * per_run * (across + GAP) - GAP)
    wall_height = rows * lines + 1
    return Area(0, height - wall_height, wall_width, wall_height), per_run


def _narrow(width: int, height: int, runs: int, tile: Tile) -> Layout:
    """Narrow: the table, the chart where it fits, some images of the selected run and its details."""
    table_rows = min(runs + 1, max(6, height - tile.height))
    rest = height - table_rows
    across = tile.width_within(
        min(width - MIN_DETAILS_WIDTH - 2, max(FULL_TILE, width // 2 - MIN_DETAILS_WIDTH)), rest
    )
    if not across:
        return _without_images(width, height, table_rows)
    lines = tile.height_at(across)
    tiles = max(1, (width - MIN_DETAILS_WIDTH - 2 + GAP) // (across + GAP))
    wall_width = tiles * (across + GAP) - GAP
    rows = max(1, (rest - MIN_CHART_HEIGHT - 1) // lines)
    top = height - rows * lines
    middle = top - table_rows
    wall = Area(0, top, wall_width, rows * lines)
    details = Area(wall_width + 2, top, width - wall_width - 2, rows * lines)
    blank = 1 if middle > MIN_CHART_HEIGHT else 0
    chart = Area(0, table_rows + blank, width, middle - blank) if middle >= MIN_CHART_HEIGHT else None
    table = Area(0, 0, width, table_rows)
    return Layout(table, details, chart, wall, selected_only=True, per_run=tiles, titles=False)


def _without_images(width: int, height: int, table_rows: int) -> Layout:
    """Too low for an image: the table, and the chart or the details in the rest."""
    rest = height - table_rows - 1
    result = Layout(Area(0, 0, width, table_rows), selected_only=True)
    below = Area(0, table_rows + 1, width, rest)
    if rest >= MIN_CHART_HEIGHT + 3:
        return replace(
            result, details=replace(below, height=2), chart=replace(below, y=below.y + 3, height=rest - 3)
        )
    return replace(result, details=below) if rest >= 1 else result


def is_too_small(width: int, height: int) -> bool:
    """Return whether a terminal of this size shows no runs at all."""
    return width < MIN_WIDTH or height < MIN_HEIGHT


def has_room_for_system(width: int, height: int) -> bool:
    """Return whether a terminal of this size shows the system load by default."""
    return width >= SIDE_BY_SIDE_WIDTH and height >= SYSTEM_HEIGHT
