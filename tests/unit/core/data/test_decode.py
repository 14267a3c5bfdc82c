"""Images as viewers show them: colour profiles, formats of phones, and formats that cannot be read here."""

import io
import os
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from PIL import Image, PngImagePlugin, features

from core.data import load_dataset
from core.data.decode import BLACK, NotAnImageError, decode, readable_formats, unreadable_format
from core.data.survey import load_image
from core.errors import UserError

ADOBE = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
"""Primaries of a common wide RGB, adapted to D50."""
HEIC = struct.pack(">I", 24) + b"ftypheic" + b"\0\0\0\0" + b"mif1heic" + bytes(200)


def s15(number: float) -> bytes:
    return struct.pack(">i", round(number * 65536))


def icc(space: bytes, colours: dict[bytes, bytes]) -> bytes:
    """An ICC profile of version 2."""
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"wide\0" + b"\0" * 78
    white = b"XYZ \0\0\0\0" + b"".join(map(s15, (0.9642, 1.0, 0.8249)))
    tags = {b"desc": text, b"cprt": b"text\0\0\0\0none\0\0\0\0", b"wtpt": white, **colours}
    data, table, start = b"", b"", 132 + 12 * len(tags)
    for key, value in tags.items():
        table += key + struct.pack(">II", start + len(data), len(value))
        data += value + b"\0" * (-len(value) % 4)
    head = struct.pack(">I", start + len(data)) + b"\0\0\0\0" + struct.pack(">I", 0x02100000)
    head += b"mntr" + space + b"XYZ " + b"\0" * 12 + b"acsp" + b"\0" * 28
    head += b"".join(map(s15, (0.9642, 1.0, 0.8249))) + b"\0" * 48
    return head + struct.pack(">I", len(tags)) + table + data


def curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


def wide_rgb() -> bytes:
    colours = {
        name + b"XYZ": b"XYZ \0\0\0\0" + b"".join(map(s15, values))
        for name, values in zip((b"r", b"g", b"b"), ADOBE, strict=True)
    }
    return icc(b"RGB ", colours | {name + b"TRC": curve(2.2) for name in (b"r", b"g", b"b")})


def pixel(path: Path) -> tuple[int, ...]:
    return tuple(int(value) for value in load_image(path, 4)[0][:, 0, 0])


@pytest.mark.parametrize(
    ("stored", "seen"),
    [((219, 0, 0), (255, 0, 0)), ((200, 150, 120), (217, 151, 119)), ((100, 100, 100), (100, 100, 100))],
)
@pytest.mark.parametrize("extension", ["png", "tif", "webp"])
def test_colours_of_a_wide_profile_are_those_that_a_viewer_shows(
    tmp_path: Path, stored: tuple[int, ...], seen: tuple[int, ...], extension: str
) -> None:
    path = tmp_path / f"a.{extension}"
    options = {"lossless": True} if extension == "webp" else {}
    Image.new("RGB", (8, 8), stored).save(path, icc_profile=wide_rgb(), **options)
    np.testing.assert_allclose(pixel(path), seen, atol=1)


def test_a_grey_image_stays_grey_under_a_profile_of_colours(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    for name, image in {"L": Image.fromarray(ramp), "RGB": Image.fromarray(ramp).convert("RGB")}.items():
        image.save(tmp_path / f"{name}.png", icc_profile=wide_rgb())
        assert load_image(tmp_path / f"{name}.png", 32)[1] is False


def test_a_profile_of_greys_is_applied_to_greys_and_left_out_for_colours(tmp_path: Path) -> None:
    linear = icc(b"GRAY", {b"kTRC": curve(1.0)})
    Image.new("L", (8, 8), 55).save(tmp_path / "grey.png", icc_profile=linear)
    # A fifth of the light is level 128 of sRGB.
    np.testing.assert_allclose(pixel(tmp_path / "grey.png"), (128,) * 3, atol=2)
    Image.new("RGB", (8, 8), (55, 0, 0)).save(tmp_path / "colour.png", icc_profile=linear)
    found = decode(tmp_path / "colour.png", 4)
    assert found.is_profile_left_out
    assert tuple(found.pixels[:, 0, 0]) == (55, 0, 0)


def test_transparent_images_have_profiles_too(tmp_path: Path) -> None:
    image = Image.new("RGBA", (8, 8), (219, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 8, 4))
    image.save(tmp_path / "a.png", icc_profile=wide_rgb())
    found = decode(tmp_path / "a.png", 8).pixels
    np.testing.assert_allclose(found[:, 7, 0], (255, 0, 0), atol=1)
    assert tuple(found[:, 0, 0]) == BLACK


def test_a_profile_of_srgb_changes_no_pixel(tmp_path: Path) -> None:
    from PIL import ImageCms

    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(noise).save(tmp_path / "a.png", icc_profile=profile)
    np.testing.assert_array_equal(load_image(tmp_path / "a.png", 32)[0], noise.transpose(2, 0, 1))


def test_a_damaged_profile_is_named_and_the_colours_taken_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for index in range(3):
        noise = np.random.default_rng(index).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{index}.png", icc_profile=b"nonsense" * (index < 2))
    made = load_dataset(str(folder), data_dir=tmp_path / "data")
    assert made.notes[1:] == ("2 colour profiles cannot be applied; their colours are taken as sRGB",)


@pytest.mark.parametrize("extension", ["avif", "jp2"])
def test_formats_that_this_pillow_reads_are_trained_on(tmp_path: Path, extension: str) -> None:
    if not features.check({"avif": "avif", "jp2": "jpg_2000"}[extension]):
        pytest.skip(f"this Pillow was built without {extension}")
    Image.new("RGB", (40, 40), (250, 10, 10)).save(tmp_path / f"a.{extension}")
    np.testing.assert_allclose(pixel(tmp_path / f"a.{extension}"), (250, 10, 10), atol=8)


def test_an_image_of_a_phone_is_read_with_the_plug_in(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    Image.new("RGB", (40, 40), (250, 10, 10)).save(tmp_path / "a.heic")
    np.testing.assert_allclose(pixel(tmp_path / "a.heic"), (250, 10, 10), atol=8)


@pytest.fixture
def without_plug_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.data.decode.readable_formats", lambda: ("PNG", "JPEG"))
    monkeypatch.setattr("core.data.folder.readable_formats", lambda: ("PNG", "JPEG"))


@pytest.mark.usefixtures("without_plug_ins")
@pytest.mark.parametrize(
    ("name", "head", "text"),
    [
        ("a.HEIC", HEIC, r"2 files are left out: HEIC \(run .* -m pip install pillow-heif\)"),
        ("a.avif", HEIC.replace(b"heic", b"avif"), r"left out: AVIF \(this build of Pillow does not read it"),
        ("a.jp2", b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99), r"left out: JPEG2000 \(this build of Pillow does"),
    ],
)
def test_images_that_cannot_be_read_here_are_named_with_what_to_do(
    tmp_path: Path, name: str, head: bytes, text: str
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for prefix in "xy":
        (folder / f"{prefix}{name}").write_bytes(head)
    with pytest.raises(UserError, match=f"none of its files can be used; .*{text}"):
        load_dataset(str(folder), data_dir=tmp_path / "data")
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(folder / "a.png")
    made = load_dataset(str(folder), data_dir=tmp_path / "data")
    assert len(made.notes) == 3
    (folder / f"x{name}").rename(folder / "misnamed.jpg")
    notes = load_dataset(str(folder), data_dir=tmp_path / "data").notes
    assert "1 of 2 files were skipped: 1 " + made.notes[2].split(": ")[1] in notes


@pytest.mark.usefixtures("without_plug_ins")
def test_a_jpeg_that_is_called_heic_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for index in range(4):
        noise = np.random.default_rng(index).integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{index}.heic", format="JPEG")
    made = load_dataset(str(folder), data_dir=tmp_path / "data")
    assert (len(made.train) + len(made.heldout), made.notes[1:]) == (4, ())


def test_left_out_images_are_read_once_the_plug_in_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for index in range(5):
        noise = np.random.default_rng(index).integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{index}.png")
    png = (folder / "4.png").read_bytes()
    (folder / "4.png").unlink()
    (folder / "4.heic").write_bytes(HEIC + png)

    class StandIn(PngImagePlugin.PngImageFile):
        """Reads the PNG that the test appended to the head of a HEIC."""

        def __init__(self, file: BinaryIO, name: str) -> None:
            super().__init__(io.BytesIO(file.read()[len(HEIC) :]), name)

    formats = tuple(name for name in readable_formats() if name != "HEIF")
    monkeypatch.setattr("core.data.decode.readable_formats", lambda: formats)
    monkeypatch.setattr("core.data.folder.readable_formats", lambda: formats)
    before = load_dataset(str(folder), data_dir=tmp_path / "data")
    assert len(before.train) + len(before.heldout) == 4
    monkeypatch.setitem(Image.OPEN, "HEIF", (StandIn, lambda head: head[4:12] == b"ftypheic"))
    monkeypatch.setattr("core.data.decode.readable_formats", lambda: (*formats, "HEIF"))
    monkeypatch.setattr("core.data.folder.readable_formats", lambda: (*formats, "HEIF"))
    after = load_dataset(str(folder), data_dir=tmp_path / "data")
    assert (len(after.train) + len(after.heldout), after.notes[1:]) == (5, ())


def test_only_files_of_known_kinds_are_called_unreadable() -> None:
    for head in (b"", b"\x89PNG", b"\xff\xd8\xff", b"\0\0\0\x18ftypmp42\0\0\0\0isom"):
        assert unreadable_format(head) == ""


def test_a_pipe_is_not_waited_at(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(NotAnImageError, match="not a plain file"):
        load_image(tmp_path / "pipe.png", 8)
