"""Preview of a dataset: a description, and its first images, read from disk or made on the fly."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.data.preview import existing_dataset, first_images, planned_classes
from core.data.recipe import (
    DataRecipe,
    data_recipe_names,
    default_data_dir,
    find_data_recipe,
    hidden_folder_note,
)
from core.files.sanitize import sanitize
from core.imaging.sheet import to_channels_last
from core.runs.overlay import pixels_hash
from tui.screens.datasets.grey_histogram import GreyShares, grey_shares
from tui.state.snapshot import RunSnapshot

Pixels = NDArray[np.uint8]

PREVIEW_TRIANGLES: Final = 256
FIT_TEXTS: Final = {
    "crop": "cropped to squares and resized",
    "pad": "padded and resized",
    "squash": "squashed to squares",
    "tiles": "cut into tiles",
}
PREVIEW_FILES: Final = 64
"""The number of images that are made or read for the preview of a dataset that has not been built."""
NAMED_CLASSES: Final = 10
COUNTED_IMAGES: Final = 512
"""The number of images whose grey values are counted."""
FITTED_PIXELS: Final = 128 * 32 * 32
"""The number of pixels of real images to which triangles are fitted, which takes a second."""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """The training or the held-out images of a dataset.

    Attributes:
        images: the available images, uint8 [N, H, W] or [N, H, W, 3].
        total: the number of images in the whole split; None if it is known only after building.
        greys: the grey histogram of the first `COUNTED_IMAGES`.
        fitted: the first images, to which triangles are fitted.
        mark: a hash that names `fitted`.
        labels: the class of each image, [N]; None without labels, or while the dataset is not built.
    """

    images: Pixels
    total: int | None
    greys: GreyShares
    fitted: Pixels
    mark: str
    labels: NDArray[np.int64] | None = None

    @classmethod
    def from_images(
        cls, images: Pixels, total: int | None, labels: NDArray[np.int64] | None = None
    ) -> "Split":
        first = np.asarray(images[:COUNTED_IMAGES])
        height, width = images.shape[1:3]
        fitted = first[: max(1, FITTED_PIXELS // (height * width))]
        return cls(images, total, grey_shares(first), fitted, pixels_hash(fitted), labels)

    @property
    def overlay(self) -> Path:
        """The file for the triangle fits of these images."""
        return default_data_dir() / ".overlays" / f"{self.mark}.json"


@dataclass(frozen=True, slots=True, eq=False)
class DatasetPreview:
    """A dataset: its name, its recipe, its splits by whether they are held out, and its folder if it is built.

    `classes` are the names of its classes, empty without labels.
    """

    name: str
    recipe: DataRecipe
    splits: dict[bool, Split]
    folder: Path | None
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()


def preview_dataset(name: str) -> DatasetPreview:
    """Load the preview of a dataset without building it; may take a second.

    Raises:
        UserError: there is no such dataset, or none of its images can be read.
    """
    recipe = find_data_recipe(name)
    dataset = existing_dataset(recipe)
    if dataset is not None:
        splits = {
            heldout: Split.from_images(to_channels_last(images), len(images), labels)
            for heldout, images, labels in (
                (False, dataset.train, dataset.train_labels),
                (True, dataset.heldout, dataset.heldout_labels),
            )
        }
        return DatasetPreview(name, recipe, splits, dataset.path, dataset.notes, dataset.classes)
    count = PREVIEW_TRIANGLES if recipe.kind == "triangles" else PREVIEW_FILES
    totals = {False: recipe.count, True: recipe.heldout}
    splits = {
        heldout: Split.from_images(
            to_channels_last(first_images(recipe, count, heldout=heldout)), totals[heldout]
        )
        for heldout in (False, True)
    }
    return DatasetPreview(name, recipe, splits, None, classes=planned_classes(recipe))


def preview_text(preview: DatasetPreview) -> str:
    """A description of a dataset: the number of its images, their origin, and the folder that holds them."""
    recipe, images = preview.recipe, preview.splits[False].images
    train, heldout = (preview.splits[one].total for one in (False, True))
    counts = "about one image in ten is held out"
    if train is not None and heldout is not None:
        counts = f"{train:,} images to train on, {heldout:,} held out"
    where = (
        f"kept in {sanitize(str(preview.folder))}" if preview.folder else "not made yet, these are its first"
    )
    size = f"{images.shape[2]} x {images.shape[1]}, {'grey' if images.ndim == 3 else 'colour'}"
    origin = f"seed {recipe.seed}; {rendering_text(recipe)}"
    if recipe.kind == "folder":
        origin = f"from {sanitize(recipe.path or '')}, {FIT_TEXTS[recipe.fit]}"
    sentences = [f"{counts[0].upper()}{counts[1:]}; {where}.", f"{size}, {origin}."]
    sentences += [f"{classes_text(preview.classes)}."] if preview.classes else []
    sentences += [sanitize(recipe.description)] if recipe.description else []
    sentences += [f"{hidden}."] if (hidden := sanitize(hidden_folder_note(preview.name))) else []
    return " ".join([*sentences, *(f"{sanitize(note[:1].upper() + note[1:])}." for note in preview.notes)])


def rendering_text(recipe: DataRecipe) -> str:
    """A description of the rendering of a recipe's triangles.

    >>> rendering_text(DataRecipe(canvas=720)), rendering_text(DataRecipe(antialias=True, storage="jpeg"))
    ('drawn at 720 x 720 in black and white, stored as PNG', 'drawn at 32 x 32 in greys, stored as JPEG of quality 75')
    """
    canvas = recipe.canvas or recipe.side
    stored = {"jpeg": f"JPEG of quality {recipe.quality}", "png": "PNG", "array": "an array"}[recipe.storage]
    colours = "in greys" if recipe.antialias else "in black and white"
    return f"drawn at {canvas} x {canvas} {colours}, stored as {stored}"


def classes_text(classes: Sequence[str]) -> str:
    """The number of classes and the names of the first.

    >>> classes_text(("acute", "right", "obtuse")), classes_text([str(digit) for digit in range(100)])
    ('3 classes: acute, right, obtuse', '100 classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 90 others')
    """
    names, others = ", ".join(classes[:NAMED_CLASSES]), len(classes) - NAMED_CLASSES
    return sanitize(f"{len(classes)} classes: {names}{f' and {others} others' if others > 0 else ''}")


def known_datasets(runs: Sequence[RunSnapshot], folders: Sequence[str]) -> list[str]:
    """All known datasets, each once: recipes by name, datasets of runs, and the user's own folders."""
    names = data_recipe_names()
    others = [*dict.fromkeys(run.file.config.data.dataset for run in runs), *folders]
    for other in others:
        if not any(same_dataset(other, name) for name in names):
            names.append(other)
    return names


def same_dataset(one: str, other: str) -> bool:
    """Return whether two texts name the same dataset, say by a relative and an absolute path."""
    return one == other or _resolved(one) == _resolved(other)


def runs_on(dataset: str, runs: Sequence[RunSnapshot]) -> list[RunSnapshot]:
    """The runs with samples that were trained on a dataset, newest first."""
    same = {name: same_dataset(name, dataset) for name in {run.file.config.data.dataset for run in runs}}
    return [run for run in reversed(runs) if run.sheets and same[run.file.config.data.dataset]]


def short_name(dataset: str) -> str:
    """A dataset's name without its parent folders.

    >>> short_name("high"), short_name("/home/me/cats/"), short_name("~/sets/seven.toml")
    ('high', 'cats', 'seven.toml')
    """
    return sanitize(dataset.rstrip("/").rpartition("/")[2] or dataset)


def _resolved(dataset: str) -> Path | str:
    """A dataset's absolute path; a plain name stays a name, even if there is a folder of that name."""
    if "/" not in dataset and not dataset.endswith(".toml") and not dataset.startswith((".", "~")):
        return dataset
    try:
        return Path(dataset).expanduser().resolve()
    except (OSError, RuntimeError, ValueError):
        return dataset
