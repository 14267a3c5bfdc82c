"""Labels of a source: sub-folders, IDX, `.npz`, files beside `.npy`; sets made before without labels stay in use."""

import gzip
import struct
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from core.data import cache, load_dataset
from core.data.recipe import DataRecipe
from core.errors import UserError

GREY = np.arange(24, dtype=np.uint8)[:, None, None] * np.full((1, 4, 4), 10, np.uint8)
NUMBERS = np.tile([7, 3, 5], 8)
"""Label of the image of grey 10 i: three classes, whose names are not their indices."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DDPM_DATA", str(tmp_path / "data"))
    return tmp_path


def recipe(path: str) -> DataRecipe:
    return DataRecipe(name="set", kind="folder", path=path, size=4)


def write_folders(home: Path) -> None:
    for index, image in enumerate(GREY):
        folder = home / "in" / str(NUMBERS[index]) / "deeper"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{index}.png")


def write_idx(home: Path) -> None:
    images = struct.pack(">4I", 0x803, *GREY.shape) + GREY.tobytes()
    labels = struct.pack(">2I", 0x801, 24) + NUMBERS.astype(np.uint8).tobytes()
    (home / "t-images-idx3-ubyte").write_bytes(images)
    (home / "t-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))


def write_npy(home: Path) -> None:
    np.save(home / "a.npy", GREY)
    np.save(home / "a_labels.npy", NUMBERS)


def write_npz(home: Path) -> None:
    np.savez(home / "a.npz", x=GREY, y=NUMBERS, z=NUMBERS / 2, short=NUMBERS[:5])


@pytest.mark.parametrize(
    ("write", "source"),
    [
        (write_folders, "in"),
        (write_idx, "t-images-idx3-ubyte"),
        (write_npy, "a.npy"),
        (write_npz, "a.npz"),
    ],
)
def test_each_image_has_the_label_of_its_source(home: Path, write, source: str) -> None:  # type: ignore[no-untyped-def]
    write(home)
    made = load_dataset(recipe(str(home / source)), labels=True)
    assert made.classes == ("3", "5", "7")
    assert made.train_labels is not None
    assert made.heldout_labels is not None
    assert made.train_labels.dtype == made.heldout_labels.dtype == np.int64
    for images, labels in ((made.train, made.train_labels), (made.heldout, made.heldout_labels)):
        assert len(images) == len(labels) > 0
        expected = NUMBERS[images[:, 0, 0, 0] // 10]
        np.testing.assert_array_equal([int(made.classes[label]) for label in labels], expected)


def test_a_set_made_before_is_used_without_labels_and_made_once_more_for_them(home: Path) -> None:
    write_npy(home)
    labels = (home / "a_labels.npy").rename(home / "elsewhere.npy")
    before = load_dataset(recipe("a.npy"))
    assert before.classes == ()
    assert before.train_labels is None
    assert "classes" not in (before.path / cache.RECORD_FILE).read_text()
    labels.rename(home / "a_labels.npy")
    inode = (before.path / "train.npy").stat().st_ino
    assert (load_dataset(recipe("a.npy")).path / "train.npy").stat().st_ino == inode
    after = load_dataset(recipe("a.npy"), labels=True)
    assert after.path == before.path
    assert after.pixels_digest == before.pixels_digest
    inode = (after.path / "train.npy").stat().st_ino
    again = load_dataset(recipe("a.npy"), labels=True)
    assert (again.path / "train.npy").stat().st_ino == inode
    assert again.classes == after.classes
    np.save(home / "a_labels.npy", NUMBERS.astype(np.uint8) % 5)
    changed = load_dataset(recipe("a.npy"), labels=True)
    assert changed.classes == ("0", "2", "3")
    assert changed.fingerprint == before.fingerprint


def test_labels_that_cannot_be_used_are_an_error_only_where_labels_are_wanted(home: Path) -> None:
    np.save(home / "a.npy", GREY)
    for wrong, message in (
        (NUMBERS[:9], "9 labels for 24 images"),
        (NUMBERS / 2, "whole numbers"),
        (NUMBERS * 0, "1 class; expected 2"),
    ):
        np.save(home / "a-labels.npy", wrong)
        assert load_dataset(recipe("a.npy")).classes == ()
        with pytest.raises(UserError, match=message):
            load_dataset(recipe("a.npy"), labels=True)
    write_folders(home)
    Image.fromarray(GREY[0]).save(home / "in" / "loose.png")
    with pytest.raises(UserError, match="is in no sub-folder"):
        load_dataset(recipe("in"), labels=True)
    with pytest.raises(UserError, match="take the data set kinds"):
        load_dataset("high", labels=True)


def test_labels_that_are_left_out_and_classes_that_are_not_trained_on_are_said(home: Path) -> None:
    np.save(home / "a.npy", GREY)
    np.save(home / "a_labels.npy", NUMBERS[1:])
    note = load_dataset(recipe(str(home / "a.npy"))).notes[-1]
    assert note.startswith("labels are left out: ")
    assert note.endswith("23 labels for 24 images; expected one for each")
    np.savez(home / "b.npz", x=GREY, y=np.arange(24), classes=[f"class {index}" for index in range(24)])
    made = load_dataset(recipe(str(home / "b.npz")))
    assert made.classes[:2] == ("class 0", "class 1")
    missing = set(range(24)) - set(made.train_labels.tolist())  # type: ignore[union-attr]
    assert made.notes[-1] == (
        f"{len(missing)} of 24 classes have no training image, such as class {min(missing)}"
    )


def test_the_setting_labels_changes_no_fingerprint_of_sets_without_it() -> None:
    plain = DataRecipe(name="x")
    labelled = msgspec.structs.replace(plain, labels="angles")
    assert cache.fingerprint(plain, []) != cache.fingerprint(labelled, [])
    assert cache.fingerprint(plain, []).startswith("1e4c7c60")
