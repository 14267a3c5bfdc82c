"""Folders of the user's images: listed, split into training and held-out, and loaded as squares of one size."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from core.data.walk import OUTPUTS, is_output_image, walk_files
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


@dataclass(frozen=True)
class Listing:
    """Files of a folder of images, and the numbers of those that are left out by reason.

    Attributes:
        files: (path relative to the folder, bytes, modification time in ns), sorted by a hash of the path. That order
            looks random, so that any prefix is a fair sample, and an additional file does not change it.
        left_out: numbers of files that cannot be used now, by reason. The fingerprint of a set does not include these
            files, so that another set is made once they can be used.
    """

    files: list[tuple[str, int, int]]
    left_out: Mapping[str, int]

    @property
    def notes(self) -> list[str]:
        """Notes for the user about the files that are left out."""
        return [f"{number} {_files(number)} left out: {reason}" for reason, number in self.left_out.items()]


def image_files(folder: Path, *, leave_out: Path) -> list[tuple[str, int, int]]:
    """List the files of a folder, see `list_folder`."""
    return list_folder(folder, leave_out=leave_out).files


def list_folder(folder: Path, *, leave_out: Path) -> Listing:
    """List the files below a folder that may be images, see `walk_files`.

    Raises:
        UserError: the folder cannot be read, or has no files that can be used.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of images")
    left_out: Counter[str] = Counter()
    found = [
        (path.relative_to(folder).as_posix(), status.st_size, status.st_mtime_ns)
        for path, status in walk_files(folder, leave_out=leave_out, left_out=left_out)
    ]
    listing = Listing(sorted(found, key=lambda file: path_hash(file[0])), +left_out)
    if listing.left_out and not found:
        raise UserError(f"{folder}: none of its files can be used; {'; '.join(listing.notes)}")
    if not found:
        raise UserError(f"{folder}: an empty folder; expected images ({', '.join(FORMATS)})")
    return listing


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
            if is_output_image(opened):
                raise NotAnImageError(OUTPUTS)
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


def _files(number: int) -> str:
    return "file is" if number == 1 else "files are"
