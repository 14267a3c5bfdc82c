"""Randomness of a training step as a function of seed and step."""

from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pytest
import torch

from core.config import DataConfig, ModelConfig, RunConfig, ScheduleConfig, TrainConfig
from core.data import ImageSet
from core.data.recipe import DataRecipe
from core.launch import control
from core.training.checkpoint import read_checkpoint, save_checkpoint
from core.training.loop import Trainer
from core.training.seeding import step_seed
from tests.support.tiny_runs import make_tiny_set, new_tiny_run, train_here


def trainer(seed: int) -> Trainer:
    pixels = np.full((16, 1, 8, 8), 128, np.uint8)
    recipe = DataRecipe(name="grey", kind="folder", size=8)
    config = RunConfig(
        data=DataConfig(heldout=1),
        schedule=ScheduleConfig(timesteps=20),
        model=ModelConfig(preset="lean", width=16),
        train=TrainConfig(epochs=2, batch_size=8, seed=seed),
    )
    return Trainer(
        config, ImageSet("grey", pixels, pixels[:1], recipe, Path(), None, None), torch.device("cpu")
    )


def test_steps_of_a_training_have_different_seeds_even_in_their_low_half() -> None:
    """A CPU's generator ignores the high half. Hashes of 32 bits would collide within some 77,000 steps."""
    seeds = np.array([step_seed(7, step) for step in range(200_000)], dtype=np.uint64)
    low = seeds & np.uint64(0xFFFFFFFF)
    assert len(np.unique(low)) == len(seeds)
    bits = (seeds[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    assert np.allclose(bits.mean(0), 0.5, atol=0.01)


def test_trainings_with_different_seeds_share_hardly_any_seed_of_a_step() -> None:
    low = {seed: {step_seed(seed, step) & 0xFFFFFFFF for step in range(10_000)} for seed in range(5)}
    assert sum(len(low[a] & low[b]) for a in low for b in range(a)) < 10


@pytest.mark.parametrize("seed", [0, 2**53 - 1, 2**64 - 1])
def test_every_seed_suits_a_generator(seed: int) -> None:
    generator = torch.Generator()
    for step in (0, 1, 2**53 - 1):
        assert 0 <= step_seed(seed, step) < 2**64
        generator.manual_seed(step_seed(seed, step))


def test_a_batch_depends_on_seed_and_step_and_not_on_what_was_drawn_before() -> None:
    first, second, other = trainer(1), trainer(1), trainer(2)
    order = first._epoch_order()
    batches = []
    for step in range(2):
        first.step = first.batch = step
        batches.append(first._next_batch(order))
    torch.rand(100, generator=second.generator)
    second.step = second.batch = 1
    for mine, same, earlier in zip(
        batches[1][1:], second._next_batch(order)[1:], batches[0][1:], strict=True
    ):
        assert torch.equal(mine, same)
        assert not torch.equal(mine, earlier)
    assert not torch.equal(other._next_batch(order)[2], batches[0][2])


@pytest.mark.parametrize("seeding", ["step", "stream"])
def test_a_run_of_another_kind_of_device_goes_on_and_its_log_says_that_it_is_not_exact(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    seeding: Literal["step", "stream"],
) -> None:
    """A generator's state has 16 bytes on CUDA, and 5,056 on a CPU."""
    monkeypatch.setenv("DDPM_DATA", str(tmp_path))
    make_tiny_set(tmp_path)
    run = new_tiny_run(tmp_path)
    assert train_here(run) == 0
    tensors, position = read_checkpoint(run)
    assert position.seeding == "step"
    assert "rng" not in tensors
    assert position.trained_with is not None
    if seeding == "stream":
        tensors["rng"] = torch.zeros(16, dtype=torch.uint8)
    on_cuda = msgspec.structs.replace(position.trained_with, device="cuda")
    save_checkpoint(run, tensors, msgspec.structs.replace(position, trained_with=on_cuda, seeding=seeding))
    control.resume(run, epochs=4)
    assert train_here(run) == 0
    assert "cuda before, cpu now: what follows is not bit for bit the same" in capsys.readouterr().out
    tensors, position = read_checkpoint(run)
    assert (position.epoch, position.seeding, "rng" in tensors) == (4, "step", False)
