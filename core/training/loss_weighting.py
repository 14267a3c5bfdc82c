"""Weights of the noise levels in the training loss."""

from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.config.schema import TrainConfig
from core.diffusion.gaussian import GaussianDiffusion
from core.noise_levels import timestep_probabilities
from core.schedules import Schedule

LossWeight = Literal["none", "min_snr", "elbo", "edm", "sigmoid"]
DEFAULT_SIGMOID_BIAS: Final = 2.0

_GAMMA: Final = 5.0
_SIGMA_DATA: Final = 0.5
"""Standard deviation of the data that EDM assumes."""


def loss_weights(
    diffusion: GaussianDiffusion,
    weight: LossWeight,
    *,
    probabilities: NDArray[np.float64] | None = None,
    sigmoid_bias: float = DEFAULT_SIGMOID_BIAS,
) -> Tensor | None:
    """Return a weight for each timestep, for the squared error of the network's prediction, whatever its type.

    - ``min_snr`` weights the error of the predicted **x0** by min(SNR, 5). So neither the levels with almost no noise
      nor those with almost no signal dominate the loss.
    - ``edm`` weights the error of the predicted **x0** by (sigma^2 + 0.25) / (0.25 sigma^2) = SNR + 4, where sigma is
      the noise beside a signal of 1.
    - ``elbo`` and ``sigmoid`` weight the error of the predicted **eps** by w(log SNR), and their loss is the integral
      of that over log SNR, whatever the schedule and the distribution of timesteps. w is 1 for ``elbo``, the
      variational bound of the variance ``beta_tilde``, and sigmoid(bias - log SNR) for ``sigmoid``. So the weight of
      timestep t is w (SNR_s / SNR_t - 1) / p_t, where s = t - 1, and p_t is the probability of drawing t. With many
      timesteps, drawn uniformly, that is w times -d log SNR / d(t / T). Their factor 1/2 is left out.

    The error of the predicted x0 is 1 / SNR times that of eps, 1 / (1 + SNR) times that of v, and
    1 / (1 + sqrt(SNR))^2 times that of the velocity of rectified flow.

    Args:
        diffusion: the process, with its prediction type.
        weight: name of the weighting.
        probabilities: [T], of drawing each timestep; None for uniform ones. Only for ``elbo`` and ``sigmoid``.
        sigmoid_bias: the log SNR at which w of ``sigmoid`` is a half.

    Returns:
        float32 [T]; None for equal weights.

    Reference: min_snr: Hang et al. 2023, eq. 8 and section 3.4. edm: Karras et al. 2022, table 1. elbo: Kingma et al.
    2021, eq. 13. sigmoid: Kingma and Gao 2023, eq. 9 and section 5, with k = 2 for the bias.
    """
    if weight == "none":
        return None
    snr = torch.from_numpy(diffusion.schedule.snr.copy())
    match weight:
        case "min_snr":
            x0_weights = snr.clamp(max=_GAMMA)
        case "edm":
            x0_weights = snr + 1 / _SIGMA_DATA**2
        case _:
            x0_weights = torch.from_numpy(_snr_steps(diffusion.schedule, probabilities))
            if weight == "sigmoid":
                log_snr = torch.from_numpy(diffusion.schedule.log_snr.copy())
                x0_weights = x0_weights * torch.sigmoid(sigmoid_bias - log_snr)
    match diffusion.prediction_type:
        case "epsilon" if weight == "min_snr":
            weights = _GAMMA / snr.clamp(min=_GAMMA)  # min(SNR, 5) / SNR, and 1 at SNR 0
        case "epsilon":
            weights = x0_weights / snr
        case "v_prediction":
            weights = x0_weights / (snr + 1)
        case "flow":
            weights = x0_weights / (snr.sqrt() + 1).square()
        case _:
            weights = x0_weights
    return weights.float()


def config_loss_weights(
    train: TrainConfig, diffusion: GaussianDiffusion, device: torch.device
) -> Tensor | None:
    """Return the `loss_weights` of a training, on its device."""
    bias = DEFAULT_SIGMOID_BIAS if train.sigmoid_bias is None else train.sigmoid_bias
    probabilities = timestep_probabilities(
        diffusion.schedule, train.noise_levels, train.noise_mean, train.noise_scale
    )
    weights = loss_weights(diffusion, train.loss_weight, probabilities=probabilities, sigmoid_bias=bias)
    return None if weights is None else weights.to(device)


def _snr_steps(schedule: Schedule, probabilities: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Compute (SNR_s - SNR_t) / p_t for s = t - 1, [T]; timestep 0 has the same SNR_s / SNR_t as timestep 1."""
    snr = schedule.snr
    ratio = snr[0] / snr[1] if len(snr) > 1 and snr[1] > 0 else 2.0
    steps = np.concatenate(([snr[0] * (ratio - 1)], snr[:-1] - snr[1:]))
    return steps * len(snr) if probabilities is None else steps / probabilities
