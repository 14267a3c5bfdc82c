"""Optimizers of a network by name: Adam, AdamW, or Muon with AdamW for what is no hidden kernel."""

from typing import Any, Final

import torch
from torch import Tensor, nn

from core.training.muon import Muon
from core.training.precision import has_fused_optimizers

_EDGE_LAYERS: Final = ("stem", "head", "pixels")


def make_optimizers(model: nn.Module, name: str, rate: float, *, bf16: bool) -> list[torch.optim.Optimizer]:
    """Return the optimizers that together update all parameters of a network.

    Args:
        model: the network, on its final device.
        name: `train.optimizer`.
        rate: learning rate.
        bf16: orthogonalize in bfloat16, see `Muon`.
    """
    named = list(model.named_parameters())
    parameters = [p for _, p in named]
    fused = True if has_fused_optimizers(parameters[0].device) else None
    if name == "adam":
        return [torch.optim.Adam(parameters, lr=rate, fused=fused)]
    if name == "adamw":
        return [torch.optim.AdamW(parameters, lr=rate, fused=fused)]
    # The layers of a network on centred data are below "network".
    kernels = [
        p
        for path, p in named
        if p.ndim == 4 and path.removeprefix("network.").split(".")[0] not in _EDGE_LAYERS
    ]
    kernel_ids = {id(p) for p in kernels}
    rest = [p for p in parameters if id(p) not in kernel_ids]
    return [
        Muon(kernels, lr=rate, weight_decay=0.01, bf16=bf16),
        torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.99), weight_decay=0.01, fused=fused),
    ]


def optimizer_state_dict(optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """Return the states of the optimizers as named tensors."""
    tensors: dict[str, Tensor] = {}
    for index, optimizer in enumerate(optimizers):
        for number, state in optimizer.state_dict()["state"].items():
            for key, value in state.items():
                tensors[f"optimizer.{index}.{number}.{key}"] = torch.as_tensor(value)
    return tensors


def load_optimizer_state_dict(optimizers: list[torch.optim.Optimizer], tensors: dict[str, Tensor]) -> None:
    """Restore an `optimizer_state_dict`, with each moment in its parameter's memory format.

    A fused optimizer iterates over the memory of a parameter and of its moments in parallel and ignores their strides.
    """
    states: list[dict[int, dict[str, Any]]] = [{} for _ in optimizers]
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, number, key = name.split(".", 3)
            states[int(index)].setdefault(int(number), {})[key] = value
    for optimizer, state in zip(optimizers, states, strict=True):
        parameters: list[Tensor] = [
            parameter for group in optimizer.param_groups for parameter in group["params"]
        ]
        for position, moments in state.items():
            parameter = parameters[position]
            for key, value in moments.items():
                if value.shape == parameter.shape:
                    moments[key] = torch.empty_like(parameter, device=value.device).copy_(value)
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
