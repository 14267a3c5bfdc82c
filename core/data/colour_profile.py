"""Colour profiles embedded in images: conversion to sRGB, so that a network learns the colours that viewers show."""

import functools
import io
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from PIL import ImageCms

_PROBE_LEVELS: Final = (0, 32, 64, 128, 192, 224, 255)
_SAME: Final = 2
"""Levels of 255; a profile whose colours are as close to sRGB as this is left out, which keeps the pixels exact."""
_MODES: Final = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}


class ProfileError(Exception):
    """A profile that cannot be applied: it is damaged, for another kind of image, or Pillow was built without it."""


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert an image to sRGB: RGB, with the same grey in all channels where the original is grey.

    Args:
        image: of mode L, RGB or CMYK.
        profile: an ICC profile.

    Raises:
        ProfileError: the profile cannot be applied; viewers then take the colours as sRGB.
    """
    mode, transform = _transform(profile)
    is_grey = image.mode == "L" or (image.mode == "RGB" and _is_grey(image))
    if mode == "CMYK" or image.mode == "CMYK":
        if mode != image.mode:
            raise ProfileError("a profile for another kind of image")
    elif mode == "L" and not is_grey:
        raise ProfileError("a profile of greys in an image with colours")
    if transform is None:
        return image.convert("RGB")
    converted = _apply(transform, image.convert(mode))
    # A grey may come back with channels that differ by a rounding error, which would make the whole set colour.
    return converted.convert("L").convert("RGB") if is_grey else converted


@functools.lru_cache(maxsize=32)
def _transform(profile: bytes) -> "tuple[str, ImageCms.ImageCmsTransform | None]":
    """Return the mode that a profile applies to, and its transform to sRGB; None if it is sRGB."""
    try:
        from PIL import ImageCms

        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _MODES[opened.profile.xcolor_space.strip()]
        transform = ImageCms.buildTransform(
            opened, ImageCms.createProfile("sRGB"), mode, "RGB", flags=ImageCms.Flags.NOCACHE
        )
    except (
        Exception
    ) as error:  # of a build without LittleCMS, and of damaged profiles, whose errors are arbitrary
        raise ProfileError(str(error)) from error
    if mode == "CMYK":
        return mode, transform
    levels = np.array(_PROBE_LEVELS, np.uint8)
    probe = np.stack(np.meshgrid(*[levels] * 3), axis=-1).reshape(1, -1, 3)
    before = Image.fromarray(probe if mode == "RGB" else levels[None])
    after = np.asarray(_apply(transform, before)).astype(int)
    difference = np.abs(after - np.asarray(before.convert("RGB"))).max()
    return mode, transform if difference > _SAME else None


def _apply(transform: "ImageCms.ImageCmsTransform", image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # it is None only for a conversion in place
    return converted


def _is_grey(image: Image.Image) -> bool:
    pixels = np.asarray(image)
    return bool((pixels == pixels[..., :1]).all())
