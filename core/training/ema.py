"""The exponential moving average of a network's weights."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class Ema:
    """Running mean of the parameters; buffers, such as BatchNorm's statistics, stay those of the network.

    The decay grows with the number of updates k as (1 + k) / (10 + k), up to `decay`, because the random initial
    weights should soon be forgotten.

    Args:
        model: the network to average; on its final device.
        decay: 0 <= decay < 1.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._parameters = dict(model.named_parameters())
        self.weights: dict[str, Tensor] = {name: p.detach().clone() for name, p in self._parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Add the parameters after `step` training steps, counted from 1, to the mean."""
        torch._foreach_lerp_(
            list(self.weights.values()), list(self._parameters.values()), self.parameter_weight(step)
        )

    @torch.no_grad()
    def update_by(self, weight: Tensor) -> None:
        """Add the parameters with a weight on the device, float32 [], as `update` does with one on the CPU."""
        weights = list(self.weights.values())
        changes = torch._foreach_sub(list(self._parameters.values()), weights)
        torch._foreach_mul_(changes, weight)
        torch._foreach_add_(weights, changes)

    def parameter_weight(self, step: int) -> float:
        """Return the weight of the parameters in the mean after `step` training steps, counted from 1."""
        return 1 - min(self.decay, (1 + step) / (10 + step))

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Give the network the averaged weights inside the context, and its own weights again afterwards."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, p in self._parameters.items():
            p.data, self.weights[name] = self.weights[name], p.data
