"""Sets on disk: built once, complete, equal in all processes, and rebuilt when damaged."""

import fcntl
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import numpy as np
import pytest

from core.data import DataRecipe, ImageSet, find_data_recipe, load_dataset
from core.errors import UserError

MEAN_AREA = 11 / 144


@pytest.fixture(scope="session")
def high(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """The real thing: 10,000 and 2,000 images."""
    return load_dataset("high", data_dir=tmp_path_factory.mktemp("data"))


def small(data_dir: Path, name: str = "high", *, count: int = 60, heldout: int = 20) -> ImageSet:
    return load_dataset(name, data_dir=data_dir, count=count, heldout=heldout)


def visible(folder: Path) -> list[str]:
    return sorted(entry for entry in os.listdir(folder) if not entry.startswith("."))


def python(program: str, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_packaged_recipes_have_ten_thousand_images(high: ImageSet) -> None:
    assert high.train.shape == (10_000, 1, 32, 32)
    assert high.heldout.shape == (2_000, 1, 32, 32)
    assert high.train.dtype == high.heldout.dtype == np.uint8
    assert (high.name, high.channels, high.size, high.notes) == ("high", 1, 32, ())


def test_the_mean_ink_is_the_expected_area_of_a_random_triangle(high: ImageSet) -> None:
    deviation = np.sqrt(1 / 96 - MEAN_AREA**2)
    for images in (high.train, high.heldout):
        assert abs(images.mean() / 255 - MEAN_AREA) < 3 * deviation / np.sqrt(len(images))


def test_no_held_out_image_is_a_training_image(high: ImageSet) -> None:
    trained = {image.tobytes() for image in high.train}
    assert sum(image.tobytes() in trained for image in high.heldout) == 0


def test_the_corners_are_those_of_the_images(high: ImageSet) -> None:
    assert high.train_vertices is not None
    assert high.heldout_vertices is not None
    for images, corners in ((high.train, high.train_vertices), (high.heldout, high.heldout_vertices)):
        assert corners.shape == (len(images), 3, 2)
        assert corners.dtype == np.float32
        x, y = corners[..., 0].astype(float), corners[..., 1].astype(float)
        areas = np.abs((x * (np.roll(y, -1, 1) - np.roll(y, 1, 1))).sum(1)) / 2
        np.testing.assert_allclose(images.mean(axis=(1, 2, 3)) / 255, areas / 32**2, atol=0.012)


def test_the_mean_square_is_that_of_the_scaled_images(high: ImageSet) -> None:
    scaled = high.train / np.float64(127.5) - 1
    np.testing.assert_allclose(high.mean_square, (scaled**2).mean(), rtol=1e-12)


def test_arrays_are_mapped_and_cannot_be_written(high: ImageSet) -> None:
    assert isinstance(high.train, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        high.train[0] = 0


@pytest.mark.parametrize("name", ["low", "high", "array"])
def test_images_do_not_depend_on_the_number_of_workers(tmp_path: Path, name: str) -> None:
    sets = [
        load_dataset(name, data_dir=tmp_path / str(workers), count=300, heldout=70, workers=workers)
        for workers in (1, 2, 5)
    ]
    for other in sets[1:]:
        np.testing.assert_array_equal(sets[0].train, other.train)
        np.testing.assert_array_equal(sets[0].heldout, other.heldout)


def test_another_process_makes_the_same_images(tmp_path: Path) -> None:
    program = """
        import sys, hashlib
        from pathlib import Path
        from core.data import load_dataset
        pictures = load_dataset("low", data_dir=Path(sys.argv[1]), count=60, heldout=20)
        print(hashlib.sha256(pictures.train.tobytes()).hexdigest())
        print(hashlib.sha256(pictures.heldout.tobytes()).hexdigest())
    """
    outputs = []
    for name in ("a", "b"):
        process = python(program, tmp_path / name)
        outputs.append(process.communicate()[0])
        assert process.returncode == 0
    assert outputs[0] == outputs[1]


def test_a_set_is_made_once_and_then_only_read(tmp_path: Path) -> None:
    first = small(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in first.path.iterdir()}
    calls: list[tuple[int, int]] = []
    again = load_dataset(
        "high",
        data_dir=tmp_path,
        count=60,
        heldout=20,
        progress=lambda done, total: calls.append((done, total)),
    )
    np.testing.assert_array_equal(first.train, again.train)
    assert {path: path.stat().st_mtime_ns for path in again.path.iterdir()} == times
    assert calls == []


def test_fewer_images_are_a_prefix_and_nothing_is_made(tmp_path: Path) -> None:
    whole = small(tmp_path)
    inode = (whole.path / "train.npy").stat().st_ino
    part = small(tmp_path, count=7, heldout=3)
    np.testing.assert_array_equal(part.train, whole.train[:7])
    np.testing.assert_array_equal(part.heldout, whole.heldout[:3])
    assert part.train_vertices is not None
    assert len(part.train_vertices) == 7
    assert (part.path / "train.npy").stat().st_ino == inode


def test_a_larger_set_is_rebuilt_and_continues_the_old_one(tmp_path: Path) -> None:
    part = small(tmp_path, count=7, heldout=30)
    whole = small(tmp_path, count=70, heldout=3)
    np.testing.assert_array_equal(part.train, whole.train[:7])
    assert visible(tmp_path) == [whole.path.name]
    # What was there before is still there: two users with different needs do not undo each other's work.
    inode = (whole.path / "train.npy").stat().st_ino
    assert len(small(tmp_path, count=7, heldout=30).heldout) == 30
    assert (whole.path / "train.npy").stat().st_ino == inode


def test_a_set_in_use_stays_whole_while_a_larger_one_replaces_it(tmp_path: Path) -> None:
    before = small(tmp_path, count=7)
    copy = np.array(before.train)
    small(tmp_path, count=70)
    np.testing.assert_array_equal(before.train, copy)


def test_there_can_be_more_triangles_than_the_recipe_says(tmp_path: Path) -> None:
    assert len(load_dataset("array", data_dir=tmp_path, count=10_500).train) == 10_500


def test_held_out_images_are_at_most_those_of_the_recipe(tmp_path: Path) -> None:
    assert len(load_dataset("array", data_dir=tmp_path, count=5, heldout=9_999).heldout) == 2_000


def test_one_image_is_a_set(tmp_path: Path) -> None:
    one = small(tmp_path, count=1, heldout=1)
    assert one.train.shape == one.heldout.shape == (1, 1, 32, 32)


@pytest.mark.parametrize("asked", [{"count": 0}, {"count": -1}, {"heldout": 0}])
def test_a_set_needs_an_image(tmp_path: Path, asked: dict[str, int]) -> None:
    with pytest.raises(UserError, match="expected at least 1 image"):
        load_dataset("high", data_dir=tmp_path, **asked)


def test_progress_rises_from_zero_to_the_total(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    load_dataset(
        "low",
        data_dir=tmp_path,
        count=200,
        heldout=50,
        progress=lambda done, all_: calls.append((done, all_)),
    )
    assert calls[0] == (0, 250)
    assert calls[-1] == (250, 250)
    assert calls == sorted(calls)


def test_the_progress_callback_can_abort_and_nothing_is_left(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_dataset("low", data_dir=tmp_path, count=2_000, progress=stop)
    assert [name for name in os.listdir(tmp_path) if name != ".locks"] == []


def damage_cut(folder: Path) -> None:
    with (folder / "train.npy").open("r+b") as file:
        file.truncate((folder / "train.npy").stat().st_size - 1)


def damage_recipe(folder: Path) -> None:
    (folder / "recipe.toml").write_text("fingerprint = ")


def damage_other_recipe(folder: Path) -> None:
    text = (folder / "recipe.toml").read_text()
    (folder / "recipe.toml").write_text(text.replace('fingerprint = "', 'fingerprint = "0'))


def damage_missing(folder: Path) -> None:
    (folder / "heldout.npy").unlink()


def damage_empty(folder: Path) -> None:
    (folder / "heldout.npy").write_bytes(b"")


def damage_shape(folder: Path) -> None:
    np.save(folder / "train.npy", np.zeros((60, 1, 31, 32), np.uint8))


def damage_type(folder: Path) -> None:
    np.save(folder / "train.npy", np.zeros((60, 1, 32, 32), np.float32))


def damage_pickle(folder: Path) -> None:
    np.save(folder / "train.npy", np.array([{}], dtype=object), allow_pickle=True)


def damage_corners(folder: Path) -> None:
    (folder / "train_vertices.npy").unlink()


def damage_all(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("a file")


@pytest.mark.parametrize(
    "damage",
    [
        damage_cut,
        damage_recipe,
        damage_other_recipe,
        damage_missing,
        damage_empty,
        damage_shape,
        damage_type,
        damage_pickle,
        damage_corners,
        damage_all,
    ],
)
def test_a_damaged_set_is_rebuilt(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    good = small(tmp_path)
    expected = np.array(good.train)
    damage(good.path)
    np.testing.assert_array_equal(small(tmp_path).train, expected)
    assert sorted(os.listdir(tmp_path)) == [".locks", good.path.name]


def test_leftovers_of_killed_processes_are_removed(tmp_path: Path) -> None:
    made = small(tmp_path)
    left = tmp_path / f".{made.path.name}.0123abcd.tmp"
    left.mkdir()
    (left / "train.npy").write_bytes(b"half")
    small(tmp_path, count=100)
    assert not left.exists()


def test_a_recipe_that_means_other_images_has_a_folder_of_its_own(tmp_path: Path) -> None:
    plain = find_data_recipe("low")
    changes = [{}, {"seed": 1}, {"quality": 74}, {"size": 16}, {"channels": 3}, {"antialias": False}]
    recipes = [msgspec.structs.replace(plain, **change) for change in changes]
    folders = {load_dataset(r, data_dir=tmp_path, count=3, heldout=2).path for r in recipes}
    assert len(folders) == len(changes)


def test_a_recipe_that_means_the_same_images_shares_their_folder(tmp_path: Path) -> None:
    plain = find_data_recipe("high")
    changes = [{}, {"description": "other words"}, {"quality": 30}, {"count": 99}, {"heldout": 5}]
    recipes = [msgspec.structs.replace(plain, **change) for change in changes]
    folders = {load_dataset(r, data_dir=tmp_path, count=3, heldout=2).path for r in recipes}
    assert len(folders) == 1


def test_size_and_channels_are_parameters(tmp_path: Path) -> None:
    recipe = DataRecipe(name="rgb", size=20, canvas=200, channels=3)
    made = load_dataset(recipe, data_dir=tmp_path, count=5, heldout=2)
    assert made.train.shape == (5, 3, 20, 20)
    assert (made.size, made.channels) == (20, 3)


def test_processes_at_once_make_one_set_and_all_get_it(tmp_path: Path) -> None:
    program = """
        import sys
        from pathlib import Path
        from core.data import load_dataset
        made = []
        input_ready = sys.stdin.readline()
        pictures = load_dataset(
            "low", data_dir=Path(sys.argv[1]), count=1500, heldout=200, progress=lambda d, t: made.append(d)
        )
        print(pictures.train.shape[0], int(pictures.train.sum()), pictures.path.stat().st_ino, len(made) > 0)
    """
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    results = [process.communicate()[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len({tuple(result[:3]) for result in results}) == 1
    assert [result[3] for result in results].count("True") == 1, "the others wait instead of making it again"
    assert len(visible(tmp_path)) == 1


def test_where_files_cannot_be_locked_the_loser_takes_the_winners_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(file: object, operation: int) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    winners: list[ImageSet] = []

    def overtake(done: int, total: int) -> None:
        if done == total:
            winners.append(small(tmp_path))

    loser = load_dataset("high", data_dir=tmp_path, count=60, heldout=20, progress=overtake)
    inode = winners[0].path.stat().st_ino
    assert loser.path.stat().st_ino == inode
    np.testing.assert_array_equal(loser.train, winners[0].train)
    assert sorted(os.listdir(tmp_path)) == [".locks", loser.path.name]


def test_an_invalid_data_folder_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file: the images cannot be saved here \(.*\); free some space, or"):
        small(tmp_path / "file")


def test_a_full_disk_is_an_error_of_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    program = """
        import resource, sys
        from pathlib import Path
        from core.data import load_dataset
        from core.errors import UserError
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            load_dataset("high", data_dir=Path(sys.argv[1]), count=500)
        except UserError as error:
            print(error)
    """
    process = python(program, tmp_path)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "the images cannot be saved here (File too large)" in out
    assert out.count("\n") == 1
    assert os.listdir(tmp_path) == [".locks"]


def test_an_error_of_the_progress_callback_is_not_reported_as_one_of_the_disk(tmp_path: Path) -> None:
    def broken(done: int, total: int) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        load_dataset("high", data_dir=tmp_path, count=5, progress=broken)
