"""Paths in a run's settings mean the same wherever the run is resumed, cloned, evaluated or compared from."""

import json
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from core.cli.main import run as run_command
from core.config import DataConfig, ModelConfig, RunConfig, SampleConfig, ScheduleConfig, TrainConfig
from core.data.recipe import absolute_dataset
from core.launch import control
from core.launch.provenance import config_with_absolute_paths, with_absolute_paths
from core.launch.queue import enqueue
from core.recipes import load_recipe
from core.runs import RunDirectory, RunStore, State, latest_evaluation
from tests.support.tiny_runs import train_here
from tests.support.tui_pilot import dashboard

BETAS = "0.1 0.2 0.3 0.4\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which runs are made, the working directory at first; it has a set, images and betas."""
    here = tmp_path / "here"
    (here / "pictures").mkdir(parents=True)
    for number in range(12):
        Image.fromarray(np.full((8, 8), 20 * number, np.uint8)).save(here / "pictures" / f"{number}.png")
    (here / "small.toml").write_text('kind = "folder"\npath = "pictures"\nsize = 16\n')
    (here / "betas.txt").write_text(BETAS)
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(here)
    return here


def with_paths(dataset: str = "small.toml", file: str | None = "betas.txt") -> RunConfig:
    return RunConfig(
        recipe="tiny",
        data=DataConfig(dataset=dataset),
        schedule=ScheduleConfig(name="custom", timesteps=4, file=file),
        model=ModelConfig(width=16),
        train=TrainConfig(epochs=1, batch_size=4),
        sample=SampleConfig(count=2, reverse_count=1, reverse_states=2),
    )


def paths(config: RunConfig) -> tuple[str, str | None]:
    return config.data.dataset, config.schedule.file


def older(root: Path, config: RunConfig, **provenance: str) -> RunDirectory:
    """A run whose paths are kept as they were given."""
    return RunDirectory.create(root, config, group="g", provenance=provenance)


def test_a_run_made_of_relative_paths_is_trained_evaluated_and_compared_from_elsewhere(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (run,) = enqueue(here / "runs", [with_paths()], group="g")
    assert paths(run.read().config) == (str(here / "small.toml"), str(here / "betas.txt"))
    assert "-small-custom-" in run.id
    monkeypatch.chdir(here.parent / "there")
    assert train_here(run) == 0, run.read_status().error
    assert (run.read_status().state, run.read_status().epoch) == (State.FINISHED, 1)
    assert run_command(["evaluate", str(run.path), "--count", "4", "--only", "likelihood"]) == 0
    evaluated = latest_evaluation(run)
    assert evaluated is not None
    assert (evaluated.dataset, evaluated.steps) == ("small", 4)
    capsys.readouterr()
    assert run_command(["compare", str(run.path), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["dataset"], row["label"]) == ("small", "custom")


def test_a_clone_keeps_the_paths_of_its_run_and_anchors_those_that_it_is_given(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run,) = enqueue(here / "runs", [with_paths()], group="g")
    there = here.parent / "there"
    monkeypatch.chdir(there)
    (there / "others").mkdir()
    Image.new("L", (16, 16), 9).save(there / "others" / "a.png")
    assert paths(control.clone("runs", run).read().config) == paths(run.read().config)
    clone = control.clone("runs", run, ["data.dataset=others"])
    assert paths(clone.read().config) == (str(there / "others"), str(here / "betas.txt"))


def test_training_from_the_command_line_anchors_what_set_and_the_recipe_say(core, here: Path) -> None:
    (here / "mine.toml").write_text(
        '[data]\ndataset = "pictures"\n[schedule]\nname = "custom"\ntimesteps = 4\nfile = "betas.txt"\n'
    )
    assert core("train", "mine.toml", "--no-start", cwd=here).returncode == 0
    assert (
        core("train", "mine.toml", "--no-start", "--set", "data.dataset=./small.toml", cwd=here).returncode
        == 0
    )
    kept = [paths(run.read().config) for run in RunStore(here / "runs").runs()]
    betas = str(here / "betas.txt")
    assert kept == [(str(here / "pictures"), betas), (str(here / "small.toml"), betas)]


def test_an_older_run_with_relative_paths_is_cloned_and_evaluated_by_where_it_was_made(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = older(here / "runs", with_paths(), directory=str(here))
    nowhere = older(here / "runs", with_paths())
    monkeypatch.chdir(here.parent / "there")
    assert paths(run.read().config) == ("small.toml", "betas.txt")
    assert paths(config_with_absolute_paths(run.read())) == (
        str(here / "small.toml"),
        str(here / "betas.txt"),
    )
    assert paths(control.clone("runs", run).read().config) == paths(config_with_absolute_paths(run.read()))
    assert config_with_absolute_paths(nowhere.read()) == nowhere.read().config


@pytest.mark.parametrize("anchors", [True, False], ids=["queued now", "queued by an older version"])
async def test_the_dashboard_comes_back_to_a_recipe_with_paths_from_elsewhere(
    here: Path, monkeypatch: pytest.MonkeyPatch, anchors: bool
) -> None:
    root, recipe = here / "runs", here / "mine.toml"
    recipe.write_text('[data]\ndataset = "../here/pictures"\n')
    config = load_recipe(recipe).configs[0]
    if anchors:
        enqueue(root, [config], group="g")
    else:
        older(root, config, directory=str(here))
    monkeypatch.chdir(here.parent / "there")
    async with dashboard(root, recipe=load_recipe(recipe)) as driven:
        await driven.until(lambda: driven.control.woken)
        assert driven.app.snapshot is not None
        assert len(driven.app.snapshot.runs) == 1
        assert "pictures" in driven.text()
        await driven.press("y", "f5")
        await driven.until(lambda: len(RunStore(root).runs()) == 2)
    assert RunStore(root).runs()[1].read().config.data.dataset == str(here / "pictures")


def test_the_name_of_a_recipe_stays_a_name_also_where_a_folder_is_called_so(here: Path) -> None:
    (here / "high").mkdir()
    (here / "datasets").mkdir()
    (here / "datasets" / "mine.toml").write_text("size = 8\n")
    (here / "mine").mkdir()
    for name in ("high", "low", "mine"):
        assert absolute_dataset(name) == name
    assert absolute_dataset("./high") == str(here / "high")


@pytest.mark.parametrize(
    "name", ["", "no/such/folder", "none.toml", "betas.txt", "nul\0", "~nobody-at-all/x", "x" * 5_000, "a\nb"]
)
def test_what_is_no_set_of_images_stays_as_it_was_given(here: Path, name: str) -> None:
    assert absolute_dataset(name) == name


def test_what_is_absolute_stays_as_it_is_written_links_included(here: Path) -> None:
    (here.parent / "link").symlink_to(here / "pictures")
    for given in (str(here / "pictures"), str(here.parent / "link")):
        assert absolute_dataset(given) == given
    (here.parent / "recipe.toml").symlink_to(here / "small.toml")
    assert absolute_dataset("../recipe.toml") == str(here.parent / "recipe.toml")


def test_a_way_back_is_taken_from_where_a_link_leads_to(here: Path) -> None:
    (here.parent / "there" / "link").symlink_to(here / "pictures")
    assert absolute_dataset("../there/link/../small.toml") == str(here / "small.toml")
    assert absolute_dataset("pictures/..") == absolute_dataset(".") == str(here)


def test_a_home_is_written_out(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(here))
    assert absolute_dataset("~/pictures") == str(here / "pictures")


def test_a_folder_that_settings_cannot_name_leaves_paths_as_they_were_given(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = here / os.fsdecode(b"odd-\xff")
    (odd / "pictures").mkdir(parents=True)
    monkeypatch.chdir(odd)
    assert absolute_dataset("pictures") == "pictures"


def test_a_deep_path_comes_back_from_the_runs_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = here.joinpath(*["d" * 100] * 4)
    (deep / "pictures").mkdir(parents=True)
    Image.new("L", (16, 16), 9).save(deep / "pictures" / "a.png")
    monkeypatch.chdir(deep)
    (run,) = enqueue(here / "runs", [with_paths("pictures", str(here / "betas.txt"))], group="g")
    assert run.read().config.data.dataset == str(deep / "pictures")


def test_betas_that_are_not_there_stay_as_they_were_given(here: Path) -> None:
    for file in (None, "", "none.txt"):
        assert with_absolute_paths(with_paths("high", file)) == with_paths("high", file)


def test_anchoring_changes_nothing_but_paths(here: Path) -> None:
    config = with_paths()
    back = msgspec.structs.replace(with_absolute_paths(config), data=config.data, schedule=config.schedule)
    assert back == config
    assert with_absolute_paths(with_absolute_paths(config)) == with_absolute_paths(config)
