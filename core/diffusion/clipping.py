"""What is done to a foreseen picture that has left [-1, 1]."""

from typing import Final, Literal, get_args

import torch
from torch import Tensor

from core.errors import UserError

Clip = Literal["none", "static", "dynamic"]
CLIPS: Final[tuple[str, ...]] = get_args(Clip)
QUANTILE: Final = 0.995
_MOST: Final = 1 << 23
"""Numbers at once: torch refuses to take quantiles of more than 2^24."""


def clip_x0(x0: Tensor, clip: Clip) -> Tensor:
    """The foreseen pictures [N, C, H, W], made to fit.

    ``static`` clips to [-1, 1], as the code of Ho et al. 2020 does. ``dynamic`` clips each picture to [-s, s], s being
    the 0.995 quantile of its absolute values and at least 1, and divides by s: a few numbers that are far too large do
    not saturate, and no picture stays too large (Saharia et al. 2022, section 2.3). ``none`` leaves them.

    Raises:
        UserError: no such clipping.
    """
    if clip == "none":
        return x0
    if clip == "static":
        return x0.clamp(-1.0, 1.0)
    if clip != "dynamic":
        raise UserError(f"unknown clipping {clip!r}; expected one of {', '.join(CLIPS)}")
    flat = x0.abs().flatten(start_dim=1)
    parts = torch.split(flat, max(1, _MOST // flat.shape[1]))
    s = torch.cat([torch.quantile(part, QUANTILE, dim=1) for part in parts]).clamp_min(1.0)
    s = s.view(-1, *(1,) * (x0.ndim - 1))
    return torch.maximum(torch.minimum(x0, s), -s) / s
