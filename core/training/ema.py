"""The exponential moving average of a network's weights."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class Ema:
    """Keeps the running mean of the parameters; buffers, such as BatchNorm's statistics, stay the network's own.

    The decay grows with the number of updates, (1 + k) / (10 + k), up to the one asked for, so that the random start
    is soon forgotten.

    Args:
        model: the network to follow; on its final device.
        decay: 0 <= decay < 1.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._parameters = dict(model.named_parameters())
        self.weights: dict[str, Tensor] = {name: p.detach().clone() for name, p in self._parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the parameters as they are after `step` steps of training, counted from 1, into the mean."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.weights.values()), list(self._parameters.values()), 1 - decay)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The network has the mean as its weights inside the context, and its own again afterwards."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, live in self._parameters.items():
            live.data, self.weights[name] = self.weights[name], live.data
