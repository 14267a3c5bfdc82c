"""Settings of a run that change its data recipe: written as a recipe of their own when the run is queued."""

import contextlib
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import tomli_w

from core.config.schema import DataConfig, RunConfig
from core.data.recipe import CHANNELS, DataRecipe, check_recipe, default_data_dir, find_data_recipe
from core.errors import UserError
from core.files.atomic import write_new_file

OVERRIDES: Final = ("size", "fit", "tile", "background", "channels", "heldout_share", "heldout_by")
"""Keys of `[data]` that a data recipe has too."""


def run_data_recipe(data: DataConfig) -> DataRecipe:
    """Return the recipe of a run's images, with the run's settings.

    Raises:
        UserError: there is no such data set, or the settings do not suit it.
    """
    return override(find_data_recipe(data.dataset), data_overrides(data), "data")


def data_overrides(data: DataConfig) -> dict[str, object]:
    """Return the settings of `[data]` that change a recipe."""
    return {key: value for key in OVERRIDES if (value := getattr(data, key)) is not None}


def override(recipe: DataRecipe, settings: Mapping[str, object], source: str) -> DataRecipe:
    """Return a recipe with other settings and a name that says them; unchanged if there are none.

    Args:
        recipe: the recipe.
        settings: values by key; channels are `grey` or `colour`.
        source: begins an error.

    Raises:
        UserError: they do not go together.
    """
    if not settings:
        return recipe
    settings = {key: settings[key] for key in OVERRIDES if key in settings}  # one order, one name
    values = {
        **settings,
        **({"channels": CHANNELS[str(settings["channels"])]} if "channels" in settings else {}),
    }
    if values.get("fit", recipe.fit) != "tiles":
        values.setdefault("tile", None)
    changed = msgspec.structs.replace(
        recipe, name="-".join([recipe.name, *map(_word, settings.items())]), description="", **values
    )
    check_recipe(changed, source)
    return changed


def write_data_recipe(recipe: DataRecipe, path: Path) -> None:
    """Write a recipe as a new TOML file.

    Raises:
        UserError: the file exists, or cannot be written.
    """
    defaults = DataRecipe()
    changed = {
        name: getattr(recipe, name)
        for name in recipe.__struct_fields__
        if name == "kind" or getattr(recipe, name) not in (None, getattr(defaults, name))
    }
    try:
        write_new_file(path, [tomli_w.dumps(changed).encode()])
    except FileExistsError as error:
        raise UserError(f"{path}: exists already; give another name") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error


def with_data_recipe(config: RunConfig) -> RunConfig:
    """Write the settings of a run that change its data recipe as a recipe in the data folder, which the run then names.

    So everything that reads the run finds its images by name alone. The same settings have the same file.

    Raises:
        UserError: as for `run_data_recipe`, or the file cannot be written.
    """
    settings = data_overrides(config.data)
    if not settings:
        return config
    recipe = run_data_recipe(config.data)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", recipe.name).strip("-.")[:100] or "set"
    mark = hashlib.sha256(msgspec.json.encode(recipe)).hexdigest()[:8]
    folder = default_data_dir().absolute()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}.toml"
    if path.exists() and not _holds(path, recipe):
        path = folder / f"{stem}-{mark}.toml"
    if not path.exists():
        write_data_recipe(recipe, path)
    data = msgspec.structs.replace(config.data, dataset=str(path), **dict.fromkeys(settings))
    return msgspec.structs.replace(config, data=data)


def _holds(path: Path, recipe: DataRecipe) -> bool:
    with contextlib.suppress(UserError):
        return find_data_recipe(str(path)) == recipe
    return False


def _word(setting: tuple[str, object]) -> str:
    key, value = setting
    if key in ("heldout_share", "heldout_by"):
        return f"{key.replace('_', '-')}-{value}"
    return str(value).removeprefix("#")
