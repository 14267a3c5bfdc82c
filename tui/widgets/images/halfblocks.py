"""Conversion of images to segments of half-block cells, through cached segments.

In true colours, grey is drawn in sixteen levels and colour in sixteen levels per channel. More levels are
indistinguishable at this size, and so few make nearly every segment a cache hit. Neighbouring cells that look alike
become one segment, which also saves bandwidth to a remote terminal.

With 256 and with 16 colours the terminal receives palette numbers instead of RGB values, so it shows exactly the chosen
colours.
"""

from functools import lru_cache
from itertools import groupby
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from rich.color import Color, ColorType
from rich.segment import Segment
from rich.style import Style

from core.imaging import ColorMode, color_codes, to_ansi
from core.imaging.halfblock import ASCII_RAMP
from core.imaging.resize import RAISED_BLACK, Pixels

Kind = Literal["grey", "colour", "256", "16"]
"""The encoding of colour codes."""

LEVELS: Final = 16
UPPER_HALF: Final = "▀"
SHADE: Final = "░"


def cell_lines(
    image: Pixels, *, raised_black: bool = False, mode: ColorMode = "truecolor"
) -> list[list[Segment]]:
    """Convert an image to lines of segments, W cells wide and ceil(H / 2) high.

    Args:
        image: uint8 [H, W] or [H, W, 3].
        raised_black: draw black a little brighter, to set the tile off from its neighbours.
        mode: the colours that the terminal can show.
    """
    if image.shape[0] % 2:
        image = np.concatenate([image, np.zeros_like(image[:1])])
    if mode == "ascii":
        return [[Segment(line, WHITE_ON_BLACK)] for line in _ascii_lines(image, raised_black=raised_black)]
    kind: Kind
    if mode == "truecolor":
        codes, kind = _truecolor_codes(image), "grey" if image.ndim == 2 else "colour"
    else:
        if raised_black and mode == "256":
            image = (RAISED_BLACK + image * ((255 - RAISED_BLACK) / 255)).astype(np.uint8)
        codes, kind = color_codes(image, mode), mode
    pairs = codes[0::2] * LEVELS**3 + codes[1::2]
    return [_line(row, kind=kind, raised_black=raised_black) for row in pairs.tolist()]


def _ascii_lines(image: Pixels, *, raised_black: bool) -> list[str]:
    lines = to_ansi(image, color="ascii").split("\n")
    return [line.replace(ASCII_RAMP[0], ASCII_RAMP[1]) for line in lines] if raised_black else lines


def _truecolor_codes(image: Pixels) -> NDArray[np.int64]:
    """One number per pixel: 0..15 for grey, 0..4095 for colour."""
    levels = (image.astype(np.int64) * (LEVELS - 1) + 127) // 255
    if image.ndim == 2:
        return levels
    return levels[..., 0] * LEVELS**2 + levels[..., 1] * LEVELS + levels[..., 2]


def _line(pairs: list[int], *, kind: Kind, raised_black: bool) -> list[Segment]:
    return [_segment(pair, len(list(alike)), kind, raised_black) for pair, alike in groupby(pairs)]


@lru_cache(maxsize=32768)
def _segment(pair: int, length: int, kind: Kind, raised_black: bool) -> Segment:
    top, bottom = divmod(pair, LEVELS**3)
    if pair == 0 and raised_black and kind == "16":
        # A quarter of dark grey on black is about as bright as raised_black black.
        return Segment(SHADE * length, Style(color=_palette_color(8, "16"), bgcolor=_palette_color(0, "16")))
    return Segment((" " if top == bottom else UPPER_HALF) * length, _style(pair, kind, raised_black))


@lru_cache(maxsize=32768)
def _style(pair: int, kind: Kind, raised_black: bool) -> Style:
    """One object per style, because Textual caches its escape sequence by object."""
    top, bottom = divmod(pair, LEVELS**3)
    lower = _color(bottom, kind, raised_black)
    return (
        Style(bgcolor=lower) if top == bottom else Style(color=_color(top, kind, raised_black), bgcolor=lower)
    )


@lru_cache(maxsize=8192)
def _color(code: int, kind: Kind, raised_black: bool) -> Color:
    if kind == "256" or kind == "16":
        return _palette_color(code, kind)
    floor = RAISED_BLACK if raised_black else 0
    channels = (code,) * 3 if kind == "grey" else (code // LEVELS**2, code // LEVELS % LEVELS, code % LEVELS)
    red, green, blue = (floor + round(level * (255 - floor) / (LEVELS - 1)) for level in channels)
    return Color.from_rgb(red, green, blue)


def _palette_color(number: int, kind: Literal["256", "16"]) -> Color:
    """A colour that is sent as its palette number; because it has a triplet, Textual does not translate it."""
    type_ = ColorType.EIGHT_BIT if kind == "256" else ColorType.STANDARD
    triplet = Color(f"color({number})", type_, number=number).get_truecolor()
    return Color(f"color({number})", type_, number=number, triplet=triplet)


WHITE_ON_BLACK: Final = Style(color=_palette_color(15, "16"), bgcolor=_palette_color(0, "16"))
"""Style of ASCII images: the more of its cell a letter fills the brighter it looks, but only on a dark background."""
