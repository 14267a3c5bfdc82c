"""What is trained in benchmarks, and our training as work for `bench.harness.interleaved`."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from bench.harness.interleaved import Work
from core.config import RunConfig
from core.data import ImageSet
from core.data.recipe import DataRecipe
from core.recipes import load_recipe
from core.training.loop import StepsReport, Trainer

ENDLESS: Final = 1_000_000
"""Epochs that no benchmark reaches the end of."""
SYNC_SECONDS: Final = 0.25
"""As often a loop is asked to wait for the device, so that none looks fast by leaving work behind."""

_RECIPES: Final = {"lean": "quick", "thesis": "thesis"}


def recipe_config(network: str) -> RunConfig:
    """The first configuration of the recipe that is made for a network."""
    return load_recipe(_RECIPES[network]).configs[0]


def with_settings(config: RunConfig, **sections: dict[str, Any]) -> RunConfig:
    """A configuration with some settings changed, by section."""
    changed = {
        name: msgspec.structs.replace(getattr(config, name), **values) for name, values in sections.items()
    }
    return msgspec.structs.replace(config, **changed)


def endless_config(config: RunConfig, *, batch: int, **train: Any) -> RunConfig:
    """A configuration that trains for ever, scoring next to nothing in between."""
    own = {"epochs": ENDLESS, "batch_size": batch, **train}
    return with_settings(config, train=own, data={"heldout": 1})


def plain_config(config: RunConfig) -> RunConfig:
    """A configuration without anything that a plain loop does not do: fp32, Adam, no mean of weights, no symmetries."""
    train = {
        "optimizer": "adam",
        "ema_decay": 0.0,
        "augment": "none",
        "stratified_timesteps": False,
        "precision": "fp32",
        "compile": False,
        "warmup_steps": 0,
        "cooldown": 0.0,
    }
    return with_settings(config, train=train)


def noise_set(count: int, size: int, *, channels: int = 1, seed: int = 0) -> ImageSet:
    """Pictures of noise, where only their number and size matter; one is held out."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count + 1, channels, size, size), dtype=np.uint8)
    recipe = DataRecipe(name="noise", kind="folder", size=size)
    return ImageSet("noise", pixels[1:], pixels[:1], recipe, Path(), None, None)


def training_work(config: RunConfig, images: ImageSet, device: torch.device) -> Work:
    """Our own training; its work is counted in pictures."""
    return work_from_trainer(Trainer(config, images, device))


def work_from_trainer(trainer: Trainer) -> Work:
    """The training of a trainer that is endless and whose pictures are a whole number of batches."""
    reports = trainer.reports()
    batch = trainer.config.train.batch_size

    def work() -> float:
        for report in reports:
            if isinstance(
                report, StepsReport
            ):  # its losses have been fetched, so the device has done its steps
                return float(len(report.losses) * batch)
        raise RuntimeError("the training has come to its end")

    return work


def work_from_steps(steps: Iterator[int], device: torch.device) -> Work:
    """A loop that yields the pictures of each step, as work that ends when the device has done it."""

    def work() -> float:
        done, start = 0, time.perf_counter()
        for images in steps:
            done += images
            if time.perf_counter() - start >= SYNC_SECONDS:
                break
        synchronise(device)
        return float(done)

    return work


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def set_threads(threads: int | None, cores: int) -> int:
    """Have torch use so many threads, or one a core; returns the number."""
    torch.set_num_threads(threads or cores)
    return threads or cores


class ImagesDataset(Dataset[torch.Tensor]):
    """One picture after the other as float32 in [-1, 1], as the transforms of a tutorial make them."""

    def __init__(self, images: ImageSet) -> None:
        self.pixels = np.array(images.train)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(self.pixels[index]).float() / 127.5 - 1


def data_loader(images: ImageSet, batch: int) -> DataLoader[torch.Tensor]:
    """The data loader of a tutorial: shuffled, whole batches only, without processes of its own."""
    return DataLoader(ImagesDataset(images), batch_size=batch, shuffle=True, drop_last=True)


def thesis_loop(model: torch.nn.Module, images: ImageSet, batch: int, device: torch.device) -> Iterator[int]:
    """The loop as the thesis prints it: fp32, eager, a data loader, every loss fetched at once; yields pictures."""
    betas = torch.linspace(1e-4, 0.02, 300)
    abar = torch.cumprod(1 - betas, dim=0)
    signal, spread = abar.sqrt(), (1 - abar).sqrt()
    model = model.to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in itertools.count():
        losses = []
        for x0 in data_loader(images, batch):
            optimizer.zero_grad()
            t = torch.randint(0, len(betas), (len(x0),))
            eps = torch.randn_like(x0)
            xt = signal[t].view(-1, 1, 1, 1) * x0 + spread[t].view(-1, 1, 1, 1) * eps
            predicted = model(xt.to(device), t.to(device))
            loss = torch.nn.functional.mse_loss(predicted, eps.to(device))
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
            losses.append(loss.item())
            yield len(x0)
