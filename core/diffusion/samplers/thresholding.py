"""Thresholding of predicted x0 that lies outside [-1, 1]."""

from typing import Final

import torch
from torch import Tensor

from core.errors import UserError
from core.sampling_names import CLIPS, Clip

QUANTILE: Final = 0.995
_CHUNK: Final = 1 << 23
"""Numbers in one call of torch.quantile, which refuses more than 2^24."""


def threshold_x0(x0: Tensor, clip: Clip) -> Tensor:
    """Bring predicted x0 into range.

    Args:
        x0: [N, C, H, W].
        clip: ``none`` returns x0 unchanged. ``static`` clips to [-1, 1], as the code of Ho et al. 2020 does.
            ``dynamic`` clips each image to [-s, s] and divides by s, where s is the 0.995 quantile of its absolute
            values and at least 1. A few values that are far too large then do not saturate the image, and no image
            stays too large.

    Returns:
        Like x0.

    Raises:
        UserError: an unknown clip.

    Reference: Saharia et al. 2022, section 2.3, for ``dynamic``.
    """
    if clip == "none":
        return x0
    if clip == "static":
        return x0.clamp(-1.0, 1.0)
    if clip != "dynamic":
        raise UserError(f"unknown clipping {clip!r}; expected one of {', '.join(CLIPS)}")
    flat = x0.abs().flatten(start_dim=1)
    chunks = torch.split(flat, max(1, _CHUNK // flat.shape[1]))
    s = torch.cat([torch.quantile(chunk, QUANTILE, dim=1) for chunk in chunks]).clamp_min(1.0)
    s = s.view(-1, *(1,) * (x0.ndim - 1))
    return torch.maximum(torch.minimum(x0, s), -s) / s
