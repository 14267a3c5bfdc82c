"""Preview of a data set without building it: the cached set if there is one, or only the first images."""

import contextlib
from bisect import bisect_left
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.data import cache
from core.data.decode import Decoded, NotAnImageError
from core.data.folder import Entry, decode_entry, image_files, to_grey
from core.data.labels import labels_if_any
from core.data.making import own_size, set_fingerprint
from core.data.recipe import HELDOUT_TRIANGLES, TRIANGLES, DataRecipe, default_data_dir
from core.data.sets import ImageSet, load_dataset
from core.data.splitting import HELDOUT_SHARE, is_heldout, path_hash, split, split_images
from core.data.survey import Survey
from core.data.triangle_kinds import KINDS, draw_kinds
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
    digest = set_fingerprint(recipe, files)
    target = cache.set_dir(data_dir, recipe, digest)
    if cache.open_set(target, digest, count=counts[0], heldout=counts[1]) is None:
        return None
    return load_dataset(recipe, data_dir=data_dir)


def planned_size(recipe: DataRecipe) -> int:
    """Return the size that the images of a set will have, as far as its first image tells.

    Raises:
        UserError: the folder of images cannot be read, or has no image that can be read.
    """
    if recipe.kind != "folder":
        return recipe.side
    try:
        first = first_images(recipe, 1, heldout=False)
    except UserError:
        first = first_images(recipe, 1, heldout=True)  # a single image may be in either split
    return int(first.shape[-1])


def planned_classes(recipe: DataRecipe) -> tuple[str, ...]:
    """Return the names of the classes that a set will have, as far as its files tell; empty without labels.

    Raises:
        UserError: the folder of images cannot be read, or has no files.
    """
    if recipe.kind == "triangles":
        return KINDS if recipe.labels == "angles" else ()
    source = Path(recipe.path or ".")
    names = [name for name, _, _ in image_files(source, leave_out=default_data_dir())]
    labels = labels_if_any(source, names)
    return labels.classes if labels is not None else ()


def first_images(recipe: DataRecipe, count: int, *, heldout: bool) -> Pixels:
    """Load the first images of a set, equal to those of the whole set, without building it.

    Of a folder only so many files are read as are needed. Colour, background, white and the files' own size, which the
    whole set has in common, are therefore those of the first images. Tiles are those of the first photographs.

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
    if recipe.labels == "angles":
        corners, _ = draw_kinds(count, seed=recipe.seed, split=stream)
    else:
        corners = draw_corners(count, seed=recipe.seed, split=stream)
    colours = draw_colours(count, seed=recipe.seed, split=stream) if recipe.channels == 3 else None
    chunks = [slice(start, start + _CHUNK) for start in range(0, count, _CHUNK)]
    return np.concatenate(
        [render(recipe, corners[chunk], None if colours is None else colours[chunk]) for chunk in chunks]
    )


def _first_images_of_folder(recipe: DataRecipe, count: int, *, heldout: bool) -> Pixels:
    source = Path(recipe.path or ".")
    names = [name for name, _, _ in image_files(source, leave_out=default_data_dir())]
    size = recipe.size or own_size(recipe, names) or recipe.side
    survey = Survey(recipe)
    is_simple = recipe.fit != "tiles" and recipe.heldout_by == "image"
    find = _first_decoded if is_simple else _first_of_groups
    found = find(source, names, size, count, survey, heldout=heldout)
    if not found:
        large = f" of at least {recipe.tile or size} pixels a side" if recipe.fit == "tiles" else ""
        raise UserError(f"{source}: none of its {len(names)} files is an image{large} that can be read")
    if survey.to_decode_again():
        following = [name for name, _ in found]
        for index, (name, _) in enumerate(found):
            image = decode_entry(source, Entry(name), size, survey.reading, following=following)
            survey.update(image)
            found[index] = (name, image)
    stacked = np.concatenate([image.pixels.reshape(-1, 3, size, size) for _, image in found])[:count]
    is_colour = recipe.channels == 3 or (recipe.channels is None and survey.any_colour)
    return stacked if is_colour else to_grey(stacked)


def _first_decoded(
    source: Path, names: list[str], size: int, count: int, survey: Survey, *, heldout: bool
) -> list[tuple[str, Decoded]]:
    """Decode files until the first images of a split are certain; which these are, only the readable files decide."""
    decoded: dict[str, Decoded] = {}
    share = HELDOUT_SHARE if survey.recipe.heldout_share is None else survey.recipe.heldout_share
    below = bisect_left(names, True, key=lambda name: not is_heldout(name, share))

    def decode_until(start: int, stop: int, enough: int) -> None:
        """Decode files in order until there are so many images in all."""
        for index, name in enumerate(names[start:stop], start + 1):
            if len(decoded) >= enough:
                return
            if name in decoded:
                continue
            following = names[index : index + enough]
            with contextlib.suppress(NotAnImageError):
                decoded[name] = decode_entry(
                    source, Entry(name), size, survey.first_reading, following=following
                )
                survey.add(decoded[name])

    if heldout:
        # One more than asked for, because the last image of a folder is always trained on.
        decode_until(0, below, count + 1)
        if len(decoded) <= count:
            decode_until(below, len(names), len(decoded) + 1)
    else:
        decode_until(0, below, 1)
        decode_until(below, len(names), len(decoded) + count + (not decoded))
        if len(decoded) <= 1:
            decode_until(0, below, below)
    kept = sorted(decoded, key=path_hash)
    chosen = [kept[index] for index in split(kept, share)[heldout]]
    return [(name, decoded[name]) for name in chosen[:count]]


def _first_of_groups(
    source: Path, names: list[str], size: int, count: int, survey: Survey, *, heldout: bool
) -> list[tuple[str, Decoded]]:
    """Decode files until there are enough images or tiles; a sample, because the split needs all files."""
    if survey.recipe.fit != "tiles":
        names = [names[index] for index in split_images(names, survey.recipe)[heldout]]
    found: list[tuple[str, Decoded]] = []
    images = 0
    for index, name in enumerate(names, 1):
        if images >= count:
            break
        with contextlib.suppress(NotAnImageError):
            following = names[index : index + count]
            image = decode_entry(source, Entry(name), size, survey.first_reading, following=following)
            survey.add(image)
            found.append((name, image))
            images += image.pixels.size // (3 * size * size)
    return found
