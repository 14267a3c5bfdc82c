"""Quantisation of pixels to the colours of a terminal: true colours, 256 or 16.

Letters of shapes: H rows and W columns of pixels; (3) is red, green, blue if the image has colour.
"""

from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
ColorMode = Literal["truecolor", "256", "16", "ascii"]

COLOR_MODES: Final[tuple[str, ...]] = get_args(ColorMode)
# The colours of the VGA text mode, which the 16 colours of most terminals still resemble.
_PALETTE_16: Final = np.array(
    [(170 * (i & 1), 170 * (i >> 1 & 1), 170 * (i >> 2 & 1)) for i in range(8)]
    + [(85 + 170 * (i & 1), 85 + 170 * (i >> 1 & 1), 85 + 170 * (i >> 2 & 1)) for i in range(8)],
    dtype=np.int64,
)
_PALETTE_16[3] = (170, 85, 0)
_GREYS_16: Final = np.array([0, 8, 7, 15], dtype=np.int64)
"""Black, dark grey, light grey and white: 0, 85, 170 and 255."""
_STEP_16: Final = 85
_CUBE: Final = np.array([0, 95, 135, 175, 215, 255], dtype=np.int64)
_BAYER: Final = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]])
_DITHER_STRENGTH: Final = 0.7
"""Amplitude of dithering, as a share of the step between two colours. A grey within 15% of a step of one of the four
greys is drawn as that grey, so that dithering does not make nearly black or white areas noisy."""


def color_codes(image: Pixels, mode: Literal["truecolor", "256", "16"]) -> NDArray[np.int64]:
    """Quantise each pixel to the code of a colour.

    With 256 colours a pixel takes a grey of the ramp of 24 if that is nearer than the colours of the cube. With 16
    colours the image is dithered with the same pattern for every image, so that a still image does not flicker.

    Args:
        image: uint8 [H, W] or [H, W, 3].
        mode: the available colours.

    Returns:
        [H, W]: 0xrrggbb for truecolor, else the index of the colour.
    """
    if mode == "16":
        return _dither_to_16(image)
    rgb = image.astype(np.int64)
    if rgb.ndim == 2:
        rgb = np.repeat(rgb[..., None], 3, axis=2)
    if mode == "truecolor":
        packed: NDArray[np.int64] = rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2]
        return packed
    steps = np.abs(rgb[..., None] - _CUBE).argmin(axis=-1)
    cube_code = 16 + 36 * steps[..., 0] + 6 * steps[..., 1] + steps[..., 2]
    # The grey ramp 232..255 is 8, 18, ..., 238; black and white are the cube's own corners.
    grey_step = np.clip((rgb.mean(axis=-1) - 8 + 5) // 10, 0, 23).astype(np.int64)
    cube_error = ((_CUBE[steps] - rgb) ** 2).sum(axis=-1)
    grey_error = (((8 + 10 * grey_step)[..., None] - rgb) ** 2).sum(axis=-1)
    codes: NDArray[np.int64] = np.where(grey_error < cube_error, 232 + grey_step, cube_code)
    return codes


def _dither_to_16(image: Pixels) -> NDArray[np.int64]:
    height, width = image.shape[:2]
    tiled = np.tile(_BAYER, (-(-height // 4), -(-width // 4)))[:height, :width]
    # Between -0.35 and 0.35 of a step, different at every pixel.
    shift = ((tiled + 0.5) / _BAYER.size - 0.5) * _DITHER_STRENGTH * _STEP_16
    if image.ndim == 2:
        level = np.clip(np.rint((image + shift) / _STEP_16), 0, len(_GREYS_16) - 1)
        return _GREYS_16[level.astype(np.int64)]
    rgb = np.clip(image + shift[..., None], 0, 255)
    nearest: NDArray[np.int64] = ((rgb[..., None, :] - _PALETTE_16) ** 2).sum(axis=-1).argmin(axis=-1)
    return nearest
