"""Signatures change with every replacement of a file and every appended byte."""

from pathlib import Path

from core.files.atomic import atomic_write
from core.files.signature import signature


def test_a_missing_file_has_no_signature(tmp_path: Path) -> None:
    assert signature(tmp_path / "none") is None


def test_an_appended_byte_and_a_replacement_change_the_signature(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    first = signature(path)
    assert first is not None
    assert first == signature(path)
    with path.open("ab") as file:
        file.write(b"!")
    second = signature(path)
    assert second is not None
    assert (second.inode, second.size) == (first.inode, 4)
    atomic_write(path, b"one!")
    third = signature(path)
    assert third is not None
    assert third.inode != second.inode
