"""Split of images into training and held-out ones: by a hash, so that an additional image moves no other."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from core.data.recipe import DataRecipe
from core.errors import UserError

HELDOUT_SHARE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Tile:
    """Position of a tile in its photograph.

    Attributes:
        index: of the tile, row by row.
        rows: number of rows in the photograph.
        columns: number of columns.
    """

    index: int
    rows: int
    columns: int


def path_hash(relative: str) -> bytes:
    """Hash a path; the hashes determine the order and the split of a folder's images."""
    return hashlib.sha256(relative.encode(errors="surrogateescape")).digest()


def is_heldout(relative: str, share: float = HELDOUT_SHARE) -> bool:
    """Return whether the hash of a path holds it out; `split` differs only where a split would be empty."""
    return int.from_bytes(path_hash(relative)[:4]) < int(share * (1 << 32))


def split(files: list[str], share: float = HELDOUT_SHARE) -> tuple[list[int], list[int]]:
    """Split files, sorted by hash, into indices for training and held-out indices; about one in ten is held out.

    Both have at least one file. A single file is in both.
    """
    indices = list(range(len(files)))
    if len(files) == 1:
        return indices, indices
    below = sum(is_heldout(name, share) for name in files)
    below = min(max(below, 1), len(files) - 1)
    return indices[below:], indices[:below]


def split_images(
    names: Sequence[str], recipe: DataRecipe, tiles: Sequence[Tile] | None = None
) -> tuple[list[int], list[int]]:
    """Split images, in any order, into indices for training and held-out indices, each in the order of their hashes.

    By image or by folder the hash of its path decides. Tiles are held out with their whole photograph. Of few
    photographs the last rows of each are held out instead, so that only tiles along one line have neighbours that are
    trained on.

    Args:
        names: of the images; tiles have the name of their photograph.
        recipe: recipe with the share and the unit that is held out.
        tiles: the tiles, if the images are some.

    Raises:
        UserError: folders are to be held out, but there is only one.
    """
    share = HELDOUT_SHARE if recipe.heldout_share is None else recipe.heldout_share
    keys = list(names) if tiles is None else [f"{n}/{t.index}" for n, t in zip(names, tiles, strict=True)]
    hashes = [path_hash(key) for key in keys]
    order = sorted(range(len(keys)), key=hashes.__getitem__)
    if recipe.heldout_by == "image" and tiles is None:
        train, heldout = split([keys[index] for index in order], share)
        return [order[index] for index in train], [order[index] for index in heldout]
    is_held = _held_units(names, recipe, share, tiles)
    train, heldout = ([index for index in order if is_held[index] is which] for which in (False, True))
    return train or heldout, heldout or train


def _held_units(
    names: Sequence[str], recipe: DataRecipe, share: float, tiles: Sequence[Tile] | None
) -> list[bool]:
    by_folder = recipe.heldout_by == "folder"
    units = [PurePosixPath(name).parent.as_posix() if by_folder else name for name in names]
    found = sorted(set(units), key=path_hash)
    if by_folder:
        if len(found) == 1:
            raise UserError(
                f'{recipe.path}: heldout_by = "folder" needs images in at least two folders; leave it out'
            )
    elif tiles is not None and (len(found) * share < 1 or len(found) == 1):
        return _last_rows(tiles, share)
    held = set(found[: len(split(found, share)[1])])
    return [unit in held for unit in units]


def _last_rows(tiles: Sequence[Tile], share: float) -> list[bool]:
    """Hold out the last rows of each photograph; the last columns of one that has a single row."""
    held = []
    for tile in tiles:
        row, column = divmod(tile.index, tile.columns)
        line, lines = (row, tile.rows) if tile.rows > 1 else (column, tile.columns)
        held.append(lines > 1 and line >= lines - max(1, round(share * lines)))
    if not any(held):
        held[-1] = True  # each photograph is one tile
    return held
