"""Pictures that somebody else made, from a `.npy` file."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError
from core.files.sanitize import sanitize
from core.files.untrusted import read_npy

_EXPECTED: Final = "expected an array [N, C, H, W] or [N, H, W] of floats from 0 to 1, or of uint8"


def read_images(path: Path) -> NDArray[np.float32]:
    """The pictures of a file, float32 [N, C, H, W]; uint8 is scaled from 0..255 to [0, 1], floats are as they are.

    Nothing is unpickled, and no more is read than the file has, whatever its header says.

    Args:
        path: a `.npy` file of float or uint8, [N, C, H, W] or, for grey pictures, [N, H, W].

    Raises:
        UserError: no such file, or none of pictures. Their size, and that floats are in [0, 1], is for the judge.
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
    with np.errstate(over="ignore"):  # what is too large for float32 is infinite, and told of as such
        return np.array(array, dtype=np.float32)
