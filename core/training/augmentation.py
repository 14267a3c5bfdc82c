"""Augmentation by symmetries of the square; the distribution of uniform triangles is invariant under all eight."""

from typing import Final

import torch
from torch import Tensor

from core.data.augmentation import Augment

_SYMMETRIES: Final[dict[Augment, int]] = {"none": 1, "flips": 2, "dihedral": 8}


def augment(x0: Tensor, kind: Augment, step: int) -> Tensor:
    """Apply all symmetries to equal parts of the batch, rotated by one part at each step.

    Stratified timesteps increase within a batch. So a part that kept its symmetry would always combine it with the same
    noise levels.

    Args:
        x0: [N, C, H, W], H = W for `dihedral`.
        kind: `none`, `flips` for the image and its mirror image, or `dihedral` for all eight.
        step: number of steps done so far.

    Returns:
        The augmented images, like `x0`.
    """
    count = _SYMMETRIES[kind]
    if count == 1:
        return x0
    parts = x0.tensor_split(count)
    return torch.cat([_apply_symmetry(part, (index + step) % count) for index, part in enumerate(parts)])


def _apply_symmetry(x0: Tensor, number: int) -> Tensor:
    """Apply one of the eight symmetries; 0 is the identity and 1 the mirror image."""
    if number & 1:
        x0 = x0.flip(3)
    if number & 2:
        x0 = x0.flip(2)
    return x0.transpose(2, 3) if number & 4 else x0
