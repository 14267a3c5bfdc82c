"""Columns of pictures as one picture, and as an animation: each pixel of theirs a square of the same size.

Letters of shapes: N pictures, H rows and W columns of pixels; a trailing 3 is colour.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from core.errors import UserError
from core.imaging.sheet import GAP_GREY
from tui.export.rasterize import load_font
from tui.widgets.images.image_wall import WallColumn

Pixels = NDArray[np.uint8]

TARGET_SIDE: Final = 1600
"""Pixels on the longer side that a picture is enlarged to, as far as whole factors go."""
MAX_FACTOR: Final = 8
MAX_PIXELS: Final = 1 << 25
MAX_TOTAL_PIXELS: Final = 1 << 28
MAX_FRAMES: Final = 120
FONT_SIZE: Final = 13
"""Pixels, of the captions."""
CAPTION_HEIGHT: Final = 18
"""Pixels, of a line of captions."""
BACKGROUND_GREY: Final = 16
TEXT_GREY: Final = 224
FRAME_MS: Final = 200
LAST_FRAME_MS: Final = 1500


@dataclass(frozen=True, slots=True)
class Grid:
    """Where pictures go that are `height` x `width` at most: `rows` x `columns` of them, `factor` times as large."""

    rows: int
    columns: int
    height: int
    width: int
    factor: int

    @classmethod
    def from_rows(cls, lines: Sequence[Sequence[WallColumn]]) -> "Grid":
        """The grid that has room for these columns, line under line.

        Raises:
            UserError: there are no pictures, or too many for one picture.
        """
        shapes = [column.images.shape for line in lines for column in line if column.images is not None]
        if not shapes:
            raise UserError("there are no pictures here to export yet")
        rows, height, width = (max(shape[axis] for shape in shapes) for axis in range(3))
        columns = max(len(line) for line in lines)
        across, down = columns * (width + 1), len(lines) * rows * (height + 1)
        if across * down > MAX_PIXELS:
            raise UserError(f"{across} x {down} pixels are more than a picture may have; mark fewer runs")
        factor = min(max(1, TARGET_SIDE // max(across, down)), MAX_FACTOR)
        return cls(rows, columns, height, width, factor)

    @property
    def tile(self) -> tuple[int, int]:
        """Pixels from one picture to the next, down and across."""
        return self.factor * self.height + 1, self.factor * self.width + 1


def render_wall(lines: Sequence[Sequence[WallColumn]], grid: Grid | None = None) -> Pixels:
    """Columns of pictures under their names, line under line: uint8 [H, W] or [H, W, 3], on nearly black.

    Args:
        lines: columns beside one another.
        grid: with room for them; found unless given.

    Raises:
        UserError: there are no pictures, or too many for one picture.
    """
    grid = grid or Grid.from_rows(lines)
    down, across = grid.tile
    deep = 2 * CAPTION_HEIGHT + grid.rows * down
    shape = (len(lines) * deep, grid.columns * across - 1)
    colour = any(column.images is not None and column.images.ndim == 4 for line in lines for column in line)
    canvas = np.full((*shape, 3) if colour else shape, BACKGROUND_GREY, np.uint8)
    for y, line in enumerate(lines):
        for x, column in enumerate(line):
            top, left = y * deep + 2 * CAPTION_HEIGHT, x * across
            for row, image in enumerate(() if column.images is None else column.images):
                large = image.repeat(grid.factor, axis=0).repeat(grid.factor, axis=1)
                large = large[..., None] if colour and large.ndim == 2 else large
                place = top + row * down
                canvas[place : place + large.shape[0], left : left + large.shape[1]] = large
    return _with_captions(canvas, lines, deep, across)


def _with_captions(canvas: Pixels, lines: Sequence[Sequence[WallColumn]], deep: int, across: int) -> Pixels:
    """With each column's title above it, and its note, or why it is empty, in a second line."""
    image = Image.fromarray(canvas)
    draw = ImageDraw.Draw(image)
    font = load_font(size=FONT_SIZE)
    white = TEXT_GREY if canvas.ndim == 2 else (TEXT_GREY,) * 3
    grey = 2 * GAP_GREY if canvas.ndim == 2 else (2 * GAP_GREY,) * 3
    for y, line in enumerate(lines):
        for x, column in enumerate(line):
            said = column.note if column.images is not None else column.empty
            for row, (text, ink) in enumerate(((column.title, white), (said, grey))):
                room = text
                while room and font.getlength(room) > across - 2:
                    room = room[:-1]
                draw.text(
                    (x * across + 1, y * deep + row * CAPTION_HEIGHT + 14),
                    room,
                    fill=ink,
                    font=font,
                    anchor="ls",
                )
    return np.array(image)


def gif(
    frame: Callable[[int], Sequence[Sequence[WallColumn]]], frames: Sequence[int], frame_ms: int = FRAME_MS
) -> bytes:
    """An animation that repeats for ever and rests at its end.

    Args:
        frame: the columns of a frame, by what `frames` says.
        frames: so many of them are shown, evenly chosen, as make a file of a sensible size.
        frame_ms: how long each is seen, in milliseconds.

    Raises:
        UserError: there are no pictures, or too many.
    """
    chosen = evenly_spaced(frames, MAX_FRAMES)
    grids = [Grid.from_rows(lines) for lines in map(frame, chosen) if _has_images(lines)]
    if not grids:
        raise UserError("there are no pictures here to export yet")
    largest = Grid(
        max(grid.rows for grid in grids),
        max(grid.columns for grid in grids),
        max(grid.height for grid in grids),
        max(grid.width for grid in grids),
        min(grid.factor for grid in grids),
    )
    last = render_wall(frame(chosen[-1]), largest)
    chosen = evenly_spaced(chosen, max(2, MAX_TOTAL_PIXELS // last.size))
    images = (Image.fromarray(render_wall(frame(one), largest)) for one in chosen)
    durations = [frame_ms] * (len(chosen) - 1) + [LAST_FRAME_MS]
    first = next(images)
    kept = io.BytesIO()
    # Without `optimize`, Pillow keeps greys as they are. One frame alone takes no list of durations.
    more = {"save_all": True, "append_images": images, "loop": 0} if len(chosen) > 1 else {}
    first.save(kept, format="GIF", duration=durations if more else LAST_FRAME_MS, **more)
    return kept.getvalue()


def evenly_spaced(places: Sequence[int], most: int) -> list[int]:
    """At most so many of them, the first and the last included.

    >>> evenly(range(10), 4)
    [0, 3, 6, 9]
    """
    if len(places) <= most:
        return list(places)
    return [places[index] for index in np.linspace(0, len(places) - 1, most).round().astype(int)]


def png(pixels: Pixels) -> bytes:
    """Pixels as a PNG file."""
    kept = io.BytesIO()
    Image.fromarray(pixels).save(kept, format="PNG")
    return kept.getvalue()


def _has_images(lines: Sequence[Sequence[WallColumn]]) -> bool:
    return any(column.images is not None for line in lines for column in line)
