"""Checks before queueing: a worker would otherwise refuse the same images for each run of a group."""

from collections.abc import Iterable
from pathlib import Path

from core.config.schema import PRESET_DIVISORS, PRESET_WIDTH_DIVISORS, RunConfig
from core.data.preview import first_images
from core.data.recipe import find_data_recipe
from core.errors import UserError


def check_trainable(configs: Iterable[RunConfig]) -> None:
    """Refuse configurations whose images are missing or cannot be used, or do not fit the network.

    Of a folder only the first images are read.

    Raises:
        UserError: no such data set, a folder without an image that can be read, or a size that the network does not
            support.
    """
    checked: set[str] = set()
    for config in configs:
        check_shape(config)
        if config.data.dataset not in checked:
            checked.add(config.data.dataset)
            _check_folder(config.data.dataset)


def check_shape(config: RunConfig) -> None:
    """Refuse a size of images, or a width, that the network does not support; reads the recipe and no image.

    Raises:
        UserError: no such data set, or an unsupported size or width.
    """
    preset, name = config.model.preset, config.data.dataset
    recipe, divisor = find_data_recipe(name), PRESET_DIVISORS[preset]
    if recipe.size % divisor:
        larger = -(-recipe.size // divisor) * divisor
        raise UserError(
            f"{Path(name).name}: images of {recipe.size}x{recipe.size}, but the {preset} network takes multiples of "
            f"{divisor}: set size = {larger} in this recipe, and the images are resized"
        )
    width, step = config.resolved().model.width, PRESET_WIDTH_DIVISORS[preset]
    if width is not None and width % step:
        larger = -(-width // step) * step
        raise UserError(
            f"model.width = {width}: the {preset} network takes a multiple of {step}, such as {larger}"
        )


def _check_folder(name: str) -> None:
    recipe = find_data_recipe(name)
    if recipe.kind != "folder":
        return
    try:
        first_images(recipe, 1, heldout=False)
    except UserError:
        first_images(recipe, 1, heldout=True)  # a single image may be in either split
