"""An image of the user's, read as a network's training images were read."""

import contextlib
import warnings
from pathlib import Path

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from core.data import DataRecipe, find_data_recipe
from core.data.decode import NotAnImageError, readable_formats
from core.data.folder import to_grey
from core.data.survey import load_image
from core.errors import UserError
from core.files.sanitize import sanitize


def check_file(path: Path) -> None:
    """Refuse a path that is no file.

    Raises:
        UserError: there is no file of that name.
    """
    if not path.is_file():
        raise UserError(f"{sanitize(str(path))}: {'not a file' if path.exists() else 'no such file'}")


def single_image_recipe(dataset: str) -> DataRecipe:
    """Return the data recipe that a single image is read by; with `tiles` an image is cropped to its centre."""
    recipe = DataRecipe()
    with contextlib.suppress(UserError):
        recipe = find_data_recipe(dataset)
    return replace(recipe, fit="crop", tile=None) if recipe.fit == "tiles" else recipe


def read_user_image(path: Path, shape: tuple[int, int, int], dataset: str) -> NDArray[np.uint8]:
    """Read a user's image as the network's training images were read: uint8 [1, C, S, S].

    Background, white and fit are those of the data recipe, if it is still there.

    Raises:
        UserError: it is not an image that can be read.
    """
    channels, size, _ = shape
    recipe = single_image_recipe(dataset)
    try:
        with warnings.catch_warnings():
            # Pillow also warns about oddities in images that it can read.
            warnings.filterwarnings("ignore", module="PIL")
            colour, _ = load_image(path, size, recipe)
    except NotAnImageError as error:
        formats = ", ".join(readable_formats())
        raise UserError(f"{sanitize(str(path))}: {error}; expected an image ({formats})") from error
    return colour[None] if channels == 3 else to_grey(colour[None])
