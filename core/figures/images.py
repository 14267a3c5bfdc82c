"""Pictures that figures show or judge by, where there are some: a person's own, or held-out ones of a data set.

Nothing is made here: a reader of runs writes nothing.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from core.data import default_data_dir, find_data_recipe
from core.data.cache import CachedSet, fingerprint, open_set, set_dir
from core.data.folder import NotAnImageError, image_files, load_image, to_grey
from core.errors import UserError
from core.figures.figure_data import FigureData
from core.files.sanitize import sanitize

OWN_SIDE: Final = 128
_SIDE: Final = 32
_ENOUGH_INK: Final = 0.12
_TRIANGLE: Final = ((0.16, 0.8), (0.86, 0.66), (0.44, 0.12))

Pixels = NDArray[np.uint8]


def load_own_image(path: Path) -> Pixels:
    """A person's picture, its middle cut out as a square: uint8 [C, 128, 128].

    Raises:
        UserError: there is no such file, or it is no picture that can be read.
    """
    if not path.is_file():
        raise UserError(f"--picture {sanitize(str(path))}: no such file")
    try:
        pixels, has_colour = load_image(path, OWN_SIDE)
    except NotAnImageError as error:
        raise UserError(
            f"--picture {sanitize(str(path))}: not a picture that can be used ({error})"
        ) from error
    return pixels if has_colour else to_grey(pixels[None])[0]


def default_image(material: FigureData) -> tuple[Pixels, str]:
    """A held-out picture of the runs' data with some ink, uint8 [C, S, S], or a drawn triangle; and its name."""
    for dataset in material.datasets:
        found = existing_set(material, dataset)
        if found is not None:
            heldout = found.heldout
            inked = [place for place in range(min(len(heldout), 100)) if _ink(heldout[place]) > _ENOUGH_INK]
            return np.array(heldout[(inked or [0])[0]]), f"a held-out picture of {material.titles[dataset]}"
    return drawn_triangle(), "a drawn triangle"


def existing_set(material: FigureData, dataset: str) -> CachedSet | None:
    """A set of pictures that some run learnt, if it lies in a data folder of ours or of the runs; else None."""
    for folder in _data_folders(material):
        try:
            recipe = find_data_recipe(dataset, folder)
            files = image_files(Path(recipe.path or "."), leave_out=folder) if recipe.kind == "folder" else []
        except UserError:
            continue
        mark = fingerprint(recipe, files)
        found = open_set(set_dir(folder, recipe, mark), mark, count=1, heldout=1)
        if found is not None:
            return found
    return None


def drawn_triangle(side: int = _SIDE) -> Pixels:
    """A filled triangle with smooth edges, uint8 [1, side, side]."""
    large = side * 16
    image = Image.new("L", (large, large))
    ImageDraw.Draw(image).polygon([(x * large, y * large) for x, y in _TRIANGLE], fill=255)
    return np.asarray(image.resize((side, side), Image.Resampling.BOX))[None]


def _ink(image: Pixels) -> float:
    return float(image.mean()) / 255.0


def _data_folders(material: FigureData) -> Iterator[Path]:
    """Where the runs' data may lie: where ours would, and where their makers' was."""
    folders = [default_data_dir()]
    for member in material.members:
        provenance = member.info.file.provenance
        if told := provenance.get("data_dir"):
            folders.append(Path(told))
        elif directory := provenance.get("directory"):
            folders.append(Path(directory) / "datasets")
    yield from dict.fromkeys(folders)
