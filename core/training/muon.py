"""Muon: momentum whose update of each matrix is made orthogonal; convolution kernels count as matrices.

Reference: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
"""

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


class Muon(Optimizer):
    """Orthogonalised Nesterov momentum for matrices and kernels, to be paired with AdamW for all other parameters.

    A kernel [out, in, kh, kw] is taken as the matrix [out, in kh kw]. The update's root mean square is brought to
    0.2, about that of Adam, so one learning rate serves both (Liu et al. 2025, eq. 4).

    Args:
        params: parameters of two or more dimensions.
        lr: learning rate.
        momentum: of the running mean of gradients.
        weight_decay: decoupled, as in AdamW.
    """

    def __init__(
        self, params: Iterable[Tensor], *, lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters from their gradients."""
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            alike: dict[tuple[int, int], list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike.setdefault(_matrix_shape(parameter), []).append(parameter)
            for shape, parameters in alike.items():
                self._step_alike(group, shape, parameters)
        return loss

    def _step_alike(self, group: dict[str, Any], shape: tuple[int, int], parameters: list[Tensor]) -> None:
        """One batched orthogonalisation for all matrices of a shape."""
        momentum: float = group["momentum"]
        updates = []
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["momentum_buffer"] = torch.zeros_like(parameter)
            buffer = state["momentum_buffer"]
            assert parameter.grad is not None
            buffer.lerp_(parameter.grad, 1 - momentum)
            updates.append(parameter.grad.lerp(buffer, momentum).reshape(shape))
        orthogonal = orthogonalise(torch.stack(updates)) * (0.2 * max(shape) ** 0.5)
        for parameter, update in zip(parameters, orthogonal, strict=True):
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.add_(update.reshape(parameter.shape).to(parameter.dtype), alpha=-group["lr"])


def orthogonalise(matrices: Tensor) -> Tensor:
    """The nearest matrices with singular values near 1, by five Newton-Schulz steps.

    A step is a polynomial of the Gram matrix times the matrix. All five commute, so they are done on the Gram matrix
    alone, which for a kernel is small, and the matrix is multiplied once: half of the time that it takes otherwise.
    In float32, as the Gram matrix squares what is small.

    Args:
        matrices: [K, rows, columns], any scale.

    Returns:
        float32, the same shape. Singular values come between about 0.7 and 1.2, but for those far below the largest, of
        which a square matrix has some: five steps lift them only part of the way, and zero stays zero.
    """
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x: Tensor = (matrices.mT if tall else matrices).float()
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-12)
    gram = x @ x.mT
    identity = torch.eye(len(gram[0]), device=x.device)
    steps = identity
    for _ in range(_ITERATIONS):
        polynomial = a * identity + b * gram + c * gram @ gram
        steps = polynomial @ steps
        gram = polynomial @ gram @ polynomial
    x = steps @ x
    return x.mT if tall else x


def _matrix_shape(parameter: Tensor) -> tuple[int, int]:
    return parameter.shape[0], parameter[0].numel()
