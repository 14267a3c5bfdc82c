"""A training step on static tensors, computed eagerly or captured as one CUDA graph.

The step is noise, network, loss, gradients and the recipe's optimizers. It draws nothing and fetches nothing, so eager
and captured steps do the same work, and their difference is the cost of launching each kernel from Python.
"""

from collections.abc import Callable, Iterator
from typing import Final

import torch
from torch import Tensor

from bench.harness.workloads import endless_config, noise_set, recipe_config, with_settings
from core.errors import UserError
from core.training.loop import Trainer

WARM_UP_STEPS: Final = 3
"""Eager steps before a capture, in which libraries allocate and optimizers make their state."""


class BareStep:
    """One training step of a recipe's network, at the same images, noise and timesteps each time.

    Args:
        network: ``lean`` or ``thesis``.
        device: the device.
        bf16: True computes the network under autocast to bfloat16.
        batch: images per step; the recipe's unless given.
        size: size of an image.
    """

    def __init__(
        self, network: str, device: torch.device, *, bf16: bool, batch: int | None = None, size: int = 32
    ) -> None:
        recipe = recipe_config(network)
        self.batch, self.bf16 = batch or recipe.train.batch_size, bf16
        config = with_settings(
            endless_config(recipe, batch=self.batch), train={"precision": "bf16" if bf16 else "fp32"}
        )
        self.trainer = Trainer(config, noise_set(self.batch, size), device)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                if "capturable" in group:
                    group["capturable"] = device.type == "cuda"
        generator = torch.Generator().manual_seed(0)
        shape = (self.batch, 1, size, size)
        self.x0 = (torch.rand(shape, generator=generator) * 2 - 1).to(device)
        self.eps = torch.randn(shape, generator=generator).to(device)
        self.t = torch.randint(config.schedule.timesteps, shape[:1], generator=generator).to(device)
        self.loss = torch.zeros((), device=device)

    def __call__(self) -> None:
        """Update the weights once, and keep the loss in `loss`; never waits for the device."""
        trainer = self.trainer
        for optimizer in trainer.optimizers:
            optimizer.zero_grad(set_to_none=True)
        xt = trainer.diffusion.q_sample(self.x0, self.t, self.eps)
        with torch.autocast(trainer.device.type, torch.bfloat16, enabled=self.bf16):
            output = trainer.model(xt, self.t)
        loss: Tensor = trainer.diffusion.loss(output, self.x0, self.eps, self.t).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in trainer.optimizers:
            optimizer.step()
        self.loss.copy_(loss.detach())


def capture_step(step: Callable[[], object], device: torch.device) -> Callable[[], object]:
    """Capture a step as one CUDA graph, after `WARM_UP_STEPS` eager ones, and return its replay.

    Args:
        step: reads and writes the same tensors each time, and never waits for the device.
        device: a CUDA device.

    Raises:
        UserError: the device is no CUDA device.

    Reference: "CUDA semantics", whole-network capture, in the documentation of PyTorch.
    """
    if device.type != "cuda":
        raise UserError(f"a step on {device} cannot be captured: expected a CUDA device")
    with torch.cuda.device(device):
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_STEPS):
                step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
    return graph.replay


def repeated(step: Callable[[], object], batch: int) -> Iterator[int]:
    """Repeat a step without end, and yield its number of images."""
    while True:
        step()
        yield batch
