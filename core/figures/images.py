"""Images for figures: the user's own, or held-out ones of an existing data set.

Data sets are only looked up, never made, because readers of runs do not write.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from core.data import default_data_dir, find_data_recipe
from core.data.cache import CachedSet, find_set, open_set, set_dir
from core.data.decode import NotAnImageError
from core.data.folder import image_files, to_grey
from core.data.making import set_fingerprint
from core.data.survey import load_image
from core.errors import UserError
from core.figures.figure_data import FigureData
from core.files.sanitize import sanitize

USER_IMAGE_SIZE: Final = 128
_DRAWN_SIZE: Final = 32
_MIN_INK: Final = 0.12
_TRIANGLE: Final = ((0.16, 0.8), (0.86, 0.66), (0.44, 0.12))

Pixels = NDArray[np.uint8]


def load_user_image(path: Path) -> Pixels:
    """Read the central square of a user's image: uint8 [C, 128, 128].

    Raises:
        UserError: the file does not exist, or is not an image that can be read.
    """
    if not path.is_file():
        raise UserError(f"--picture {sanitize(str(path))}: no such file")
    try:
        pixels, has_colour = load_image(path, USER_IMAGE_SIZE)
    except NotAnImageError as error:
        raise UserError(f"--picture {sanitize(str(path))}: cannot be used ({error})") from error
    return pixels if has_colour else to_grey(pixels[None])[0]


def default_image(data: FigureData) -> tuple[Pixels, str]:
    """Return an image for figure 5.2 and its description for the caption.

    The image, uint8 [C, S, S], is a held-out one of the runs' data that is not nearly empty, or else a drawn triangle.
    """
    for dataset in data.datasets:
        found = find_heldout_set(data, dataset)
        if found is not None:
            heldout = found.heldout
            inked = [index for index in range(min(len(heldout), 100)) if _ink(heldout[index]) > _MIN_INK]
            return np.array(heldout[(inked or [0])[0]]), f"a held-out image of {data.titles[dataset]}"
    return drawn_triangle(), "a drawn triangle"


def find_heldout_set(data: FigureData, dataset: str) -> CachedSet | None:
    """Return the data set of runs, if it is in our data folder or in one recorded by the runs; else None.

    The set that a run was trained on is taken whatever became of its source.
    """
    members = [member for series in data.on(dataset) for member in series.members]
    trained = [member.info.status.trained_with for member in members]
    fingerprints = dict.fromkeys(one.fingerprint for one in trained if one is not None)
    for folder, mark in itertools.product(_data_folders(data), fingerprints):
        if (found := find_set(folder, mark, count=1, heldout=1)) is not None:
            return found
    for folder in _data_folders(data):
        try:
            recipe = find_data_recipe(dataset, folder)
            files = image_files(Path(recipe.path or "."), leave_out=folder) if recipe.kind == "folder" else []
            mark = set_fingerprint(recipe, files)
        except UserError:
            continue
        found = open_set(set_dir(folder, recipe, mark), mark, count=1, heldout=1)
        if found is not None:
            return found
    return None


def drawn_triangle(side: int = _DRAWN_SIZE) -> Pixels:
    """Draw a filled triangle with smooth edges, uint8 [1, side, side]."""
    large = side * 16
    image = Image.new("L", (large, large))
    ImageDraw.Draw(image).polygon([(x * large, y * large) for x, y in _TRIANGLE], fill=255)
    return np.asarray(image.resize((side, side), Image.Resampling.BOX))[None]


def _ink(image: Pixels) -> float:
    return float(image.mean()) / 255.0


def _data_folders(data: FigureData) -> Iterator[Path]:
    """Yield folders that may hold the runs' data: our default, and those recorded when the runs were made."""
    folders = [default_data_dir()]
    for member in data.members:
        provenance = member.info.file.provenance
        if recorded := provenance.get("data_dir"):
            folders.append(Path(recorded))
        elif directory := provenance.get("directory"):
            folders.append(Path(directory) / "datasets")
    yield from dict.fromkeys(folders)
