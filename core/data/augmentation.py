"""Augmentation that suits a data set: symmetries that its images have, which `train.augment = "auto"` takes."""

from typing import Literal

import msgspec

from core.config.schema import RunConfig
from core.data.recipe import DataRecipe, find_data_recipe
from core.errors import UserError

Augment = Literal["none", "flips", "dihedral"]


def own_augment(recipe: DataRecipe) -> Augment:
    """Return the augmentation of a recipe: its setting, else all symmetries for triangles and none for a folder.

    Triangles have all eight symmetries of the square. Letters and faces have none that may be assumed.
    """
    return recipe.augment or ("dihedral" if recipe.kind == "triangles" else "none")


def with_own_augment(config: RunConfig) -> RunConfig:
    """Replace `auto` by the augmentation of the data set, so that a run keeps it; unchanged if there is no such set."""
    return _with_augment(config, _own_augment(config)) if config.train.augment == "auto" else config


def without_own_augment(config: RunConfig) -> RunConfig:
    """Replace the data set's own augmentation by `auto`.

    A run that is set up from this one with another data set then gets the augmentation of that set.
    """
    return _with_augment(config, "auto") if config.train.augment == _own_augment(config) else config


def _own_augment(config: RunConfig) -> Literal["auto", "none", "flips", "dihedral"]:
    try:
        return own_augment(find_data_recipe(config.data.dataset))
    except UserError:
        return "auto"


def _with_augment(config: RunConfig, augment: Literal["auto", "none", "flips", "dihedral"]) -> RunConfig:
    return msgspec.structs.replace(config, train=msgspec.structs.replace(config.train, augment=augment))
