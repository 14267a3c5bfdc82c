"""Reading images of other programs from a `.npy` file."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError
from core.files.sanitize import sanitize
from core.files.untrusted import read_npy

_EXPECTED: Final = "expected an array [N, C, H, W] or [N, H, W] of floats from 0 to 1, or of uint8"


def read_images(path: Path) -> NDArray[np.float32]:
    """Read images as float32 [N, C, H, W]; uint8 is scaled from 0..255 to [0, 1], floats are unchanged.

    Nothing is unpickled, and no more is read than the file contains, whatever size its header declares.

    Args:
        path: a `.npy` file of float or uint8, [N, C, H, W] or, for grey images, [N, H, W].

    Raises:
        UserError: no such file, or not a file of images. The evaluator checks their size and the range of floats.
    """
    name = sanitize(str(path))
    if not path.exists():
        raise UserError(f"{name}: no such file; {_EXPECTED} in a .npy file")
    if not path.is_file():
        raise UserError(f"{name}: expected a .npy file, found something else")
    try:
        array = read_npy(path)
    except OSError as error:
        raise UserError(f"{name}: cannot be read ({error.strerror or error})") from error
    except UserError as error:
        raise UserError(f"{name}: {error}; {_EXPECTED}") from error
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4 or not array.size:
        raise UserError(f"{name}: {_EXPECTED}; got {array.dtype} {list(array.shape)}")
    if array.dtype == np.uint8:
        return np.asarray(array, dtype=np.float32) / np.float32(255)
    if array.dtype.kind != "f":
        raise UserError(f"{name}: {_EXPECTED}; got {array.dtype}")
    with np.errstate(over="ignore"):  # values too large for float32 become infinite and are reported as such
        return np.array(array, dtype=np.float32)
