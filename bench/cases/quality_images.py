"""Time to quality on any images: configuration of ours, score and sheets of `bench quality --data`."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bench.harness.report import Row, log_progress, make_row
from bench.harness.workloads import with_settings
from core.config import RunConfig
from core.data import ImageSet
from core.imaging.sheet import write_sheet
from core.launch.own_images import find_recipe

Score = Callable[[NDArray[Any], NDArray[Any]], Any]
"""A score of samples against real images, both [N, C, H, W]: an object with `value`, lower is better."""
Trained = Mapping[str, Sequence[tuple[float, NDArray[np.float32]]]]
"""Seconds and samples of each training, by its name."""

_SHOWN: Final = 64
_COLUMNS: Final = 16


def images_config(dataset: str, seed: int) -> RunConfig:
    """Recipe `images`, fitted to a data set; the time alone limits it."""
    config = find_recipe(dataset).recipe.configs[0]
    return with_settings(config, train={"seed": seed, "max_steps": 0, "max_minutes": 0.0})


def image_rows(found: Trained, images: ImageSet, score: Score) -> list[Row]:
    """Rows of the score over the seeds, against the held-out images, and of the seconds that the training took."""
    rows = []
    for name, trainings in found.items():
        log_progress(f"evaluating {name}")
        distances = [float(score(drawn, images.heldout).value) for _, drawn in trainings]
        rows.append(make_row(f"{name}: kernel distance", "", distances))
        rows.append(make_row(f"{name}: took", "s", [seconds for seconds, _ in trainings]))
    return rows


def real_note(images: ImageSet, score: Score) -> str:
    """A note with the score of training images, as many as are held out, which a perfect network would have."""
    value = score(images.train[: len(images.heldout)], images.heldout).value
    return f"real training images: kernel distance {float(value):.4f}"


def write_samples(found: Trained, folder: Path) -> list[Path]:
    """Write a sheet of the first samples of each training; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, trainings in found.items():
        for number, (_, drawn) in enumerate(trainings):
            pixels = (drawn[:_SHOWN] * 255).round().astype(np.uint8)
            shown = pixels[:, 0] if pixels.shape[1] == 1 else pixels.transpose(0, 2, 3, 1)
            stem = re.sub(r"[^a-z0-9.]+", "-", name.lower())
            files.append(folder / f"{stem}-{number}.png")
            write_sheet(files[-1], shown, columns=_COLUMNS)
    return files
