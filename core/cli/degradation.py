"""Options of `core restore` that describe what was done to an image, as an operator and a noise level."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from core.data.fit import crop_centre, padded, resized
from core.errors import UserError
from core.files.sanitize import sanitize

if TYPE_CHECKING:
    from core.diffusion.restoration.operators import Operator

_MOST_NOISE: Final = 10.0
_INTEGER: Final = re.compile(r"-?[0-9]{1,9}")


@dataclass(frozen=True)
class Degradation:
    """Degradation of an image, as the options of the command line describe it.

    Attributes:
        masks: files, or boxes `x,y,w,h`, of missing pixels.
        noise: standard deviation in [0, 1], ``auto`` to estimate it, or None.
        down: factor by which the image was averaged down.
        blur: standard deviation of a Gaussian blur, in pixels.
        jpeg: quality of JPEG.
    """

    masks: tuple[str, ...] = ()
    noise: str | None = None
    down: int | None = None
    blur: float | None = None
    jpeg: int | None = None

    def check(self) -> None:
        """Refuse none, several, or impossible ones.

        Raises:
            UserError: names the options.
        """
        given = [name for name in ("down", "blur", "jpeg") if getattr(self, name) is not None]
        given += ["mask"] * bool(self.masks)
        if len(given) > 1:
            raise UserError(
                f"{', '.join('--' + name for name in given)}: expected one of them; restore one after the other"
            )
        if not given and self.noise is None:
            raise UserError("expected --mask, --noise, --down, --blur or --jpeg: what was done to the image")
        if self.noise == "auto" and given:
            raise UserError(
                f"--noise auto: needs an image with nothing but noise; give a number beside --{given[0]}"
            )
        if self.noise is not None and self.noise != "auto":
            self.noise_level()

    def noise_level(self) -> float:
        """Return the given standard deviation in [0, 1]; 0 for none and ``auto``.

        Raises:
            UserError: it is not a number above 0, or is too large.
        """
        if self.noise is None or self.noise == "auto":
            return 0.0
        try:
            value = float(self.noise)
        except ValueError:
            value = -1.0
        if not 0.0 < value <= _MOST_NOISE:
            raise UserError(
                f"--noise {sanitize(self.noise)}: expected auto, or a standard deviation above 0 and at most "
                f"{_MOST_NOISE:g}, where white is 1"
            )
        return value

    def size(self, size: int) -> int:
        """Return the side of the degraded image, for a run of images with this side.

        Raises:
            UserError: the factor does not divide the side.
        """
        if self.down is None:
            return size
        if self.down < 2 or size % self.down or size == self.down:
            raise UserError(f"--down {self.down}: expected a factor of 2 or more that divides {size}")
        return size // self.down

    def operator(self, size: int, fit: str = "crop") -> "Operator":
        """Make the operator for images with this side; imports torch.

        Args:
            size: side in pixels.
            fit: of the data recipe, by which the images and images of masks become squares.

        Raises:
            UserError: a mask cannot be read or leaves nothing to fill in, or a number is out of range.
        """
        import torch

        from core.diffusion.restoration.operators import AveragePool, GaussianBlur, Identity, Jpeg, Mask

        if self.masks:
            return Mask(torch.from_numpy(read_masks(self.masks, size, fit)[None, None].astype(np.float32)))
        if self.down is not None:
            return AveragePool(self.down)
        if self.blur is not None:
            return GaussianBlur(self.blur, size)
        return Identity() if self.jpeg is None else Jpeg(self.jpeg)

    def text(self) -> str:
        """Describe it in a few words."""
        parts = [f"mask {sanitize(mask)}" for mask in self.masks]
        parts += [
            f"{name} {sanitize(str(value))}"
            for name in ("down", "blur", "jpeg", "noise")
            if (value := getattr(self, name)) is not None
        ]
        return ", ".join(parts)


def read_masks(masks: Sequence[str], size: int, fit: str = "crop") -> NDArray[np.bool_]:
    """Read masks as the known pixels, bool [size, size].

    Args:
        masks: boxes `x,y,w,h` of missing pixels, with the corner 0,0 at the top left, or images whose dark pixels are
            missing.
        size: side in pixels.
        fit: the way in which an image becomes a square, as of a data recipe: `crop`, `pad` or `squash`. What is padded
            is known.

    Raises:
        UserError: a mask is neither, or all or no pixels are missing.
    """
    known = np.ones((size, size), dtype=bool)
    for mask in masks:
        known &= _read_box(mask, size) if _is_box(mask) else _read_mask_image(Path(mask), size, fit)
    text = sanitize(", ".join(masks))
    if known.all():
        raise UserError(
            f"--mask {text}: nothing is missing; expected dark pixels, or a box inside {size}x{size}"
        )
    if not known.any():
        raise UserError(f"--mask {text}: everything is missing; core sample draws images from nothing")
    return known


def _is_box(mask: str) -> bool:
    parts = mask.split(",")
    return len(parts) == 4 and all(_INTEGER.fullmatch(part.strip()) for part in parts)


def _read_box(mask: str, size: int) -> NDArray[np.bool_]:
    x, y, width, height = (int(part) for part in mask.split(","))
    if width < 1 or height < 1 or x < 0 or y < 0 or x >= size or y >= size:
        raise UserError(
            f"--mask {mask}: expected x,y,w,h of a box inside the {size}x{size} pixels of the run"
        )
    known = np.ones((size, size), dtype=bool)
    known[y : y + height, x : x + width] = False
    return known


def _read_mask_image(path: Path, size: int, fit: str) -> NDArray[np.bool_]:
    from PIL import Image, ImageOps

    shown = sanitize(str(path))
    if not path.is_file():
        raise UserError(f"--mask {shown}: no such file, and no box x,y,w,h")
    try:
        with Image.open(path) as image:
            rgb = ImageOps.exif_transpose(image).convert("L").convert("RGB")
            if fit == "pad":
                square = padded(rgb, size, (255, 255, 255), Image.Resampling.NEAREST)
            else:
                whole = rgb if fit == "squash" else crop_centre(rgb)
                square = resized(whole, size, Image.Resampling.NEAREST)
            known: NDArray[np.bool_] = square[0] >= 128
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"--mask {shown}: not an image that can be read") from error
    return known
