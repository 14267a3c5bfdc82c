"""The images that a run was trained on, loaded with a progress bar."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from core.cli.progress import progress_bar
from core.config.trained_with import TrainedWith
from core.data import ImageSet, load_dataset
from core.data.trained_images import find_trained_images, load_trained_images
from core.errors import UserError
from core.files.sanitize import sanitize
from core.launch.provenance import config_with_absolute_paths, run_data_dirs
from core.runs import RunDirectory
from core.runs.directory import DamagedStatusError


def load_run_images(run: RunDirectory) -> ImageSet:
    """Load the images that a run was trained on.

    Raises:
        UserError: they cannot be loaded; the message names the run.
    """
    file, trained_with = run.read(), None
    with contextlib.suppress(DamagedStatusError):
        trained_with = run.read_status().trained_with
    data = config_with_absolute_paths(file).data
    try:
        return load_images(data.dataset, data.count, trained_with, run_data_dirs(file))
    except UserError as error:
        raise UserError(f"{sanitize(run.id)}: {error}") from error


def load_images(
    dataset: str,
    count: int | None,
    trained_with: TrainedWith | None = None,
    data_dirs: Sequence[Path] = (),
) -> ImageSet:
    """Load a data set; with the record of a run, the images that it was trained on.

    Args:
        dataset: name or path of the data set.
        count: number of training images; None takes the data set's.
        trained_with: record of the run.
        data_dirs: folders of sets, in the order in which they are searched.

    Raises:
        UserError: there is no such data set, or its images cannot be read or have changed.
    """
    with progress_bar(sanitize(dataset), "images") as report:
        if trained_with is None or not trained_with.fingerprint:
            return load_dataset(dataset, count=count, progress=report)
        labels = bool(trained_with.classes)
        return find_trained_images(trained_with, data_dirs, labels=labels) or load_trained_images(
            dataset, trained_with, count=count, progress=report, labels=labels
        )
