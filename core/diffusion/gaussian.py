"""The Gaussian forward process, its posterior, and the conversions between the quantities a network may predict.

Letters: N images, C channels, H x W pixels; x0 the clean image in [-1, 1], xt the noised image, eps the standard
normal noise, T the number of timesteps. A timestep ``t`` is an int64 tensor [N] in 0..T-1: t = 0 is the papers'
t = 1. abar is ``alphas_cumprod``.

Rectified flow noises along the line x_u = (1 - u) x0 + u eps. Divided by sqrt((1 - u)^2 + u^2) that is an xt with
alpha_t = sqrt(abar_t) and sigma_t = sqrt(1 - abar_t), where u = sigma_t / (alpha_t + sigma_t). So its velocity
eps - x0 can be predicted under every schedule.
"""

import math
from typing import Final, Literal, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from core.errors import UserError
from core.schedules import Schedule

PredictionType = Literal["epsilon", "sample", "v_prediction", "flow"]
Variance = Literal["beta", "beta_tilde"]
PREDICTION_TYPES: Final = ("epsilon", "sample", "v_prediction", "flow")
VARIANCES: Final = ("beta", "beta_tilde")


class Transition(NamedTuple):
    """The posterior q(x_s | x_t, x0) = N(x0_scale x0 + xt_scale xt, beta_tilde I) of a jump from t to s < t.

    With s = t - 1 it is Ho et al. 2020, eq. 7. A longer jump is one step of the respaced process, which has only the
    timesteps at which a sampler evaluates the network.

    Attributes:
        x0_scale: coefficient of x0 in the mean.
        xt_scale: coefficient of xt in the mean.
        beta: 1 - abar_t / abar_s, the forward variance of the jump.
        beta_tilde: the posterior's variance.
    """

    x0_scale: float
    xt_scale: float
    beta: float
    beta_tilde: float


class GaussianDiffusion:
    """A schedule, the network's prediction type, and the variance of the reverse process.

    Coefficients are computed once in float64 and cached per dtype and device, so a call costs one gather.

    Args:
        schedule: the betas.
        prediction_type: meaning of the network's output: ``epsilon`` the noise, ``sample`` the image x0,
            ``v_prediction`` v = sqrt(abar) eps - sqrt(1 - abar) x0 (Salimans & Ho 2022), ``flow`` the velocity
            eps - x0 of rectified flow (Liu et al. 2023).
        variance: sigma_t^2 of the reverse process: ``beta``, or ``beta_tilde``, the posterior's own (the two
            extremes of Ho et al. 2020, section 3.2).

    Raises:
        UserError: an unknown prediction type or variance, or ``epsilon`` with a schedule whose last step is
            pure noise.
    """

    def __init__(
        self,
        schedule: Schedule,
        *,
        prediction_type: PredictionType = "epsilon",
        variance: Variance = "beta",
    ) -> None:
        if prediction_type not in PREDICTION_TYPES:
            raise UserError(
                f"unknown prediction type {prediction_type!r}; expected one of {', '.join(PREDICTION_TYPES)}"
            )
        if variance not in VARIANCES:
            raise UserError(f"unknown variance {variance!r}; expected one of {', '.join(VARIANCES)}")
        if prediction_type == "epsilon" and schedule.ends_in_pure_noise:
            raise UserError(
                f"schedule {schedule.name}: its last step is pure noise (abar_T = "
                f"{schedule.terminal_alpha_bar:.3g}), from which prediction_type epsilon cannot find the "
                "image; use v_prediction or sample"
            )
        self.schedule = schedule
        self.prediction_type: PredictionType = prediction_type
        self.variance: Variance = variance

        beta, alpha = schedule.betas, schedule.alphas
        abar, one_minus_abar = schedule.alphas_cumprod, schedule.one_minus_alphas_cumprod
        abar_prev = np.concatenate(([1.0], abar[:-1]))
        one_minus_abar_prev = np.concatenate(([0.0], one_minus_abar[:-1]))
        beta_tilde = one_minus_abar_prev * beta / one_minus_abar
        self._float64 = {
            "sqrt_alphas_cumprod": np.sqrt(abar),
            "sqrt_one_minus_alphas_cumprod": np.sqrt(one_minus_abar),
            "posterior_x0": np.sqrt(abar_prev) * beta / one_minus_abar,
            "posterior_xt": np.sqrt(alpha) * one_minus_abar_prev / one_minus_abar,
            "beta": beta,
            "beta_tilde": beta_tilde,
        }
        self._tables: dict[tuple[str, torch.dtype, torch.device], Tensor] = {}

    @property
    def timesteps(self) -> int:
        """T, the number of noising steps."""
        return self.schedule.timesteps

    def to(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> Self:
        """Cache the coefficients for a device, as the first call with a tensor there would; returns self."""
        for name in self._float64:
            self._table(name, dtype, torch.device(device))
        return self

    def q_sample(self, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """Noise images in one jump: xt = sqrt(abar_t) x0 + sqrt(1 - abar_t) eps.

        Args:
            x0: [N, C, H, W] in [-1, 1].
            t: [N] timesteps.
            eps: like x0, standard normal.

        Returns:
            xt, like x0.

        Reference: Ho et al. 2020, eq. 4.
        """
        alpha_t, sigma_t = self._alpha_sigma(t, x0)
        return alpha_t * x0 + sigma_t * eps

    def posterior(self, x0: Tensor, xt: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Compute mean and variance of q(x_{t-1} | xt, x0).

        Args:
            x0: [N, C, H, W].
            xt: like x0.
            t: [N] timesteps.

        Returns:
            The mean, like xt, and the variance, [N, 1, 1, 1], which is 0 at t = 0.

        Reference: Ho et al. 2020, eq. 6 and 7.
        """
        mean = self._at("posterior_x0", t, xt) * x0 + self._at("posterior_xt", t, xt) * xt
        return mean, self._at("beta_tilde", t, xt)

    def predict_x0(self, output: Tensor, xt: Tensor, t: Tensor) -> Tensor:
        """Compute x0, like xt, from the network's output for xt at timesteps t [N]; without thresholding."""
        output = output.to(xt.dtype)
        if self.prediction_type == "sample":
            return output
        alpha_t, sigma_t = self._alpha_sigma(t, xt)
        if self.prediction_type == "epsilon":
            return (xt - sigma_t * output) / alpha_t
        if self.prediction_type == "flow":
            return (xt - sigma_t * output) / (alpha_t + sigma_t)
        return alpha_t * xt - sigma_t * output

    def predict_eps(self, output: Tensor, xt: Tensor, t: Tensor) -> Tensor:
        """Compute eps, like xt, from the network's output for xt at timesteps t [N]."""
        output = output.to(xt.dtype)
        if self.prediction_type == "epsilon":
            return output
        alpha_t, sigma_t = self._alpha_sigma(t, xt)
        if self.prediction_type == "sample":
            return (xt - alpha_t * output) / sigma_t
        if self.prediction_type == "flow":
            return (xt + alpha_t * output) / (alpha_t + sigma_t)
        return alpha_t * output + sigma_t * xt

    def target(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """Compute the output, like x0, that the network is trained towards for xt = q_sample(x0, t, eps)."""
        if self.prediction_type == "epsilon":
            return eps
        if self.prediction_type == "sample":
            return x0
        if self.prediction_type == "flow":
            return eps - x0
        alpha_t, sigma_t = self._alpha_sigma(t, x0)
        return alpha_t * eps - sigma_t * x0

    def loss(self, output: Tensor, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """Compute L_simple of each image, [N]: the mean squared error over its dimensions, unweighted over t.

        Reference: Ho et al. 2020, eq. 14.
        """
        error = output.to(x0.dtype) - self.target(x0, eps, t)
        return error.square().flatten(start_dim=1).mean(dim=1)

    def transition(self, t: int, s: int) -> Transition:
        """Compute the posterior's coefficients for a jump from timestep t to s < t; s = -1 is the clean image.

        Raises:
            ValueError: not -1 <= s < t < T.
        """
        if not -1 <= s < t < self.timesteps:
            raise ValueError(f"expected -1 <= s < t < {self.timesteps}, got t = {t}, s = {s}")
        log_abar = self.schedule.log_alphas_cumprod
        log_abar_s = float(log_abar[s]) if s >= 0 else 0.0
        # A ratio of two abars that both underflow is still exact as a difference of logarithms.
        log_alpha = float(log_abar[t]) - log_abar_s
        beta = -math.expm1(log_alpha)
        one_minus_abar, one_minus_abar_s = -math.expm1(log_abar[t]), -math.expm1(log_abar_s)
        return Transition(
            x0_scale=math.exp(0.5 * log_abar_s) * beta / one_minus_abar,
            xt_scale=math.exp(0.5 * log_alpha) * one_minus_abar_s / one_minus_abar,
            beta=beta,
            beta_tilde=one_minus_abar_s * beta / one_minus_abar,
        )

    def alpha_sigma(self, t: int) -> tuple[float, float]:
        """Return alpha_t = sqrt(abar_t) and sigma_t = sqrt(1 - abar_t); t = -1 is the clean image, (1, 0).

        These are the letters of Lu et al. 2022. Their alpha_t is not the alpha_t = 1 - beta_t of Ho et al. 2020.
        """
        if t < 0:
            return 1.0, 0.0
        table = self._float64
        return float(table["sqrt_alphas_cumprod"][t]), float(table["sqrt_one_minus_alphas_cumprod"][t])

    def half_log_snr(self, t: int) -> float:
        """Return ln sqrt(abar_t / (1 - abar_t)), the lambda_t of Lu et al. 2022.

        It is -inf where nothing of the image is left, and inf for the clean image, t = -1.
        """
        return 0.5 * float(self.schedule.log_snr[t]) if t >= 0 else math.inf

    def _alpha_sigma(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """`alpha_sigma` at each image's timestep, each [N, 1, ...] with as many axes as `like`."""
        return self._at("sqrt_alphas_cumprod", t, like), self._at("sqrt_one_minus_alphas_cumprod", t, like)

    def _at(self, name: str, t: Tensor, like: Tensor) -> Tensor:
        """Gather a coefficient at each image's timestep, [N, 1, ...] with as many axes as `like`."""
        values = self._table(name, like.dtype, like.device).index_select(0, t)
        return values.view(-1, *(1,) * (like.ndim - 1))

    def _table(self, name: str, dtype: torch.dtype, device: torch.device) -> Tensor:
        key = (name, dtype, device)
        table = self._tables.get(key)
        if table is None:
            # Outside inference mode, because a table first needed in sampling is used in training's backward later.
            with torch.inference_mode(False):
                table = torch.from_numpy(self._float64[name].copy()).to(dtype).to(device)
            self._tables[key] = table
        return table
