"""What a set of pictures is made of: the struct behind `datasets/*.toml`, and where those are looked for."""

import difflib
import os
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from core.config.load import decode, read_toml
from core.errors import UserError
from core.files.untrusted import absolute_if_exists

DATA_DIR_VARIABLE: Final = "DDPM_DATA"
TRIANGLES: Final = 10_000
HELDOUT_TRIANGLES: Final = 2_000

Count = Annotated[int, Meta(ge=1, le=10_000_000)]
Side = Annotated[int, Meta(ge=1, le=4096)]


class DataRecipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One set of pictures: how many, how large, and how they come to be.

    For `kind = "triangles"` a picture is drawn on a square canvas, stored, read back and resized.
    """

    name: str = ""
    """Empty takes the name of the file."""
    description: str = ""
    kind: Literal["triangles", "folder"] = "triangles"
    count: Count | None = None
    """Training pictures; None is 10,000 triangles, or all of a folder."""
    heldout: Count | None = None
    """Held-out pictures; None is 2,000 triangles, or all of a folder that its split holds out."""
    size: Side = 32
    """Pixels a side of the finished picture."""
    channels: Literal[1, 3] | None = None
    """1 grey, 3 colour; None is grey for triangles, and for a folder colour if any picture has some."""
    seed: Annotated[int, Meta(ge=0)] = 0
    canvas: Annotated[int, Meta(ge=1, le=8192)] | None = None
    """Pixels a side of the canvas that triangles are drawn on; None draws at `size`."""
    antialias: bool = False
    """Draw edges in greys; False leaves strictly two values on the canvas."""
    storage: Literal["jpeg", "png", "array"] = "png"
    """What the drawn canvas is stored as and read back from; png and array lose nothing."""
    quality: Annotated[int, Meta(ge=1, le=100)] = 75
    """Of the jpeg storage."""
    path: str | None = None
    """For `kind = "folder"`: the folder; a relative one starts at the recipe's own file."""


def default_data_dir() -> Path:
    """Where generated sets live: ``$DDPM_DATA``, else ``datasets`` in the current folder."""
    return Path(os.environ.get(DATA_DIR_VARIABLE) or "datasets")


def packaged_recipes_dir() -> Path:
    """The folder of the recipes that come with the program: in a wheel, or in a checkout its ``datasets``."""
    inside = Path(__file__).parent / "recipes"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "datasets"


def list_data_recipes(data_dir: Path | None = None) -> list[DataRecipe]:
    """All recipes that can be called by name, sorted by it; a file of the data folder hides a packaged one.

    Raises:
        UserError: one of the files is not a recipe.
    """
    return [_read(path) for _, path in sorted(_recipe_files(data_dir).items())]


def data_recipe_names(data_dir: Path | None = None) -> list[str]:
    """The names by which recipes can be called, sorted; whether each is valid is seen when it is looked up."""
    return sorted(_recipe_files(data_dir))


def find_data_recipe(name_or_path: str, data_dir: Path | None = None) -> DataRecipe:
    """Look up a recipe by name, by the path of its TOML file, or as a plain folder of pictures.

    Args:
        name_or_path: `high`, `my/recipe.toml` or `~/holiday`; a name wins over a folder of that name.
        data_dir: where generated sets and a person's own recipes live; None takes `default_data_dir`.

    Raises:
        UserError: there is no such recipe (the message lists those that are), or it is not valid.
    """
    files = _recipe_files(data_dir)
    if name_or_path in files:
        return _read(files[name_or_path])
    try:
        path = Path(name_or_path).expanduser()
        if name_or_path.endswith(".toml"):
            return _read(path)
        if name_or_path and path.is_dir():
            resolved = path.resolve()
            str(resolved).encode()  # recipe files are UTF-8, and could not name a folder that is not
            return DataRecipe(name=resolved.name or "pictures", kind="folder", path=str(resolved))
    except (OSError, ValueError, RuntimeError) as error:  # a path that no system knows, or the home of nobody
        raise UserError(f"data set {name_or_path!r}: cannot be looked up ({error})") from error
    near = difflib.get_close_matches(name_or_path, files, n=1, cutoff=0.0)
    hint = f"did you mean {near[0]}? " if near else ""
    known = ", ".join(sorted(files)) or "none"
    raise UserError(
        f"no data set called {name_or_path!r}; {hint}Known: {known}; or give a folder of pictures "
        "or a recipe's .toml"
    )


def absolute_dataset(name_or_path: str, directory: Path | None = None) -> str:
    """What `find_data_recipe` takes for the same set in every working directory.

    The path of a recipe or of a folder becomes absolute. A name stays as it is, and so does what is not there.

    Args:
        name_or_path: as for `find_data_recipe`.
        directory: what a relative path starts at, and where the data folder lies; the working directory unless given.
    """
    try:
        path = Path(name_or_path).expanduser()
    except RuntimeError:  # the home of nobody
        return name_or_path
    found = absolute_if_exists(path, directory) if name_or_path else None
    if found is None or name_or_path in _recipe_files((directory or Path()) / default_data_dir()):
        return name_or_path
    is_set = Path(found).is_file() if name_or_path.endswith(".toml") else Path(found).is_dir()
    return found if is_set else name_or_path


def _recipe_files(data_dir: Path | None) -> dict[str, Path]:
    folders = (packaged_recipes_dir(), data_dir or default_data_dir())
    return {path.stem: path for folder in folders for path in folder.glob("*.toml")}


def _read(path: Path) -> DataRecipe:
    recipe = decode(read_toml(path), DataRecipe, source=str(path))
    if not recipe.name:
        recipe = msgspec.structs.replace(recipe, name=path.stem)
    if recipe.kind == "folder" and recipe.path:
        folder = (path.parent / Path(recipe.path).expanduser()).resolve()
        recipe = msgspec.structs.replace(recipe, path=str(folder))
    elif recipe.kind == "triangles":
        recipe = msgspec.structs.replace(
            recipe, count=recipe.count or TRIANGLES, heldout=recipe.heldout or HELDOUT_TRIANGLES
        )
    check_recipe(recipe, str(path))
    return recipe


def check_recipe(recipe: DataRecipe, source: str) -> None:
    """What the types cannot say: which settings go together.

    Raises:
        UserError: a folder without a path, a canvas below the size, or an array that is not two-valued.
    """
    if recipe.kind == "folder":
        if not recipe.path:
            raise UserError(f'{source}: kind = "folder" needs path = "a folder of pictures"')
        return
    canvas = recipe.canvas or recipe.size
    if canvas < recipe.size:
        raise UserError(
            f"{source}: canvas = {canvas} is smaller than size = {recipe.size}; expected at least the size"
        )
    if recipe.storage == "array" and (recipe.antialias or canvas != recipe.size):
        raise UserError(
            f'{source}: storage = "array" is strictly two-valued; leave out antialias and canvas, or take png'
        )
