"""Muon: momentum with orthogonalized updates of matrices; convolution kernels count as matrices.

Reference: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


class Muon(Optimizer):
    """Orthogonalized Nesterov momentum for matrices and kernels, to be paired with AdamW for all other parameters.

    A kernel [out, in, kh, kw] is treated as a matrix [out, kh kw in]. The update's root mean square is scaled to
    0.2, about that of Adam, so one learning rate serves both (Liu et al. 2025, eq. 4).

    Args:
        params: parameters of two or more dimensions.
        lr: learning rate; a parameter group's may also be a tensor on the device, float32 [].
        momentum: of the running mean of gradients.
        weight_decay: decoupled, as in AdamW.
        bf16: orthogonalize in bfloat16, which GPUs multiply many times as fast as float32.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        bf16: bool = False,
    ) -> None:
        self._orthogonalize = orthogonalize_bf16 if bf16 else orthogonalize
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
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                self._step_group(parameters, group["lr"], group["momentum"], group["weight_decay"])
        return loss

    def _step_group(
        self, parameters: list[Tensor], rate: float | Tensor, momentum: float, weight_decay: float
    ) -> None:
        """Update all parameters of a group with one call per operation, because the matrices are many and small."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        buffers = [self.state[parameter]["momentum_buffer"] for parameter in parameters]
        torch._foreach_lerp_(buffers, gradients, 1 - momentum)
        updates = torch._foreach_lerp(gradients, buffers, momentum)
        orthogonal = self._orthogonalize([_as_matrix(update) for update in updates])
        if isinstance(rate, Tensor):  # of the device, so that a captured step reads it
            torch._foreach_mul_(orthogonal, [0.2 * max(update.shape) ** 0.5 for update in orthogonal])
            torch._foreach_mul_(orthogonal, -rate)
        else:
            torch._foreach_mul_(orthogonal, [-0.2 * rate * max(update.shape) ** 0.5 for update in orthogonal])
        torch._foreach_mul_(parameters, 1 - rate * weight_decay)
        torch._foreach_add_(
            parameters,
            [_as_kernel(update, parameter) for update, parameter in zip(orthogonal, parameters, strict=True)],
        )


def orthogonalize(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Return the nearest matrices with singular values near 1, by five Newton-Schulz steps.

    A step multiplies the matrix by a polynomial of its Gram matrix. All five commute, so they are computed on the Gram
    matrix alone, which for a kernel is small, and the matrix is multiplied once. That takes half of the time. Gram
    matrices of the same size are batched, whatever the shapes of their matrices. The computation is in float32, because
    the Gram matrix squares small values.

    Args:
        matrices: [rows, columns] each, any scale.

    Returns:
        float32, of the same shapes. Singular values end between about 0.7 and 1.2, except those far below the largest,
        which occur in square matrices. Five steps raise them only part of the way, and zero stays zero.
    """
    wide: list[Tensor] = []
    indices_by_size: dict[int, list[int]] = {}
    for index, matrix in enumerate(matrices):
        transposed = matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix
        indices_by_size.setdefault(len(transposed), []).append(index)
        wide.append(transposed.float())
    norms = torch._foreach_norm(wide)
    torch._foreach_clamp_min_(norms, 1e-12)
    wide = list(torch._foreach_div(wide, norms))
    for indices in indices_by_size.values():
        factors = _newton_schulz(torch.stack([wide[index] @ wide[index].mT for index in indices]))
        for index, factor in zip(indices, factors, strict=True):
            wide[index] = factor @ wide[index]
    return [
        result.mT if matrix.shape[0] > matrix.shape[1] else result
        for matrix, result in zip(matrices, wide, strict=True)
    ]


def orthogonalize_bf16(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Return what `orthogonalize` does by products in bfloat16: to about two digits, and noise where they are lost.

    Each step multiplies the matrix itself. Its rounding is relative to singular values of at most about 1, whereas the
    product of all polynomials has values up to 480, and the rounding of a Gram matrix grows with each step. Matrices of
    the same shape are batched.

    Args:
        matrices: [rows, columns] each, any scale.

    Returns:
        float32, of the same shapes.

    Reference: Jordan et al. 2024.
    """
    a, b, c = _COEFFICIENTS
    wide = [matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix for matrix in matrices]
    norms = torch._foreach_norm(wide)
    torch._foreach_clamp_min_(norms, 1e-12)
    wide = list(torch._foreach_div(wide, norms))
    indices_by_shape: dict[torch.Size, list[int]] = {}
    for index, matrix in enumerate(wide):
        indices_by_shape.setdefault(matrix.shape, []).append(index)
    for indices in indices_by_shape.values():
        x = torch.stack([wide[index] for index in indices]).bfloat16()
        for _ in range(_ITERATIONS):
            gram = x @ x.mT
            x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
        for index, result in zip(indices, x.float(), strict=True):
            wide[index] = result
    return [
        result.mT if matrix.shape[0] > matrix.shape[1] else result
        for matrix, result in zip(matrices, wide, strict=True)
    ]


def _newton_schulz(gram: Tensor) -> Tensor:
    """Return the product of all Newton-Schulz polynomials, [K, rows, rows], from Gram matrices of that shape."""
    a, b, c = _COEFFICIENTS
    scaled_identity = a * torch.eye(gram.shape[-1], device=gram.device)
    product: Tensor | None = None
    for remaining in reversed(range(_ITERATIONS)):
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c) + scaled_identity
        product = polynomial if product is None else polynomial @ product
        if remaining:
            gram = polynomial @ gram @ polynomial
    assert product is not None
    return product


def _as_matrix(kernel: Tensor) -> Tensor:
    """Reshape [out, in, kh, kw] to [out, kh kw in], without a copy in channels_last memory."""
    return kernel.movedim(1, -1).reshape(len(kernel), -1)


def _as_kernel(matrix: Tensor, like: Tensor) -> Tensor:
    """Invert `_as_matrix`, to the shape and type of `like`."""
    return matrix.reshape(like.movedim(1, -1).shape).movedim(-1, 1).to(like.dtype)
