"""Peers' complete pipelines: their network, their training loop and their sampling."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bench.baselines import training_loops
from bench.harness.workloads import data_loader
from core.data import ImageSet

BATCH: Final = 32
"""Images per step, as in the README of denoising-diffusion-pytorch."""
NETWORK_CALLS: Final = 50
"""Network calls per sample."""
_SAMPLING_BATCH: Final = 64

Draw = Callable[[int], NDArray[np.float32]]
"""Sampling: from a count to images [count, C, H, W] in [0, 1]."""


def denoising_diffusion_pytorch_pipeline(
    images: ImageSet, device: torch.device, folder: Path
) -> tuple[Iterator[int], Draw]:
    """The U-Net of its README, half as wide (32, 64, 128 channels), with its trainer and its EMA of the weights."""
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet

    network = Unet(dim=32, dim_mults=(1, 2, 4), channels=images.channels)
    diffusion = GaussianDiffusion(
        network, image_size=images.size, timesteps=training_loops.TIMESTEPS, sampling_timesteps=NETWORK_CALLS
    ).to(device)
    trainer = training_loops.denoising_diffusion_pytorch_trainer(diffusion, images, BATCH, folder)

    def steps() -> Iterator[int]:
        for step in itertools.count(1):
            trainer.train_num_steps = step
            trainer.train()
            yield BATCH

    def draw(count: int) -> NDArray[np.float32]:
        torch.manual_seed(0)
        trainer.ema.ema_model.eval()
        drawn = [trainer.ema.ema_model.sample(batch_size=size).cpu().numpy() for size in _batch_sizes(count)]
        return np.concatenate(drawn).clip(0, 1).astype(np.float32)

    return steps(), draw


def diffusers_pipeline(images: ImageSet, device: torch.device) -> tuple[Iterator[int], Draw]:
    """A U-Net of diffusers (32, 64, 128 channels) in the loop of its tutorial."""
    from diffusers import DDIMScheduler, UNet2DModel

    model = UNet2DModel(
        sample_size=images.size,
        in_channels=images.channels,
        out_channels=images.channels,
        layers_per_block=2,
        block_out_channels=(32, 64, 128),
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    ).to(device)
    network = training_loops.FirstOfTuple(model)

    def draw(count: int) -> NDArray[np.float32]:
        scheduler = DDIMScheduler(num_train_timesteps=training_loops.TIMESTEPS)
        scheduler.set_timesteps(NETWORK_CALLS)
        generator = torch.Generator().manual_seed(0)
        network.eval()
        drawn = []
        with torch.no_grad():
            for size in _batch_sizes(count):
                shape = (size, images.channels, images.size, images.size)
                x = torch.randn(shape, generator=generator).to(device)
                for t in scheduler.timesteps:
                    x = scheduler.step(network(x, t.to(device).expand(size)), t, x).prev_sample
                drawn.append(((x.cpu().numpy() + 1) / 2).clip(0, 1).astype(np.float32))
        network.train()
        return np.concatenate(drawn)

    return training_loops.diffusers_loop(network, images, BATCH, device), draw


def smalldiffusion_pipeline(images: ImageSet, device: torch.device) -> tuple[Iterator[int], Draw]:
    """The network, schedule, EMA and sampler of smalldiffusion's example of Fashion-MNIST, half as wide (32, 32, 64).

    Attention is at the first size of 16x16 or below. Images are drawn in 20 network calls, as in that example.
    """
    from smalldiffusion import Scaled, ScheduleLogLinear, Unet, samples, training_loop

    resolution = next(side for side in (images.size // 2, images.size // 4, images.size) if side <= 16)
    sides = images.size, images.channels, images.channels
    model = Scaled(Unet)(*sides, ch=32, ch_mult=(1, 1, 2), attn_resolutions=(resolution,)).to(device)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999))  # type: ignore[no-untyped-call]
    schedule = ScheduleLogLinear(sigma_min=0.01, sigma_max=20, N=800)

    def steps() -> Iterator[int]:
        for _ in training_loop(data_loader(images, BATCH), model, schedule, epochs=1 << 40, lr=7e-4):
            average.update_parameters(model)
            yield BATCH

    def draw(count: int) -> NDArray[np.float32]:
        torch.manual_seed(0)
        drawn = []
        with torch.no_grad():
            for size in _batch_sizes(count):
                *_, x0 = samples(average.module.eval(), schedule.sample_sigmas(20), gam=1.6, batchsize=size)
                drawn.append(((x0.cpu().numpy() + 1) / 2).clip(0, 1).astype(np.float32))
        return np.concatenate(drawn)

    return steps(), draw


def _batch_sizes(count: int) -> list[int]:
    return [min(_SAMPLING_BATCH, count - first) for first in range(0, count, _SAMPLING_BATCH)]
