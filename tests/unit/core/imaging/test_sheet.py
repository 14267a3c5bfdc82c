"""Sheets of images: written and read back, with all sizes in a file validated."""

import json
import os
import struct
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from core.errors import UserError
from core.imaging import Sheet, make_grid, read_sheet, to_channels_last, to_pixels, write_sheet
from core.imaging.sheet import GAP_GREY, LAYOUT_KEY, MAX_PIXELS


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def write_foreign(path: Path, layout: object) -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_text(LAYOUT_KEY, layout if isinstance(layout, str) else json.dumps(layout))
    Image.fromarray(noise(5, 7)).save(path, pnginfo=notes)


def sheet_or_reason(path: Path) -> Sheet | str:
    try:
        return read_sheet(path)
    except UserError as error:
        return str(error)


@pytest.mark.parametrize("shape", [(7, 5, 6), (7, 5, 6, 3), (1, 1, 1), (1, 32, 32, 3), (4, 3, 9)])
@pytest.mark.parametrize("columns", [1, 3, 20])
@pytest.mark.parametrize("gap", [0, 1, 4])
def test_a_written_sheet_is_read_back(tmp_path: Path, shape: tuple[int, ...], columns: int, gap: int) -> None:
    images = noise(*shape)
    write_sheet(tmp_path / "s.png", images, columns=columns, gap=gap)
    sheet = read_sheet(tmp_path / "s.png")
    np.testing.assert_array_equal(sheet.images, images)
    assert sheet.images.dtype == np.uint8
    assert sheet.columns == columns


def test_metadata_is_read_back_including_non_latin_letters(tmp_path: Path) -> None:
    notes = {"epoch": "10", "schedule": "x^1.5", "words": "ᾱ_T → 0, größer", "long": "z" * 5000}
    write_sheet(tmp_path / "s.png", noise(2, 4, 4), columns=2, meta=notes)
    assert read_sheet(tmp_path / "s.png").meta == notes


def test_a_sheet_is_an_ordinary_png_with_grey_between_the_images(tmp_path: Path) -> None:
    write_sheet(tmp_path / "s.png", np.zeros((3, 2, 2), np.uint8), columns=2)
    with Image.open(tmp_path / "s.png") as image:
        pixels = np.asarray(image)
    grey = GAP_GREY
    expected = [
        [0, 0, grey, 0, 0],
        [0, 0, grey, 0, 0],
        [grey] * 5,
        [0, 0, grey, grey, grey],
        [0, 0, grey, grey, grey],
    ]
    np.testing.assert_array_equal(pixels, expected)


def test_a_sheet_is_replaced_as_a_whole_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "s.png"
    write_sheet(path, noise(2, 4, 4), columns=2)
    before = path.stat().st_ino
    with path.open("rb") as reader:
        write_sheet(path, noise(3, 4, 4), columns=2)
        old = reader.read()
    assert path.stat().st_ino != before
    assert old.startswith(b"\x89PNG")
    assert os.listdir(tmp_path) == ["s.png"]


def test_a_sheet_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "s.png").mkdir()
    with pytest.raises(OSError, match=r"s\.png"):
        write_sheet(tmp_path / "s.png", noise(2, 4, 4), columns=2)
    assert os.listdir(tmp_path) == ["s.png"]


@pytest.mark.parametrize(
    "images",
    [noise(4, 4), noise(2, 4, 4, 4), noise(0, 4, 4), noise(2, 0, 4), np.zeros((2, 4, 4))],
    ids=["one picture", "four channels", "none", "no height", "floats"],
)
def test_only_a_batch_of_images_makes_a_sheet(tmp_path: Path, images: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="expected uint8 images"):
        write_sheet(tmp_path / "s.png", images, columns=2)


@pytest.mark.parametrize(("columns", "gap"), [(0, 1), (-1, 1), (2, -1)])
def test_a_grid_needs_a_column(columns: int, gap: int) -> None:
    with pytest.raises(ValueError, match="expected columns >= 1 and gap >= 0"):
        make_grid(noise(2, 4, 4), columns=columns, gap=gap)


@pytest.mark.parametrize("key", ["", "k" * 80, "größe", LAYOUT_KEY])
def test_a_note_needs_a_name_that_png_can_hold(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="expected a note's name"):
        write_sheet(tmp_path / "s.png", noise(2, 4, 4), columns=2, meta={key: "x"})


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_a_foreign_png_is_one_image(tmp_path: Path, mode: str) -> None:
    Image.fromarray(noise(5, 7, 3)).convert(mode).save(tmp_path / "f.png")
    sheet = read_sheet(tmp_path / "f.png")
    colour = () if mode in ("1", "L") else (3,)
    assert sheet.images.shape == (1, 5, 7, *colour)
    assert sheet.columns == 1


def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 32768, 65535]], np.uint16)).save(tmp_path / "f.png")
    assert read_sheet(tmp_path / "f.png").images.tolist() == [[[0, 128, 255]]]


def test_a_missing_sheet_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nope\.png: no such image$"):
        read_sheet(tmp_path / "nope.png")


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\xff" * 100])
def test_a_file_that_is_no_png_is_an_error_of_one_line(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "f.png").write_bytes(data)
    with pytest.raises(UserError, match=r"f\.png: not a PNG"):
        read_sheet(tmp_path / "f.png")


def test_a_truncated_sheet_is_read_whole_or_rejected_in_one_line(tmp_path: Path) -> None:
    path, cut = tmp_path / "s.png", tmp_path / "cut.png"
    write_sheet(path, noise(3, 4, 4), columns=2, meta={"epoch": "1"})
    data = path.read_bytes()
    for length in range(len(data)):
        cut.write_bytes(data[:length])
        read = sheet_or_reason(cut)
        if isinstance(read, str):
            assert "\n" not in read
        else:
            np.testing.assert_array_equal(read.images, noise(3, 4, 4))


def test_a_sheet_with_changed_bytes_never_ends_in_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "s.png"
    write_sheet(path, noise(3, 4, 4), columns=2)
    data, generator = path.read_bytes(), np.random.default_rng(1)
    for _ in range(300):
        changed = bytearray(data)
        for place in generator.integers(8, len(data), 2).tolist():
            changed[place] = int(generator.integers(256))
        path.write_bytes(bytes(changed))
        read = sheet_or_reason(path)
        assert not isinstance(read, str) or "\n" not in read


def test_a_png_that_claims_to_be_huge_is_rejected_unread(tmp_path: Path) -> None:
    header = b"IHDR" + struct.pack(">IIBBBBB", 1 << 20, 1 << 20, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    with pytest.raises(UserError, match=f"1048576 x 1048576 pixels are more .*{MAX_PIXELS}"):
        read_sheet(tmp_path / "bomb.png")


@pytest.mark.parametrize(
    "layout",
    [
        "",
        "not json",
        "[" * 100_000,
        "7",
        {},
        {"count": "1", "columns": 1, "height": 5, "width": 7, "gap": 0},
        {"count": True, "columns": 1, "height": 5, "width": 7, "gap": 0},
        {"count": 0, "columns": 1, "height": 5, "width": 7, "gap": 0},
        {"count": 1, "columns": 1, "height": 5, "width": -7, "gap": 0},
        {"count": 1, "columns": 1, "height": 5, "width": 8, "gap": 0},
        {"count": 2, "columns": 1, "height": 5, "width": 7, "gap": 0},
        {"count": 10**30, "columns": 1, "height": 5, "width": 7, "gap": 0},
    ],
)
def test_a_layout_that_does_not_fit_is_refused(tmp_path: Path, layout: object) -> None:
    write_foreign(tmp_path / "f.png", layout)
    with pytest.raises(UserError, match=r"f\.png: its layout"):
        read_sheet(tmp_path / "f.png")


def test_a_hostile_gap_costs_no_memory(tmp_path: Path) -> None:
    write_foreign(tmp_path / "f.png", {"count": 1, "columns": 1, "height": 5, "width": 7, "gap": MAX_PIXELS})
    limit = 2 << 30
    program = f"""
        import resource
        from pathlib import Path
        from core.imaging import read_sheet
        resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))
        print(read_sheet(Path({str(tmp_path / "f.png")!r})).images.shape)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "(1, 5, 7)", done.stderr


def test_pixels_are_the_nearest_of_256_levels() -> None:
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_pixels(levels / 127.5 - 1), levels)
    np.testing.assert_array_equal(to_pixels((levels / 127.5 - 1).astype(np.float32)), levels)
    np.testing.assert_array_equal(to_pixels(np.array([-np.inf, np.inf, -1.01, 1.01])), [0, 255, 0, 255])


def test_tiles_have_their_channels_last_and_grey_has_none() -> None:
    colour = noise(2, 3, 4, 5)
    assert to_channels_last(colour)[1, 2, 3].tolist() == colour[1, :, 2, 3].tolist()
    assert to_channels_last(noise(2, 1, 4, 5)).shape == (2, 4, 5)
    for shape in [(2, 2, 4, 5), (4, 5), (2, 4, 5)]:
        with pytest.raises(ValueError, match="expected images"):
            to_channels_last(noise(*shape))
