"""Faults of numbers that overflow, and settings at their limits."""

import math
import random
from pathlib import Path

import msgspec
import numpy as np
import torch
from PIL import Image

from core.config import DataConfig, RunConfig, ScheduleConfig
from core.imaging import read_sheet
from core.runs import MetricsTail, RunDirectory, State
from core.training.checkpoint import read_checkpoint
from core.training.loop import Trainer
from tests.faults import tiny
from tests.faults.lab import fault


@fault("NaN or Inf in a gradient at a random step", times=15, short=1)
def bad_gradient(folder: Path, rng: random.Random) -> None:
    """The run fails with the reason, keeps an earlier checkpoint, and continues normally without the fault."""
    run, left, value = (
        tiny.new_run(folder),
        [rng.randint(1, tiny.STEPS - 1)],
        rng.choice([math.nan, math.inf]),
    )
    real = Trainer._train_step

    def step(trainer: Trainer, order: torch.Tensor) -> torch.Tensor:
        left[0] -= 1
        if left[0] == 0:
            weight = rng.choice(list(trainer.model.parameters()))
            weight.register_hook(lambda gradient: torch.full_like(gradient, value))
        return real(trainer, order)

    def sabotage() -> None:
        Trainer._train_step = step  # type: ignore[method-assign]

    assert tiny.finish(run, sabotage) == 3
    status = run.read_status()
    assert status.state is State.FAILED
    assert "became" in status.error, status.error
    assert "learning_rate" in status.error, status.error
    if run.checkpoint.exists():
        assert all(value.float().isfinite().all() for value in read_checkpoint(run, "model.")[0].values())
    tiny.resume_and_compare(run)


def _fails_in_words(folder: Path, config: RunConfig) -> None:
    run = tiny.new_run(folder, config)
    assert tiny.finish(run) == 3, run.log.read_text()
    error = run.read_status().error
    assert "NaN or infinite" in error or "the loss became" in error, error
    tiny.check_files(run)
    tail = MetricsTail(run.metrics_file)
    tail.poll()
    assert np.isfinite(tail.losses).all()


@fault("learning rate far too high", times=3)
def overflow(folder: Path, rng: random.Random) -> None:
    _fails_in_words(
        folder, tiny.config(learning_rate=1e6, optimizer=rng.choice(["adam", "adamw", "muon"]), epochs=40)
    )


@fault("bfloat16 overflow", times=3)
def bf16_overflow(folder: Path, rng: random.Random) -> None:
    _fails_in_words(folder, tiny.config(learning_rate=1e5, optimizer="adam", precision="bf16", epochs=40))


def _finishes(folder: Path, config: RunConfig) -> RunDirectory:
    run = tiny.new_run(folder, config)
    assert tiny.finish(run) == 0, run.log.read_text()
    made = tiny.result(run)
    assert np.isfinite(made.losses).all()
    assert all(math.isfinite(number) for record in made.epochs for number in record)
    return run


@fault("T = 1", times=4)
def one_timestep(folder: Path, rng: random.Random) -> None:
    config = tiny.config()
    schedule = ScheduleConfig(timesteps=1, zero_terminal_snr=rng.random() < 0.5)
    sample = msgspec.structs.replace(config.sample, steps=None, sampler=rng.choice(["ddpm", "ddim"]))
    _finishes(folder, msgspec.structs.replace(config, schedule=schedule, sample=sample))


@fault("batch larger than the data set", times=2)
def large_batch(folder: Path, rng: random.Random) -> None:
    run = _finishes(folder, tiny.config(batch_size=100_000))
    assert run.read_status().steps == tiny.EPOCHS


def _folder_of(folder: Path, images: list[np.ndarray]) -> RunConfig:
    image_folder = folder / "images"
    image_folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(image_folder / f"{number}.png")
    recipe = folder / "mine.toml"
    recipe.write_text(f'kind = "folder"\nsize = 8\npath = "{image_folder}"\n')
    return msgspec.structs.replace(tiny.config(), data=DataConfig(dataset=str(recipe)))


@fault("a single image", times=2)
def one_image(folder: Path, rng: random.Random) -> None:
    _finishes(folder, _folder_of(folder, [np.arange(64, dtype=np.uint8).reshape(8, 8)]))


@fault("identical images of one grey level", times=3)
def constant_images(folder: Path, rng: random.Random) -> None:
    grey = np.full((8, 8), rng.choice([0, 128, 255]), np.uint8)
    run = _finishes(folder, _folder_of(folder, [grey] * 12))
    assert read_sheet(run.sample_sheets()[-1][1]).images.shape == (3, 8, 8)
