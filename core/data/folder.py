"""Folders of the user's images: listed, split into training and held-out, and loaded as squares of one size."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from core.errors import UserError

Pixels = NDArray[np.uint8]

MAX_PIXELS: Final = 1 << 26
"""An image with more pixels is skipped without decoding, because it may be a decompression bomb."""
# Not all formats of Pillow, because some start other programs or read other files.
FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "TGA", "ICO")
HELDOUT_SHARE: Final = 0.1
_DRAFT_FACTOR: Final = 4


class NotAnImageError(Exception):
    """A file that is skipped; the message is the reason in a few words."""


def image_files(folder: Path, *, leave_out: Path) -> list[tuple[str, int, int]]:
    """List all regular files below a folder, except hidden ones and those below `leave_out`.

    Returns:
        (path relative to the folder, bytes, modification time in ns), sorted by a hash of the path. That order looks
        random, so that any prefix is a fair sample, and an additional file does not change it.

    Raises:
        UserError: the folder cannot be read, or has no files.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of images")
    excluded = leave_out.resolve()
    found = []
    for parent, folders, names in os.walk(folder, onerror=_cannot_read):
        folders[:] = [name for name in folders if not name.startswith(".") and Path(parent, name) != excluded]
        for name in names:
            path = Path(parent, name)
            status = _status(path)
            if status is not None and not name.startswith(".") and stat.S_ISREG(status.st_mode):
                found.append((path.relative_to(folder).as_posix(), status.st_size, status.st_mtime_ns))
    if not found:
        raise UserError(f"{folder}: an empty folder; expected images ({', '.join(FORMATS)})")
    return sorted(found, key=lambda file: path_hash(file[0]))


def path_hash(relative: str) -> bytes:
    """Hash a path; the hashes determine the order and the split of a folder's images."""
    return hashlib.sha256(relative.encode(errors="surrogateescape")).digest()


def split(files: list[str]) -> tuple[list[int], list[int]]:
    """Split files, sorted by hash, into indices for training and held-out indices; about one in ten is held out.

    Both have at least one file. A single file is in both.
    """
    indices = list(range(len(files)))
    if len(files) == 1:
        return indices, indices
    limit = int(HELDOUT_SHARE * (1 << 32))
    below = sum(int.from_bytes(path_hash(file)[:4]) < limit for file in files)
    below = min(max(below, 1), len(files) - 1)
    return indices[below:], indices[:below]


def load_image(path: Path, size: int) -> tuple[Pixels, bool]:
    """Load a file as a square colour image: rotated upright, cropped to its centre, and resized.

    Transparent images are composited on black. The first frame of an animation is taken.

    Returns:
        uint8 [3, size, size], and True if it has colour.

    Raises:
        NotAnImageError: it is not an image, or is damaged or too large.
    """
    try:
        with Image.open(path, formats=FORMATS) as opened:
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
    except NotAnImageError:
        raise
    except UnidentifiedImageError as error:
        raise NotAnImageError("not an image") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise NotAnImageError("too large") from error
    except Exception as error:
        # Pillow's decoders raise arbitrary exceptions for damaged files, which are skipped and counted.
        raise NotAnImageError("damaged") from error
    return np.ascontiguousarray(square.transpose(2, 0, 1)), has_colour


def to_grey(images: Pixels) -> Pixels:
    """Convert to luma, rounded as in Pillow: uint8 [N, 3, H, W] to [N, 1, H, W]. Greys are unchanged."""
    red, green, blue = (images[:, channel : channel + 1].astype(np.int32) for channel in range(3))
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.uint8)


def batch_slices(count: int, length: int) -> Iterator[slice]:
    """Yield slices of at most `length` that cover 0..count."""
    for start in range(0, count, length):
        yield slice(start, min(start + length, count))


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


def _cannot_read(error: OSError) -> None:
    raise UserError(f"{error.filename}: cannot be read ({error.strerror})") from error


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        # A dangling link, or a file that was deleted meanwhile.
        return None
