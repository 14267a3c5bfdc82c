"""Weights of the noise levels in the training loss."""

from typing import Final, Literal

import torch
from torch import Tensor

from core.diffusion.gaussian import GaussianDiffusion

LossWeight = Literal["none", "min_snr"]

_GAMMA: Final = 5.0


def loss_weights(diffusion: GaussianDiffusion, weight: LossWeight) -> Tensor | None:
    """Return a weight for each timestep, for the squared error of the network's prediction.

    ``min_snr`` weights the error of the predicted x0 by min(SNR, 5), for every prediction type. So neither the levels
    with almost no noise nor those with almost no signal dominate the loss.

    Args:
        diffusion: the process, with its prediction type.
        weight: name of the weighting.

    Returns:
        float32 [T]; None for equal weights.

    Reference: Hang et al. 2023, eq. 8 and section 3.4.
    """
    if weight == "none":
        return None
    snr = torch.from_numpy(diffusion.schedule.snr.copy())
    x0_weights = snr.clamp(max=_GAMMA)
    match diffusion.prediction_type:
        case "epsilon":
            weights = _GAMMA / snr.clamp(min=_GAMMA)  # min(SNR, 5) / SNR, and 1 at SNR 0
        case "v_prediction":
            weights = x0_weights / (snr + 1)
        case _:
            weights = x0_weights
    return weights.float()
