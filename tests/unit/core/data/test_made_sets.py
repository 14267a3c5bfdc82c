"""Made sets are listed with their sizes and states, and removed by name."""

import fcntl
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.data import ImageSet, load_dataset
from core.data.made_sets import SetState, list_made_sets, remove_made_set, select_made_sets
from core.errors import UserError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    for index in range(6):
        noise = np.random.default_rng(index).integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{index}.png")
    return folder


def touch(folder: Path) -> None:
    os.utime(folder / "0.png", (time.time() + 10, time.time() + 10))


def states(data: Path) -> dict[str, SetState]:
    return {made.path.name: made.state for made in list_made_sets(data)}


def make_triangles(data: Path) -> ImageSet:
    return load_dataset("array", data_dir=data, count=5, heldout=2)


def test_sets_are_listed_with_their_size_and_source(data: Path, mine: Path) -> None:
    assert list_made_sets(data) == []
    folder, triangles = load_dataset(str(mine), data_dir=data), make_triangles(data)
    first, second = list_made_sets(data)
    assert (first.path, second.path) == (triangles.path, folder.path)
    assert (first.source, second.source) == ("array", str(mine))
    for made in (first, second):
        assert made.state is SetState.CURRENT
        assert made.size == sum(path.stat().st_size for path in made.path.iterdir())
        assert made.record is not None
        assert made.made_at == pytest.approx(time.time(), abs=600)


def test_a_set_of_a_folder_that_changed_or_is_gone_is_told_from_a_current_one(data: Path, mine: Path) -> None:
    old = load_dataset(str(mine), data_dir=data)
    touch(mine)
    assert states(data) == {old.path.name: SetState.FOLDER_CHANGED}
    new = load_dataset(str(mine), data_dir=data)
    assert states(data) == {
        old.path.name: SetState.FOLDER_CHANGED,
        new.path.name: SetState.CURRENT,
    }
    shutil.rmtree(mine)
    assert set(states(data).values()) == {SetState.FOLDER_GONE}
    assert not SetState.FOLDER_GONE.is_outdated


def test_sets_of_files_of_many_images_are_told_like_those_of_folders(data: Path, mine: Path) -> None:
    packed, array = mine.with_name("mine.zip"), mine.with_name("array.npy")
    shutil.make_archive(str(mine), "zip", mine)
    for later in (0, 10):
        np.save(array, np.full((6, 8, 8), later, np.uint8))
        for source in (packed, array):
            os.utime(source, (time.time() + later, time.time() + later))
            load_dataset(str(source), data_dir=data)
    found = [(made.source, made.state) for made in list_made_sets(data)]
    for source in (packed, array):
        assert {state for one, state in found if one == str(source)} == {
            SetState.CURRENT,
            SetState.FOLDER_CHANGED,
        }
    packed.unlink()
    assert all(not made.state.is_outdated for made in list_made_sets(data) if made.source == str(packed))


def test_a_set_of_a_recipe_that_changed_is_outdated(data: Path) -> None:
    data.mkdir()
    (data / "small.toml").write_text("count = 5\nheldout = 2\nsize = 8\n")
    old = load_dataset("small", data_dir=data)
    (data / "small.toml").write_text("count = 4\nheldout = 2\nsize = 8\n")
    assert states(data) == {old.path.name: SetState.CURRENT}, "fewer images are a part of more"
    (data / "small.toml").write_text("count = 5\nheldout = 2\nsize = 9\n")
    assert states(data) == {old.path.name: SetState.RECIPE_CHANGED}
    assert SetState.RECIPE_CHANGED.is_outdated
    (data / "small.toml").unlink()
    assert states(data) == {old.path.name: SetState.CURRENT}


def test_damaged_sets_and_leftovers_are_listed_and_other_folders_are_not(data: Path) -> None:
    made = make_triangles(data)
    (made.path / "train.npy").write_bytes(b"half")
    killed = data / ".other-01234567.89abcdef.tmp"
    killed.mkdir()
    (killed / "train.npy").write_bytes(b"half")
    (data / "holiday-01234567").mkdir()
    (data / "link-01234567").symlink_to(made.path)
    assert states(data) == {made.path.name: SetState.DAMAGED, killed.name: SetState.LEFTOVER}
    with (data / ".locks" / "other-01234567").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert killed.name not in states(data), "it is being made"
    for one in list_made_sets(data):
        remove_made_set(one)
    assert sorted(os.listdir(data)) == [".locks", "holiday-01234567", "link-01234567"]


def test_a_set_that_cannot_be_read_now_is_not_called_outdated(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_triangles(data)

    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("core.data.cache.read_npy", fail)
    (state,) = states(data).values()
    assert state is SetState.UNREADABLE
    assert not state.is_outdated


def test_sets_are_named_by_themselves_by_their_path_or_by_what_they_were_made_from(
    data: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(mine.parent)
    first = load_dataset(str(mine), data_dir=data)
    touch(mine)
    second = load_dataset(str(mine), data_dir=data)
    triangles = make_triangles(data)
    sets = list_made_sets(data)

    def selected(*names: str) -> list[str]:
        return sorted(made.path.name for made in select_made_sets(sets, names, data))

    both = sorted((first.path.name, second.path.name))
    assert selected(first.path.name) == [first.path.name]
    assert selected(str(triangles.path), first.path.name) == sorted((triangles.path.name, first.path.name))
    assert selected("mine") == selected("./mine") == selected(str(mine)) == selected("mine", "mine") == both
    assert selected("array") == [triangles.path.name]
    shutil.rmtree(mine)
    assert selected("mine") == selected(str(mine)) == both
    for name in ("high", "nothing", ""):
        with pytest.raises(
            UserError, match=f"no made set called {name!r}, and none was made from it; See core"
        ):
            selected(name)
    with pytest.raises(UserError, match=f"; did you mean {triangles.path.name}\\? See core data list --made"):
        selected(triangles.path.name[:-1])


def test_a_removed_set_is_made_again_and_open_images_stay_readable(data: Path) -> None:
    made = make_triangles(data)
    expected = np.array(made.train)
    (one,) = list_made_sets(data)
    remove_made_set(one)
    assert list_made_sets(data) == []
    assert np.array_equal(made.train, expected)
    assert np.array_equal(make_triangles(data).train, expected)
    with pytest.raises(UserError, match="cannot be removed"):
        remove_made_set(one.__class__(data / "gone-01234567", None, SetState.DAMAGED, 0, 0.0))
