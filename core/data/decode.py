"""Decoding of one image file: upright, as a square of one size; damage is told from errors of the machine."""

import errno
import os
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from core.errors import UserError, is_machine_error
from core.files.sanitize import sanitize
from core.files.untrusted import open_regular

Pixels = NDArray[np.uint8]

MAX_PIXELS: Final = 1 << 26
"""An image with more pixels is skipped without decoding, because it may be a decompression bomb."""
# Not all formats of Pillow, because some start other programs or read other files.
FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "TGA", "ICO")
_DRAFT_FACTOR: Final = 4
_READ_BYTES: Final = 1 << 20


class NotAnImageError(Exception):
    """A file that is skipped; the message is the reason in a few words."""


def load_image(path: Path, size: int) -> tuple[Pixels, bool]:
    """Load a file as a square colour image: rotated upright, cropped to its centre, and resized.

    Transparent images are composited on black. The first frame of an animation is taken.

    Returns:
        uint8 [3, size, size], and True if it has colour.

    Raises:
        NotAnImageError: it is not an image, or is damaged or too large. The same file will be so again.
        UserError: the machine cannot read it: permission denied, no memory, too many open files, a failing disk.
    """
    try:
        with _open(path) as file:
            try:
                return _decode(file, size)
            except NotAnImageError:
                raise
            except UnidentifiedImageError as error:
                raise NotAnImageError("not an image") from error
            except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
                raise NotAnImageError("too large") from error
            except Exception as error:
                # Pillow's decoders raise arbitrary exceptions for damaged files, which are skipped and counted.
                if is_machine_error(error):
                    raise
                _read_to_the_end(file)
                raise NotAnImageError("damaged") from error
    except PermissionError as error:
        raise UserError(f"{sanitize(str(path))}: permission denied; make the file readable") from error
    except FileNotFoundError as error:
        raise UserError(f"{sanitize(str(path))}: no such file; was it deleted meanwhile?") from error
    except (MemoryError, OSError) as error:
        problem = getattr(error, "strerror", None) or "out of memory"
        raise UserError(
            f"{sanitize(str(path))}: cannot be read now ({problem}); the file may be intact, so try again"
        ) from error


def _open(path: Path) -> BinaryIO:
    try:
        return open_regular(path)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise NotAnImageError("not a plain file") from error
        raise


def _decode(file: BinaryIO, size: int) -> tuple[Pixels, bool]:
    with Image.open(file, formats=FORMATS) as opened:
        if opened.width * opened.height > MAX_PIXELS:
            raise NotAnImageError("too large")
        # JPEG can be decoded at a fraction of its size, which is far faster for photographs.
        opened.draft(None, (size * _DRAFT_FACTOR, size * _DRAFT_FACTOR))
        image = _to_rgb(ImageOps.exif_transpose(opened))
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    # Cropped before resizing, because the filter would use pixels outside a box.
    middle = image.crop((left, top, left + side, top + side))
    square = np.asarray(middle.resize((size, size), Image.Resampling.BILINEAR))
    pixels = np.asarray(middle)
    has_colour = bool((pixels != pixels[..., :1]).any())
    return np.ascontiguousarray(square.transpose(2, 0, 1)), has_colour


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow would clip sixteen bits to eight instead of scaling them.
        image = Image.fromarray((np.clip(np.asarray(image), 0, 65535) // 257).astype(np.uint8))
    if image.mode == "F":
        raise NotAnImageError("numbers without a scale")
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", clear.size, (0, 0, 0, 255)), clear)
    return image.convert("RGB")


def _read_to_the_end(file: BinaryIO) -> None:
    """Read a file whose decoding failed, because a decoder in C reports a failing disk as damage.

    Raises:
        OSError: it cannot be read.
    """
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    while os.read(file.fileno(), _READ_BYTES):
        pass
