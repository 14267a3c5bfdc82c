"""Settings of folders that change sizes, fits and the split."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.data import ImageSet, load_dataset
from core.data.preview import first_images, planned_size
from core.data.recipe import DataRecipe, check_recipe
from core.data.splitting import Tile, split_images
from core.errors import UserError


def folder(path: Path, sides: list[tuple[int, int]]) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for index, (width, height) in enumerate(sides):
        noise = np.random.default_rng(index).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path / f"{index}.png")
    return path


def make(path: Path, **settings: object) -> ImageSet:
    recipe = DataRecipe(name="mine", kind="folder", path=str(path), **settings)  # type: ignore[arg-type]
    check_recipe(recipe, "mine")
    return load_dataset(recipe, data_dir=path.parent / "data")


def test_squares_of_one_size_up_to_64_keep_it_and_all_others_become_32(tmp_path: Path) -> None:
    kept = make(folder(tmp_path / "same", [(48, 48)] * 4))
    assert (kept.size, len(kept.notes)) == (48, 1)
    assert "all images are 48x48, which is kept" in kept.notes[0]
    for name, sides in (
        ("large", [(65, 65)] * 4),
        ("wide", [(48, 40)] * 4),
        ("one", [(48, 48)] * 11 + [(40, 40)]),
    ):
        made = make(folder(tmp_path / name, sides))
        assert (made.size, len(made.train) + len(made.heldout)) == (32, len(sides))
        assert "images of other sizes are resized to 32x32" in made.notes[0]
    asked = make(tmp_path / "same", size=32)
    assert (asked.size, asked.notes) == (32, ())
    recipe = DataRecipe(kind="folder", path=str(tmp_path / "same"))
    assert planned_size(recipe) == 48
    assert first_images(recipe, 2, heldout=False).shape == (2, 3, 48, 48)


def test_padding_keeps_all_of_an_image_and_squashing_its_whole_width(tmp_path: Path) -> None:
    path = tmp_path / "wide"
    path.mkdir()
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :8] = 255  # a crop would not have the left quarter
    Image.fromarray(pixels).save(path / "a.png")
    grey = make(path, size=32, fit="pad", background="#808080").train[0]
    assert (grey[:, :8] == 128).all()
    assert (grey[:, 24:] == 128).all()
    assert (grey[:, 8:24, :7] == 255).all()
    assert (grey[:, 8:24, 9:] == 0).all()
    squashed = make(path, size=32, fit="squash").train[0]
    assert (squashed[:, :, :7] == 255).all()
    assert (squashed[:, :, 9:] == 0).all()
    assert not make(path, size=32).train.any()


def test_tiles_are_exact_and_share_no_pixels_and_are_held_out_by_rows_of_few_photographs(
    tmp_path: Path,
) -> None:
    path = folder(tmp_path / "photos", [(70, 100), (64, 64), (12, 12)])
    made = make(path, size=16, fit="tiles", heldout_share=0.2)
    pixels = {}
    for index, margins in ((0, (3, 2)), (1, (0, 0))):
        pixels[index] = np.asarray(Image.open(path / f"{index}.png"))[margins[1] :, margins[0] :]
    tiles, last = set(), set()
    for index, (rows, columns) in ((0, (6, 4)), (1, (4, 4))):
        for row in range(rows):
            for column in range(columns):
                part = pixels[index][16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
                tiles.add(part.transpose(2, 0, 1).tobytes())
                if row == rows - 1:
                    last.add(part.transpose(2, 0, 1).tobytes())
    assert {image.tobytes() for image in (*made.train, *made.heldout)} == tiles
    assert {image.tobytes() for image in made.heldout} == last
    assert "1 of 3 files were skipped: 1 smaller than a tile of 16 pixels" in made.notes
    coarser = make(path, size=16, fit="tiles", tile=32)
    assert len(coarser.train) + len(coarser.heldout) == 3 * 2 + 2 * 2
    assert first_images(coarser.recipe, 3, heldout=True).shape == (3, 3, 16, 16)


def test_tiles_of_many_photographs_are_held_out_with_their_photograph() -> None:
    names = [f"{photo}.jpg" for photo in range(30) for _ in range(4)]
    tiles = [Tile(index, 2, 2) for _ in range(30) for index in range(4)]
    train, heldout = split_images(names, DataRecipe(kind="folder", fit="tiles"), tiles)
    assert sorted(train + heldout) == list(range(120))
    assert 0 < len(heldout) < len(train)
    assert not {names[index] for index in train} & {names[index] for index in heldout}


def test_folders_are_held_out_whole_and_the_share_is_what_was_asked(tmp_path: Path) -> None:
    names = [f"{group}/{index}.png" for group in range(50) for index in range(10)]
    recipe = DataRecipe(kind="folder", path="x", heldout_by="folder", heldout_share=0.3)
    train, heldout = split_images(names, recipe)
    assert not {names[index].split("/")[0] for index in train} & {
        names[index].split("/")[0] for index in heldout
    }
    assert 0.15 < len(heldout) / 500 < 0.45
    train, heldout = split_images(names, DataRecipe(kind="folder", path="x", heldout_share=0.5))
    assert 200 < len(heldout) < 300
    with pytest.raises(UserError, match="at least two folders"):
        make(folder(tmp_path / "flat", [(8, 8)] * 3), heldout_by="folder")


def test_settings_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='tile is a setting of fit = "tiles"'):
        make(tmp_path, tile=16)
    with pytest.raises(UserError, match='fit is a setting of kind = "folder"'):
        check_recipe(DataRecipe(fit="pad"), "mine")
