"""Captured training steps, with recorded calls of torch in place of CUDA graphs."""

import pytest
import torch
from torch.testing import assert_close

from core.config import (
    DataConfig,
    DiffusionConfig,
    ModelConfig,
    RunConfig,
    ScheduleConfig,
    TrainConfig,
)
from core.data import ImageSet, load_dataset
from core.training import loop
from core.training.loop import StepsReport, Trainer
from tests.support.recorded_steps import RecordedCapture


def config_of(preset: str = "lean", **train: object) -> RunConfig:
    settings = {
        "epochs": 5,
        "batch_size": 16,
        "optimizer": "adamw",
        "ema_decay": 0.9,
        "warmup_steps": 4,
        "cooldown": 0.5,
        "stratified_timesteps": True,
        "augment": "dihedral",
    } | train
    return RunConfig(
        recipe="tiny",
        data=DataConfig(dataset="array", count=40, heldout=10),
        schedule=ScheduleConfig(timesteps=20),
        diffusion=DiffusionConfig(prediction_type="v_prediction"),
        model=ModelConfig(preset=preset, width=16 if preset == "lean" else 2),  # type: ignore[arg-type]
        train=TrainConfig(**settings),  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return load_dataset("array", data_dir=tmp_path_factory.mktemp("data"), count=40)


def captured(config: RunConfig, images: ImageSet, capture: RecordedCapture) -> Trainer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "find_capture", lambda *_: capture)
        return Trainer(config, images, torch.device("cpu"))


def losses_of(trainer: Trainer) -> list[float]:
    return [loss for report in trainer.reports() if isinstance(report, StepsReport) for loss in report.losses]


@pytest.mark.parametrize(
    ("preset", "settings"),
    [
        ("lean", {}),
    ],
)
def test_replayed_steps_are_the_eager_ones(
    images: ImageSet, preset: str, settings: dict[str, object]
) -> None:
    torch.set_num_threads(1)
    config = config_of(preset, **settings)
    eager = Trainer(config, images, torch.device("cpu"))
    capture = RecordedCapture()
    trainer = captured(config, images, capture)
    assert_close(torch.tensor(losses_of(trainer)), torch.tensor(losses_of(eager)), rtol=1e-4, atol=1e-6)
    print(capture.log)
    assert capture.log.count("replay") == 15 - 6
    expected = eager.state_dict()
    for name, value in trainer.state_dict().items():
        assert_close(
            value, expected[name], rtol=1e-3, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )
