"""Recipes of data sets: the struct of `datasets/*.toml`, and the lookup of these files."""

import os
import re
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from core.config.load import decode, read_toml
from core.data.torchvision_set import PREFIX, export_path
from core.errors import UserError, did_you_mean
from core.files.untrusted import absolute_if_exists

DATA_DIR_VARIABLE: Final = "DDPM_DATA"
TRIANGLES: Final = 10_000
HELDOUT_TRIANGLES: Final = 2_000
ARCHIVE_SUFFIXES: Final = (
    ".zip",
    *(".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz"),
)
FILES_OF_IMAGES: Final = "a zip, tar, .npy, .npz, IDX, parquet or arrow file of images"
DEFAULT_SIZE: Final = 32
MAX_OWN_SIZE: Final = 64
"""Pixels per side of the largest images that keep their own size without being asked."""
FOLDER_DEFAULTS: Final[dict[str, object]] = {
    **dict.fromkeys(("background", "white", "tile", "heldout_share")),
    "fit": "crop",
    "heldout_by": "image",
}
"""Settings of folders only, with their defaults, which fingerprints leave out."""
CHANNELS: Final[dict[str, Literal[1, 3]]] = {"grey": 1, "colour": 3}
BACKGROUNDS: Final = r"black|white|grey|#[0-9A-Fa-f]{6}"

Count = Annotated[int, Meta(ge=1, le=10_000_000)]
Side = Annotated[int, Meta(ge=1, le=4096)]


class DataRecipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Recipe of a data set: count, size and source of its images.

    For `kind = "triangles"` an image is drawn on a square canvas, stored, read back and resized.
    """

    name: str = ""
    """Empty takes the name of the file."""
    description: str = ""
    kind: Literal["triangles", "folder"] = "triangles"
    count: Count | None = None
    """Training images; None is 10,000 triangles, or all of a folder."""
    heldout: Count | None = None
    """Held-out images; None is 2,000 triangles, or all held-out images of a folder."""
    size: Side | None = None
    """Pixels per side of the final image; None is 32 for triangles, and for a folder the files' own size if all are
    squares of the same size of at most 64, else 32."""
    channels: Literal[1, 3] | None = None
    """1 or `grey`, 3 or `colour`; None is grey for triangles, and for a folder colour if any image has colour."""
    seed: Annotated[int, Meta(ge=0)] = 0
    canvas: Annotated[int, Meta(ge=1, le=8192)] | None = None
    """Pixels per side of the canvas that triangles are drawn on; None draws at `size`."""
    antialias: bool = False
    """Draw edges in greys; False draws only two values."""
    storage: Literal["jpeg", "png", "array"] = "png"
    """Format that the canvas is stored in and read back from; png and array are lossless."""
    quality: Annotated[int, Meta(ge=1, le=100)] = 75
    """JPEG quality."""
    path: str | None = None
    """For `kind = "folder"`: the folder, or a zip, tar, `.npy`, `.npz`, IDX, parquet or arrow file of images, relative
    to the recipe's file; or `torchvision:NAME`."""
    labels: Literal["angles"] | None = None
    """For `kind = "triangles"`: `angles` draws acute, right and obtuse triangles equally often, labelled so."""
    augment: Literal["none", "flips", "dihedral"] | None = None
    """Augmentation for `train.augment = "auto"`; None is dihedral for triangles, and none for a folder."""
    background: str | None = None
    """For `kind = "folder"`: colour behind transparent images, `black`, `white`, `grey` or `#rrggbb`; None is black, or
    white if what is visible is dark."""
    fit: Literal["crop", "pad", "squash", "tiles"] = "crop"
    """For `kind = "folder"`: crop an image to the square at its centre, pad it with `background`, squash it to a
    square, or cut it into tiles that share no pixels."""
    tile: Side | None = None
    """For `fit = "tiles"`: pixels per side of a tile in the photograph; None is `size`."""
    heldout_share: Annotated[float, Meta(gt=0, lt=1)] | None = None
    """For `kind = "folder"`: share of the images that is held out; None is 0.1."""
    heldout_by: Literal["image", "folder"] = "image"
    """For `kind = "folder"`: hold out single images, or all images of a folder together."""
    white: Annotated[float, Meta(gt=0, le=1e12)] | None = None
    """For `kind = "folder"`: the value of white in images of 16 or 32 bits, and in those of floating-point numbers,
    which are skipped without it; None takes the usual range that fits all images."""

    @property
    def side(self) -> int:
        """Pixels per side of triangles, and of the images of a folder whose own size is not taken."""
        return self.size or (self.tile if self.tile and self.tile <= MAX_OWN_SIZE else DEFAULT_SIZE)


def default_data_dir() -> Path:
    """Return the folder of generated sets: ``$DDPM_DATA``, else ``datasets`` in the working directory."""
    return Path(os.environ.get(DATA_DIR_VARIABLE) or "datasets")


def packaged_recipes_dir() -> Path:
    """Return the folder of the packaged recipes: inside the package in a wheel, ``datasets`` in a checkout."""
    inside = Path(__file__).parent / "recipes"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "datasets"


def list_data_recipes(data_dir: Path | None = None) -> list[DataRecipe]:
    """Read all recipes that have a name, sorted by name. A recipe in the data folder hides a packaged one.

    Raises:
        UserError: one of the files is not a recipe.
    """
    return [_read(path) for _, path in sorted(_recipe_files(data_dir).items())]


def data_recipe_names(data_dir: Path | None = None) -> list[str]:
    """List the names of all recipes, sorted. A recipe is validated only when it is looked up."""
    return sorted(_recipe_files(data_dir))


def find_data_recipe(name_or_path: str, data_dir: Path | None = None) -> DataRecipe:
    """Look up a recipe by name, by the path of its TOML file, or as a plain folder or a file of images.

    Args:
        name_or_path: `high`, `my/recipe.toml`, `~/holiday` or `torchvision:MNIST`; a name wins over a folder of that
            name.
        data_dir: folder of generated sets and the user's recipes; None takes `default_data_dir`.

    Raises:
        UserError: there is no such recipe (the message lists the known ones), or it is not valid.
    """
    files = _recipe_files(data_dir)
    if name_or_path in files:
        return _read(files[name_or_path])
    if name_or_path.startswith(PREFIX):
        path = export_path(name_or_path, data_dir or default_data_dir())
        return DataRecipe(name=path.name.split(".")[0], kind="folder", path=str(path))
    try:
        path = Path(name_or_path).expanduser()
        if name_or_path.endswith(".toml"):
            return _read(path)
        if name_or_path and (path.is_dir() or is_file_of_images(path)):
            resolved = path.resolve()
            str(resolved).encode()  # recipe files are UTF-8, and cannot name a folder that is not
            name = resolved.name if path.is_dir() else resolved.name.split(".")[0]
            return DataRecipe(name=name or "pictures", kind="folder", path=str(resolved))
        is_file = path.is_file()
    except (
        OSError,
        ValueError,
        RuntimeError,
    ) as error:  # a path that is not valid on this system, or the home of an unknown user
        problem = "its name is not UTF-8; rename it" if isinstance(error, UnicodeError) else error
        raise UserError(f"data set {name_or_path!r}: cannot be looked up ({problem})") from error
    if is_file:
        raise UserError(
            f"data set {name_or_path!r}: a file; expected a folder of images, such as the one that it is in, "
            f"{FILES_OF_IMAGES}, or a recipe's .toml"
        )
    hint = f"{did_you_mean(name_or_path, files)} Known".lstrip()
    known = ", ".join(sorted(files)) or "none"
    raise UserError(
        f"no data set called {name_or_path!r}; {hint}: {known}; or give a folder of images, "
        f"{FILES_OF_IMAGES}, or a recipe's .toml"
    )


def is_array_file(path: Path) -> bool:
    """Return whether a path is a file whose name is that of a file of many images: `.npy`, `.npz` or IDX."""
    name = path.name.lower()
    is_idx = "idx" in name and name.removesuffix(".gz").endswith("-ubyte")
    return (is_idx or name.endswith((".npy", ".npz"))) and path.is_file()


def is_archive(path: Path) -> bool:
    """Return whether a path is a file whose name is that of an archive: zip, or tar, which may be compressed."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES) and path.is_file()


def is_file_of_images(path: Path) -> bool:
    """Return whether a path is a file whose name is that of a file of many images: arrays, an archive, or a table."""
    return is_array_file(path) or is_archive(path) or is_table_file(path)


def is_table_file(path: Path) -> bool:
    """Return whether a path is a file whose name is that of a parquet or Arrow file."""
    return path.name.lower().endswith((".parquet", ".arrow")) and path.is_file()


def hidden_folder_note(name: str, data_dir: Path | None = None) -> str:
    """Return a note for the user if a name means a recipe though there is a folder of that name here; else empty.

    Args:
        name: as for `find_data_recipe`.
        data_dir: as for `find_data_recipe`.
    """
    if not name or "/" in name or name not in _recipe_files(data_dir) or not Path(name).is_dir():
        return ""
    return f"{name} is the data recipe of that name, not the folder here; for the folder give ./{name}"


def absolute_dataset(name_or_path: str, directory: Path | None = None) -> str:
    """Make a name or path valid for `find_data_recipe` in every working directory.

    The path of a recipe or of a folder becomes absolute. A name, or a path that does not exist, is returned as it is.

    Args:
        name_or_path: as for `find_data_recipe`.
        directory: base of relative paths and of the data folder; the working directory unless given.
    """
    try:
        path = Path(name_or_path.removeprefix(PREFIX)).expanduser()
    except RuntimeError:  # the home of an unknown user
        return name_or_path
    if name_or_path.startswith(PREFIX):
        is_bare = path.parent == Path()
        return name_or_path if is_bare else f"{PREFIX}{(directory or Path()).absolute() / path}"
    found = absolute_if_exists(path, directory) if name_or_path else None
    if found is None or name_or_path in _recipe_files((directory or Path()) / default_data_dir()):
        return name_or_path
    path = Path(found)
    is_set = path.is_file() if name_or_path.endswith(".toml") else path.is_dir() or is_file_of_images(path)
    return found if is_set else name_or_path


def _recipe_files(data_dir: Path | None) -> dict[str, Path]:
    folders = (packaged_recipes_dir(), data_dir or default_data_dir())
    return {path.stem: path for folder in folders for path in folder.glob("*.toml")}


def _read(path: Path) -> DataRecipe:
    table = read_toml(path)
    if isinstance(channels := table.get("channels"), str):
        table = {**table, "channels": CHANNELS.get(channels, channels)}
    recipe = decode(table, DataRecipe, source=str(path))
    if not recipe.name:
        recipe = msgspec.structs.replace(recipe, name=path.stem)
    if recipe.kind == "folder" and recipe.path and recipe.path.startswith(PREFIX):
        exported = export_path(recipe.path, default_data_dir())
        recipe = msgspec.structs.replace(recipe, path=str(exported))
    elif recipe.kind == "folder" and recipe.path:
        folder = (path.parent / Path(recipe.path).expanduser()).resolve()
        recipe = msgspec.structs.replace(recipe, path=str(folder))
    elif recipe.kind == "triangles":
        recipe = msgspec.structs.replace(
            recipe,
            count=recipe.count or TRIANGLES,
            heldout=recipe.heldout or HELDOUT_TRIANGLES,
            size=recipe.size or DEFAULT_SIZE,
        )
    check_recipe(recipe, str(path))
    return recipe


def check_recipe(recipe: DataRecipe, source: str) -> None:
    """Check what the types cannot express: combinations of settings.

    Raises:
        UserError: a folder without a path, a setting of the other kind, a colour that is none, a canvas smaller than
            the size, or an array that is not two-valued.
    """
    if recipe.kind == "folder":
        if not recipe.path:
            raise UserError(f'{source}: kind = "folder" needs path = "a folder of images"')
        if recipe.background is not None and not re.fullmatch(BACKGROUNDS, recipe.background):
            raise UserError(
                f"{source}: background = {recipe.background}: expected black, white, grey or a colour like #ffcc00"
            )
        if recipe.tile is not None and recipe.fit != "tiles":
            raise UserError(f'{source}: tile is a setting of fit = "tiles"; set that too, or leave it out')
        if recipe.labels is not None:
            raise UserError(
                f'{source}: labels is a setting of kind = "triangles"; a folder has labels by its sub-folders'
            )
        return
    for name, default in FOLDER_DEFAULTS.items():
        if getattr(recipe, name) != default:
            raise UserError(
                f'{source}: {name} is a setting of kind = "folder", not of triangles; leave it out'
            )
    canvas = recipe.canvas or recipe.side
    if canvas < recipe.side:
        raise UserError(
            f"{source}: canvas = {canvas} is smaller than size = {recipe.side}; expected at least the size"
        )
    if recipe.storage == "array" and (recipe.antialias or canvas != recipe.side):
        raise UserError(
            f'{source}: storage = "array" is strictly two-valued; leave out antialias and canvas, or take png'
        )
