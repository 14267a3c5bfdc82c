"""Archives of images: the same sets as from their unpacked folders, and members that are never read."""

import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.data import archive, load_dataset
from core.data.preview import first_images
from core.data.recipe import find_data_recipe
from core.errors import UserError


def png(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


FILES = {f"all/{'cat' if index % 3 else 'dog'}/{index}.png": png(index) for index in range(24)}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DDPM_DATA", str(tmp_path / "data"))
    return tmp_path


def write_zip(path: Path, files: dict[str, bytes] = FILES) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)


def write_tar(path: Path, files: dict[str, bytes] = FILES, mode: str = "w") -> None:
    with tarfile.open(path, mode) as packed:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.zip", write_zip),
        ("a.tar", write_tar),
        ("a.tar.gz", lambda path: write_tar(path, mode="w:gz")),
        ("a.txz", lambda path: write_tar(path, mode="w:xz")),
    ],
)
def test_an_archive_makes_the_set_of_its_unpacked_folder(
    home: Path, name: str, write: Callable[[Path], None]
) -> None:
    for path, content in FILES.items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_bytes(content)
    write(home / name)
    unpacked, packed = load_dataset("all"), load_dataset(name)
    assert np.array_equal(unpacked.train, packed.train)
    assert np.array_equal(unpacked.heldout, packed.heldout)
    assert packed.classes == ("cat", "dog")
    recipe = find_data_recipe(name)
    assert np.array_equal(first_images(recipe, 5, heldout=False), packed.train[:5])
    os.utime(home / name, (1, 1))
    assert load_dataset(name).path != packed.path


def test_members_that_lead_out_link_or_are_encrypted_are_counted_in_words(home: Path) -> None:
    write_zip(
        home / "a.zip",
        {**FILES, "../up.png": png(1), "/etc/x.png": png(1), "C:/x.png": png(1), "key.png": png(1)},
    )
    content = bytearray((home / "a.zip").read_bytes())
    content[content.rindex(b"key.png") - 46 + 8] |= 1  # of the central directory
    (home / "a.zip").write_bytes(content)
    notes = load_dataset("a.zip").notes
    assert f"3 files are left out: {archive.UNSAFE_NAMES}" in notes
    assert f"1 file is left out: {archive.ENCRYPTED}" in notes
    with tarfile.open(home / "a.tar", "w") as packed:
        for kind, name in (
            (tarfile.SYMTYPE, "link.png"),
            (tarfile.LNKTYPE, "hard.png"),
            (tarfile.FIFOTYPE, "pipe.png"),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            packed.addfile(entry)
    with pytest.raises(
        UserError, match=f"2 files are left out: {archive.LINKS}; 1 file is left out: {archive.STRANGE}"
    ):
        load_dataset("a.tar")


def test_a_member_that_is_damaged_is_skipped_and_its_neighbours_are_kept(home: Path) -> None:
    write_zip(home / "a.zip")
    content = bytearray((home / "a.zip").read_bytes())
    start = content.index(b"0.png") + len(b"0.png") + 10
    content[start : start + 40] = bytes(40)
    (home / "a.zip").write_bytes(content)
    made = load_dataset("a.zip")
    assert made.notes[0] == "1 of 24 files were skipped: 1 damaged in the archive"


def test_a_tar_that_unpacks_to_far_more_than_its_size_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_MAX_UNPACKED", 1 << 20)
    write_tar(home / "a.tar.gz", {"zeros.png": bytes(3 << 20)}, mode="w:gz")
    with pytest.raises(UserError, match="unpacks to more than 1 MiB"):
        load_dataset("a.tar.gz")


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.txz"])
@pytest.mark.parametrize("content", [b"", b"PK\3\4 no archive", bytes(range(256)) * 9])
def test_what_is_no_archive_is_refused_in_one_line(home: Path, name: str, content: bytes) -> None:
    (home / name).write_bytes(content)
    with pytest.raises(UserError, match=r"not an archive, or a damaged one|an empty archive") as raised:
        load_dataset(name)
    assert "\n" not in str(raised.value)


def test_a_name_that_is_not_the_utf8_that_it_claims_is_said(home: Path) -> None:
    write_zip(home / "a.zip", {"\N{SNOWMAN}.png": png(0)})
    (home / "a.zip").write_bytes((home / "a.zip").read_bytes().replace("\N{SNOWMAN}".encode(), b"\xe9\xff-"))
    with pytest.raises(
        UserError, match=r"a\.zip: the name \\xe9\\xff-\.png in it is not UTF-8.*pack it again"
    ):
        load_dataset("a.zip")


def test_a_truncated_archive_is_refused_in_one_line(home: Path) -> None:
    write_tar(home / "a.tar.gz", mode="w:gz")
    content = (home / "a.tar.gz").read_bytes()
    (home / "a.tar.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="not an archive, or a damaged one"):
        load_dataset("a.tar.gz")
