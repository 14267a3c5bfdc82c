"""Workloads of benchmarks: configurations, data, and our training as work for `bench.harness.interleaved`."""

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
from bench.harness.pacing import Pacer, mark_queue
from core.config import RunConfig
from core.data import ImageSet
from core.data.recipe import DataRecipe
from core.recipes import load_recipe
from core.training.loop import StepsReport, Trainer

ENDLESS: Final = 1_000_000
"""More epochs than any benchmark completes."""
SYNC_SECONDS: Final = 0.25
"""Interval at which a loop waits for the device, so that queued work does not count as done."""

_RECIPES: Final = {"lean": "quick", "thesis": "thesis"}


def recipe_config(network: str) -> RunConfig:
    """The first configuration of a network's recipe."""
    return load_recipe(_RECIPES[network]).configs[0]


def with_settings(config: RunConfig, **sections: dict[str, Any]) -> RunConfig:
    """A configuration with some settings changed, by section."""
    changed = {
        name: msgspec.structs.replace(getattr(config, name), **values) for name, values in sections.items()
    }
    return msgspec.structs.replace(config, **changed)


def endless_config(config: RunConfig, *, batch: int, **train: Any) -> RunConfig:
    """A configuration that never ends and spends next to no time on held-out losses."""
    own = {"epochs": ENDLESS, "batch_size": batch, **train}
    return with_settings(config, train=own, data={"heldout": 1})


def plain_config(config: RunConfig) -> RunConfig:
    """A configuration with the features of a plain loop only: fp32, Adam, no EMA, no augmentation."""
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
    """Images of noise, for workloads that depend only on number and size; one is held out."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count + 1, channels, size, size), dtype=np.uint8)
    recipe = DataRecipe(name="noise", kind="folder", size=size)
    return ImageSet("noise", pixels[1:], pixels[:1], recipe, Path(), None, None)


def training_work(config: RunConfig, images: ImageSet, device: torch.device) -> Work:
    """Our own training; its work is in images."""
    return work_from_trainer(Trainer(config, images, device))


def work_from_trainer(trainer: Trainer) -> Work:
    """The training of a trainer that is endless and has a whole number of batches."""
    reports = trainer.reports()
    batch = trainer.config.train.batch_size

    def work() -> float:
        for report in reports:
            if isinstance(
                report, StepsReport
            ):  # its losses were fetched, so the device has finished its steps
                return float(len(report.losses) * batch)
        raise RuntimeError("the training has come to its end")

    return work


def work_from_steps(steps: Iterator[int], device: torch.device) -> Work:
    """A loop that yields the number of images of each step, as work that waits for the device."""

    pacer = Pacer(device)

    def work() -> float:
        done, start = 0, time.perf_counter()
        for images in steps:
            done += images
            pacer.step()
            if time.perf_counter() - start >= SYNC_SECONDS:
                break
        pacer.drain()
        return float(done)

    return work


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished all queued work."""
    mark_queue(device)()


def set_threads(threads: int | None, cores: int) -> int:
    """Set the threads of torch, one per core unless given, and return their number."""
    torch.set_num_threads(threads or cores)
    return threads or cores


class ImagesDataset(Dataset[torch.Tensor]):
    """Single images as float32 in [-1, 1], as the transforms of a tutorial make them."""

    def __init__(self, images: ImageSet) -> None:
        self.pixels = np.array(images.train)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(self.pixels[index]).float() / 127.5 - 1


def data_loader(images: ImageSet, batch: int) -> DataLoader[torch.Tensor]:
    """The data loader of a tutorial: shuffled, whole batches only, without worker processes."""
    return DataLoader(ImagesDataset(images), batch_size=batch, shuffle=True, drop_last=True)


def thesis_loop(model: torch.nn.Module, images: ImageSet, batch: int, device: torch.device) -> Iterator[int]:
    """The loop as the thesis prints it: fp32, eager, a data loader, each loss fetched at once. Yields image counts."""
    betas = torch.linspace(1e-4, 0.02, 300)
    alphas_cumprod = torch.cumprod(1 - betas, dim=0)
    alpha_t, sigma_t = alphas_cumprod.sqrt(), (1 - alphas_cumprod).sqrt()
    model = model.to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in itertools.count():
        losses = []
        for x0 in data_loader(images, batch):
            optimizer.zero_grad()
            t = torch.randint(0, len(betas), (len(x0),))
            eps = torch.randn_like(x0)
            xt = alpha_t[t].view(-1, 1, 1, 1) * x0 + sigma_t[t].view(-1, 1, 1, 1) * eps
            predicted = model(xt.to(device), t.to(device))
            loss = torch.nn.functional.mse_loss(predicted, eps.to(device))
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
            losses.append(loss.item())
            yield len(x0)
