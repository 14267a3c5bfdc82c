"""Training on images by their path: recipe `images`, fitted to them by its rule."""

import math
import tomllib
from pathlib import Path

import numpy as np
import pytest

from core.cli.main import run as core
from core.config import RunConfig
from core.config.load import decode
from core.errors import UserError
from core.launch import own_images, step_time
from core.launch.devices import Device, Plan
from core.launch.own_images import find_recipe
from core.recipes import load_recipe
from core.recipes.images_rule import MAX_STEPS, MIN_STEPS, images_rule


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DDPM_DATA", str(tmp_path / "sets"))
    monkeypatch.setattr(step_time, "_seconds_of_product", lambda: step_time._REFERENCE_PRODUCT)
    monkeypatch.setattr(own_images, "make_plan", lambda _: Plan((Device("cpu", "cpu", "", 1 << 34),), 2))
    pixels = np.random.default_rng(0).integers(0, 256, (120, 32, 32, 3), dtype=np.uint8)
    np.save(tmp_path / "noise.npy", pixels)
    return str(tmp_path / "noise.npy")


def test_small_sets_get_many_epochs_and_large_ones_the_most_steps() -> None:
    for count in (1, 50, 600, 4000, 60_000, 1_000_000):
        rule = images_rule(count, 32)
        assert MIN_STEPS <= rule.max_steps <= MAX_STEPS
        in_epochs = rule.epochs * math.ceil(count / rule.batch_size)
        assert rule.max_steps <= in_epochs < rule.max_steps + math.ceil(count / rule.batch_size)
        assert rule.epochs / rule.sheet_every <= 90
    assert images_rule(50, 32).max_steps == MIN_STEPS
    assert images_rule(60_000, 32).max_steps == MAX_STEPS


def test_more_images_get_a_wider_network_and_larger_ones_smaller_batches() -> None:
    assert [images_rule(count, 32).width for count in (600, 20_000, 100_000)] == [32, 48, 64]
    assert images_rule(100_000, 128).width == 32
    assert [images_rule(600, size).batch_size for size in (64, 128, 256)] == [64, 32, 16]


def test_a_file_of_images_is_trained_on_with_the_recipe_images(images: str) -> None:
    found = find_recipe(images)
    (config,) = found.recipe.configs
    rule = images_rule(len(np.load(images)) - 1, 32)
    assert (config.recipe, config.data.dataset, config.train.augment) == ("images", images, "auto")
    assert (config.model.layout, config.model.seamless) == ("by_size", True)
    assert (config.model.width, config.train.max_steps) == (rule.width, rule.max_steps)
    assert "32x32 in colour; lean network of width 32; up to 3,000 steps of 64 images" in found.summary
    assert not found.warning


def test_a_dry_run_writes_the_configuration_and_says_what_was_fitted(
    images: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert core(["train", images, "--dry-run", "--set", "train.max_steps=40"]) == 0
    output = capsys.readouterr()
    config = decode(tomllib.loads(output.out), RunConfig, source="stdout")
    assert (config.recipe, config.train.max_steps, config.model.width) == ("images", 40, 32)
    assert "40 steps are too few for new images; 3,000 take about 6 minutes here: raise train.max_steps" in (
        output.err
    )
    assert not (tmp_path / "runs").exists()


def test_what_the_user_sets_wins_and_too_few_steps_are_said_with_the_time_of_enough(images: str) -> None:
    found = find_recipe(images, ["train.epochs=4", "train.batch_size=32", "schedule.name=['linear', 'x^2']"])
    assert [config.schedule.name for config in found.recipe.configs] == ["linear", "x^2"]
    assert {config.train.batch_size for config in found.recipe.configs} == {32}
    assert found.warning.endswith(
        "steps are too few for new images; 3,000 take about 6 minutes here: raise train.epochs"
    )


def test_the_set_that_the_rule_is_fitted_to_has_the_settings_of_the_run(images: str, tmp_path: Path) -> None:
    found = find_recipe(images, ["data.size=8", "data.channels=grey", "data.heldout_share=0.5"])
    assert ", 8x8 in grey; lean" in found.summary
    assert int(found.summary.split(": ")[1].split()[0]) < 80
    assert len(list((tmp_path / "sets").glob("noise-*"))) == 1
    assert find_recipe(images, ["data.size=[8,16]"]).summary == ""


def test_minutes_in_which_too_few_steps_fit_are_said(images: str) -> None:
    found = find_recipe(images, ["train.max_minutes=1"])
    assert "about 520 steps fit here" in found.summary
    assert found.warning.endswith("raise train.max_minutes")


def test_a_data_recipe_by_its_path_is_images_and_a_recipe_is_a_recipe(images: str, tmp_path: Path) -> None:
    (tmp_path / "data.toml").write_text('kind = "folder"\npath = "noise.npy"\n')
    (tmp_path / "mine.toml").write_text('extends = "quick"\n')
    assert find_recipe(str(tmp_path / "data.toml")).recipe.name == "images"
    assert find_recipe(str(tmp_path / "mine.toml")).recipe.name == "mine"
    assert find_recipe("quick").recipe == load_recipe("quick")


@pytest.mark.parametrize(
    ("name", "said"), [("nothing/there", "or of your images"), ("empty", "an empty folder; expected images")]
)
def test_what_is_neither_recipe_nor_images_is_refused_in_a_line(
    name: str, said: str, images: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError) as caught:
        find_recipe(name)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_rule_takes_the_images_of_the_settings(images: str) -> None:
    found = find_recipe(images, ["data.size=66", "data.count=80"])
    assert "80 training images" in found.summary
    assert "66x66 in colour" in found.summary
    assert "steps of 32 images" in found.summary
    tiles = find_recipe(images, ["data.size=16", "data.fit=tiles"])
    assert "16x16 in colour" in tiles.summary
    assert int(tiles.summary.split()[1]) > 3 * 80
    several = find_recipe(images, ["data.size=[16, 32]"])
    assert (len(several.recipe.configs), several.summary) == (2, "")
    with pytest.raises(UserError, match="too many images of 4096x4096 for one sheet"):
        find_recipe(images, ["data.size=4096"])
