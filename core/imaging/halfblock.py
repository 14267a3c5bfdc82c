"""Images as terminal cells: a half block ▀ shows two pixels, one as its colour and one as its background.

Letters of shapes: H rows and W columns of pixels; (3) is red, green, blue if the image has colour.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

import numpy as np

from core.imaging.colors import COLOR_MODES, ColorMode, Pixels, color_codes

HALF_BLOCK: Final = "▀"
ASCII_RAMP: Final = " .:-=+*#%@"
_RESET: Final = "\x1b[0m"
_LUMA: Final = np.array([0.299, 0.587, 0.114])


def to_halfblocks(image: Pixels) -> tuple[Pixels, Pixels]:
    """Split an image into the upper and the lower pixels of its cells. An odd last row is completed with black.

    Args:
        image: uint8 [H, W] or [H, W, 3].

    Returns:
        Two arrays uint8 [ceil(H / 2), W] or [ceil(H / 2), W, 3].
    """
    _check_image(image)
    if image.shape[0] % 2:
        image = np.concatenate([image, np.zeros_like(image[:1])])
    return image[0::2], image[1::2]


def side_by_side(images: Sequence[Pixels], gap: int = 1, fill: int = 0) -> Pixels:
    """Join images side by side, aligned at the top, with `gap` pixels of grey `fill` between them.

    The result has colour if any of the images has.

    Args:
        images: at least one of uint8 [H, W] or [H, W, 3]; sizes may differ.

    Returns:
        uint8 [largest H, sum of W + gaps] and a trailing 3 for colour.
    """
    if not images:
        raise ValueError("expected at least one image")
    for image in images:
        _check_image(image)
    colour = (3,) if any(image.ndim == 3 for image in images) else ()
    height = max(image.shape[0] for image in images)
    width = sum(image.shape[1] for image in images) + gap * (len(images) - 1)
    canvas = np.full((height, width, *colour), fill, np.uint8)
    left = 0
    for image in images:
        tile = image[..., None] if colour and image.ndim == 2 else image
        canvas[: tile.shape[0], left : left + tile.shape[1]] = tile
        left += image.shape[1] + gap
    return canvas


def to_ansi(image: Pixels, *, color: ColorMode = "truecolor") -> str:
    """Convert an image to text for a terminal, one line for two rows of pixels, with colours reset at each line's end.

    Args:
        image: uint8 [H, W] or [H, W, 3].
        color: colours of the terminal; `ascii` draws with `` .:-=+*#%@``, without escapes.

    Returns:
        ceil(H / 2) lines joined by newlines, without a trailing newline.
    """
    _check_image(image)
    if color not in COLOR_MODES:
        raise ValueError(f"expected color to be one of {', '.join(COLOR_MODES)}, got {color!r}")
    if color == "ascii":
        return _to_ascii(image)
    codes = color_codes(image, color)
    lines = []
    for row in range(0, len(codes), 2):
        top = codes[row].tolist()
        # Nothing is drawn below an odd last row, where the terminal's background shows.
        bottom = codes[row + 1].tolist() if row + 1 < len(codes) else [-1] * len(top)
        runs = ((pair, sum(1 for _ in run)) for pair, run in groupby(zip(top, bottom, strict=True)))
        parts = (f"\x1b[{_sgr(upper, lower, color)}m{HALF_BLOCK * count}" for (upper, lower), count in runs)
        lines.append("".join(parts) + _RESET)
    return "\n".join(lines)


def _check_image(image: Pixels) -> None:
    fits = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if not fits or image.dtype != np.uint8 or 0 in image.shape:
        raise ValueError(f"expected a uint8 image [H, W] or [H, W, 3], got {image.dtype} {image.shape}")


def _to_ascii(image: Pixels) -> str:
    grey = image @ _LUMA if image.ndim == 3 else image.astype(np.float64)
    height, width = grey.shape
    if height % 2:
        grey = np.concatenate([grey, grey[-1:]])
    level = grey.reshape(-1, 2, width).mean(axis=1) * (len(ASCII_RAMP) / 256)
    ramp = np.array(list(ASCII_RAMP))
    return "\n".join("".join(row) for row in ramp[level.astype(np.int64)])


def _sgr(upper: int, lower: int, color: ColorMode) -> str:
    if color == "truecolor":
        front = f"38;2;{upper >> 16};{upper >> 8 & 255};{upper & 255}"
        back = f"48;2;{lower >> 16};{lower >> 8 & 255};{lower & 255}"
    elif color == "256":
        front, back = f"38;5;{upper}", f"48;5;{lower}"
    else:
        front = str(30 + upper if upper < 8 else 82 + upper)
        back = str(40 + lower if lower < 8 else 92 + lower)
    return f"{front};{back if lower >= 0 else 49}"
