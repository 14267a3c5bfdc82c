"""Recipes by name or by images: a folder or file of images is trained on with recipe `images`, fitted to it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.config.load import read_toml
from core.config.schema import DataConfig, RunConfig
from core.config.trained_with import images_text
from core.data.check import check_trainable
from core.data.overrides import data_overrides, run_data_recipe
from core.data.recipe import find_data_recipe
from core.data.sets import ImageSet, load_dataset
from core.errors import UserError
from core.launch.devices import make_plan
from core.launch.step_time import estimate_step_seconds
from core.recipes import Recipe, list_recipes, load_recipe
from core.recipes.images_rule import MIN_STEPS, images_rule, step_limit

IMAGES_RECIPE: Final = "images"
_BATCH: Final = "train.batch_size"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class FoundRecipe:
    """A recipe, with lines for the user about what was fitted to the images; without any for other recipes."""

    recipe: Recipe
    summary: str = ""
    warning: str = ""


def find_recipe(
    name_or_images: str,
    overrides: Sequence[str] = (),
    *,
    device: str = "auto",
    progress: Progress | None = None,
) -> FoundRecipe:
    """Find a recipe by its name or file, or make one for images: recipe `images`, by its rule.

    The set of the images is made if it is not there yet, because the rule needs their number and size.

    Args:
        name_or_images: a recipe's name, which wins over a folder of that name, the path of a recipe's .toml, or
            whatever `core.data.recipe.find_data_recipe` takes but the name of a set of triangles.
        overrides: as for `load_recipe`; they win over the rule.
        device: as for `make_plan`, for the estimated time.
        progress: called with the number of images done and the total while the set is made.

    Raises:
        UserError: as `load_recipe` and `load_dataset`.
    """
    is_images = _is_images(name_or_images)
    if not is_images and name_or_images != IMAGES_RECIPE:
        return FoundRecipe(load_recipe(name_or_images, overrides))
    given = [f"data.dataset={_quoted(name_or_images)}", *overrides] if is_images else list(overrides)
    recipe = load_recipe(IMAGES_RECIPE, given)
    config = recipe.configs[0]
    if len({_set_of_images(one.data) for one in recipe.configs}) > 1:
        return FoundRecipe(recipe)  # no rule fits several sets
    if data_overrides(config.data) or config.data.labels:
        check_trainable(recipe.configs)  # before a large set is made
    images = load_dataset(
        run_data_recipe(config.data), count=config.data.count, progress=progress, labels=config.data.labels
    )
    batch = config.train.batch_size if any(text.startswith(_BATCH) for text in overrides) else None
    rule = images_rule(len(images.train), images.size, batch)
    fitted = rule.overrides(is_lean=config.model.preset == "lean")
    recipe = load_recipe(IMAGES_RECIPE, [*given[:is_images], *fitted, *overrides])
    return _describe(recipe, images, device)


def _set_of_images(data: DataConfig) -> tuple[object, ...]:
    """Return the settings that choose a run's images."""
    return data.dataset, data.count, *data_overrides(data).items()


def _is_images(name: str) -> bool:
    if name in dict(list_recipes()):
        return False
    path = Path(name)
    if name.endswith(".toml"):
        return path.is_file() and "kind" in read_toml(path)
    try:
        return find_data_recipe(name).kind != "triangles"
    except UserError:
        if name and path.exists():
            raise
        return False


def _quoted(text: str) -> str:
    """Quote a path as a string of TOML, so that no name of a folder is taken for a number or a list."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _describe(recipe: Recipe, images: ImageSet, device: str) -> FoundRecipe:
    config = recipe.configs[0].resolved()
    train, count = config.train, len(images.train)
    limit, limited_by = step_limit(train, count)
    step_seconds = _step_seconds(config, images, device, len(recipe.configs))
    fitting = math.inf
    if train.max_minutes and step_seconds:
        fitting = 60 * train.max_minutes / step_seconds
    network = f"{config.model.preset} network of width {config.model.width}"
    shape = images_text(count, len(images.heldout), images.channels, images.size)
    budget = f"up to {limit:,} steps of {train.batch_size} images"
    if train.max_minutes:
        budget += f", at most {train.max_minutes:g} minute" + "s" * (train.max_minutes != 1)
    if fitting < limit:
        budget += f"; about {_rounded(fitting):,} steps fit here"
    elif step_seconds:
        budget += f"; about {_minutes_text(limit * step_seconds)} here"
    warning = ""
    if (expected := min(limit, fitting)) < MIN_STEPS:
        number = (
            f"{int(expected):,} steps are" if expected == limit else f"about {_rounded(expected):,} steps are"
        )
        key = limited_by if expected == limit else "train.max_minutes"
        time = (
            f" take about {_minutes_text(MIN_STEPS * step_seconds)} here"
            if step_seconds
            else " are a beginning"
        )
        warning = f"{number} too few for new images; {MIN_STEPS:,}{time}: raise {key}"
    return FoundRecipe(recipe, f"{images.name}: {shape}; {network}; {budget}", warning)


def _step_seconds(config: RunConfig, images: ImageSet, device: str, runs: int) -> float:
    """Estimate the seconds of a step of all runs together; 0 where there is no estimate: on GPUs and other networks."""
    plan = make_plan(device)
    if plan.devices[0].kind != "cpu" or config.model.preset != "lean" or config.model.width is None:
        return 0.0
    return runs * estimate_step_seconds(
        size=images.size,
        width=config.model.width,
        batch_size=config.train.batch_size,
        cores=plan.cores,
    )


def _minutes_text(seconds: float) -> str:
    """Say a time in words.

    >>> _minutes_text(200), _minutes_text(20), _minutes_text(9000)
    ('3 minutes', 'a minute', '2.5 hours')
    """
    minutes = round(seconds / 60)
    if minutes <= 1:
        return "a minute"
    return f"{minutes} minutes" if minutes < 100 else f"{minutes / 60:.1f} hours"


def _rounded(number: float) -> int:
    """Round to two digits, as an estimate deserves."""
    digits = max(0, len(str(int(number))) - 2)
    return int(round(number, -digits)) if number >= 1 else 1
