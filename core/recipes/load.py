"""Training recipes: a TOML file to the configurations of its runs, one for each cell of its grid."""

import difflib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from core.config.load import Table, apply_overrides, decode, merge, read_toml, set_key
from core.config.schema import RunConfig
from core.errors import UserError
from core.schedules import make_schedule

PACKAGED: Final = Path(__file__).parent
MAX_RUNS: Final = 10_000

Axes = dict[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Recipe:
    """A named experiment: the configurations of its runs in the order of its grid, first axis slowest."""

    name: str
    description: str
    configs: tuple[RunConfig, ...]


class RecipeFile(RunConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a recipe's TOML may say: all that a run's configuration may, and how to make several of them."""

    description: str = ""
    extends: str | tuple[str, ...] = ()
    """Recipes to start from, later on top of earlier: names, or paths of .toml files beside this one."""
    grid: dict[str, Any] = msgspec.field(default_factory=dict)
    """Dotted keys with lists of values; there is one run for each combination."""


@dataclass(frozen=True)
class _Layer:
    """Plain values, and the axes of the grid; a key is in one of the two."""

    values: Table
    axes: Axes
    description: str = ""

    def overlaid_with(self, over: "_Layer") -> "_Layer":
        """This layer with another on top; who names a key last decides whether it is an axis, and which."""
        named = {key for key, _ in _leaves(over.values)} | over.axes.keys()
        axes = {key: values for key, values in self.axes.items() if key not in named}
        return _Layer(merge(self.values, over.values), axes | over.axes, over.description or self.description)


def list_recipes() -> list[tuple[str, str]]:
    """Name and description of the recipes that come with the program, sorted by name."""
    return [
        (path.stem, decode(read_toml(path), RecipeFile, source=str(path)).description)
        for path in sorted(PACKAGED.glob("*.toml"))
    ]


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and resolve it to the configurations of its runs.

    Args:
        name_or_path: `quick`, or the path of a .toml file.
        overrides: ``section.key=value`` each, as ``--set`` takes them. A value replaces an axis of the grid;
            a list of values makes one.

    Returns:
        The recipe; without a grid it has one run.

    Raises:
        UserError: there is no such recipe, it extends itself, or it says something that no run can do; the
            message names the file, the key and the nearest valid key or name.
    """
    path = _find_recipe_file(str(name_or_path), PACKAGED, beside=Path())
    layer = _read_layer(path, ())
    for assignment in overrides:
        layer = layer.overlaid_with(_override(assignment))
    name = layer.values.pop("recipe", path.stem)
    if (runs := _count(layer.axes)) > MAX_RUNS:
        raise UserError(f"{path}: its grid has {runs} runs; expected at most {MAX_RUNS}")
    configs = []
    for cell in itertools.product(*layer.axes.values()):
        table = merge(layer.values, {"recipe": name})
        for key, value in zip(layer.axes, cell, strict=True):
            set_key(table, key, value, source=f"{path}: grid")
        config = decode(table, RunConfig, source=str(path))
        _check(config, str(path))
        configs.append(config)
    return Recipe(name=str(name), description=layer.description, configs=tuple(configs))


def _find_recipe_file(name: str, packaged: Path, *, beside: Path) -> Path:
    if name.endswith(".toml"):
        try:
            path = beside / Path(name).expanduser()
        except RuntimeError as error:  # the home of nobody
            raise UserError(f"{name}: no such recipe file ({error})") from error
        if "\0" in name or not path.is_file():
            raise UserError(f"{name}: no such recipe file")
        return path
    names = sorted(path.stem for path in packaged.glob("*.toml"))
    if name in names:
        return packaged / f"{name}.toml"
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
    hint = f"did you mean {near[0]}? " if near else ""
    raise UserError(
        f"no recipe called {name!r}; {hint}Known: {', '.join(names)}; or give the path of a .toml file"
    )


def _read_layer(path: Path, below: tuple[Path, ...]) -> _Layer:
    """One file, on top of all that it extends; `below` are the files that led here."""
    here = path.resolve()
    if here in below:
        circle = " -> ".join(file.name for file in (*below[below.index(here) :], here))
        raise UserError(f"{path}: extends itself ({circle})")
    table = read_toml(path)
    file = decode(table, RecipeFile, source=str(path))
    layer = _Layer({}, {})
    for parent in (file.extends,) if isinstance(file.extends, str) else file.extends:
        layer = layer.overlaid_with(
            _read_layer(_find_recipe_file(parent, PACKAGED, beside=path.parent), (*below, here))
        )
    values = {key: value for key, value in table.items() if key not in ("description", "extends", "grid")}
    axes = {key: _parse_axis(key, values, f"{path}: grid") for key, values in _leaves(file.grid)}
    return layer.overlaid_with(_Layer(values, axes, file.description))


def _override(assignment: str) -> _Layer:
    source = f"--set {assignment}"
    table = apply_overrides({}, [assignment])
    values: Table = {}
    axes: Axes = {}
    for key, value in _leaves(table):
        if isinstance(value, list):
            axes[key] = _parse_axis(key, value, source)
        else:
            set_key(values, key, value, source=source)
    decode(values, RunConfig, source=source)
    return _Layer(values, axes)


def _parse_axis(key: str, values: Any, source: str) -> tuple[Any, ...]:
    """Values of one axis, each tried by itself, so that a mistake is named where it was made."""
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


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _count(axes: Axes) -> int:
    runs = 1
    for values in axes.values():
        runs *= len(values)
    return runs


def _check(config: RunConfig, source: str) -> None:
    """What the types cannot say; found now, not by a worker after the queue has come to it."""
    try:
        schedule = make_schedule(**msgspec.structs.asdict(config.schedule))
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    steps = config.sample.steps
    if steps is not None and steps > schedule.timesteps:
        raise UserError(
            f"{source}: sample.steps = {steps} is more than the schedule's {schedule.timesteps} timesteps; "
            f"expected at most {schedule.timesteps}"
        )
