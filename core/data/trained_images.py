"""The images that a run was trained on: found in the cache whatever became of their source, or made once more."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from core.config.trained_with import TrainedWith, images_text
from core.data import cache, folder
from core.data.making import Progress
from core.data.recipe import HELDOUT_TRIANGLES, TRIANGLES, DataRecipe, default_data_dir, find_data_recipe
from core.data.sets import ImageSet, load_dataset
from core.errors import UserError


class ImagesChangedError(UserError):
    """The images that a run was trained on are not there any more."""


def find_trained_images(
    trained_with: TrainedWith, data_dirs: Sequence[Path], *, labels: bool = False
) -> ImageSet | None:
    """Find the set that a run was trained on in the cache, or None.

    Args:
        trained_with: the run's record; without a fingerprint nothing is found.
        data_dirs: folders of sets, in the order in which they are searched.
        labels: pass over sets without labels.
    """
    train, heldout = trained_with.train, trained_with.heldout
    for data_dir in dict.fromkeys(data_dirs) if trained_with.fingerprint else ():
        cached = cache.find_set(
            data_dir, trained_with.fingerprint, count=train, heldout=heldout, labelled=labels
        )
        if cached is not None:
            images = ImageSet.from_cached(
                cached, cached.record.recipe, train=trained_with.train, heldout=trained_with.heldout
            )
            return replace(images, notes=trained_with.notes)
    return None


def find_set_for_count(fingerprint: str, count: int | None, data_dir: Path) -> ImageSet | None:
    """Find a cached set by its fingerprint, with at least `count` training images; None if there is none.

    Args:
        fingerprint: of the set.
        count: training images, as for `load_dataset`.
        data_dir: folder of the sets.
    """
    cached = cache.find_set(data_dir, fingerprint, count=1, heldout=1)
    if cached is None:
        return None
    recipe = cached.record.recipe
    train = count or recipe.count
    if recipe.kind == "triangles" and len(cached.train) < (train or TRIANGLES):
        return None
    return ImageSet.from_cached(cached, recipe, train=train, heldout=recipe.heldout)


def load_trained_images(
    name_or_path: str,
    trained_with: TrainedWith,
    *,
    count: int | None = None,
    data_dir: Path | None = None,
    progress: Progress | None = None,
    labels: bool = False,
) -> ImageSet:
    """Load the set that a run was trained on. If it is not cached, it is made once more.

    Args:
        name_or_path: the data set, as for `find_data_recipe`.
        trained_with: the run's record.
        count: training images of a folder, as for `load_dataset`.
        data_dir: folder of the sets; None takes `default_data_dir`.
        progress: as for `load_dataset`.
        labels: require labels, as for `load_dataset`.

    Raises:
        ImagesChangedError: the set is not cached, and cannot be made because its source has changed.
    """
    data_dir = data_dir or default_data_dir()
    found = find_trained_images(trained_with, [data_dir], labels=labels)
    if found is not None:
        return found
    recipe = _require_source(name_or_path, trained_with, data_dir)
    heldout = None
    if recipe.kind == "triangles":  # as many as before, of any number
        count, heldout = trained_with.train, trained_with.heldout
    try:
        images = load_dataset(
            recipe, data_dir=data_dir, count=count, heldout=heldout, progress=progress, labels=labels
        )
    except UserError as error:
        raise ImagesChangedError(_changed_text(name_or_path, trained_with, f"now: {error}")) from error
    if trained_with.pixels and images.pixels_digest != trained_with.pixels:
        now = images_text(len(images.train), len(images.heldout), images.channels, images.size)
        other = " that differ" if now == trained_with.images_text else ""
        raise ImagesChangedError(_changed_text(name_or_path, trained_with, f"now it has {now}{other}"))
    return images


def check_trained_images(name_or_path: str, trained_with: TrainedWith, data_dirs: Sequence[Path]) -> None:
    """Refuse a run whose images are not cached and clearly cannot be made again; makes nothing.

    Args:
        name_or_path: the data set, as for `find_data_recipe`.
        trained_with: the run's record.
        data_dirs: folders of sets, in the order in which they are searched.

    Raises:
        ImagesChangedError: the source is gone, makes images of another size, or has fewer files than images.
    """
    if not trained_with.fingerprint or find_trained_images(trained_with, data_dirs) is not None:
        return
    recipe = _require_source(name_or_path, trained_with, data_dirs[0])
    if recipe.kind != "folder":
        return
    files = len(folder.image_files(Path(recipe.path or "."), leave_out=data_dirs[0]))
    if files < trained_with.train:
        now = f"now it has {files:,} file{'s' * (files != 1)}"
        raise ImagesChangedError(_changed_text(name_or_path, trained_with, now))


def _require_source(name_or_path: str, trained_with: TrainedWith, data_dir: Path) -> DataRecipe:
    """Return the recipe of a set that has to be made again."""
    try:
        recipe = find_data_recipe(name_or_path, data_dir)
    except UserError as error:
        raise ImagesChangedError(_changed_text(name_or_path, trained_with, "now it is gone")) from error
    if recipe.size is None and recipe.kind == "folder":
        # An older version resized all images to 32x32; the size of the images was chosen then.
        recipe = msgspec.structs.replace(recipe, size=trained_with.size)
    if recipe.side != trained_with.size:
        now = f"now its recipe makes {recipe.side}x{recipe.side}"
        raise ImagesChangedError(_changed_text(name_or_path, trained_with, now))
    if recipe.kind == "triangles":
        available = recipe.count or TRIANGLES, recipe.heldout or HELDOUT_TRIANGLES
        if available[1] < trained_with.heldout:
            now = images_text(*available, recipe.channels or 1, recipe.side)
            raise ImagesChangedError(_changed_text(name_or_path, trained_with, f"now it has {now}"))
    return recipe


def _changed_text(name: str, trained_with: TrainedWith, now: str) -> str:
    return (
        f"{name}: the training began with {trained_with.images_text}, of which no copy is left; {now}. "
        "Put the old images back, or train a new run on the new ones with core runs clone"
    )
