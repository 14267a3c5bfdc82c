"""`core data`: make and show training images, list the recipes."""

import click
import msgspec
import numpy as np

from core.cli.images import emit_images
from core.cli.options import COUNT, json_option
from core.cli.output import emit, emit_json, format_table, note, note_library_messages, stdout_width
from core.cli.progress import progress_bar
from core.data import ImageSet, list_data_recipes, load_dataset
from core.imaging import to_channels_last

DEFAULT_SHOWN = 5


@click.group("data")
def command() -> None:
    """Make or show training images.

    RECIPE is the name of a recipe (low, high, array), the path of a recipe's TOML file, or a folder of
    your own images. Sets are kept in ./datasets, or in the folder that DDPM_DATA names.
    """


@command.command("make")
@click.argument("recipe")
@click.option(
    "--count",
    type=COUNT,
    metavar="N",
    help="Number of training images; by default, the recipe's.",
)
@json_option
def make(recipe: str, count: int | None, as_json: bool) -> None:
    """Make a set of images, unless it exists already, and write its folder to stdout."""
    images = _load(recipe, count)
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
@json_option
def show(recipe: str, count: int, heldout: bool, as_json: bool) -> None:
    """Show images of a set in the terminal, two pixels per character; with --json, describe the set."""
    images = _load(recipe, None)
    if as_json:
        emit_json(_set_json(images))
        return
    shown = to_channels_last(np.asarray((images.heldout if heldout else images.train)[:count]))
    emit_images(shown)


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
    headers = ("recipe", "kind", "images", "held out", "size", "description")
    emit(format_table(headers, rows, "llrrrl", width=stdout_width()))


def _load(recipe: str, count: int | None) -> ImageSet:
    note_library_messages()
    with progress_bar(recipe, "images") as report:
        images = load_dataset(recipe, count=count, progress=report)
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
        "recipe": msgspec.to_builtins(images.recipe),
    }
