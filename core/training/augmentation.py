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


def scale(pixels: Tensor) -> Tensor:
    """Scale uint8 pixels to float32 in [-1, 1]."""
    return pixels.float() / 127.5 - 1


def symmetry_indices(kind: Augment, size: int) -> Tensor:
    """Return where each pixel comes from under each symmetry of `kind`: int64 [symmetries, size * size]."""
    pixels = torch.arange(size * size).view(1, 1, size, size)
    return torch.stack([_apply_symmetry(pixels, number).flatten() for number in range(_SYMMETRIES[kind])])


def symmetry_parts(kind: Augment, count: int) -> Tensor:
    """Return the part of the batch that each of `count` images belongs to, int64 [count]; see `augment`."""
    parts = torch.arange(count).tensor_split(_SYMMETRIES[kind])
    return torch.cat([torch.full_like(part, index) for index, part in enumerate(parts)])


def _apply_symmetry(x0: Tensor, number: int) -> Tensor:
    """Apply one of the eight symmetries; 0 is the identity and 1 the mirror image."""
    if number & 1:
        x0 = x0.flip(3)
    if number & 2:
        x0 = x0.flip(2)
    return x0.transpose(2, 3) if number & 4 else x0
