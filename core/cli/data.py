"""`core data`: make and show training images; list recipes and made sets, and remove made sets."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import msgspec
import numpy as np

from core.cli.data_options import recipe_options
from core.cli.images import emit_images
from core.cli.options import COUNT, json_option
from core.cli.output import confirm, emit, emit_json, format_table, note, note_library_messages, stdout_width
from core.cli.progress import progress_bar
from core.data import ImageSet, default_data_dir, list_data_recipes, load_dataset
from core.data.made_sets import MadeSet, list_made_sets, remove_made_set, select_made_sets
from core.data.overrides import override, write_data_recipe
from core.data.recipe import find_data_recipe, hidden_folder_note
from core.errors import UserError
from core.files.sanitize import sanitize
from core.imaging import to_channels_last

DEFAULT_SHOWN = 5


@click.group("data")
def command() -> None:
    """Make, show, list or remove training images.

    RECIPE is the name of a recipe (low, high, array), the path of a recipe's TOML file, a folder of
    your own images, or a file of many: zip, tar, .npy, .npz or IDX. Sets are kept in ./datasets, or in the folder
    that DDPM_DATA names.
    """


@command.command("make")
@click.argument("recipe")
@click.option(
    "--count",
    type=COUNT,
    metavar="N",
    help="Number of training images; by default, the recipe's.",
)
@recipe_options
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE.toml",
    help="Write the recipe with these settings to a new file, which core train can name.",
)
@json_option
def make(recipe: str, count: int | None, out: Path | None, as_json: bool, **settings: object) -> None:
    """Make a set of images, unless it exists already, and write its folder to stdout."""
    if out is not None and out.suffix != ".toml":
        raise UserError(f"--out {out}: expected a name that ends in .toml")
    images = _load(recipe, count, settings)
    if out is not None:
        write_data_recipe(msgspec.structs.replace(images.recipe, name=""), out)
    if as_json:
        emit_json(_set_json(images))
    else:
        emit(str(images.path))


@command.command("show")
@click.argument("recipe")
@click.option(
    "--count",
    type=COUNT,
    default=DEFAULT_SHOWN,
    show_default=True,
    metavar="N",
    help="Number of images to show.",
)
@click.option("--heldout", is_flag=True, help="Show held-out images instead of training images.")
@recipe_options
@json_option
def show(recipe: str, count: int, heldout: bool, as_json: bool, **settings: object) -> None:
    """Show images of a set in the terminal, two pixels per character; with --json, describe the set."""
    images = _load(recipe, None, settings)
    if as_json:
        emit_json(_set_json(images))
        return
    available = images.heldout if heldout else images.train
    if count > len(available):
        which = "held-out" if heldout else "training"
        note(f"{images.name}: {count:,} {which} images were asked for; there are {len(available):,}")
    emit_images(to_channels_last(np.asarray(available[:count])))


@command.command("list")
@click.option("--made", "only_made", is_flag=True, help="List only the made sets, also with --json.")
@json_option
def list_recipes(only_made: bool, as_json: bool) -> None:
    """List the recipes that can be called by name, and the made sets with their sizes."""
    if only_made:
        _emit_made_sets(list_made_sets(default_data_dir()), as_json=as_json)
        return
    recipes = list_data_recipes()
    if as_json:
        emit_json([msgspec.to_builtins(recipe) for recipe in recipes])
        return
    rows = [
        (
            recipe.name,
            recipe.kind,
            str(recipe.count),
            str(recipe.heldout),
            str(recipe.size or recipe.side),
            recipe.description,
        )
        for recipe in recipes
    ]
    headers = ("recipe", "kind", "images", "held out", "size", "description")
    emit(format_table(headers, rows, "llrrrl", width=stdout_width()))
    if made := list_made_sets(default_data_dir()):
        emit("")
        _emit_made_sets(made, as_json=False)


@command.command("rm")
@click.argument("names", metavar="[SET...]", nargs=-1)
@click.option("--outdated", is_flag=True, help="Remove sets that no new training would take, and leftovers.")
@click.option("--all", "everything", is_flag=True, help="Remove all made sets.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@json_option
def remove(names: tuple[str, ...], outdated: bool, everything: bool, yes: bool, as_json: bool) -> None:
    """Remove made sets.

    SET is the name of a made set as core data list shows it, or a recipe or folder, for all sets made from it. The
    recipes and your own images stay. A set is made again when it is needed, but only while its images are the same: a
    run that was trained on other images cannot be resumed without its set.
    """
    if bool(names) + outdated + everything != 1:
        raise UserError("which sets? Give names of sets, or --outdated, or --all")
    data_dir = default_data_dir()
    made = list_made_sets(data_dir)
    if names:
        made = select_made_sets(made, names, data_dir)
    elif outdated:
        made = [one for one in made if one.state.is_outdated]
    if made and not yes:
        lines = [f"{sanitize(one.path.name)}: {_size_text(one.size)}, {one.state}" for one in made]
        confirm(lines, "remove", f"Remove {len(made)} made set{'s' * (len(made) != 1)}?")
    for one in made:
        remove_made_set(one)
        note(f"{sanitize(one.path.name)}: removed, {_size_text(one.size)}")
    removed = [sanitize(one.path.name) for one in made]
    if as_json:
        emit_json(removed)
    else:
        for name in removed:
            emit(name)


def _emit_made_sets(sets: Sequence[MadeSet], *, as_json: bool) -> None:
    if as_json:
        emit_json([_made_set_json(one) for one in sets])
        return
    rows = []
    for one in sets:
        record = one.record
        counts = (
            [str(record.count), str(record.heldout), str(record.size)] if record is not None else ["", "", ""]
        )
        source = f"; from {sanitize(one.source)}" if record is not None and record.recipe.path else ""
        if record is not None and record.classes:
            source = f"; {len(record.classes)} classes{source}"
        rows.append((sanitize(one.path.name), *counts, _size_text(one.size), f"{one.state}{source}"))
    headers = ("made set", "images", "held out", "size", "on disk", "state")
    emit(format_table(headers, rows, "lrrrrl", width=stdout_width()))


def _made_set_json(made: MadeSet) -> dict[str, object]:
    record = made.record
    return {
        "name": sanitize(made.path.name),
        "path": sanitize(str(made.path)),
        "state": made.state.name.lower(),
        "outdated": made.state.is_outdated,
        "bytes": made.size,
        "made_at": made.made_at,
        "source": sanitize(made.source),
        "train": record.count if record is not None else None,
        "heldout": record.heldout if record is not None else None,
        "channels": record.channels if record is not None else None,
        "size": record.size if record is not None else None,
        "classes": [sanitize(name) for name in record.classes] if record is not None else [],
    }


def _size_text(size: int) -> str:
    """Bytes as text.

    >>> _size_text(999), _size_text(12_345_678), _size_text(5_000_000_000)
    ('999 B', '12.3 MB', '5.0 GB')
    """
    units = ("B", "kB", "MB", "GB", "TB")
    power = min(max(0, (len(str(size)) - 1) // 3), len(units) - 1)
    return f"{size} B" if not power else f"{size / 1000**power:.1f} {units[power]}"


def _load(recipe: str, count: int | None, settings: Mapping[str, object]) -> ImageSet:
    if text := hidden_folder_note(recipe):
        note(text)
    note_library_messages()
    with progress_bar(recipe, "images") as report:
        given = {key: value for key, value in settings.items() if value is not None}
        changed = override(find_data_recipe(recipe), given, recipe)
        images = load_dataset(changed, count=count, progress=report)
    for text in images.notes:
        note(f"{images.name}: {text}")
    return images


def _set_json(images: ImageSet) -> dict[str, object]:
    return {
        "name": images.name,
        "path": str(images.path),
        "train": len(images.train),
        "heldout": len(images.heldout),
        "channels": images.channels,
        "size": images.size,
        "mean_square": images.mean_square,
        "notes": list(images.notes),
        "classes": [sanitize(name) for name in images.classes],
        "recipe": msgspec.to_builtins(images.recipe),
    }
