"""Contenders of `throughput`: our training loop and peers', each as work for `bench.harness.interleaved`."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import torch
from torch import nn

from bench.baselines import training_loops
from bench.baselines.checkpointed_training import PEER_PIPELINES
from bench.harness.interleaved import Work
from bench.harness.workloads import (
    endless_config,
    plain_config,
    recipe_config,
    thesis_loop,
    training_work,
    with_settings,
    work_from_steps,
)
from core.data import ImageSet
from core.diffusion.models.registry import build_network
from core.diffusion.models.thesis_unet import Convolution

OURS, PLAIN, THESIS_LOOP, COMPILED = "ours", "ours, plain", "the printed loop", "ours, compiled"
OUR_VARIANTS: Final = (OURS, COMPILED, PLAIN)
PEERS: Final = ("denoising-diffusion-pytorch", "diffusers", "smalldiffusion")
PEERS_OWN_NETWORK: Final = PEER_PIPELINES
CONTENDERS: Final = (OURS, COMPILED, PLAIN, THESIS_LOOP, *PEERS, *PEERS_OWN_NETWORK)


def needs_peers(name: str) -> bool:
    """Return whether a contender needs the packages of peers."""
    return name in (*PEERS, *PEERS_OWN_NETWORK)


def build_contender(
    name: str, network: str, images: ImageSet, batch: int, device: torch.device, scratch: Path
) -> tuple[Work, int]:
    """The work of one of `CONTENDERS`, and the number of parameters of its network.

    Args:
        name: one of them.
        network: ``lean`` or ``thesis``; for the last two contenders only its size is taken.
        images: a whole number of batches.
        batch: images per step.
        device: the device.
        scratch: a folder that does not exist yet, for contenders that read files.
    """
    recipe = recipe_config(network)
    # The recipe of the thesis trains in fp32, but here the question is how fast its network can be trained.
    fast = with_settings(recipe, train={"precision": "auto"})
    channels, size = images.channels, images.size
    torch.manual_seed(0)
    model = build_network(recipe.model.preset, channels=channels, width=recipe.model.width)
    count = training_loops.count_parameters(model)

    def theirs(loop: Callable[..., Iterator[int]], model: nn.Module, **options: Path) -> tuple[Work, int]:
        steps = training_loops.without_output(loop(model, images, batch, device, **options))
        return work_from_steps(steps, device), training_loops.count_parameters(model)

    if name == OURS:
        return training_work(endless_config(fast, batch=batch), images, device), count
    if name == COMPILED:
        return training_work(endless_config(fast, batch=batch, compile=True), images, device), count
    if name == PLAIN:
        return training_work(plain_config(endless_config(recipe, batch=batch)), images, device), count
    if name == THESIS_LOOP:
        return theirs(thesis_loop, with_torch_convolutions(model))
    if name == PEERS[0]:
        wrapped = training_loops.WithSelfCondition(model, channels)
        return theirs(training_loops.denoising_diffusion_pytorch_loop, wrapped, folder=scratch)
    if name == PEERS[1]:
        return theirs(training_loops.diffusers_loop, model)
    if name == PEERS[2]:
        return theirs(training_loops.smalldiffusion_loop, model)
    if name == PEERS_OWN_NETWORK[0]:
        own = training_loops.denoising_diffusion_pytorch_unet(count, channels)
        return theirs(training_loops.denoising_diffusion_pytorch_loop, own, folder=scratch)
    return theirs(training_loops.diffusers_loop, training_loops.diffusers_unet(count, channels, size))


def with_torch_convolutions(model: nn.Module) -> nn.Module:
    """Replace our convolutions by those of torch, as the thesis prints the network; the weights stay."""
    for part in model.modules():
        if isinstance(part, Convolution):
            part.__class__ = nn.Conv2d  # type: ignore[assignment]
    return model
