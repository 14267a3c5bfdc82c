"""Files of many images as data sets: layouts, ranges, formats, and what is refused."""

import gzip
import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from core.data import load_dataset
from core.data.preview import first_images
from core.data.recipe import absolute_dataset, find_data_recipe
from core.errors import UserError

GREY = np.random.default_rng(0).integers(0, 256, (40, 32, 32), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DDPM_DATA", str(tmp_path / "data"))
    return tmp_path


def idx(images: NDArray[np.uint8]) -> bytes:
    return struct.pack(f">I{images.ndim}I", 0x800 + images.ndim, *images.shape) + images.tobytes()


def pixels_of(path: str) -> set[bytes]:
    made = load_dataset(path)
    assert (made.channels, made.size) == (1 if len(made.train) > 12 else 3, 32)
    return {image.tobytes() for image in (*made.train, *made.heldout)}


def encrypted() -> bytes:
    """A .npz file whose member claims to be encrypted."""
    buffer = io.BytesIO()
    np.savez(buffer, GREY)
    content = bytearray(buffer.getvalue())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + flags] |= 1
    return bytes(content)


def save(path: Path, values: NDArray[Any]) -> None:
    np.save(path, values)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.npy", lambda path: save(path, GREY)),
        ("a.npy", lambda path: save(path, GREY[..., None])),
        ("a.npy", lambda path: save(path, GREY[:, None].astype(np.int64))),
        ("a.npy", lambda path: save(path, GREY / 255)),
        ("a.npy", lambda path: save(path, (GREY / 127.5 - 1).astype(np.float32))),
        ("a.npz", lambda path: np.savez(path, x_train=GREY, y_train=np.arange(40))),
        ("a-idx3-ubyte", lambda path: path.write_bytes(idx(GREY))),
        ("a-idx3-ubyte.gz", lambda path: path.write_bytes(gzip.compress(idx(GREY)))),
    ],
)
def test_each_format_and_range_has_the_same_images(
    home: Path, name: str, write: Callable[[Path], object]
) -> None:
    write(home / name)
    assert pixels_of(name) == {image.tobytes() for image in GREY}


@pytest.mark.parametrize("channels_first", [True, False])
def test_channels_may_come_first_or_last(home: Path, channels_first: bool) -> None:
    np.save(home / "c.npy", COLOUR.transpose(0, 3, 1, 2) if channels_first else COLOUR)
    assert pixels_of("c.npy") == {image.transpose(2, 0, 1).tobytes() for image in COLOUR}


def test_the_preview_has_the_first_images_of_the_set(home: Path) -> None:
    np.save(home / "a.npy", GREY)
    made, recipe = load_dataset("a.npy"), find_data_recipe("a.npy")
    for heldout, images in ((False, made.train), (True, made.heldout)):
        np.testing.assert_array_equal(first_images(recipe, 3, heldout=heldout), images[:3])


def test_the_set_says_what_was_resized_and_how_numbers_were_read(home: Path) -> None:
    np.save(home / "small.npy", GREY[:, :28, :28] / 255)
    assert load_dataset("small.npy").notes == (
        "float64 numbers: 0 is taken as black, 1 as white",
        "all images are 28x28, which is kept; size in a data recipe sets another size",
    )
    (home / "mine.toml").write_text('kind = "folder"\npath = "small.npy"\nsize = 32\n')
    made = load_dataset("mine.toml")
    assert made.notes[0] == "images of 28x28 are resized to 32x32; size = 28 in a data recipe keeps them"
    assert made.size == 32


def test_images_with_numbers_that_are_not_finite_are_skipped_and_counted(home: Path) -> None:
    values = GREY / 255
    values[3, 5, 5] = np.nan
    np.save(home / "a.npy", values)
    made = load_dataset("a.npy")
    assert len(made.train) + len(made.heldout) == 39
    assert made.notes[0] == "1 of 40 files were skipped: 1 numbers that are not finite"


def test_a_changed_file_is_another_set(home: Path) -> None:
    np.save(home / "a.npy", GREY)
    before = load_dataset("a.npy").fingerprint
    np.save(home / "a.npy", GREY[:30])
    after = load_dataset("a.npy")
    assert after.fingerprint != before
    assert len(after.train) + len(after.heldout) == 30


def test_its_path_is_valid_from_everywhere(home: Path) -> None:
    np.save(home / "a.npy", GREY)
    assert absolute_dataset("a.npy") == str(home / "a.npy")


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("a.npy", lambda path: save(path, np.zeros((5, 64))), "an array of 5x64; expected images"),
        ("a.npy", lambda path: save(path, np.zeros((0, 8, 8))), "an array of 0x8x8; expected images"),
        ("a.npy", lambda path: save(path, np.full((5, 8, 8), 1e6)), "expected 0 to 1, -1 to 1 or 0 to 255"),
        ("a.npy", lambda path: save(path, np.zeros((5, 8, 8), complex)), "complex128 values"),
        ("a.npy", lambda path: save(path, np.array([{}, {}])), "not a .npy file of numbers"),
        ("a.npy", lambda path: path.write_bytes(b"text"), "not a .npy file"),
        ("a.npz", lambda path: np.savez(path, a=GREY, b=GREY), "2 arrays of images; expected one"),
        ("a.npz", lambda path: path.write_bytes(b"text"), "not a .npz file"),
        ("a.npz", lambda path: path.write_bytes(encrypted()), "File 'arr_0.npy' is encrypted"),
        ("a-idx3-ubyte", lambda path: path.write_bytes(idx(GREY)[:-5]), "40,955 of 40,960 bytes"),
        ("a-idx1-ubyte", lambda path: path.write_bytes(idx(GREY[:, 0, 0])), "not an IDX file of images"),
        ("a-idx3-ubyte.gz", lambda path: path.write_bytes(b"text"), "a damaged IDX file"),
    ],
)  # fmt: skip
def test_other_content_is_refused_in_a_line_that_names_the_file(
    home: Path, name: str, write: Callable[[Path], object], message: str
) -> None:
    write(home / name)
    with pytest.raises(UserError) as caught:
        load_dataset(name)
    assert str(home / name) in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
