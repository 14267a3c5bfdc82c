"""Images from files, and images as cells."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from core.imaging.resize import RAISED_BLACK, fit_image
from core.imaging.sheet import write_sheet
from tests.support.widget_bench import noise, rendered_pixels
from tui.state.sheet_cache import SheetCache
from tui.widgets.images.halfblocks import cell_lines


def test_a_sheet_is_the_same_object_until_its_file_changes(tmp_path: Path) -> None:
    path, cache = tmp_path / "epoch-0001.png", SheetCache()
    write_sheet(path, noise(), columns=2)
    first = cache.sheet(path)
    assert first is not None
    assert cache.sheet(path) is first
    assert cache.reads == 1
    write_sheet(path, noise(5), columns=2)
    second = cache.sheet(path)
    assert second is not None
    assert len(second.images) == 5


def test_a_damaged_sheet_is_none_and_is_read_once(tmp_path: Path) -> None:
    path, cache = tmp_path / "epoch-0001.png", SheetCache()
    path.write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    assert cache.sheet(path) is None
    assert cache.sheet(path) is None
    assert cache.reads == 1
    write_sheet(path, noise(), columns=2)
    assert cache.sheet(path) is not None


def test_a_sheet_that_the_machine_could_not_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, cache = tmp_path / "epoch-0001.png", SheetCache()
    write_sheet(path, noise(), columns=2)

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", fail)
        assert cache.sheet(path) is None
    assert cache.sheet(path) is not None


def test_a_missing_sheet_is_none_and_one_that_comes_is_found(tmp_path: Path) -> None:
    path, cache = tmp_path / "epoch-0001.png", SheetCache()
    assert cache.sheet(path) is None
    write_sheet(path, noise(), columns=2)
    assert cache.sheet(path) is not None
    os.unlink(path)
    assert cache.sheet(path) is None


def test_the_least_recently_used_sheet_is_forgotten_first(tmp_path: Path) -> None:
    cache = SheetCache(capacity=2)
    paths = [tmp_path / f"epoch-000{number}.png" for number in range(3)]
    for path in paths:
        write_sheet(path, noise(1, 4), columns=1)
    first = cache.sheet(paths[0])
    cache.sheet(paths[1])
    assert cache.sheet(paths[0]) is first
    cache.sheet(paths[2])
    assert cache.sheet(paths[0]) is first
    assert cache.reads == 3
    cache.sheet(paths[1])
    assert cache.reads == 4
    with pytest.raises(ValueError, match="capacity of at least 1"):
        SheetCache(0)


# Images as cells


@pytest.mark.parametrize("colour", [False, True])
def test_cells_show_every_pixel_in_sixteen_levels(colour: bool) -> None:
    image = noise(1, 12, colour=colour)[0]
    shown = np.array(rendered_pixels(cell_lines(image)))
    assert shown.shape == (12, 12, 3)
    wanted = image if colour else np.stack([image] * 3, axis=-1)
    assert np.abs(shown - wanted.astype(int)).max() <= 9
    assert len(np.unique(shown)) <= 16


def test_black_and_white_stay_black_and_white_and_lifted_black_is_a_little_brighter() -> None:
    image = np.array([[0, 255], [255, 0]], dtype=np.uint8)
    assert rendered_pixels(cell_lines(image)) == [[(0,) * 3, (255,) * 3], [(255,) * 3, (0,) * 3]]
    assert rendered_pixels(cell_lines(image, raised_black=True))[0] == [(RAISED_BLACK,) * 3, (255,) * 3]


def test_an_odd_last_row_stands_on_black() -> None:
    lines = cell_lines(np.full((3, 2), 255, dtype=np.uint8))
    assert len(lines) == 2
    assert rendered_pixels(lines)[3] == [(0, 0, 0), (0, 0, 0)]


def test_cells_that_look_alike_are_one_segment() -> None:
    assert [len(line) for line in cell_lines(np.zeros((4, 32), dtype=np.uint8))] == [1, 1]


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("size", [1, 7, 16, 31])
def test_a_shrunk_image_keeps_its_mean(size: int, colour: bool) -> None:
    image = noise(1, 32, colour=colour)[0]
    small = fit_image(image, size)
    assert small.shape == (size, size, *image.shape[2:])
    assert small.mean() == pytest.approx(image.mean(), abs=0.6)


def test_an_image_shrunk_by_half_is_the_mean_of_squares() -> None:
    image = noise(1, 8)[0]
    squares = image.reshape(4, 2, 4, 2).mean(axis=(1, 3))
    assert np.abs(fit_image(image, 4) - squares).max() <= 0.5


def test_an_image_of_the_right_size_is_unchanged_and_a_small_one_repeats_its_pixels() -> None:
    image = noise(1, 8)[0]
    assert fit_image(image, 8) is image
    assert np.array_equal(fit_image(image, 17), image.repeat(2, axis=0).repeat(2, axis=1))
    wide = np.zeros((4, 8), dtype=np.uint8)
    assert fit_image(wide, 4).shape == (2, 4)
