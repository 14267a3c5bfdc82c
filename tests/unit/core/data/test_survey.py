"""Choices for a folder as a whole: the background of transparent images, the value of white, and notes."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from core.data import DataRecipe, ImageSet, find_data_recipe, load_dataset
from core.data.cache import fingerprint
from core.data.preview import first_images
from core.data.survey import load_image
from core.errors import UserError

RAMP = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (32, 1))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    return folder


def load(folder: Path, **settings: object) -> ImageSet:
    recipe = DataRecipe(name="mine", kind="folder", path=str(folder), **settings)  # type: ignore[arg-type]
    return load_dataset(recipe, data_dir=folder.parent / "data")


def all_images(made: ImageSet) -> NDArray[np.uint8]:
    return np.concatenate([made.train, made.heldout])


def save_ink(folder: Path, colour: tuple[int, ...], count: int = 12) -> None:
    for index in range(count):
        image = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
        ImageDraw.Draw(image).polygon([(2 * index, 2), (30, 20), (4, 28)], fill=(*colour, 255))
        image.save(folder / f"{index}.png")


def test_dark_ink_on_transparency_is_put_on_white_and_said(images: Path) -> None:
    save_ink(images, (0, 0, 0))
    made = load(images)
    assert (made.train == 255).all(axis=(1, 2, 3)).sum() == 0
    assert all_images(made).mean() > 128
    assert made.notes == (
        "12 transparent images are put on white, because their ink is dark; "
        "background in a data recipe sets the colour",
    )
    assert (first_images(made.recipe, 12, heldout=False) == made.train).all()
    assert load_image(images / "3.png", 32)[0].max() == 255


def test_light_ink_on_transparency_is_put_on_black_as_ever_and_said(images: Path) -> None:
    save_ink(images, (255, 255, 255))
    made = load(images)
    assert all_images(made).mean() < 128
    assert made.notes == (
        "12 transparent images are put on black; background in a data recipe sets the colour",
    )


@pytest.mark.parametrize(
    ("background", "expected"),
    [("black", (0, 0, 0)), ("white", (255,) * 3), ("grey", (128,) * 3), ("#0a141E", (10, 20, 30))],
)
def test_a_recipe_sets_the_background(images: Path, background: str, expected: tuple[int, ...]) -> None:
    save_ink(images, (200, 90, 30))
    made = load(images, background=background)
    assert made.notes == ()
    assert all((image[:, 31, 31] == expected).all() for image in all_images(made))
    assert (first_images(made.recipe, 1, heldout=True) == made.heldout[:1]).all()


def test_images_with_an_opaque_alpha_channel_are_not_called_transparent(images: Path) -> None:
    for index in range(3):
        Image.fromarray(np.roll(RAMP, index, axis=1)).convert("RGBA").save(images / f"{index}.png")
    assert load(images).notes == ()


@pytest.mark.parametrize("text", ["transparent", "#12345", "#1234567", "", "White"])
def test_a_background_that_is_no_colour_is_one_line(images: Path, text: str) -> None:
    with pytest.raises(UserError, match="expected black, white, grey or a colour like #ffcc00"):
        load(images, background=text)


@pytest.mark.parametrize("setting", ["background", "white"])
def test_settings_of_folders_are_refused_for_triangles(tmp_path: Path, setting: str) -> None:
    recipe = DataRecipe(name="x", **{setting: "white" if setting == "background" else 255})  # type: ignore[arg-type]
    with pytest.raises(UserError, match=f'{setting} is a setting of kind = "folder"'):
        load_dataset(recipe, data_dir=tmp_path)


@pytest.mark.parametrize(
    ("scale", "dtype", "name", "white"),
    [
        (16, np.uint16, "png", 4095),  # twelve bits
        (16, np.uint16, "tif", 4095),
        (1, np.uint16, "png", 255),
        (4, np.uint16, "tif", 1023),
        (1, np.int32, "tif", 255),
        (64, np.int32, "tif", 16383),
    ],
)
def test_few_bits_in_many_are_scaled_to_their_range_and_said(
    images: Path, scale: int, dtype: type[np.generic], name: str, white: int
) -> None:
    for index in range(4):
        stored = np.roll(RAMP, index, axis=1).astype(dtype) * dtype(scale)
        Image.fromarray(stored).save(images / f"{index}.{name}")
    made = load(images)
    assert made.channels == 1
    found = np.sort(all_images(made).reshape(4, -1), axis=1).astype(int)
    assert np.abs(found - np.sort(RAMP.ravel())).max() <= 1
    bits = 8 * np.dtype(dtype).itemsize
    assert made.notes == (
        f"4 images of {bits} bits have no value above {255 * scale}: {white} is taken as white; "
        "white in a data recipe sets it",
    )
    assert np.array_equal(first_images(made.recipe, 2, heldout=False), made.train[:2])
    assert load_image(images / f"0.{name}", 32)[0].max() >= 254


@pytest.mark.parametrize(("dtype", "name"), [(np.uint16, "png"), (np.uint16, "tif"), (np.int32, "tif")])
def test_all_of_sixteen_bits_are_scaled_as_before(images: Path, dtype: type[np.generic], name: str) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (32, 32))
    values[0, 0] = 65535
    Image.fromarray(values.astype(dtype)).save(images / f"a.{name}")
    assert np.array_equal(load(images).train[0, 0], values // 257)


def test_a_dark_image_among_bright_ones_keeps_its_brightness_and_is_named(images: Path) -> None:
    for index, scale in enumerate((257, 257, 16)):
        Image.fromarray(np.roll(RAMP, index, axis=1).astype(np.uint16) * np.uint16(scale)).save(
            images / f"{index}.png"
        )
    made = load(images)
    assert sorted(all_images(made).max(axis=(1, 2, 3)).tolist()) == [15, 255, 255]
    assert made.notes == (
        "1 of 3 images of 16 bits is nearly black, because 65535 is white; white in a data recipe sets it",
    )


@pytest.mark.parametrize("white", [1.0, 255.0, 2.0])
def test_floating_point_images_are_read_with_the_white_of_a_recipe(images: Path, white: float) -> None:
    Image.fromarray(RAMP.astype(np.float32) / np.float32(255) * np.float32(white)).save(images / "a.tif")
    assert np.array_equal(load(images, white=white).train[0, 0], RAMP)
    stored = np.array(RAMP, np.float32)
    stored[0, 0] = np.nan
    Image.fromarray(stored).save(images / "a.tif")
    with pytest.raises(UserError, match="numbers without a scale"):
        load(images, white=white)


def test_values_beyond_the_white_of_a_recipe_are_clipped(images: Path) -> None:
    Image.fromarray(np.array([[-5, 0], [100, 10**9]], np.int32)).save(images / "a.tif")
    made = load(images, size=2, white=200)
    assert made.train[0, 0].tolist() == [[0, 0], [127, 255]]


def test_a_constant_set_is_named(images: Path) -> None:
    for index in range(4):
        Image.new("L", (32, 32), 60 * index).save(images / f"{index}.png")
    assert load(images).notes == ("4 of 4 images are nearly one colour: there is hardly anything to learn",)


def test_a_set_of_little_contrast_is_named(images: Path) -> None:
    for index in range(4):
        Image.fromarray(np.roll(RAMP // 16, index, axis=1)).save(images / f"{index}.png")
    assert load(images).notes == ("the images have little contrast: all values are from 0 to 15 of 255",)


def test_exact_duplicates_across_the_splits_are_counted(images: Path) -> None:
    for index in range(40):
        Image.fromarray(np.roll(RAMP, index % 4, axis=1)).save(images / f"{index}.png")
    made = load(images)
    assert made.notes == (
        "36 of 40 images are exact duplicates of others",
        f"{len(made.heldout)} of {len(made.heldout)} held-out images are exact duplicates of training images, so that "
        "the held-out loss and the test for copies say less",
    )


def test_one_duplicate_is_named_in_the_singular(images: Path) -> None:
    for index in range(8):
        Image.fromarray(np.roll(RAMP, min(index, 6), axis=1)).save(images / f"{index}.png")
    assert load(images).notes[0] == "1 of 8 images is an exact duplicate of another"


def test_a_set_that_was_made_before_there_were_these_settings_keeps_its_fingerprint() -> None:
    files = [("a.png", 1, 2)]
    assert fingerprint(find_data_recipe("high"), []) == (
        "67394a885bca3649ca29289073d2ed6ba8b2dc7307de9a70b2ff978647cc816c"
    )
    plain = DataRecipe(name="a", kind="folder", path="/x", channels=3, size=32)
    assert fingerprint(plain, files) == "9813aa09b4962fa4ae45dcb3a2991fab7a66682d81af7d7d3ce0703db75e7720"
    others = [
        DataRecipe(name="a", kind="folder", path="/x", channels=3, background="white"),
        DataRecipe(name="a", kind="folder", path="/x", channels=3, white=4095),
    ]
    assert len({fingerprint(recipe, files) for recipe in (plain, *others)}) == 3
