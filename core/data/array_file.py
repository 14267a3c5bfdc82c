"""Files of many images: `.npy`, `.npz` and IDX, the format of MNIST. They are listed and decoded like a folder."""

import functools
import gzip
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.data.decode import MAX_PIXELS, Decoded, NotAnImageError, Reading, decode_image
from core.errors import UserError
from core.files.untrusted import NPZ_ERRORS, open_regular, read_npy

_IDX_BYTES: Final = 0x00000800
"""Magic number of unsigned bytes, to which the number of dimensions is added."""
_MAX_BYTES: Final = 1 << 33
"""Unpacked size; a larger compressed file may be a decompression bomb. A `.npy` file of any size is mapped."""
_CHUNK: Final = 1024
_MODES: Final = {1: "L", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True, eq=False)
class ArrayFile:
    """Images of one file.

    Attributes:
        values: [N, H, W, C], numbers of the file.
        offset: added to the values before they are multiplied by `scale`, which gives 0 for black and 255 for white.
        scale: see `offset`.
    """

    values: NDArray[Any]
    offset: float
    scale: float

    def __len__(self) -> int:
        return len(self.values)

    def image(self, index: int) -> Image.Image:
        """Return an image in grey, RGB or RGBA."""
        values = self.values[index]
        if values.dtype != np.uint8 or self.scale != 1:
            values = np.rint((values.astype(np.float64) + self.offset) * self.scale).astype(np.uint8)
        return Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values, _MODES[values.shape[-1]])

    def notes(self, size: int) -> Iterator[str]:
        """Yield notes for the user about images of `size` that are made from these."""
        height, width = self.values.shape[1:3]
        if (height, width) != (size, size):
            keep = f"; size = {height} in a data recipe keeps them" if height == width else ""
            yield f"images of {width}x{height} are resized to {size}x{size}{keep}"
        if self.values.dtype != np.uint8 or self.scale != 1:
            black, white = 0 - self.offset, 255 / self.scale - self.offset
            yield f"{self.values.dtype} numbers: {black:g} is taken as black, {white:g} as white"


def list_images(path: Path) -> list[tuple[str, int, int]]:
    """List the images of a file as `core.data.folder` lists files; names are their numbers.

    Raises:
        UserError: the file cannot be read, or has no images.
    """
    status = path.stat()
    return [(f"{number:08}", status.st_size, status.st_mtime_ns) for number in range(len(open_images(path)))]


def decode_from_array(path: Path, name: str, size: int, reading: Reading) -> Decoded:
    """Decode an image of a file, as `core.data.decode.decode` decodes a file of one image.

    Raises:
        NotAnImageError: it has numbers that are not finite.
        UserError: the file cannot be read.
    """
    images, number = open_images(path), int(name)
    if not np.isfinite(images.values[number]).all():
        raise NotAnImageError("numbers that are not finite")
    return decode_image(images.image(number), size, reading)


def open_images(path: Path) -> ArrayFile:
    """Open a file, a `.npy` file without loading it.

    Raises:
        UserError: it is not an array of images.
    """
    try:
        status = path.stat()
        return _open(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


@functools.lru_cache(maxsize=4)
def _open(path: Path, size: int, modified: int) -> ArrayFile:
    if path.suffix.lower() == ".npy":
        values = read_npy(path)
    elif path.suffix.lower() == ".npz":
        values = _read_npz(path)
    else:
        values = read_idx(
            path, (3, 4), "not an IDX file of images; labels and other IDX files have no images"
        )
    values = _channels_last(values)
    if values.shape[1] * values.shape[2] > MAX_PIXELS:
        raise UserError("its images are too large")
    return ArrayFile(values, *_scale(values))


def _channels_last(values: NDArray[Any]) -> NDArray[Any]:
    """Return a view [N, H, W, C] of images [N, H, W], [N, H, W, C] or [N, C, H, W]."""
    shape = "x".join(map(str, values.shape))
    if values.ndim == 3:
        values = values[..., None]
    elif values.ndim == 4 and values.shape[1] in _MODES and values.shape[3] not in _MODES:
        values = values.transpose(0, 2, 3, 1)
    if values.ndim != 4 or values.shape[3] not in _MODES or values.size == 0:
        raise UserError(
            f"an array of {shape or 'one number'}; expected images as N x height x width, with 1, 3 or 4 channels "
            "before or after height and width"
        )
    return values


def _scale(values: NDArray[Any]) -> tuple[float, float]:
    """Return the offset and the scale that suit the range of all values."""
    if values.dtype == np.uint8:
        return 0.0, 1.0
    if values.dtype == np.bool_:
        return 0.0, 255.0
    if values.dtype.kind not in "fiu":
        raise UserError(f"{values.dtype} values; expected numbers")
    lowest, highest = np.inf, -np.inf
    for start in range(0, len(values), _CHUNK):
        part = values[start : start + _CHUNK]
        finite = part[np.isfinite(part)]
        if finite.size:
            lowest, highest = min(lowest, float(finite.min())), max(highest, float(finite.max()))
    if -1 <= lowest < 0 and highest <= 1:
        return 1.0, 127.5
    if lowest >= 0 and highest <= 1:
        return 0.0, 255.0
    if lowest >= 0 and highest <= 255:
        return 0.0, 1.0
    raise UserError(f"values from {lowest:g} to {highest:g}; expected 0 to 1, -1 to 1 or 0 to 255")


def _read_npz(path: Path) -> NDArray[Any]:
    """Read the only array of images of a `.npz` file."""
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as packed:
            if sum(member.file_size for member in packed.infolist()) > _MAX_BYTES:
                raise UserError("too large unpacked; save the images as .npy, which is not loaded as a whole")
        with np.load(path, allow_pickle=False) as arrays:
            found = [values for name in arrays.files if (values := arrays[name]).ndim in (3, 4)]
            if len(found) != 1:
                names = ", ".join(arrays.files) or "none"
                raise UserError(f"{len(found)} arrays of images; expected one (its arrays: {names})")
    except NPZ_ERRORS as error:
        raise UserError(f"not a .npz file of numbers ({' '.join(str(error).split())})") from error
    image_array: NDArray[Any] = found[0]
    return image_array


def read_idx(
    path: Path, dimensions: Sequence[int], otherwise: str, most: int = _MAX_BYTES
) -> NDArray[np.uint8]:
    """Read IDX: a magic number and the dimensions as big-endian integers of 32 bits, then bytes.

    Args:
        path: the file, which may be compressed by gzip.
        dimensions: numbers of dimensions that it may have.
        otherwise: the error if it has others.
        most: bytes that it may have unpacked.

    Raises:
        UserError: it is another file, or damaged; without the path.
        OSError: it cannot be read.
    """
    try:
        with open_regular(path) as raw, gzip.open(raw) if path.suffix.lower() == ".gz" else raw as file:
            (magic,) = struct.unpack(">I", file.read(4))
            if magic - _IDX_BYTES not in dimensions:
                raise UserError(otherwise)
            shape = struct.unpack(f">{magic & 0xFF}I", file.read(4 * (magic & 0xFF)))
            length = int(np.prod(shape, dtype=object))
            if length > most:
                raise UserError("its header claims more than can be read")
            content = file.read(length)
    except (struct.error, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"a damaged IDX file ({error})") from error
    if len(content) < length:
        raise UserError(f"a damaged IDX file: {len(content):,} of {length:,} bytes are there")
    return np.frombuffer(content, np.uint8).reshape(shape)
