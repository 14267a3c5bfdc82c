"""The Gaussian forward process, its posterior, and what a network may predict of it.

Letters: N pictures, C channels, H x W pixels; x0 the clean picture in [-1, 1], xt the picture after noising,
eps the standard normal noise, T the number of timesteps. A timestep ``t`` is an int64 tensor [N] in 0..T-1:
t = 0 is the papers' t = 1. abar is ``alphas_cumprod``.
"""

import math
from typing import Final, Literal, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from core.errors import UserError
from core.schedules import Schedule

PredictionType = Literal["epsilon", "sample", "v_prediction"]
Variance = Literal["beta", "beta_tilde"]
PREDICTION_TYPES: Final = ("epsilon", "sample", "v_prediction")
VARIANCES: Final = ("beta", "beta_tilde")

# Below this abar_T, sqrt(abar_T) x0 vanishes beside the noise even in float32, and eps says nothing of x0.
_SMALLEST_ALPHA_BAR = float(np.finfo(np.float32).tiny)


class Transition(NamedTuple):
    """The posterior q(x_s | x_t, x0) = N(x0_scale x0 + xt_scale xt, beta_tilde I) of a jump from t to s < t.

    With s = t - 1 it is Ho et al. 2020, eq. 7. A longer jump is one step of the respaced process that has
    only the timesteps visited, with beta = 1 - abar_t / abar_s.
    """

    x0_scale: float
    xt_scale: float
    beta: float
    beta_tilde: float


class GaussianDiffusion:
    """A schedule together with what the network predicts and the variance of the reverse process.

    Coefficients are computed once in float64 and kept per dtype and device, so a call costs one gather.

    Args:
        schedule: the betas.
        prediction_type: what the network's output stands for: ``epsilon`` the noise, ``sample`` the picture
            x0, ``v_prediction`` v = sqrt(abar) eps - sqrt(1 - abar) x0 (Salimans & Ho 2022).
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
        if prediction_type == "epsilon" and schedule.terminal_alpha_bar < _SMALLEST_ALPHA_BAR:
            raise UserError(
                f"schedule {schedule.name}: its last step is pure noise (abar_T = "
                f"{schedule.terminal_alpha_bar:.3g}), from which prediction_type epsilon cannot find the "
                "picture; use v_prediction or sample"
            )
        self.schedule = schedule
        self.prediction_type: PredictionType = prediction_type
        self.variance: Variance = variance

        beta, alpha = schedule.betas, schedule.alphas
        abar, noise = schedule.alphas_cumprod, schedule.one_minus_alphas_cumprod
        abar_before = np.concatenate(([1.0], abar[:-1]))
        noise_before = np.concatenate(([0.0], noise[:-1]))
        beta_tilde = noise_before * beta / noise
        self._float64 = {
            "signal": np.sqrt(abar),
            "noise": np.sqrt(noise),
            "posterior_x0": np.sqrt(abar_before) * beta / noise,
            "posterior_xt": np.sqrt(alpha) * noise_before / noise,
            "beta": beta,
            "beta_tilde": beta_tilde,
        }
        self._tables: dict[tuple[str, torch.dtype, torch.device], Tensor] = {}

    @property
    def timesteps(self) -> int:
        """T, the number of noising steps."""
        return self.schedule.timesteps

    def to(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> Self:
        """Make the coefficients ready on a device; the first call with a tensor there would do it too."""
        for name in self._float64:
            self._table(name, dtype, torch.device(device))
        return self

    def q_sample(self, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """Noise pictures in one jump: xt = sqrt(abar_t) x0 + sqrt(1 - abar_t) eps.

        Args:
            x0: [N, C, H, W] in [-1, 1].
            t: [N] timesteps.
            eps: like x0, standard normal.

        Returns:
            xt, like x0.

        Reference: Ho et al. 2020, eq. 4.
        """
        return self._at("signal", t, x0) * x0 + self._at("noise", t, x0) * eps

    def posterior(self, x0: Tensor, xt: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Mean, like xt, and variance, [N, 1, 1, 1], of q(x_{t-1} | xt, x0); the variance is 0 at t = 0.

        Reference: Ho et al. 2020, eq. 6 and 7.
        """
        mean = self._at("posterior_x0", t, xt) * x0 + self._at("posterior_xt", t, xt) * xt
        return mean, self._at("beta_tilde", t, xt)

    def predict_x0(self, output: Tensor, xt: Tensor, t: Tensor) -> Tensor:
        """The picture, like xt, that the network's output stands for; not clipped."""
        output = output.to(xt.dtype)
        if self.prediction_type == "sample":
            return output
        signal, noise = self._at("signal", t, xt), self._at("noise", t, xt)
        if self.prediction_type == "epsilon":
            return (xt - noise * output) / signal
        return signal * xt - noise * output

    def predict_eps(self, output: Tensor, xt: Tensor, t: Tensor) -> Tensor:
        """The noise, like xt, that the network's output stands for."""
        output = output.to(xt.dtype)
        if self.prediction_type == "epsilon":
            return output
        signal, noise = self._at("signal", t, xt), self._at("noise", t, xt)
        if self.prediction_type == "sample":
            return (xt - signal * output) / noise
        return signal * output + noise * xt

    def target(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """What the network should have said for xt = q_sample(x0, t, eps); like x0."""
        if self.prediction_type == "epsilon":
            return eps
        if self.prediction_type == "sample":
            return x0
        return self._at("signal", t, x0) * eps - self._at("noise", t, x0) * x0

    def loss(self, output: Tensor, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """L_simple: the mean squared error of each picture, [N], over its dimensions and unweighted over t.

        Reference: Ho et al. 2020, eq. 14.
        """
        error = output.to(x0.dtype) - self.target(x0, eps, t)
        return error.square().flatten(start_dim=1).mean(dim=1)

    def transition(self, t: int, s: int) -> Transition:
        """The posterior's coefficients for a jump from timestep t to s < t; s = -1 is the clean picture.

        Raises:
            ValueError: not -1 <= s < t < T.
        """
        if not -1 <= s < t < self.timesteps:
            raise ValueError(f"expected -1 <= s < t < {self.timesteps}, got t = {t}, s = {s}")
        log_abar = self.schedule.log_alphas_cumprod
        log_abar_s = float(log_abar[s]) if s >= 0 else 0.0
        # A ratio of two abars that both underflow is still exact as a difference of logarithms.
        log_alpha = float(log_abar[t]) - log_abar_s
        beta, noise, noise_s = -math.expm1(log_alpha), -math.expm1(log_abar[t]), -math.expm1(log_abar_s)
        return Transition(
            x0_scale=math.exp(0.5 * log_abar_s) * beta / noise,
            xt_scale=math.exp(0.5 * log_alpha) * noise_s / noise,
            beta=beta,
            beta_tilde=noise_s * beta / noise,
        )

    def signal_and_noise(self, t: int) -> tuple[float, float]:
        """sqrt(abar_t) and sqrt(1 - abar_t); t = -1 is the clean picture, (1, 0)."""
        if t < 0:
            return 1.0, 0.0
        return float(self._float64["signal"][t]), float(self._float64["noise"][t])

    def half_log_snr(self, t: int) -> float:
        """ln sqrt(abar_t / (1 - abar_t)), the lambda of Lu et al. 2022.

        It is -inf where nothing of the picture is left, and inf for the clean picture, t = -1.
        """
        return 0.5 * float(self.schedule.log_snr[t]) if t >= 0 else math.inf

    def _at(self, name: str, t: Tensor, like: Tensor) -> Tensor:
        """A coefficient at each picture's timestep, [N, 1, ...] with as many axes as `like`."""
        values = self._table(name, like.dtype, like.device).index_select(0, t)
        return values.view(-1, *(1,) * (like.ndim - 1))

    def _table(self, name: str, dtype: torch.dtype, device: torch.device) -> Tensor:
        key = (name, dtype, device)
        table = self._tables.get(key)
        if table is None:
            # Not in inference mode: a table first needed while sampling must serve training's backward later.
            with torch.inference_mode(False):
                table = torch.from_numpy(self._float64[name].copy()).to(dtype).to(device)
            self._tables[key] = table
        return table
