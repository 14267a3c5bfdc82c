"""`core data`: make the training pictures, look at them, list the recipes."""

import click
import msgspec
import numpy as np

from core.cli.options import json_option
from core.cli.output import emit, emit_json, format_table, note, stdout_width
from core.cli.pictures import emit_pictures
from core.cli.progress import counting
from core.data import PictureSet, list_data_recipes, load_dataset
from core.imaging import to_tiles

DEFAULT_SHOWN = 5


@click.group("data")
def command() -> None:
    """Make the training pictures, or look at them.

    RECIPE is the name of a recipe (low, high, array), the path of a recipe's TOML file, or a folder of
    your own pictures. Finished sets are kept in ./datasets, or where DDPM_DATA says.
    """


@command.command("make")
@click.argument("recipe")
@click.option(
    "--count",
    type=click.IntRange(1),
    metavar="N",
    help="Training pictures; the recipe's number unless given.",
)
@json_option
def make(recipe: str, count: int | None, as_json: bool) -> None:
    """Make a set of pictures, unless it is there already, and write its folder to stdout."""
    pictures = _load(recipe, count)
    if as_json:
        emit_json(_as_json(pictures))
    else:
        emit(str(pictures.path))


@command.command("show")
@click.argument("recipe")
@click.option(
    "--count",
    type=click.IntRange(1),
    default=DEFAULT_SHOWN,
    show_default=True,
    metavar="N",
    help="Pictures to show.",
)
@click.option("--heldout", is_flag=True, help="Show held-out pictures instead of training pictures.")
@json_option
def show(recipe: str, count: int, heldout: bool, as_json: bool) -> None:
    """Show pictures of a set in the terminal, two pixels a character; with --json, describe the set."""
    pictures = _load(recipe, None)
    if as_json:
        emit_json(_as_json(pictures))
        return
    shown = to_tiles(np.asarray((pictures.heldout if heldout else pictures.train)[:count]))
    emit_pictures(shown)


@command.command("list")
@json_option
def list_recipes(as_json: bool) -> None:
    """List the recipes that can be called by name."""
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
            str(recipe.size),
            recipe.description,
        )
        for recipe in recipes
    ]
    headers = ("recipe", "kind", "pictures", "held out", "size", "description")
    emit(format_table(headers, rows, "llrrrl", width=stdout_width()))


def _load(recipe: str, count: int | None) -> PictureSet:
    with counting(recipe, "pictures") as report:
        pictures = load_dataset(recipe, count=count, progress=report)
    for text in pictures.notes:
        note(f"{pictures.name}: {text}")
    return pictures


def _as_json(pictures: PictureSet) -> dict[str, object]:
    return {
        "name": pictures.name,
        "path": str(pictures.path),
        "train": len(pictures.train),
        "heldout": len(pictures.heldout),
        "channels": pictures.channels,
        "size": pictures.size,
        "mean_square": pictures.mean_square,
        "notes": list(pictures.notes),
        "recipe": msgspec.to_builtins(pictures.recipe),
    }
