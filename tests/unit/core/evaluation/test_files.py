"""Images from a `.npy` file: accepted arrays, and one clear line for everything else."""

import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import UserError
from core.evaluation.files import read_images


def saved(path: Path, array: object, **options: object) -> Path:
    np.save(path, array, **options)  # type: ignore[arg-type]  # whatever a test wants to see refused
    return path


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2"])
def test_floats_of_any_width_and_order_are_taken_as_they_are(tmp_path, dtype):
    values = np.linspace(0, 1, 2 * 3 * 4 * 4).reshape(2, 3, 4, 4).astype(dtype)
    found = read_images(saved(tmp_path / "a.npy", values))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values.astype(np.float32))


def test_bytes_are_scaled_to_1(tmp_path):
    values = np.array([0, 51, 255], np.uint8).reshape(3, 1, 1, 1)
    found = read_images(saved(tmp_path / "a.npy", values))
    np.testing.assert_allclose(found.ravel(), [0, 0.2, 1], rtol=1e-6)


def test_grey_images_need_no_axis_of_channels(tmp_path):
    values = np.random.default_rng(0).random((3, 4, 5))
    np.testing.assert_array_equal(
        read_images(saved(tmp_path / "a.npy", values))[:, 0], values.astype(np.float32)
    )


def test_numbers_outside_0_to_1_and_nan_are_left_to_the_evaluator(tmp_path):
    values = np.array([np.nan, -3.0, 7.0, 1e300]).reshape(1, 1, 2, 2)
    found = read_images(saved(tmp_path / "a.npy", values)).ravel()
    assert np.isnan(found[0])
    assert found[1:].tolist() == [-3.0, 7.0, np.inf]


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4)),
        np.zeros((1, 1, 1, 4, 4)),
        np.zeros((0, 1, 4, 4)),
        np.float64(0.5),
        np.zeros((2, 4, 4), dtype=np.int64),
        np.zeros((2, 4, 4), dtype=bool),
        np.zeros((2, 4, 4), dtype=complex),
        np.full((2, 4, 4), "x"),
        np.zeros((2, 4, 4), dtype=[("a", "f4")]),
    ],
    ids=lambda array: f"{array.dtype}-{list(array.shape)}",
)
def test_arrays_that_are_no_images_are_refused(tmp_path, array):
    with pytest.raises(UserError, match=r"a\.npy: (expected an array|not a \.npy)"):
        read_images(saved(tmp_path / "a.npy", array))


class Trap:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (str(self.path), "w"))


def test_nothing_is_unpickled(tmp_path):
    trap = tmp_path / "sprung"
    saved(tmp_path / "a.npy", np.array([Trap(trap)], dtype=object), allow_pickle=True)
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Trap(trap)))
    for name in ("a.npy", "b.npy"):
        with pytest.raises(UserError, match=r"not a \.npy file"):
            read_images(tmp_path / name)
    assert not trap.exists()


def test_a_header_that_promises_more_than_the_file_has_costs_no_memory(tmp_path):
    file = io.BytesIO()
    np.save(file, np.zeros((2, 1, 4, 4), np.float32))
    huge = file.getvalue().replace(b"(2, 1, 4, 4), }", b"(2000000000, 1000, 4, 4), }")
    assert b"2000000000" in huge
    (tmp_path / "a.npy").write_bytes(huge)
    with pytest.raises(UserError, match=r"not a \.npy file of numbers"):
        read_images(tmp_path / "a.npy")


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY", b"hello", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"PK\x03\x04junk"]
)
def test_what_is_no_npy_file_is_one_line(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.npy: not a \.npy file") as caught:
        read_images(tmp_path / "a.npy")
    assert "\n" not in str(caught.value)


def test_an_archive_of_several_arrays_is_reported(tmp_path):
    with (tmp_path / "a.npy").open("wb") as file:
        np.savez(file, a=np.zeros((2, 4, 4)), b=np.zeros(3))
    with pytest.raises(UserError, match=r"not a \.npy file"):
        read_images(tmp_path / "a.npy")


def test_a_missing_path_or_one_that_is_no_file_is_reported(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_images(tmp_path / "a.npy")
    with pytest.raises(UserError, match="found something else"):
        read_images(tmp_path)
    os.mkfifo(tmp_path / "pipe.npy")
    with pytest.raises(UserError, match="found something else"):
        read_images(tmp_path / "pipe.npy")


@given(place=st.integers(0, 200), byte=st.integers(0, 255), length=st.integers(0, 300))
@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
def test_a_file_with_a_wrong_byte_or_cut_short_is_read_or_explained(tmp_path, place, byte, length):
    file = io.BytesIO()
    np.save(file, np.zeros((2, 1, 4, 4), np.float32))
    data = bytearray(file.getvalue())
    data[place % len(data)] = byte
    (tmp_path / "a.npy").write_bytes(data[: max(length, 1)] if length < 280 else data)
    try:
        found = read_images(tmp_path / "a.npy")
    except UserError as error:
        found = str(error)
    assert "a.npy" in found if isinstance(found, str) else found.ndim == 4
