"""Checks before queueing: what a worker would refuse is refused once, with what to do."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from core.config import DataConfig, ModelConfig, RunConfig
from core.config.schema import PRESET_DIVISORS, PRESET_WIDTH_DIVISORS
from core.data.check import check_trainable
from core.diffusion.models.registry import build_network
from core.errors import UserError
from core.launch import control
from core.launch.queue import enqueue


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    return tmp_path


def config_of(dataset: str, **model: object) -> RunConfig:
    return RunConfig(data=DataConfig(dataset=dataset), model=ModelConfig(**model))  # type: ignore[arg-type]


def recipe_of(size: int, kind: str = "folder") -> str:
    path = 'path = "images"\n' if kind == "folder" else ""
    Path("mine.toml").write_text(f'kind = "{kind}"\nsize = {size}\n{path}')
    return "mine.toml"


def save_image(folder: Path) -> None:
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(folder / "images" / "a.png")


@pytest.mark.parametrize(
    ("size", "preset", "larger"), [(28, "lean", 32), (31, "lean", 32), (1, "lean", 8), (24, "thesis", 32)]
)
@pytest.mark.parametrize("kind", ["folder", "triangles"])
def test_a_size_that_the_network_does_not_take_is_refused_with_one_that_it_takes(
    size: int, preset: str, larger: int, kind: str
) -> None:
    words = (
        f"mine.toml: images of {size}x{size}, but the {preset} network.*: set size = {larger} in this recipe"
    )
    with pytest.raises(UserError, match=words):
        enqueue(Path("runs"), [config_of(recipe_of(size, kind), preset=preset)] * 5, group="g")
    assert not Path("runs").exists()


def test_an_empty_folder_is_refused() -> None:
    with pytest.raises(UserError, match="images: an empty folder; expected images"):
        check_trainable([config_of("images")])


def test_a_folder_without_an_image_is_refused(home: Path) -> None:
    (home / "images" / "words.png").write_text("words")
    with pytest.raises(UserError, match="images: none of its"):
        enqueue(Path("runs"), [config_of("images")], group="g")
    assert not Path("runs").exists()


def test_a_single_image_is_enough_in_whichever_split_it_is(home: Path) -> None:
    save_image(home)
    for number in range(8):
        (home / "images" / f"{number}.txt").write_text("no image")
    check_trainable([config_of("images"), config_of(recipe_of(32)), config_of("high")])


def test_a_width_that_the_network_does_not_take_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"model.width = 20: the lean network takes a multiple of 16, such as 32"
    ):
        check_trainable([config_of("high", preset="lean", width=20)])
    check_trainable([config_of("high", preset="thesis", width=20)])


def test_a_clone_is_checked_as_well(home: Path) -> None:
    (run,) = enqueue(Path("runs"), [config_of("high")], group="g")
    with pytest.raises(UserError, match="an empty folder"):
        control.clone(Path("runs"), run, ["data.dataset=images"])
    assert len(list(Path("runs").glob("[!.]*"))) == 1


@pytest.mark.parametrize("preset", sorted(PRESET_DIVISORS))
def test_the_divisors_are_those_of_the_networks(preset: str) -> None:
    network = build_network(preset, channels=1, width=16)
    assert network.divisor == PRESET_DIVISORS[preset]
    width = PRESET_WIDTH_DIVISORS[preset]
    build_network(preset, channels=1, width=width)
    if width > 1:
        with pytest.raises(UserError, match="multiple of"):
            build_network(preset, channels=1, width=width // 2)
    config = config_of("high", preset=preset)
    assert msgspec.structs.asdict(config.resolved().model)["width"] % width == 0
