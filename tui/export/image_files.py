"""Columns of images as one image or as an animation, enlarged by whole factors so that pixels stay squares.

Letters of shapes: N images, H rows and W columns of pixels; a trailing 3 is colour.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, PngImagePlugin

from core.errors import UserError
from core.imaging.sheet import GAP_GREY, PROGRAM
from tui.export.rasterize import load_font
from tui.widgets.images.image_wall import WallColumn

Pixels = NDArray[np.uint8]

TARGET_SIDE: Final = 1600
"""Length in pixels of the longer side, to which images are enlarged as far as whole factors allow."""
MAX_FACTOR: Final = 8
MAX_PIXELS: Final = 1 << 25
MAX_TOTAL_PIXELS: Final = 1 << 28
MAX_FRAMES: Final = 120
FONT_SIZE: Final = 13
"""Font size of the captions in pixels."""
CAPTION_HEIGHT: Final = 18
"""Height of a line of captions in pixels."""
BACKGROUND_GREY: Final = 16
TEXT_GREY: Final = 224
FRAME_MS: Final = 200
LAST_FRAME_MS: Final = 1500


@dataclass(frozen=True, slots=True)
class Grid:
    """A grid of `rows` x `columns` images of at most `height` x `width` pixels, enlarged by `factor`."""

    rows: int
    columns: int
    height: int
    width: int
    factor: int

    @classmethod
    def from_lines(cls, lines: Sequence[Sequence[WallColumn]]) -> "Grid":
        """The grid that fits these lines of columns.

        Raises:
            UserError: there are no images, or too many for one image.
        """
        shapes = [column.images.shape for line in lines for column in line if column.images is not None]
        if not shapes:
            raise UserError("there are no images to export yet")
        rows, height, width = (max(shape[axis] for shape in shapes) for axis in range(3))
        columns = max(len(line) for line in lines)
        across, down = columns * (width + 1), len(lines) * rows * (height + 1)
        if across * down > MAX_PIXELS:
            raise UserError(f"{across} x {down} pixels are more than an image may have; mark fewer runs")
        factor = min(max(1, TARGET_SIDE // max(across, down)), MAX_FACTOR)
        return cls(rows, columns, height, width, factor)

    @property
    def tile(self) -> tuple[int, int]:
        """Pixels from one image to the next, down and across."""
        return self.factor * self.height + 1, self.factor * self.width + 1


def render_wall(lines: Sequence[Sequence[WallColumn]], grid: Grid | None = None) -> Pixels:
    """Draw lines of captioned columns of images on a nearly black background: uint8 [H, W] or [H, W, 3].

    Args:
        lines: lines of columns beside one another.
        grid: the grid to draw into; None makes one that fits.

    Raises:
        UserError: there are no images, or too many for one image.
    """
    grid = grid or Grid.from_lines(lines)
    down, across = grid.tile
    line_height = 2 * CAPTION_HEIGHT + grid.rows * down
    shape = (len(lines) * line_height, grid.columns * across - 1)
    colour = any(column.images is not None and column.images.ndim == 4 for line in lines for column in line)
    canvas = np.full((*shape, 3) if colour else shape, BACKGROUND_GREY, np.uint8)
    for y, line in enumerate(lines):
        for x, column in enumerate(line):
            top, left = y * line_height + 2 * CAPTION_HEIGHT, x * across
            for row, image in enumerate(() if column.images is None else column.images):
                large = image.repeat(grid.factor, axis=0).repeat(grid.factor, axis=1)
                large = large[..., None] if colour and large.ndim == 2 else large
                y0 = top + row * down
                canvas[y0 : y0 + large.shape[0], left : left + large.shape[1]] = large
    return _with_captions(canvas, lines, line_height, across)


def _with_captions(
    canvas: Pixels, lines: Sequence[Sequence[WallColumn]], line_height: int, across: int
) -> Pixels:
    """Add each column's title above it, and its note, or the reason why it is empty, in a second line."""
    image = Image.fromarray(canvas)
    draw = ImageDraw.Draw(image)
    font = load_font(size=FONT_SIZE)
    white = TEXT_GREY if canvas.ndim == 2 else (TEXT_GREY,) * 3
    grey = 2 * GAP_GREY if canvas.ndim == 2 else (2 * GAP_GREY,) * 3
    for y, line in enumerate(lines):
        for x, column in enumerate(line):
            note = column.note if column.images is not None else column.empty
            for row, (text, ink) in enumerate(((column.title, white), (note, grey))):
                while text and font.getlength(text) > across - 2:
                    text = text[:-1]
                draw.text(
                    (x * across + 1, y * line_height + row * CAPTION_HEIGHT + 14),
                    text,
                    fill=ink,
                    font=font,
                    anchor="ls",
                )
    return np.array(image)


def gif(
    frame: Callable[[int], Sequence[Sequence[WallColumn]]], frames: Sequence[int], frame_ms: int = FRAME_MS
) -> bytes:
    """An endless animation that pauses at its last frame.

    Args:
        frame: a function that returns the lines of columns of a frame.
        frames: the arguments for `frame`; if there are too many for one file, an evenly spaced selection is used.
        frame_ms: the duration of a frame in milliseconds.

    Raises:
        UserError: there are no images, or too many.
    """
    chosen = evenly_spaced(frames, MAX_FRAMES)
    grids = [Grid.from_lines(lines) for lines in map(frame, chosen) if _has_images(lines)]
    if not grids:
        raise UserError("there are no images to export yet")
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
    data = io.BytesIO()
    # Without `optimize`, Pillow keeps greys unchanged. A single frame takes no list of durations.
    more = {"save_all": True, "append_images": images, "loop": 0} if len(chosen) > 1 else {}
    duration = durations if more else LAST_FRAME_MS
    first.save(data, format="GIF", comment=PROGRAM.encode(), duration=duration, **more)
    return data.getvalue()


def evenly_spaced(values: Sequence[int], limit: int) -> list[int]:
    """At most `limit` of the values, evenly spaced, including the first and the last.

    >>> evenly_spaced(range(10), 4)
    [0, 3, 6, 9]
    """
    if len(values) <= limit:
        return list(values)
    return [values[index] for index in np.linspace(0, len(values) - 1, limit).round().astype(int)]


def png(pixels: Pixels) -> bytes:
    """Pixels as a PNG file."""
    data, metadata = io.BytesIO(), PngImagePlugin.PngInfo()
    metadata.add_text("Software", PROGRAM)  # so that it is never taken for a training image
    Image.fromarray(pixels).save(data, format="PNG", pnginfo=metadata)
    return data.getvalue()


def _has_images(lines: Sequence[Sequence[WallColumn]]) -> bool:
    return any(column.images is not None for line in lines for column in line)
