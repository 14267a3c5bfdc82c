"""Checks before queueing: what a worker would refuse is refused once, with what to do."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from core.config import DataConfig, ModelConfig, RunConfig
from core.config.schema import PRESET_WIDTH_DIVISORS
from core.data.check import check_trainable
from core.diffusion.models.registry import build_network
from core.errors import UserError
from core.launch import control
from core.launch.queue import enqueue
from core.recipes import load_recipe


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


@pytest.mark.parametrize(("preset", "sizes"), [("lean", (1, 28, 31, 100)), ("thesis", (28, 50))])
@pytest.mark.parametrize("kind", ["folder", "triangles"])
def test_images_of_any_size_can_be_trained_on(
    preset: str, sizes: tuple[int, ...], kind: str, home: Path
) -> None:
    save_image(home)
    for size in sizes:
        check_trainable([config_of(recipe_of(size, kind), preset=preset)])


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ("sample.count=100000",),
            "sample.count = 100000: too many images of 32x32 for one sheet; expected at most",
        ),
        (
            ("sample.reverse_count=10000", "sample.reverse_states=100"),
            "sample.reverse_count = 10000, with .* states each: too many images of 32x32 .* at most 61624 in all",
        ),
        (("sample.steps=2000",), "sample.steps = 2000 is more than the schedule's 1000 timesteps"),
        (("schedule.name=lineer",), "did you mean linear"),
        (("schedule.name=custom",), "custom"),
        (
            ("schedule.zero_terminal_snr=true", "diffusion.prediction_type=epsilon"),
            "diffusion.prediction_type = epsilon: the last step of schedule linear is pure noise.* v_prediction",
        ),
        (("model.width=20",), "takes a multiple of 16, such as 32"),
        (("model.width=160000",), "model.width = 160000: .* expected at most 8192"),
    ],
)
def test_settings_that_only_a_worker_would_refuse_are_refused_by_train_and_clone(
    overrides: tuple[str, ...], words: str
) -> None:
    (run,) = enqueue(Path("runs"), [config_of("high")], group="g")
    with pytest.raises(UserError, match=words):
        control.clone(Path("runs"), run, overrides)
    with pytest.raises(UserError, match=words):
        enqueue(Path("runs"), load_recipe("quick", overrides).configs, group="g")
    assert len(list(Path("runs").glob("[!.]*"))) == 1


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


@pytest.mark.parametrize("preset", sorted(PRESET_WIDTH_DIVISORS))
def test_the_divisors_of_the_width_are_those_of_the_networks(preset: str) -> None:
    width = PRESET_WIDTH_DIVISORS[preset]
    build_network(preset, channels=1, width=width)
    if width > 1:
        with pytest.raises(UserError, match="multiple of"):
            build_network(preset, channels=1, width=width // 2)
    config = config_of("high", preset=preset)
    assert msgspec.structs.asdict(config.resolved().model)["width"] % width == 0
