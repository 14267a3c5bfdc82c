"""Augmentation that is right for triangles belongs to the triangles; a user's own folder is trained on as it is."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from core.config import DataConfig, RunConfig
from core.config.schema import TrainConfig
from core.data import find_data_recipe
from core.data.augmentation import own_augment, with_own_augment, without_own_augment
from core.launch import control
from core.launch.queue import enqueue
from core.recipes import load_recipe
from core.runs import RunDirectory


@pytest.fixture
def letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of images, below the working directory."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "letters"
    folder.mkdir()
    for index in range(4):
        noise = np.random.default_rng(index).integers(0, 256, (32, 32), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{index}.png")
    return folder


def queued(root: Path, *overrides: str, recipe: str = "quick") -> RunDirectory:
    configs = load_recipe(recipe, ['schedule.name="linear"', *overrides]).configs
    return enqueue(root, configs[:1], group="g")[0]


def augment_of(run: RunDirectory) -> str:
    return run.read().config.train.augment


@pytest.mark.parametrize("recipe", ["quick", "thesis-grid"])
@pytest.mark.parametrize("dataset", ["letters", "./letters"])
def test_a_folder_starts_without_augmentation(
    tmp_path: Path, letters: Path, recipe: str, dataset: str
) -> None:
    run = queued(tmp_path / "runs", f"data.dataset={dataset}", recipe=recipe)
    assert augment_of(run) == "none"


@pytest.mark.parametrize("dataset", ["high", "low", "array"])
def test_triangles_keep_all_eight_symmetries_and_the_run_says_so(tmp_path: Path, dataset: str) -> None:
    assert augment_of(queued(tmp_path / "runs", f"data.dataset={dataset}")) == "dihedral"


def test_an_augmentation_that_was_asked_for_wins(tmp_path: Path, letters: Path) -> None:
    flips = queued(tmp_path / "runs", "data.dataset=letters", "train.augment=flips")
    assert augment_of(flips) == "flips"
    assert augment_of(queued(tmp_path / "runs", "train.augment=none")) == "none"
    (tmp_path / "mine.toml").write_text(
        'extends = "quick"\n[data]\ndataset = "letters"\n[train]\naugment = "dihedral"\n'
    )
    assert augment_of(queued(tmp_path / "runs", recipe="mine.toml")) == "dihedral"


def test_a_data_recipe_sets_the_augmentation_of_its_images(tmp_path: Path, letters: Path) -> None:
    Path("set.toml").write_text('kind = "folder"\npath = "letters"\naugment = "flips"\n')
    run = queued(tmp_path / "runs", "data.dataset=set.toml")
    assert augment_of(run) == "flips"
    Path("set.toml").write_text('kind = "folder"\npath = "letters"\n')
    assert augment_of(run) == "flips", "a run depends on no file outside once it is queued"


def test_a_clone_with_other_images_takes_their_augmentation(tmp_path: Path, letters: Path) -> None:
    run = queued(tmp_path / "runs")
    assert augment_of(control.clone(tmp_path / "runs", run)) == "dihedral"
    assert augment_of(control.clone(tmp_path / "runs", run, ["data.dataset=letters"])) == "none"
    mine = queued(tmp_path / "runs", "data.dataset=letters")
    assert augment_of(control.clone(tmp_path / "runs", mine, ["data.dataset=low"])) == "dihedral"
    flips = queued(tmp_path / "runs", "train.augment=flips")
    assert augment_of(control.clone(tmp_path / "runs", flips, ["data.dataset=letters"])) == "flips"


def test_the_augmentation_of_a_run_of_an_older_version_is_what_its_file_says(letters: Path) -> None:
    old = RunConfig(data=DataConfig(dataset="letters"), train=TrainConfig(augment="dihedral"))
    assert with_own_augment(old) == old
    assert without_own_augment(old) == old
    assert RunConfig().train.augment == "none", "of files without the setting"


def test_images_that_do_not_exist_leave_the_choice_to_the_training() -> None:
    missing = RunConfig(data=DataConfig(dataset="./nowhere"), train=TrainConfig(augment="auto"))
    assert with_own_augment(missing) == missing
    triangles = find_data_recipe("high")
    assert own_augment(triangles) == "dihedral"
    assert own_augment(msgspec.structs.replace(triangles, augment="none")) == "none"
