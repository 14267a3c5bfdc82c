"""Settings of a run that change its data recipe."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.config.load import apply_overrides, decode
from core.config.schema import RunConfig
from core.data import find_data_recipe
from core.data.check import check_trainable
from core.data.overrides import override, with_data_recipe, write_data_recipe
from core.data.recipe import DataRecipe
from core.errors import UserError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DDPM_DATA", str(tmp_path / "data"))
    for index in range(3):
        path = tmp_path / "mine" / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((9, 9), index, np.uint8)).save(path)
    return tmp_path


def config(*settings: str) -> RunConfig:
    return decode(apply_overrides({"data": {"dataset": "mine"}}, settings), RunConfig, source="test")


def test_a_run_without_such_settings_is_unchanged_and_writes_nothing(home: Path) -> None:
    assert with_data_recipe(config()) == config()
    assert not (home / "data").exists()


def test_the_settings_of_a_run_become_a_recipe_that_is_found_by_name_and_never_overwritten(
    home: Path,
) -> None:
    settings = (
        "data.size=20",
        "data.fit=pad",
        "data.background=#ffcc00",
        "data.channels=grey",
        "data.heldout_share=0.4",
    )
    run = with_data_recipe(config(*settings))
    path = home / "data" / "mine-20-pad-ffcc00-grey-heldout-share-0.4.toml"
    assert run == config(f"data.dataset={path}")
    recipe = find_data_recipe(path.stem)
    assert recipe == find_data_recipe(str(path))
    expected = DataRecipe(
        name=path.stem,
        kind="folder",
        path=str(home / "mine"),
        size=20,
        fit="pad",
        background="#ffcc00",
        channels=1,
        heldout_share=0.4,
    )
    assert recipe == expected
    assert with_data_recipe(config(*settings)) == run
    path.write_text('kind = "folder"\npath = "../mine"\n')
    other = with_data_recipe(config(*settings)).data.dataset
    assert other != str(path)
    assert find_data_recipe(other).channels == 1
    with pytest.raises(UserError, match="exists already"):
        write_data_recipe(recipe, path)


def test_triangles_take_a_size_too_and_nothing_of_folders(home: Path) -> None:
    assert override(find_data_recipe("array"), {"size": 16}, "data").side == 16
    with pytest.raises(UserError, match='fit is a setting of kind = "folder"'):
        check_trainable([config("data.dataset=array", "data.fit=pad")])
    with pytest.raises(UserError, match="tile is a setting"):
        check_trainable([config("data.tile=8")])
