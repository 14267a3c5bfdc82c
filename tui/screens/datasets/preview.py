"""A dataset as it is looked at: what it is in words, and its pictures, from disk or made for the occasion."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.data.preview import existing_dataset, first_images
from core.data.recipe import DataRecipe, data_recipe_names, default_data_dir, find_data_recipe
from core.files.sanitize import sanitize
from core.imaging.sheet import to_channels_last
from core.runs.overlay import pixels_hash
from tui.screens.datasets.grey_histogram import GreyShares, grey_shares
from tui.state.snapshot import RunSnapshot

Pixels = NDArray[np.uint8]

TRIANGLES_SHOWN: Final = 256
FILES_SHOWN: Final = 64
"""Pictures that are made, or read, to be looked at while the whole set is not there."""
COUNTED: Final = 512
"""Pictures whose greys are counted."""
FITTED_PIXELS: Final = 128 * 32 * 32
"""Pixels of real pictures to which triangles are fitted: a second's work."""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """The training or the held-out pictures of a set.

    Attributes:
        pictures: uint8 [N, H, W] or [N, H, W, 3]; those that there are.
        total: how many the whole set has; None where that is known only when it is made.
        greys: of the first `COUNTED`.
        fitted: those to which triangles are fitted, the first ones.
        mark: what names those.
    """

    images: Pixels
    total: int | None
    greys: GreyShares
    fitted: Pixels
    mark: str

    @property
    def overlay(self) -> Path:
        """Where fits of these pictures are kept."""
        return default_data_dir() / ".overlays" / f"{self.mark}.json"


@dataclass(frozen=True, slots=True, eq=False)
class DatasetPreview:
    """A dataset: what was asked for, its recipe, its parts by whether they are held out, and its folder if made."""

    name: str
    recipe: DataRecipe
    splits: dict[bool, Split]
    made: Path | None
    notes: tuple[str, ...] = ()


def preview_dataset(name: str) -> DatasetPreview:
    """Look at a dataset, without making it; may take a second.

    Raises:
        UserError: there is no such dataset, or none of its pictures can be read.
    """
    recipe = find_data_recipe(name)
    made = existing_dataset(recipe)
    if made is not None:
        parts = {
            heldout: _split(to_channels_last(images), len(images))
            for heldout, images in ((False, made.train), (True, made.heldout))
        }
        return DatasetPreview(name, recipe, parts, made.path, made.notes)
    count = TRIANGLES_SHOWN if recipe.kind == "triangles" else FILES_SHOWN
    totals = {False: recipe.count, True: recipe.heldout}
    parts = {
        heldout: _split(to_channels_last(first_images(recipe, count, heldout=heldout)), totals[heldout])
        for heldout in (False, True)
    }
    return DatasetPreview(name, recipe, parts, None)


def described(seen: DatasetPreview) -> str:
    """What a set is, in words: how its pictures come to be, how many there are, and where."""
    recipe, some = seen.recipe, seen.splits[False].images
    train, heldout = (seen.splits[one].total for one in (False, True))
    counts = "about one picture in ten is held out"
    if train is not None and heldout is not None:
        counts = f"{train:,} pictures to train on, {heldout:,} held out"
    where = f"kept in {sanitize(str(seen.made))}" if seen.made else "not made yet, these are its first"
    size = f"{some.shape[2]} x {some.shape[1]}, {'grey' if some.ndim == 3 else 'colour'}"
    how = f"seed {recipe.seed}; {drawn(recipe)}"
    if recipe.kind == "folder":
        how = f"from {sanitize(recipe.path or '')}, cut square and resized"
    said = [f"{counts[0].upper()}{counts[1:]}; {where}.", f"{size}, {how}."]
    said += [sanitize(recipe.description)] if recipe.description else []
    return " ".join([*said, *(f"{sanitize(note)}." for note in seen.notes)])


def drawn(recipe: DataRecipe) -> str:
    """How a recipe draws its triangles.

    >>> drawn(DataRecipe(canvas=720)), drawn(DataRecipe(antialias=True, storage="jpeg"))
    ('drawn at 720 x 720 in black and white, stored as PNG', 'drawn at 32 x 32 in greys, stored as JPEG of quality 75')
    """
    canvas = recipe.canvas or recipe.size
    stored = {"jpeg": f"JPEG of quality {recipe.quality}", "png": "PNG", "array": "an array"}[recipe.storage]
    how = "in greys" if recipe.antialias else "in black and white"
    return f"drawn at {canvas} x {canvas} {how}, stored as {stored}"


def known_datasets(runs: Sequence[RunSnapshot], folders: Sequence[str]) -> list[str]:
    """All that can be looked at: recipes by name, what runs were trained on, and a person's own; each once."""
    names = data_recipe_names()
    others = [*dict.fromkeys(run.file.config.data.dataset for run in runs), *folders]
    for other in others:
        if not any(same_dataset(other, name) for name in names):
            names.append(other)
    return names


def same_dataset(one: str, other: str) -> bool:
    """Whether two texts name the same dataset, say by a relative and by an absolute path."""
    return one == other or _path(one) == _path(other)


def runs_on(dataset: str, runs: Sequence[RunSnapshot]) -> list[RunSnapshot]:
    """The runs with samples that were trained on a dataset, the newest first."""
    same = {name: same_dataset(name, dataset) for name in {run.file.config.data.dataset for run in runs}}
    return [run for run in reversed(runs) if run.sheets and same[run.file.config.data.dataset]]


def short_name(dataset: str) -> str:
    """A dataset's name, without the folders that lead to it.

    >>> short_name("high"), short_name("/home/me/cats/"), short_name("~/sets/seven.toml")
    ('high', 'cats', 'seven.toml')
    """
    return sanitize(dataset.rstrip("/").rpartition("/")[2] or dataset)


def _split(images: Pixels, total: int | None) -> Split:
    first = np.asarray(images[:COUNTED])
    height, width = images.shape[1:3]
    fitted = first[: max(1, FITTED_PIXELS // (height * width))]
    return Split(images, total, grey_shares(first), fitted, pixels_hash(fitted))


def _path(dataset: str) -> Path | str:
    """A dataset as a path, where it could be one; a name stays one, whatever folder of that name there is."""
    if "/" not in dataset and not dataset.endswith(".toml") and not dataset.startswith((".", "~")):
        return dataset
    try:
        return Path(dataset).expanduser().resolve()
    except (OSError, RuntimeError, ValueError):
        return dataset
