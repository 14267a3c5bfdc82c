"""Preview of a data set without building it: the cached set if there is one, or only the first images."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.data import cache
from core.data.decode import NotAnImageError, load_image
from core.data.folder import image_files, split, to_grey
from core.data.recipe import HELDOUT_TRIANGLES, TRIANGLES, DataRecipe, default_data_dir
from core.data.sets import ImageSet, load_dataset
from core.data.triangles import HELDOUT, TRAIN, draw_colours, draw_corners, render
from core.errors import UserError

Pixels = NDArray[np.uint8]

_CHUNK: Final = 8
"""Images drawn at once. Each thread that has drawn keeps that much memory permanently."""


def existing_dataset(recipe: DataRecipe, data_dir: Path | None = None) -> ImageSet | None:
    """Open the whole set of a recipe if it is cached. It is never built here.

    Raises:
        UserError: the folder of images cannot be read, or has no files.
    """
    data_dir = data_dir or default_data_dir()
    files, counts = [], (recipe.count or TRIANGLES, recipe.heldout or HELDOUT_TRIANGLES)
    if recipe.kind == "folder":
        files, counts = image_files(Path(recipe.path or "."), leave_out=data_dir), (1, 1)
    digest = cache.fingerprint(recipe, files)
    target = cache.set_dir(data_dir, recipe, digest)
    if cache.open_set(target, digest, count=counts[0], heldout=counts[1]) is None:
        return None
    return load_dataset(recipe, data_dir=data_dir)


def first_images(recipe: DataRecipe, count: int, *, heldout: bool) -> Pixels:
    """Load the first images of a set, equal to those of the whole set, without building it.

    For a folder whose files are not all images, the order is that of the whole set, but the last held-out file may be
    a different one.

    Args:
        recipe: recipe of the set.
        count: number of images, at least 1; the result has fewer if the set has fewer.
        heldout: take held-out images instead of training images.

    Returns:
        uint8 [N, C, S, S].

    Raises:
        UserError: none of its images can be read.
    """
    if recipe.kind == "folder":
        return _first_images_of_folder(recipe, count, heldout=heldout)
    stream = HELDOUT if heldout else TRAIN
    available = (recipe.heldout or HELDOUT_TRIANGLES) if heldout else (recipe.count or TRIANGLES)
    count = min(count, available)
    corners = draw_corners(count, seed=recipe.seed, split=stream)
    colours = draw_colours(count, seed=recipe.seed, split=stream) if recipe.channels == 3 else None
    chunks = [slice(start, start + _CHUNK) for start in range(0, count, _CHUNK)]
    return np.concatenate(
        [render(recipe, corners[chunk], None if colours is None else colours[chunk]) for chunk in chunks]
    )


def _first_images_of_folder(recipe: DataRecipe, count: int, *, heldout: bool) -> Pixels:
    source = Path(recipe.path or ".")
    names = [name for name, _, _ in image_files(source, leave_out=default_data_dir())]
    images, is_colour = [], recipe.channels == 3
    for index in split(names)[heldout]:
        try:
            image, has_colour = load_image(source / names[index], recipe.size)
        except NotAnImageError:
            continue
        images.append(image)
        is_colour |= has_colour and recipe.channels is None
        if len(images) == count:
            break
    if not images:
        which = "held-out" if heldout else "training"
        raise UserError(f"{source}: none of its {which} files is an image that can be read")
    stacked = np.stack(images)
    return stacked if is_colour else to_grey(stacked)
