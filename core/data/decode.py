"""Decoding of one image file as viewers show it: upright, in sRGB of 8 bits, on a background, as a square."""

import contextlib
import errno
import functools
import importlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError, features

from core.data.colour_profile import ProfileError, to_srgb
from core.data.fit import Fit, crop_centre, padded, resized, tile_grid, tiles
from core.errors import UserError, is_machine_error
from core.files.sanitize import sanitize
from core.files.untrusted import open_regular

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

MAX_PIXELS: Final = 1 << 26
"""An image with more pixels is skipped without decoding, because it may be a decompression bomb."""
# Not all formats of Pillow, because some start other programs or read other files.
FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "TGA", "ICO")
_OPTIONAL_FORMATS: Final = {"AVIF": "avif", "JPEG2000": "jpg_2000"}
"""Formats that a build of Pillow may have, with the names of their features. A plug-in adds HEIF."""
_HEAD_BYTES: Final = 64
_DRAFT_FACTOR: Final = 4
_READ_BYTES: Final = 1 << 20

BLACK: Final = (0, 0, 0)
DEFAULT_WHITE: Final = 65535.0
_NO_SCALE: Final = "numbers without a scale (set white in a data recipe)"


class NotAnImageError(Exception):
    """A file that is skipped; the message is the reason in a few words."""


@dataclass(frozen=True)
class Reading:
    """Choices that a file leaves open, made for a whole set so that its images are comparable.

    Attributes:
        background: the colour behind transparent pixels.
        white16: the value of white in images of 16 bits.
        white32: the value of white in images of 32 bits.
        white_float: the value of white in images of floating-point numbers; None skips these.
        is_any_value_allowed: clip values outside 0 to white, instead of skipping images that have any.
        fit: the way in which an image that is not a square becomes one, or several.
        tile: pixels per side of a tile in the image, for `tiles`.
    """

    background: Colour = BLACK
    white16: float = DEFAULT_WHITE
    white32: float = DEFAULT_WHITE
    white_float: float | None = None
    is_any_value_allowed: bool = False
    fit: Fit = "crop"
    tile: int = 32


@dataclass(frozen=True, eq=False)
class Decoded:
    """A decoded image, and what was found in its file.

    Attributes:
        pixels: uint8 [3, S, S]; of tiles [N, 3, S, S].
        has_colour: whether any pixel is not grey.
        bits: 16 or 32 for an image of such integers, else 0.
        highest: the highest of these integers.
        ink: the mean luma of what is visible, from 0 to 255; None without transparent pixels.
        is_profile_left_out: whether the image has a colour profile that cannot be applied.
        sides: width and height of the file's image.
        grid: rows and columns of its tiles; (0, 0) for a whole image.
    """

    pixels: Pixels
    has_colour: bool
    bits: int = 0
    highest: int = 0
    ink: float | None = None
    is_profile_left_out: bool = False
    sides: tuple[int, int] = (0, 0)
    grid: tuple[int, int] = (0, 0)


@functools.cache
def readable_formats() -> tuple[str, ...]:
    """Return the names of all formats that can be read here, as Pillow knows them."""
    Image.init()
    found = [*FORMATS, *(name for name, feature in _OPTIONAL_FORMATS.items() if features.check(feature))]
    with contextlib.suppress(ImportError, AttributeError):
        importlib.import_module("pillow_heif").register_heif_opener()
        found.append("HEIF")
    return tuple(found)


def unreadable_format(head: bytes) -> str:
    """Return the name of a file's format and what to do, if it is one of images that cannot be read here.

    Args:
        head: the first bytes of the file.
    """
    name = next((name for name, is_one in _SIGNATURES.items() if is_one(head)), "")
    if not name or name in readable_formats():
        return ""
    if name == "HEIF":
        python = sanitize(f"{sys.executable}")
        return f"HEIC (run {python} -m pip install pillow-heif)"
    return f"{name} (this build of Pillow does not read it; convert to PNG)"


def _brands(head: bytes) -> set[bytes]:
    """Return the brands of an ISO media file, such as HEIC and AVIF; none for another file."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(head[:4]), len(head))
    return {head[8:12], *(head[start : start + 4] for start in range(16, end, 4))}


_SIGNATURES: Final[dict[str, Callable[[bytes], bool]]] = {
    "AVIF": lambda head: bool(_brands(head) & {b"avif", b"avis"}),
    "HEIF": lambda head: bool(_brands(head) & {b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1"}),
    "JPEG2000": lambda head: head.startswith((b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")),
}


def read_head(path: Path) -> bytes:
    """Read the first bytes of a file, by which `unreadable_format` knows it; none if it cannot be read."""
    with contextlib.suppress(OSError), open_regular(path) as file:
        return file.read(_HEAD_BYTES)
    return b""


def decode(path: Path, size: int, reading: Reading = Reading()) -> Decoded:
    """Load a file as a square colour image: rotated upright, in sRGB, cropped to its centre, and resized.

    The first frame of an animation is taken.

    Raises:
        NotAnImageError: it is not an image, or is damaged or too large. The same file will be so again.
        UserError: the machine cannot read it: permission denied, no memory, too many open files, a failing disk.
    """
    with _errors_of(path), _open(path) as file:
        return _decode_file(file, size, reading)


def decode_bytes(content: bytes, size: int, reading: Reading = Reading()) -> Decoded:
    """Load the content of a file as `decode` does.

    Raises:
        NotAnImageError: as for `decode`.
        UserError: there is no memory.
    """
    with _errors_of(Path("an image")):
        return _decode_file(io.BytesIO(content), size, reading)


def _decode_file(file: BinaryIO, size: int, reading: Reading) -> Decoded:
    try:
        return _decode(file, size, reading)
    except NotAnImageError:
        raise
    except UnidentifiedImageError as error:
        file.seek(0)
        raise NotAnImageError(unreadable_format(file.read(_HEAD_BYTES)) or "not an image") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise NotAnImageError("too large") from error
    except Exception as error:
        # Pillow's decoders raise arbitrary exceptions for damaged files, which are skipped and counted.
        if is_machine_error(error):
            raise
        _read_to_the_end(file)
        raise NotAnImageError("damaged") from error


@contextlib.contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Convert errors of the machine to a UserError of one line."""
    name = sanitize(str(path))
    try:
        yield
    except PermissionError as error:
        raise UserError(f"{name}: permission denied; make the file readable") from error
    except FileNotFoundError as error:
        raise UserError(f"{name}: no such file; was it deleted meanwhile?") from error
    except (MemoryError, OSError) as error:
        problem = getattr(error, "strerror", None) or "out of memory"
        raise UserError(f"{name}: cannot be read now ({problem}); it may be intact, so try again") from error


def _open(path: Path) -> BinaryIO:
    try:
        return open_regular(path)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise NotAnImageError("not a plain file") from error
        raise


def _decode(file: BinaryIO, size: int, reading: Reading) -> Decoded:
    with Image.open(file, formats=readable_formats()) as opened:
        if opened.width * opened.height > MAX_PIXELS:
            raise NotAnImageError("too large")
        sides = opened.size
        if reading.fit != "tiles":
            # JPEG can be decoded at a fraction of its size, which is far faster for photographs.
            opened.draft(None, (size * _DRAFT_FACTOR, size * _DRAFT_FACTOR))
        image = ImageOps.exif_transpose(opened)
    return replace(decode_image(image, size, reading), sides=sides)


def decode_image(image: Image.Image, size: int, reading: Reading) -> Decoded:
    """Bring an upright image into sRGB, onto a background and to a size, as `decode` does.

    Raises:
        NotAnImageError: it has numbers without a scale, or is smaller than a tile.
    """
    if reading.fit == "tiles" and min(image.size) < reading.tile:
        raise NotAnImageError(f"smaller than a tile of {reading.tile} pixels")
    middle = crop_centre(image) if reading.fit == "crop" else image
    bits, highest = 0, 0
    if middle.mode[0] in "IF":
        bits = 0 if middle.mode == "F" else 32 if middle.mode == "I" else 16
        middle, highest = _scaled(middle, bits, reading)
    profile = image.info.get("icc_profile")
    alpha = middle.convert("RGBA").getchannel("A") if middle.has_transparency_data else None
    rgb, is_left_out = _in_srgb(middle, profile if isinstance(profile, bytes) else b"")
    ink = None
    if alpha is not None:
        ink = _ink(rgb, alpha)
        below = Image.new("RGBA", rgb.size, (*reading.background, 255))
        rgb.putalpha(alpha)
        rgb = Image.alpha_composite(below, rgb).convert("RGB")
    if reading.fit == "pad":
        fitted = padded(rgb, size, reading.background)
    elif reading.fit == "tiles":
        fitted = tiles(rgb, size, reading.tile)
    else:
        fitted = resized(rgb, size)
    pixels = np.asarray(rgb)
    return Decoded(
        pixels=fitted,
        has_colour=bool((pixels != pixels[..., :1]).any()),
        bits=bits,
        highest=highest,
        ink=ink,
        is_profile_left_out=is_left_out,
        sides=image.size,
        grid=tile_grid(*image.size, reading.tile) if reading.fit == "tiles" else (0, 0),
    )


def _scaled(image: Image.Image, bits: int, reading: Reading) -> tuple[Image.Image, int]:
    """Scale numbers of more than 8 bits from 0 to white, because Pillow would clip them; also return the highest."""
    values = np.asarray(image)
    white = {16: reading.white16, 32: reading.white32}.get(bits, reading.white_float)
    if white is None or not np.isfinite(values).all():
        raise NotAnImageError(_NO_SCALE)
    lowest, highest = values.min(), values.max()
    if not reading.is_any_value_allowed and (lowest < 0 or highest > DEFAULT_WHITE):
        raise NotAnImageError(_NO_SCALE)
    if bits and white == int(white):
        grey = np.clip(values.astype(np.int64), 0, int(white)) * 255 // int(white)
    else:
        grey = np.rint(np.clip(values / white, 0.0, 1.0) * 255.0)
    scaled = Image.fromarray(grey.astype(np.uint8))
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        scaled.putalpha(Image.fromarray((values != clear).astype(np.uint8) * np.uint8(255)))
    return scaled, int(highest)


def _in_srgb(image: Image.Image, profile: bytes) -> tuple[Image.Image, bool]:
    """Convert an image to RGB without transparency; also return whether its profile cannot be applied."""
    flat = image.convert("RGBA").convert("RGB") if image.has_transparency_data else image
    if profile and flat.mode != "LAB":
        with_profile = flat if flat.mode in ("L", "CMYK") else flat.convert("RGB")
        try:
            return to_srgb(with_profile, profile), False
        except ProfileError:
            return flat.convert("RGB"), True
    return flat.convert("RGB"), False


def _ink(rgb: Image.Image, alpha: Image.Image) -> float | None:
    """Return the mean luma of what is visible; None if nothing is transparent, or everything."""
    weights = np.asarray(alpha, np.float64)
    if weights.min() == 255.0 or not weights.any():
        return None
    return float((np.asarray(rgb.convert("L")) * weights).sum() / weights.sum())


def _read_to_the_end(file: BinaryIO) -> None:
    """Read a file whose decoding failed, because a decoder in C reports a failing disk as damage.

    Raises:
        OSError: it cannot be read.
    """
    if isinstance(file, io.BytesIO):
        return
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    while os.read(file.fileno(), _READ_BYTES):
        pass
