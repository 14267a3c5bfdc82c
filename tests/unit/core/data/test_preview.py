"""The preview of a set shows the images of the set, and builds nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.data import find_data_recipe, load_dataset, preview
from core.data.folder import Entry
from core.data.preview import existing_dataset, first_images
from core.data.recipe import DataRecipe, data_recipe_names
from core.data.splitting import is_heldout
from core.errors import UserError

COLOURED = DataRecipe(name="coloured", count=70, heldout=5, size=12, channels=3)


def folder_of(path: Path, count: int, *, colour: bool = False) -> Path:
    path.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        shape = (20, 24, 3) if colour else (20, 24)
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(path / f"{number}.png")
    return path


@pytest.mark.parametrize("heldout", [False, True])
def test_the_first_triangles_are_those_of_the_whole_set(tmp_path: Path, heldout: bool) -> None:
    made = load_dataset(COLOURED, data_dir=tmp_path)
    whole = made.heldout if heldout else made.train
    assert np.array_equal(first_images(COLOURED, 66, heldout=heldout), whole[:66])
    assert first_images(COLOURED, 1, heldout=heldout).shape == (1, 3, 12, 12)


@pytest.mark.parametrize("heldout", [False, True])
@pytest.mark.parametrize("colour", [False, True])
def test_the_first_images_of_a_folder_are_those_of_the_whole_set(
    tmp_path: Path, heldout: bool, colour: bool
) -> None:
    recipe = find_data_recipe(str(folder_of(tmp_path / "mine", 40, colour=colour)))
    made = load_dataset(recipe, data_dir=tmp_path / "data")
    whole = made.heldout if heldout else made.train
    assert np.array_equal(first_images(recipe, 3, heldout=heldout), whole[:3])


def test_files_that_are_no_images_are_left_out_of_the_first_images(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "mine", 12)
    (folder / "notes.txt").write_text("hello")
    assert len(first_images(find_data_recipe(str(folder)), 99, heldout=False)) >= 9
    for path in folder.iterdir():
        path.write_text("hello")
    with pytest.raises(UserError, match="none of its 13 files is an image"):
        first_images(find_data_recipe(str(folder)), 3, heldout=False)


def test_only_a_cached_set_is_opened_and_none_is_built(tmp_path: Path) -> None:
    data = tmp_path / "data"
    folder = find_data_recipe(str(folder_of(tmp_path / "mine", 4)))
    for recipe in (COLOURED, folder):
        assert existing_dataset(recipe, data) is None
        assert not list(data.glob("*"))
        made = load_dataset(recipe, data_dir=data)
        found = existing_dataset(recipe, data)
        assert found is not None
        assert found.path == made.path
        assert len(found.train) == len(made.train)
        for path in list(data.iterdir()):
            if path.is_dir():
                (path / "train.npy").unlink(missing_ok=True)
        assert existing_dataset(recipe, data) is None
        for path in (data / made.path.name).iterdir():
            path.unlink()
        (data / made.path.name).rmdir()
        (data / ".locks" / made.path.name).unlink()
        (data / ".locks").rmdir()


def test_a_set_that_was_made_with_fewer_images_is_not_the_whole_one(tmp_path: Path) -> None:
    load_dataset(COLOURED, data_dir=tmp_path, count=3)
    assert existing_dataset(COLOURED, tmp_path) is None


def test_names_include_those_of_invalid_recipes(tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text("size = 0")
    assert data_recipe_names(tmp_path) == ["array", "high", "kinds", "low", "wrong"]
    with pytest.raises(UserError):
        find_data_recipe("wrong", tmp_path)


@pytest.mark.parametrize("readable", [1, 2, 3, 12])
@pytest.mark.parametrize("count", [1, 3, 64])
def test_a_folder_of_mostly_other_files_shows_what_a_training_would_take(
    tmp_path: Path, readable: int, count: int
) -> None:
    for start in range(0, 60, 20):
        folder = tmp_path / f"mine{start}"
        folder.mkdir()
        for index in range(40):
            path = folder / f"{start + index}.png"
            if index % (40 // readable) == 0 and index // (40 // readable) < readable:
                noise = np.random.default_rng(index).integers(0, 256, (8, 8), dtype=np.uint8)
                Image.fromarray(noise).save(path)
            else:
                path.write_text("hello")
        recipe = find_data_recipe(str(folder))
        made = load_dataset(recipe, data_dir=tmp_path / "data")
        assert np.array_equal(first_images(recipe, count, heldout=False), made.train[:count])
        assert np.array_equal(first_images(recipe, count, heldout=True), made.heldout[:count])


def test_a_preview_reads_no_more_files_than_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = find_data_recipe(str(folder_of(tmp_path / "mine", 200)))
    read: list[Path] = []
    decode_entry = preview.decode_entry

    def counted(source: Path, entry: Entry, *arguments: Any, **options: Any) -> object:
        read.append(source / entry.name)
        return decode_entry(source, entry, *arguments, **options)

    monkeypatch.setattr(preview, "decode_entry", counted)
    first_images(recipe, 5, heldout=False)
    assert len(read) == 6
    first_images(recipe, 5, heldout=True)
    assert len(read) == 12


@pytest.mark.parametrize("colour", [False, True])
def test_images_that_are_all_held_out_by_hash_are_shown_as_they_are_split(
    tmp_path: Path, colour: bool
) -> None:
    names = [name for name in (f"{index}.png" for index in range(99)) if is_heldout(name)][:3]
    source = folder_of(tmp_path / "other", 3, colour=colour)
    folder = tmp_path / "mine"
    folder.mkdir()
    for path, name in zip(sorted(source.iterdir()), names, strict=True):
        path.rename(folder / name)
    recipe = find_data_recipe(str(folder))
    made = load_dataset(recipe, data_dir=tmp_path / "data")
    assert (len(made.train), len(made.heldout)) == (1, 2)
    assert np.array_equal(first_images(recipe, 9, heldout=False), made.train)
    assert np.array_equal(first_images(recipe, 2, heldout=True), made.heldout)
