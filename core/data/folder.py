"""A folder of somebody's own pictures, made square and equally large, some of them held out."""

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
"""A picture with more pixels than this is skipped unopened: it may be a bomb."""
# Not all that Pillow knows: some of its formats start other programs or read other files.
FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "TGA", "ICO")
HELDOUT_SHARE: Final = 0.1
_DRAFT_FACTOR: Final = 4


class NotAnImageError(Exception):
    """A file that is skipped, and why in a few words."""


def image_files(folder: Path, *, leave_out: Path) -> list[tuple[str, int, int]]:
    """All plain files below a folder, hidden ones and those below `leave_out` excepted.

    Returns:
        (path relative to the folder, bytes, modification time in ns), sorted by a hash of the path: an order
        that looks random, so that any prefix is a fair sample, and that one file more does not upset.

    Raises:
        UserError: the folder cannot be read, or has no file.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of pictures")
    left_out = leave_out.resolve()
    found = []
    for parent, folders, names in os.walk(folder, onerror=_cannot_read):
        folders[:] = [name for name in folders if not name.startswith(".") and Path(parent, name) != left_out]
        for name in names:
            path = Path(parent, name)
            status = _status(path)
            if status is not None and not name.startswith(".") and stat.S_ISREG(status.st_mode):
                found.append((path.relative_to(folder).as_posix(), status.st_size, status.st_mtime_ns))
    if not found:
        raise UserError(f"{folder}: an empty folder; expected pictures ({', '.join(FORMATS)})")
    return sorted(found, key=lambda file: path_hash(file[0]))


def path_hash(relative: str) -> bytes:
    """What decides the order and the split of a folder's pictures."""
    return hashlib.sha256(relative.encode(errors="surrogateescape")).digest()


def split(files: list[str]) -> tuple[list[int], list[int]]:
    """Which of the files, sorted by hash, are for training and which are held out: about one in ten, by hash.

    At least one is held out and at least one trained; a single picture is both.
    """
    everyone = list(range(len(files)))
    if len(files) == 1:
        return everyone, everyone
    limit = int(HELDOUT_SHARE * (1 << 32))
    below = sum(int.from_bytes(path_hash(file)[:4]) < limit for file in files)
    below = min(max(below, 1), len(files) - 1)
    return everyone[below:], everyone[:below]


def load_image(path: Path, size: int) -> tuple[Pixels, bool]:
    """One file as a square colour picture: turned upright, its centre cut out, resized.

    Transparency is laid on black. Of an animation the first frame is taken.

    Returns:
        uint8 [3, size, size], and whether it has colour.

    Raises:
        NotAnImageError: it is none, or is damaged or too large.
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
        # Cut before resizing: the filter would reach for pixels outside a box.
        middle = image.crop((left, top, left + side, top + side))
        square = np.asarray(middle.resize((size, size), Image.Resampling.BILINEAR))
        pixels = np.asarray(middle)
        has_colour = bool((pixels != pixels[..., :1]).any())
    except NotAnImageError:
        raise
    except UnidentifiedImageError as error:
        raise NotAnImageError("no picture") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise NotAnImageError("too large") from error
    except Exception as error:
        # Pillow's decoders raise whatever they trip over; it is a strange file all the same, and is counted.
        raise NotAnImageError("damaged") from error
    return np.ascontiguousarray(square.transpose(2, 0, 1)), has_colour


def to_grey(images: Pixels) -> Pixels:
    """Luma, rounded as Pillow does: uint8 [N, 3, H, W] to [N, 1, H, W]; greys stay what they are."""
    red, green, blue = (images[:, channel : channel + 1].astype(np.int32) for channel in range(3))
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.uint8)


def batch_slices(count: int, length: int) -> Iterator[slice]:
    """Slices of at most `length` that cover 0..count."""
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
        # A dangling link, or a file that went away meanwhile.
        return None
