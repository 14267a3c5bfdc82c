"""Checks before queueing: a worker would otherwise refuse the same settings or images for each run of a group."""

from collections.abc import Sequence

from core.config.consistency import check_consistent
from core.config.sampling_levels import sampling_calls
from core.config.schema import DataConfig, RunConfig
from core.data.labels import check_labels
from core.data.overrides import run_data_recipe
from core.data.preview import planned_size
from core.data.recipe import DataRecipe
from core.errors import UserError
from core.imaging.sheet import MAX_PIXELS


def check_trainable(configs: Sequence[RunConfig]) -> None:
    """Refuse configurations that cannot be trained: their settings do not go together, or their images are missing.

    Of a folder only the first images are read.

    Raises:
        UserError: see `check_settings`; labels that are wanted and not there; or a folder without an image that can be
            read.
    """
    sides: dict[DataRecipe, int] = {}
    recipes: dict[DataConfig, DataRecipe] = {}
    for config in configs:
        check_consistent(config)
        if config.data not in recipes:
            recipes[config.data] = run_data_recipe(config.data)
            if config.data.labels:
                check_labels(recipes[config.data])
        recipe = recipes[config.data]
        if recipe not in sides:
            sides[recipe] = planned_size(recipe)
        _check_sheets(config, sides[recipe])


def check_settings(config: RunConfig) -> None:
    """Refuse settings that do not go together, or not with the size of the images; reads the recipe and no image.

    Raises:
        UserError: no such data set; sheets of samples too large to be shown; or as `check_consistent`.
    """
    check_consistent(config)
    _check_sheets(config, run_data_recipe(config.data).side)


def _check_sheets(config: RunConfig, side: int) -> None:
    sample = config.sample
    most = MAX_PIXELS // (side + 1) ** 2
    if sample.count > most:
        raise UserError(
            f"sample.count = {sample.count}: too many images of {side}x{side} for one sheet; expected at most {most}"
        )
    states = min(sample.reverse_states, sampling_calls(config) + 1)
    if sample.reverse_count * states > most:
        raise UserError(
            f"sample.reverse_count = {sample.reverse_count}, with {states} states each: too many images of "
            f"{side}x{side} for one sheet; expected at most {most} in all"
        )
