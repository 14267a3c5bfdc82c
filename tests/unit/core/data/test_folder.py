"""Folders of the user's images: any size, any mode, and other files among them."""

import os
import struct
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from core.data import ImageSet, load_dataset
from core.data.folder import to_grey
from core.data.splitting import path_hash, split
from core.errors import UserError

any_bytes_in_names = pytest.mark.skipif(sys.platform == "darwin", reason="names on macOS are always Unicode")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder


def load(folder: Path, **options: object) -> ImageSet:
    text = f'kind = "folder"\npath = "{folder}"\n' + "".join(
        f"{key} = {value}\n" for key, value in options.items()
    )
    recipe = folder.parent / "mine.toml"
    recipe.write_text(text)
    return load_dataset(str(recipe), data_dir=folder.parent / "data")


def noise(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, array: NDArray[np.generic], **options: object) -> None:
    Image.fromarray(array).save(path, **options)


def save_many(folder: Path, count: int, *colour: int) -> None:
    for index in range(count):
        save(folder / f"{index:03}.png", noise(32, 32, *colour, seed=index))


def test_a_plain_folder_is_a_data_set(images: Path) -> None:
    save_many(images, 30)
    made = load_dataset(str(images), data_dir=images.parent / "data")
    assert made.name == "pictures"
    assert (made.channels, made.size) == (1, 32)
    assert len(made.train) + len(made.heldout) == 30
    assert made.train_vertices is None
    assert made.heldout_vertices is None
    assert made.notes == ()
    assert made.mean_square == pytest.approx(float(((made.train / 127.5 - 1.0) ** 2).mean()))


def test_each_image_is_in_one_of_the_two_splits_unchanged(images: Path) -> None:
    save_many(images, 30)
    made = load(images)
    found = {image.tobytes() for image in np.concatenate([made.train, made.heldout])}
    assert found == {noise(32, 32, seed=index).tobytes() for index in range(30)}


def test_one_in_ten_is_held_out_by_hash(images: Path) -> None:
    names = [f"{index}.png" for index in range(5_000)]
    names.sort(key=path_hash)
    trained, tested = split(names)
    assert sorted(trained + tested) == list(range(5_000))
    # A binomial with p = 0.1 has a standard deviation of 21 here.
    assert abs(len(tested) - 500) < 64


def test_an_additional_image_moves_no_other_between_the_splits(images: Path) -> None:
    save_many(images, 40)
    before = {image.tobytes() for image in load(images).heldout}
    save(images / "more.png", noise(32, 32, seed=99))
    after = {image.tobytes() for image in load(images).heldout}
    assert before <= after
    assert len(after - before) <= 1


@pytest.mark.parametrize("count", range(2, 12))
def test_each_split_of_few_images_has_at_least_one(count: int) -> None:
    trained, tested = split([f"{index}.png" for index in range(count)])
    assert len(trained) >= 1
    assert len(tested) >= 1
    assert not set(trained) & set(tested)


def test_a_single_image_is_both_trained_on_and_held_out_with_a_note(images: Path) -> None:
    save_many(images, 1)
    made = load(images)
    np.testing.assert_array_equal(made.train, made.heldout)
    assert made.notes == ("there is only one image: it is both trained on and held out",)


def test_the_images_do_not_depend_on_the_number_of_workers(images: Path) -> None:
    save_many(images, 25, 3)
    one, four = (
        load_dataset(str(images), data_dir=images.parent / str(workers), workers=workers)
        for workers in (1, 4)
    )
    np.testing.assert_array_equal(one.train, four.train)
    np.testing.assert_array_equal(one.heldout, four.heldout)


def test_one_image_with_colour_makes_the_set_colour(images: Path) -> None:
    save_many(images, 4)
    assert load(images).channels == 1
    save(images / "colour.png", noise(32, 32, 3))
    made = load(images)
    assert made.channels == 3
    assert made.train.shape[1:] == made.heldout.shape[1:] == (3, 32, 32)


def test_grey_images_stored_as_colour_are_grey(images: Path) -> None:
    save(images / "a.png", np.repeat(noise(32, 32, 1), 3, axis=2))
    save(images / "b.png", noise(32, 32))
    assert load(images).channels == 1


def test_channels_can_be_decided_by_the_recipe(images: Path) -> None:
    save_many(images, 4, 3)
    assert load(images, channels=1).train.shape[1] == 1
    for path in images.iterdir():
        save(path, noise(32, 32))
    assert load(images, channels=3).train.shape[1] == 3


def test_colour_becomes_grey_as_in_pillow() -> None:
    colour = noise(3, 20, 20, 3)
    expected = np.stack([np.asarray(Image.fromarray(one).convert("L")) for one in colour])
    np.testing.assert_array_equal(to_grey(colour.transpose(0, 3, 1, 2))[:, 0], expected)


@pytest.mark.parametrize("size", [1, 7, 32, 50])
def test_any_size_and_shape_becomes_the_square_of_the_recipe(images: Path, size: int) -> None:
    for index, shape in enumerate([(1, 1), (3, 200), (200, 3), (32, 32), (500, 400, 3)]):
        save(images / f"{index}.png", noise(*shape))
    assert load(images, size=size).train.shape[1:] == (3, size, size)


def test_the_middle_of_the_image_is_kept(images: Path) -> None:
    wide = np.zeros((40, 100), np.uint8)
    wide[:, 30:70] = 255
    save(images / "wide.png", wide)
    save(images / "tall.png", wide.T)
    made = load(images, size=8)
    assert made.train.min() == made.heldout.min() == 255


def test_a_large_image_is_averaged_not_sampled(images: Path) -> None:
    save(images / "a.png", np.indices((320, 320)).sum(axis=0).astype(np.uint8) % 2 * np.uint8(255))
    made = load(images)
    assert np.abs(made.train.astype(int) - 127).max() <= 2


def test_an_image_taken_upside_down_is_turned_upright(images: Path) -> None:
    upright = np.zeros((32, 32), np.uint8)
    upright[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(upright[::-1, ::-1].copy()).save(images / "a.png", exif=exif)
    np.testing.assert_array_equal(load(images).train[0, 0], upright)


def test_an_image_taken_sideways_is_turned_upright(images: Path) -> None:
    upright = np.zeros((640, 640), np.uint8)
    upright[:160] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(upright).copy()).save(images / "a.jpg", exif=exif, quality=95)
    made = load(images).train[0, 0].astype(int)
    assert made[:7].min() > 240
    assert made[9:].max() < 15


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I"])
def test_every_mode_can_be_read(images: Path, mode: str) -> None:
    grey = Image.fromarray(np.full((32, 32), 255, np.uint8))
    name = "a.tif" if mode in ("CMYK", "YCbCr", "I") else "a.png"
    if mode.startswith("I"):
        Image.fromarray(np.full((32, 32), 65535, np.uint16 if mode == "I;16" else np.int32)).save(
            images / name
        )
    else:
        grey.convert(mode).save(images / name)
    assert load(images).train.min() >= 250


@pytest.mark.parametrize("extension", ["png", "jpg", "gif", "bmp", "tif", "webp", "ppm", "tga", "ico"])
def test_common_formats_can_be_read_whatever_their_names(images: Path, extension: str) -> None:
    Image.fromarray(np.full((32, 32, 3), (0, 255, 0), np.uint8)).save(images / f"a.{extension}")
    (images / f"a.{extension}").rename(images / "no-extension")
    made = load(images)
    assert np.abs(made.train[0].astype(int) - np.array([0, 255, 0])[:, None, None]).max() <= 30


def test_transparent_images_are_composited_on_black(images: Path) -> None:
    clear = np.full((32, 32, 4), 255, np.uint8)
    clear[:16, :, 3] = 0
    save(images / "a.png", clear)
    made = load(images).train[0, 0]
    assert made[:16].max() == 0
    assert made[16:].min() == 255


def test_the_first_frame_of_an_animation_is_taken(images: Path) -> None:
    frames = [Image.fromarray(np.full((32, 32), value, np.uint8)) for value in (200, 10)]
    frames[0].save(images / "a.gif", save_all=True, append_images=frames[1:])
    assert load(images).train.min() == 200


def test_folders_below_are_looked_into_but_hidden_ones_are_not(images: Path) -> None:
    for name in ("deep/er/a.png", ".hidden/b.png", ".c.png"):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        save(images / name, noise(32, 32))
    assert load(images).notes == ("there is only one image: it is both trained on and held out",)


def test_files_that_are_no_images_are_skipped_and_counted(images: Path) -> None:
    save_many(images, 5)
    (images / "notes.txt").write_text("words")
    (images / "empty.png").write_bytes(b"")
    data = (images / "000.png").read_bytes()
    (images / "cut.png").write_bytes(data[: len(data) // 2])
    os.mkfifo(images / "pipe.png")
    (images / "dangling.png").symlink_to(images / "nowhere.png")
    made = load(images)
    assert len(made.train) + len(made.heldout) == 5
    assert set(made.notes) == {
        "3 of 8 files were skipped: 2 not an image, 1 damaged",
        "1 file is left out: not plain files",
        "1 file is left out: broken links",
    }


def test_postscript_is_never_run(images: Path) -> None:
    save_many(images, 2)
    (images / "a.eps").write_text(
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    )
    assert load(images).notes == ("1 of 3 files were skipped: 1 not an image",)


def test_a_decompression_bomb_is_skipped_unread(images: Path) -> None:
    save_many(images, 2)
    for name, side in (("a.png", 9_000), ("b.png", 12_000), ("c.png", 60_000)):
        header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
        data = b"\0\0\0\0IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
        (images / name).write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(images).notes == ("3 of 5 files were skipped: 3 too large",)


def test_numbers_without_a_scale_are_skipped(images: Path) -> None:
    save_many(images, 2)
    save(images / "f.tif", np.ones((32, 32), np.float32))
    save(images / "signed.tif", np.full((32, 32), -1, np.int32))
    reason = "numbers without a scale (set white in a data recipe)"
    assert load(images).notes == (f"2 of 4 files were skipped: 2 {reason}",)


def test_damaged_files_of_every_format_never_end_in_a_traceback(images: Path) -> None:
    generator = np.random.default_rng(0)
    save(images / "good.png", noise(32, 32))
    for extension in ("png", "jpg", "gif", "bmp", "tif", "webp", "ppm", "tga", "ico"):
        path = images / f"whole.{extension}"
        Image.fromarray(noise(24, 24, 3)).save(path)
        data = path.read_bytes()
        path.unlink()
        for index in range(12):
            changed = bytearray(data)
            for place in generator.integers(0, min(len(data), 200), 3).tolist():
                changed[place] = int(generator.integers(256))
            cut = len(data) if index % 2 else int(generator.integers(1, len(data)))
            (images / f"{index}.{extension}").write_bytes(bytes(changed[:cut]))
    assert load(images).notes[0].startswith(tuple("123456789"))


def test_an_empty_folder_is_an_error_of_one_line(images: Path) -> None:
    with pytest.raises(UserError, match=r"pictures: an empty folder; expected images \(PNG, JPEG,"):
        load(images)


def test_a_missing_folder_is_an_error_of_one_line(images: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: no such folder of images"):
        load(images.parent / "nowhere")


def test_a_folder_without_a_usable_image_is_explained(images: Path) -> None:
    (images / "a.txt").write_text("words")
    (images / "b.txt").write_text("words")
    with pytest.raises(UserError, match=r"pictures: none of its 2 files can be used \(2 not an image\)"):
        load(images)
    assert [name for name in os.listdir(images.parent / "data") if name != ".locks"] == []


def test_a_folder_is_read_once_and_again_when_it_changes(images: Path) -> None:
    save_many(images, 5)
    first = load(images)
    inode = (first.path / "train.npy").stat().st_ino
    assert (load(images).path / "train.npy").stat().st_ino == inode
    save(images / "000.png", noise(32, 32, seed=77))
    os.utime(images / "000.png", ns=(1, 1))
    second = load(images)
    assert second.path != first.path
    found = {image.tobytes() for image in np.concatenate([second.train, second.heldout])}
    assert noise(32, 32, seed=77).tobytes() in found


def test_generated_sets_inside_the_folder_are_not_taken_for_images(images: Path) -> None:
    save_many(images, 5)
    data = images / "datasets"
    first = load_dataset(str(images), data_dir=data)
    save(data / "stray.png", noise(32, 32))
    second = load_dataset(str(images), data_dir=data)
    assert second.path == first.path
    assert second.notes == ()


def test_fewer_can_be_asked_for_and_more_than_there_are_is_all_of_them(images: Path) -> None:
    save_many(images, 20)
    whole = load(images)
    data = images.parent / "data"
    part = load_dataset(whole.recipe, data_dir=data, count=3, heldout=1)
    np.testing.assert_array_equal(part.train, whole.train[:3])
    assert len(part.heldout) == 1
    assert len(load_dataset(whole.recipe, data_dir=data, count=999, heldout=999).train) == len(whole.train)
    assert len(load(images, count=4).train) == 4


def test_progress_counts_files(images: Path) -> None:
    save_many(images, 6)
    (images / "notes.txt").write_text("words")
    calls: list[tuple[int, int]] = []
    load_dataset(
        str(images),
        data_dir=images.parent / "data",
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(done, 7) for done in range(8)]


@any_bytes_in_names
def test_a_folder_whose_name_is_not_unicode_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/\xff"
    os.mkdir(folder)
    with pytest.raises(UserError, match=r"cannot be looked up \(its name is not UTF-8; rename it\)"):
        load_dataset(os.fsdecode(folder), data_dir=tmp_path / "data")


@any_bytes_in_names
def test_a_file_whose_name_is_not_unicode_is_an_image_like_any_other(images: Path) -> None:
    save(images / "a.png", noise(32, 32))
    os.rename(images / "a.png", os.fsencode(images) + b"/\xff.png")
    assert len(load(images).train) == 1
