"""How much each noise level counts in the loss that is minimised."""

from typing import Final, Literal

import torch
from torch import Tensor

from core.diffusion.gaussian import GaussianDiffusion

LossWeight = Literal["none", "min_snr"]

_GAMMA: Final = 5.0


def loss_weights(diffusion: GaussianDiffusion, weight: LossWeight) -> Tensor | None:
    """A weight for each timestep, for the squared error of what the network predicts.

    ``min_snr`` weighs the error of the foreseen picture by min(SNR, 5), whatever is predicted: neither the levels at
    which the picture is nearly seen, nor those at which next to nothing is, drown the others.

    Args:
        diffusion: the process, and what its network predicts.
        weight: which weights.

    Returns:
        float32 [T]; None where all weigh alike.

    Reference: Hang et al. 2023, eq. 8 and section 3.4.
    """
    if weight == "none":
        return None
    snr = torch.from_numpy(diffusion.schedule.snr.copy())
    of_image = snr.clamp(max=_GAMMA)
    match diffusion.prediction_type:
        case "epsilon":
            weights = _GAMMA / snr.clamp(min=_GAMMA)  # min(SNR, 5) / SNR, and 1 at SNR 0
        case "v_prediction":
            weights = of_image / (snr + 1)
        case _:
            weights = of_image
    return weights.float()
