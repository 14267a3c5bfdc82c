"""Sheets of images of equal size: a PNG for viewing that contains its layout, so that it can be split again.

Letters of shapes: N images, H rows and W columns of pixels; a trailing 3 is red, green, blue.
"""

import contextlib
import io
import json
import stat
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from core.errors import UserError
from core.files.atomic import atomic_write

Pixels = NDArray[np.uint8]

LAYOUT_KEY: Final = "ddpm-tui.sheet"
PROGRAM: Final = "ddpm-tui"
"""Beginning of the metadata `Software` of other images that this program writes."""
GAP_GREY: Final = 96
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
MAX_PIXELS: Final = 1 << 26
"""A sheet with more pixels is rejected before it is decoded."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """Result of `read_sheet`: images uint8 [N, H, W] or [N, H, W, 3], number of columns, and metadata."""

    images: Pixels
    columns: int
    meta: Mapping[str, str] = field(default_factory=dict)


def to_pixels(values: NDArray[np.floating]) -> Pixels:
    """Convert values in [-1, 1], the range of the networks, to pixels 0..255. Values outside are clipped; NaN is black.

    >>> to_pixels(np.array([-1.0, 0.0, 1.0, 7.0, np.nan])).tolist()
    [0, 128, 255, 255, 0]
    """
    scaled = np.nan_to_num((values + 1.0) * 127.5, nan=0.0, posinf=255.0, neginf=0.0)
    pixels: Pixels = np.floor(np.clip(scaled, 0.0, 255.0) + 0.5).astype(np.uint8)
    return pixels


def to_channels_last(images: Pixels) -> Pixels:
    """Convert channels-first images to channels-last: uint8 [N, 1, H, W] to [N, H, W], [N, 3, H, W] to [N, H, W, 3].

    Raises:
        ValueError: C is neither 1 nor 3.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"expected images [N, 1 or 3, H, W], got shape {images.shape}")
    return images[:, 0] if images.shape[1] == 1 else images.transpose(0, 2, 3, 1)


def make_grid(images: Pixels, *, columns: int, gap: int = 1, fill: int = GAP_GREY) -> Pixels:
    """Arrange images row by row, with `gap` pixels of grey `fill` between them and none around them.

    Args:
        images: uint8 [N, H, W] or [N, H, W, 3], N >= 1.
        columns: images per row; a shorter last row is filled with grey.

    Returns:
        uint8 [rows * (H + gap) - gap, columns * (W + gap) - gap] with a trailing 3 for colour.
    """
    _check_tiles(images)
    if columns < 1 or gap < 0:
        raise ValueError(f"expected columns >= 1 and gap >= 0, got {columns} and {gap}")
    count, height, width = images.shape[:3]
    rows = -(-count // columns)
    colour = images.shape[3:]
    canvas = np.full((rows * columns, height + gap, width + gap, *colour), fill, np.uint8)
    canvas[:count, :height, :width] = images
    axes = (0, 2, 1, 3, 4)[: 4 + len(colour)]
    canvas = canvas.reshape(rows, columns, height + gap, width + gap, *colour).transpose(axes)
    canvas = canvas.reshape(rows * (height + gap), columns * (width + gap), *colour)
    return canvas[: canvas.shape[0] - gap, : canvas.shape[1] - gap]


def write_sheet(
    path: Path, images: Pixels, *, columns: int, gap: int = 1, meta: Mapping[str, str] | None = None
) -> None:
    """Write images as one PNG. `path` is replaced atomically, so that a reader never sees a part of it.

    Args:
        path: the file; its folder must exist.
        images: uint8 [N, H, W] or [N, H, W, 3], N >= 1.
        columns: images per row.
        gap: pixels between them.
        meta: metadata saved in the PNG, returned by `read_sheet`.
    """
    image = Image.fromarray(make_grid(images, columns=columns, gap=gap))
    count, height, width = images.shape[:3]
    layout = {"count": count, "columns": columns, "height": height, "width": width, "gap": gap}
    notes = PngImagePlugin.PngInfo()
    notes.add_text(LAYOUT_KEY, json.dumps(layout))
    for key, value in (meta or {}).items():
        if key == LAYOUT_KEY or not 1 <= len(key.encode()) <= 79 or not key.isascii():
            raise ValueError(
                f"expected a note's name of 1 to 79 ASCII letters other than {LAYOUT_KEY}, got {key!r}"
            )
        notes.add_text(key, value)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", pnginfo=notes)
    atomic_write(path, buffer.getvalue())


def read_sheet(path: Path) -> Sheet:
    """Read a sheet and split it into its images. A PNG without a layout is one image.

    Sizes in the file are validated before use, so a damaged or hostile file costs bounded memory.

    Raises:
        UserError: the file cannot be read, is not a PNG, is truncated or too large, or its layout does not fit.
    """
    with _as_user_errors(path):
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe would block
            raise UserError(f"{path}: expected a PNG file, found something else")
        with path.open("rb") as file:
            head = file.read(24)
        if not head.startswith(_SIGNATURE):
            raise UserError(f"{path}: not a PNG")
        # The first chunk begins with width and height. Checked here, because Pillow would only warn.
        width, height = int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
        if width * height > MAX_PIXELS:
            raise UserError(
                f"{path}: {width} x {height} pixels are more than a sheet may have ({MAX_PIXELS})"
            )
        with Image.open(path, formats=["PNG"]) as image:
            if image.width * image.height > MAX_PIXELS:  # a second header, which Pillow uses, may differ
                raise UserError(f"{path}: more pixels than a sheet may have ({MAX_PIXELS})")
            notes = {str(key): value for key, value in image.info.items() if isinstance(value, str)}
            grey = image.mode in ("1", "L")
            if image.mode.startswith("I"):
                # Pillow would clip sixteen bits to eight instead of scaling them.
                array = (np.asarray(image) >> 8).astype(np.uint8)
            else:
                array = np.asarray(image.convert("L" if grey else "RGB"))
    layout = notes.pop(LAYOUT_KEY, None)
    if layout is None:
        return Sheet(array[None], 1, notes)
    count, columns, height, width, gap = _check_layout(path, layout, array.shape)
    rows = -(-count // columns)
    down = np.add.outer(np.arange(rows) * (height + gap), np.arange(height)).ravel()
    across = np.add.outer(np.arange(columns) * (width + gap), np.arange(width)).ravel()
    tiles = array[down][:, across].reshape(rows, height, columns, width, *array.shape[2:])
    tiles = tiles.swapaxes(1, 2).reshape(rows * columns, height, width, *array.shape[2:])
    return Sheet(tiles[:count], columns, notes)


def _check_tiles(images: Pixels) -> None:
    shape = images.shape
    fits = images.ndim == 3 or (images.ndim == 4 and shape[3] == 3)
    if not fits or images.dtype != np.uint8 or min(shape) < 1:
        raise ValueError(f"expected uint8 images [N, H, W] or [N, H, W, 3], got {images.dtype} {shape}")


def _check_layout(path: Path, text: str, shape: tuple[int, ...]) -> tuple[int, int, int, int, int]:
    try:
        layout = json.loads(text)
        values = [layout[key] for key in ("count", "columns", "height", "width", "gap")]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: its layout cannot be read ({text[:60]!r})") from error
    if not all(type(value) is int and 0 <= value <= MAX_PIXELS for value in values):
        raise UserError(f"{path}: its layout has impossible sizes ({text[:60]!r})")
    count, columns, height, width, gap = values
    if min(count, columns, height, width) < 1:
        raise UserError(f"{path}: its layout has impossible sizes ({text[:60]!r})")
    rows = -(-count // columns)
    expected = (rows * (height + gap) - gap, columns * (width + gap) - gap)
    if shape[:2] != expected:
        actual = f"{shape[1]} x {shape[0]}"
        raise UserError(
            f"{path}: its layout needs {expected[1]} x {expected[0]} pixels, the image has {actual}"
        )
    return count, columns, height, width, gap


@contextlib.contextmanager
def _as_user_errors(path: Path) -> Iterator[None]:
    """Convert the exceptions of Pillow for damaged files to a UserError of one line."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such image") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(f"{path}: more pixels than a sheet may have ({MAX_PIXELS})") from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        raise UserError(f"{path}: not a PNG that can be read ({str(error) or 'damaged'})") from error
