"""Survey of a folder's decoded images: choices for the set as a whole, and notes about what a user would not expect."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.data.decode import BLACK, DEFAULT_WHITE, Colour, Decoded, Reading, decode
from core.data.folder import image_slices
from core.data.recipe import DataRecipe
from core.files.mapped import release_pages

Pixels = NDArray[np.uint8]

COLOURS: Final[dict[str, Colour]] = {"black": BLACK, "white": (255, 255, 255), "grey": (128, 128, 128)}
_WHITES: Final = (255.0, 1023.0, 4095.0, 16383.0, DEFAULT_WHITE)
"""Values of white in images of 8, 10, 12, 14 and 16 bits."""
_DARK_INK: Final = 64.0
"""Mean luma of 255, below which the visible parts of transparent images would hardly show on black."""
_FEW: Final = 8
"""An image uses so few levels of the range if its values would fit into the range of 8 bits divided by this."""
_FLAT: Final = 4
"""Levels of 255; an image whose values differ by no more is nearly one colour."""
_NARROW: Final = 32
_HASH_BYTES: Final = 16


class Survey:
    """Findings in the files of a folder, collected image by image.

    Args:
        recipe: recipe of the set; its settings win over what is found.
    """

    def __init__(self, recipe: DataRecipe) -> None:
        self.recipe = recipe
        self.any_colour = False
        self._highest: dict[int, list[int]] = {16: [], 32: []}
        self._inks: list[float] = []
        self._profiles_left_out = 0
        self._open: list[int] = []
        self._count = 0

    def add(self, image: Decoded) -> None:
        """Add the next image."""
        if image.bits:
            self._highest[image.bits].append(image.highest)
        if image.ink is not None:
            self._inks.append(image.ink)
        if image.bits or image.ink is not None:
            self._open.append(self._count)
        self.any_colour |= image.has_colour
        self._profiles_left_out += image.is_profile_left_out
        self._count += 1

    @property
    def first_reading(self) -> Reading:
        """The choices with which files are decoded before anything is known about them."""
        white, background = self.recipe.white, self.recipe.background
        reading = Reading(fit=self.recipe.fit, tile=self.recipe.tile or self.recipe.side)
        if background is not None:
            reading = replace(reading, background=parse_colour(background))
        if white is None:
            return reading
        return replace(reading, white16=white, white32=white, white_float=white, is_any_value_allowed=True)

    @property
    def reading(self) -> Reading:
        """The choices that suit all images."""
        reading = self.first_reading
        if self.recipe.background is None and self._has_dark_ink:
            reading = replace(reading, background=COLOURS["white"])
        if self.recipe.white is None:
            white16, white32 = (_white(self._highest[bits]) for bits in (16, 32))
            reading = replace(reading, white16=white16, white32=white32)
        return reading

    def update(self, image: Decoded) -> None:
        """Take another decoding of an image that was added before."""
        self.any_colour |= image.has_colour

    def to_decode_again(self) -> list[int]:
        """Return the indices of the images that `reading` may decode to other pixels than `first_reading`."""
        if self.recipe.fit == "pad" and self.reading.background != self.first_reading.background:
            return list(range(self._count))
        return self._open if self.reading != self.first_reading else []

    @property
    def notes(self) -> list[str]:
        """Notes for the user about the choices."""
        notes = []
        if self._inks and self.recipe.background is None:
            where = "white, because their ink is dark" if self._has_dark_ink else "black"
            are = "transparent images are" if len(self._inks) > 1 else "transparent image is"
            notes.append(
                f"{len(self._inks)} {are} put on {where}; background in a data recipe sets the colour"
            )
        for bits, values in self._highest.items() if self.recipe.white is None else ():
            white = _white(values)
            if values and white != DEFAULT_WHITE:
                have = f"images of {bits} bits have" if len(values) > 1 else f"image of {bits} bits has"
                notes.append(
                    f"{len(values)} {have} no value above {max(values)}: {white:.0f} is taken as white; white in a "
                    "data recipe sets it"
                )
            dark = sum(value < white / _FEW for value in values)
            if dark:
                are = "are" if dark > 1 else "is"
                notes.append(
                    f"{dark} of {len(values)} images of {bits} bits {are} nearly black, because {white:.0f} is white; "
                    "white in a data recipe sets it"
                )
        if self._profiles_left_out:
            notes.append(
                f"{self._profiles_left_out} colour profiles cannot be applied; their colours are taken as sRGB"
            )
        return notes

    @property
    def _has_dark_ink(self) -> bool:
        return bool(self._inks) and float(np.mean(self._inks)) < _DARK_INK


def load_image(path: Path, size: int, recipe: DataRecipe = DataRecipe()) -> tuple[Pixels, bool]:  # noqa: B008
    """Load a single image as `decode` does, with the choices that suit it.

    Args:
        path: file of the image.
        size: pixels per side of the result.
        recipe: recipe whose background and white are taken.

    Returns:
        uint8 [3, size, size], and True if it has colour.

    Raises:
        NotAnImageError: it is not an image, or is damaged or too large.
        UserError: the machine cannot read it.
    """
    survey = Survey(recipe)
    image = decode(path, size, survey.first_reading)
    survey.add(image)
    if survey.to_decode_again():
        image = decode(path, size, survey.reading)
    return image.pixels, image.has_colour


def parse_colour(text: str) -> Colour:
    """Convert a recipe's colour, a name or `#rrggbb`, to its channels."""
    if text in COLOURS:
        return COLOURS[text]
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red, green, blue


def pixel_notes(images: Pixels, train: Sequence[int], heldout: Sequence[int]) -> list[str]:
    """Return notes about images that are nearly constant, and about exact duplicates.

    Args:
        images: uint8 [N, C, S, S].
        train: indices of the training images.
        heldout: indices of the held-out images, other than these.
    """
    lowest, highest = 255, 0
    flat, digests = 0, []
    for some in image_slices(len(images), images[0].size):
        part = np.ascontiguousarray(images[some])
        low, high = part.min(axis=(2, 3)), part.max(axis=(2, 3))
        lowest, highest = min(lowest, int(low.min())), max(highest, int(high.max()))
        flat += int(((high - low).max(axis=1) <= _FLAT).sum())
        digests += [hashlib.blake2b(image, digest_size=_HASH_BYTES).digest() for image in part]
        release_pages(images)
    notes = []
    if 2 * flat >= len(images):
        notes.append(
            f"{flat} of {len(images)} images are nearly one colour: there is hardly anything to learn"
        )
    elif highest - lowest <= _NARROW:
        notes.append(f"the images have little contrast: all values are from {lowest} to {highest} of 255")
    return notes + _duplicate_notes(digests, train, heldout)


def _duplicate_notes(digests: Sequence[bytes], train: Sequence[int], heldout: Sequence[int]) -> list[str]:
    counts = Counter(digests)
    if len(digests) == 1 or len(counts) == len(digests):
        return []
    copies = len(digests) - len(counts)
    are = "are exact duplicates" if copies > 1 else "is an exact duplicate"
    notes = [f"{copies} of {len(digests)} images {are} of {'others' if copies > 1 else 'another'}"]
    trained = {digests[index] for index in train}
    shared = sum(digests[index] in trained for index in heldout)
    if shared:
        are = (
            "are exact duplicates of training images"
            if shared > 1
            else "is an exact duplicate of a training image"
        )
        notes.append(
            f"{shared} of {len(heldout)} held-out images {are}, so that the held-out loss and the test for copies "
            "say less"
        )
    return notes


def _white(values: Iterable[int]) -> float:
    """Return the smallest usual value of white that is not exceeded."""
    highest = max(values, default=0)
    return next(white for white in _WHITES if highest <= white or white == DEFAULT_WHITE)
