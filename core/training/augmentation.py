"""Symmetries of the square, under which what is learnt may be invariant: uniform triangles are under all eight."""

from typing import Final, Literal

import torch
from torch import Tensor

Augment = Literal["none", "flips", "dihedral"]

_SYMMETRIES: Final[dict[Augment, int]] = {"none": 1, "flips": 2, "dihedral": 8}


def augment(x0: Tensor, kind: Augment, step: int) -> Tensor:
    """Show all symmetries in each batch, and each part of it another one at the next step.

    Stratified timesteps rise within a batch, so a part that kept its symmetry would keep its noise levels too.

    Args:
        x0: [N, C, H, W], H = W for `dihedral`.
        kind: `none`, `flips` for the picture and its mirror image, or `dihedral` for all eight.
        step: steps done so far.

    Returns:
        Like x0.
    """
    count = _SYMMETRIES[kind]
    if count == 1:
        return x0
    parts = x0.tensor_split(count)
    return torch.cat([_apply_symmetry(part, (place + step) % count) for place, part in enumerate(parts)])


def _apply_symmetry(x0: Tensor, number: int) -> Tensor:
    """One of the eight symmetries; the first two are the picture itself and its mirror image."""
    if number & 1:
        x0 = x0.flip(3)
    if number & 2:
        x0 = x0.flip(2)
    return x0.transpose(2, 3) if number & 4 else x0
