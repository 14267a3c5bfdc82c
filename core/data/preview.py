"""A look at a set of pictures without making it: what is on disk already, or its first pictures alone."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.data import cache
from core.data.folder import NotAnImageError, image_files, load_image, split, to_grey
from core.data.recipe import HELDOUT_TRIANGLES, TRIANGLES, DataRecipe, default_data_dir
from core.data.sets import ImageSet, load_dataset
from core.data.triangles import HELDOUT, TRAIN, draw_colours, draw_corners, render
from core.errors import UserError

Pixels = NDArray[np.uint8]

_CHUNK: Final = 8
"""Pictures drawn at once: each thread that has drawn keeps as much memory as that took, for ever."""


def existing_dataset(recipe: DataRecipe, data_dir: Path | None = None) -> ImageSet | None:
    """The whole set of a recipe if it has been made; it is never made here.

    Raises:
        UserError: the folder of pictures cannot be read, or has no file.
    """
    data_dir = data_dir or default_data_dir()
    files, counts = [], (recipe.count or TRIANGLES, recipe.heldout or HELDOUT_TRIANGLES)
    if recipe.kind == "folder":
        files, counts = image_files(Path(recipe.path or "."), leave_out=data_dir), (1, 1)
    mark = cache.fingerprint(recipe, files)
    target = cache.set_dir(data_dir, recipe, mark)
    if cache.open_set(target, mark, count=counts[0], heldout=counts[1]) is None:
        return None
    return load_dataset(recipe, data_dir=data_dir)


def first_images(recipe: DataRecipe, count: int, *, heldout: bool) -> Pixels:
    """The first pictures of a set, the same as those of the whole set, without making it.

    Of a folder whose files are not all pictures, the order is that of the whole set, but the last file that is held
    out may be another one there.

    Args:
        recipe: of the set.
        count: how many, at least 1; fewer where there are fewer.
        heldout: from the held-out pictures, instead of those for training.

    Returns:
        uint8 [N, C, S, S].

    Raises:
        UserError: none of its pictures can be read.
    """
    if recipe.kind == "folder":
        return _first_images_of_folder(recipe, count, heldout=heldout)
    stream = HELDOUT if heldout else TRAIN
    most = (recipe.heldout or HELDOUT_TRIANGLES) if heldout else (recipe.count or TRIANGLES)
    count = min(count, most)
    corners = draw_corners(count, seed=recipe.seed, split=stream)
    colours = draw_colours(count, seed=recipe.seed, split=stream) if recipe.channels == 3 else None
    parts = [slice(start, start + _CHUNK) for start in range(0, count, _CHUNK)]
    return np.concatenate(
        [render(recipe, corners[part], None if colours is None else colours[part]) for part in parts]
    )


def _first_images_of_folder(recipe: DataRecipe, count: int, *, heldout: bool) -> Pixels:
    source = Path(recipe.path or ".")
    names = [name for name, _, _ in image_files(source, leave_out=default_data_dir())]
    found, colour = [], recipe.channels == 3
    for place in split(names)[heldout]:
        try:
            image, has_colour = load_image(source / names[place], recipe.size)
        except NotAnImageError:
            continue
        found.append(image)
        colour |= has_colour and recipe.channels is None
        if len(found) == count:
            break
    if not found:
        which = "held-out" if heldout else "training"
        raise UserError(f"{source}: none of its {which} files is a picture that can be read")
    stacked = np.stack(found)
    return stacked if colour else to_grey(stacked)
