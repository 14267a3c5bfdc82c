"""Errors of the machine while images are read: never taken for damage, and never kept."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from core.data import ImageSet, folder, load_dataset
from core.errors import UserError


@pytest.fixture
def images(tmp_path: Path) -> Path:
    path = tmp_path / "pictures"
    path.mkdir()
    return path


def load(path: Path) -> ImageSet:
    return load_dataset(str(path), data_dir=path.parent / "data")


def save_many(path: Path, count: int) -> None:
    for index in range(count):
        noise = np.random.default_rng(index).integers(0, 256, (32, 32), dtype=np.uint8)
        Image.fromarray(noise).save(path / f"{index:03}.png")


@pytest.mark.parametrize(
    "error",
    [
        *(OSError(code, os.strerror(code)) for code in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO)),
        MemoryError(),
        OSError("out of memory error when reading image file"),  # Pillow's, from its decoders in C
    ],
    ids=lambda error: getattr(error, "strerror", None) or type(error).__name__,
)
@pytest.mark.parametrize("during", ["open", "load"])
def test_an_error_of_the_machine_ends_the_making_in_one_line_and_nothing_is_kept(
    images: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, during: str
) -> None:
    save_many(images, 6)

    def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(*((Image, "open") if during == "open" else (ImageFile.ImageFile, "load")), fail)
        with pytest.raises(UserError, match=r"\.png: cannot be read now \(.*try again") as raised:
            load(images)
    assert "\n" not in str(raised.value)
    assert [path for path in (images.parent / "data").glob("*") if path.name != ".locks"] == []
    made = load(images)
    assert (len(made.train) + len(made.heldout), made.notes) == (6, ())


def test_a_failing_disk_behind_a_decoder_in_c_is_not_taken_for_damage(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_many(images, 2)
    data = (images / "000.png").read_bytes()
    (images / "000.png").write_bytes(data[: len(data) // 2])

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("core.data.decode.os.read", fail)
    with pytest.raises(UserError, match=r"cannot be read now \(Input/output error\)"):
        load(images)


def test_files_without_permission_are_counted_and_read_as_soon_as_they_may_be(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_many(images, 6)
    may_read = os.access

    def deny(path: Path, mode: int) -> bool:
        return Path(path).name not in ("001.png", "004.png") and may_read(path, mode)

    with monkeypatch.context() as patch:
        patch.setattr(os, "access", deny)
        for _ in range(2):  # when the set is made, and when it is opened
            made = load(images)
            assert len(made.train) + len(made.heldout) == 4
            assert made.notes == ("2 files are left out: permission denied; make them readable",)
    made = load(images)
    assert (len(made.train) + len(made.heldout), made.notes) == (6, ())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_of_files_without_permission_is_one_line(images: Path) -> None:
    save_many(images, 2)
    for path in images.iterdir():
        path.chmod(0)
    with pytest.raises(UserError, match="none of its files can be used; 2 files are left out: permission"):
        load(images)


def test_a_file_that_vanishes_while_it_is_read_is_named(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_many(images, 3)
    listed = folder.list_folder

    def then_delete(*arguments: Path, **options: Path) -> folder.Listing:
        found = listed(*arguments, **options)
        (images / "001.png").unlink()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(folder, "list_folder", then_delete)
        with pytest.raises(UserError, match=r"001\.png: no such file; was it deleted meanwhile"):
            load(images)
    assert load(images).notes == ()


@pytest.mark.parametrize("name", ["read_toml", "read_npy"])
def test_a_set_that_cannot_be_read_now_is_kept_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    good = load_dataset("array", data_dir=tmp_path, count=6, heldout=2)
    expected, inode = np.array(good.train), good.path.stat().st_ino

    def fail(path: Path) -> None:
        try:
            raise OSError(errno.EMFILE, "Too many open files", str(path))
        except OSError as error:
            if name == "read_npy":
                raise
            raise UserError(f"{path}: cannot be read ({error.strerror})") from error

    with monkeypatch.context() as patch:
        patch.setattr(f"core.data.cache.{name}", fail)
        with pytest.raises(UserError, match=r"cannot be read now \(.*Too many open files.*try again"):
            load_dataset("array", data_dir=tmp_path, count=6, heldout=2)
    again = load_dataset("array", data_dir=tmp_path, count=6, heldout=2)
    np.testing.assert_array_equal(again.train, expected)
    assert again.path.stat().st_ino == inode
