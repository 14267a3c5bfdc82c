"""Training recipes: TOML files that resolve to the configurations of runs, one for each cell of a grid."""

import itertools
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from core.config.consistency import check_consistent
from core.config.launch import LaunchConfig
from core.config.load import apply_overrides, decode, read_toml
from core.config.schema import RunConfig
from core.config.tables import Table, flatten, merge, set_key
from core.errors import UserError, did_you_mean

PACKAGED: Final = Path(__file__).parent
MAX_RUNS: Final = 10_000

Axes = dict[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Recipe:
    """A named experiment: the configurations of its runs in grid order, the first axis slowest."""

    name: str
    description: str
    configs: tuple[RunConfig, ...]
    launch: Table = field(default_factory=dict)
    """Settings of its `[launch]`, for `core.launch.engines.settings`; empty if it has none."""


class RecipeFile(RunConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Schema of a recipe's TOML: the configuration of a run, and a grid that makes several of it."""

    description: str = ""
    extends: str | tuple[str, ...] = ()
    """Recipes to start from, later ones override earlier ones: names, or paths relative to this file."""
    launch: LaunchConfig = LaunchConfig()
    grid: dict[str, Any] = msgspec.field(default_factory=dict)
    """Dotted keys with lists of values; each combination is one run."""


@dataclass(frozen=True)
class _Layer:
    """Plain values and the axes of the grid. A key is in one of the two."""

    values: Table
    axes: Axes
    description: str = ""

    def overlaid_with(self, over: "_Layer") -> "_Layer":
        """Merge another layer on top of this one. A key that both have is a value or an axis as in `over`."""
        overridden = flatten(over.values).keys() | over.axes.keys()
        axes = {key: values for key, values in self.axes.items() if key not in overridden}
        return _Layer(merge(self.values, over.values), axes | over.axes, over.description or self.description)


def list_recipes() -> list[tuple[str, str]]:
    """List the name and the description of all packaged recipes, sorted by name."""
    return [
        (path.stem, decode(read_toml(path), RecipeFile, source=str(path)).description)
        for path in sorted(PACKAGED.glob("*.toml"))
    ]


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Load a recipe and resolve it to the configurations of its runs.

    Args:
        name_or_path: `quick`, or the path of a .toml file.
        overrides: ``section.key=value`` each, as for ``--set``. A value replaces an axis of the grid; a list of
            values becomes an axis.

    Returns:
        The recipe. Without a grid it has one run.

    Raises:
        UserError: there is no such recipe, it extends itself, or it has settings that no run can use. The message
            names the file, the key and the nearest valid key or name.
    """
    path = _find_recipe_file(str(name_or_path), base=Path())
    layer = _read_layer(path, ())
    for assignment in overrides:
        layer = layer.overlaid_with(_override(assignment))
    name = layer.values.pop("recipe", path.stem)
    launch = layer.values.pop("launch", {})
    if (runs := math.prod(map(len, layer.axes.values()))) > MAX_RUNS:
        raise UserError(f"{path}: its grid has {runs} runs; expected at most {MAX_RUNS}")
    configs = []
    for cell in itertools.product(*layer.axes.values()):
        table = merge(layer.values, {"recipe": name})
        for key, value in zip(layer.axes, cell, strict=True):
            set_key(table, key, value, source=f"{path}: grid")
        config = decode(table, RunConfig, source=str(path))
        _check(config, str(path))
        configs.append(config)
    return Recipe(name=str(name), description=layer.description, configs=tuple(configs), launch=dict(launch))


def _find_recipe_file(name: str, *, base: Path) -> Path:
    """Return the file of a packaged recipe, or the path of a .toml file, relative to `base`."""
    if name.endswith(".toml"):
        try:
            path = base / Path(name).expanduser()
        except RuntimeError as error:  # the home of an unknown user
            raise UserError(f"{name}: no such recipe file ({error})") from error
        if "\0" in name or not path.is_file():
            raise UserError(f"{name}: no such recipe file")
        return path
    names = sorted(path.stem for path in PACKAGED.glob("*.toml"))
    if name in names:
        return PACKAGED / f"{name}.toml"
    if name and os.path.isdir(base / name):  # False for names that no file can have
        raise UserError(
            f"no recipe called {name!r}; it is a folder: train on its images with --set data.dataset={name}"
        )
    hint = f"{did_you_mean(name, names)} Known".lstrip()
    raise UserError(
        f"no recipe called {name!r}; {hint}: {', '.join(names)}; or give the path of a .toml file "
        "or of your images"
    )


def _read_layer(path: Path, parents: tuple[Path, ...]) -> _Layer:
    """Read a file, merged on top of the files that it extends; `parents` are the files that extend this one."""
    resolved = path.resolve()
    if resolved in parents:
        cycle = " -> ".join(file.name for file in (*parents[parents.index(resolved) :], resolved))
        raise UserError(f"{path}: extends itself ({cycle})")
    table = read_toml(path)
    file = decode(table, RecipeFile, source=str(path))
    layer = _Layer({}, {})
    for name in (file.extends,) if isinstance(file.extends, str) else file.extends:
        extended = _find_recipe_file(name, base=path.parent)
        layer = layer.overlaid_with(_read_layer(extended, (*parents, resolved)))
    values = {key: value for key, value in table.items() if key not in ("description", "extends", "grid")}
    axes = {key: _parse_axis(key, values, f"{path}: grid") for key, values in flatten(file.grid).items()}
    return layer.overlaid_with(_Layer(values, axes, file.description))


def _override(assignment: str) -> _Layer:
    source = f"--set {assignment}"
    table = apply_overrides({}, [assignment])
    values: Table = {}
    axes: Axes = {}
    if launch := table.pop("launch", None):
        decode({"launch": launch}, RecipeFile, source=source)
        values["launch"] = launch
    for key, value in flatten(table).items():
        if isinstance(value, list):
            axes[key] = _parse_axis(key, value, source)
        else:
            set_key(values, key, value, source=source)
    decode({key: value for key, value in values.items() if key != "launch"}, RunConfig, source=source)
    return _Layer(values, axes)


def _parse_axis(key: str, values: Any, source: str) -> tuple[Any, ...]:
    """Validate the values of one axis, each by itself, so that an error names the source of the value."""
    if not isinstance(values, list) or not values:
        raise UserError(
            f'{source}: {key} = {values!r}: expected a list of at least one value, like ["linear", "sine"]'
        )
    for value in values:
        if isinstance(value, Mapping):
            raise UserError(f"{source}: {key}: expected plain values; name the key itself, like {key}.KEY")
        table: Table = {}
        set_key(table, key, value, source=source)
        decode(table, RunConfig, source=source)
    return tuple(values)


def _check(config: RunConfig, source: str) -> None:
    """Check what the types cannot express, so that the error comes before the run is queued, not from its worker."""
    try:
        check_consistent(config)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
