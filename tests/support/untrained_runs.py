"""Runs whose checkpoint holds a network of random weights, which can be sampled and evaluated without training."""

from pathlib import Path

import torch

from core.config import DataConfig, ModelConfig, RunConfig, SampleConfig, ScheduleConfig
from core.diffusion.models.registry import build_network
from core.runs import RunDirectory
from core.training.checkpoint import Position, save_checkpoint
from tests.support.fake_runs import make_run


def untrained_run(
    root: Path,
    *,
    dataset: str = "small",
    seed: int = 0,
    size: int = 16,
    timesteps: int = 6,
    channels: int = 1,
) -> RunDirectory:
    """A run whose checkpoint holds a network of random weights."""
    config = RunConfig(
        data=DataConfig(dataset=dataset, count=60),
        schedule=ScheduleConfig(timesteps=timesteps),
        model=ModelConfig(preset="lean", width=16),
        sample=SampleConfig(sampler="ddim", steps=min(2, timesteps)),
    )
    run = make_run(root, config=config, run_id=f"run-{seed}", epochs=1, steps_per_epoch=2, images=False)
    torch.manual_seed(seed)
    network = build_network("lean", channels=channels, width=16)
    position = Position(
        epoch=1, batch=0, step=2, losses=[], elapsed=0.2, metrics_offset=0, channels=channels, size=size
    )
    tensors = {f"model.{name}": value for name, value in network.state_dict().items()}
    save_checkpoint(run, tensors, position)
    return run
