"""Rules by name, and what all of them need: the curve of the noise prediction error and a Gaussian of the data."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from core.errors import UserError, did_you_mean
from core.statistics.gaussian_sampling import GaussianData
from core.statistics.noise_error import NoiseErrorCurve
from core.statistics.proposals.bound_optimum import bound_optimum
from core.statistics.proposals.constant_rate import constant_rate
from core.statistics.proposals.entropic_time import entropic_time, rescaled_entropic_time
from core.statistics.proposals.even_steps import Array, Ends
from core.statistics.proposals.gaussian_optimum import gaussian_optimum
from core.statistics.proposals.score_optimal import score_optimal
from core.statistics.proposals.shape_optimum import shape_optimum
from core.statistics.proposals.tangent_law import tangent_law


@dataclass(frozen=True, eq=False)
class RuleInputs:
    """Inputs of all rules.

    Attributes:
        curve: m, of a network or of the linear denoiser of the data.
        data: a Gaussian with the mean and covariance of the data.
        ends: the log SNRs between which levels are proposed.
    """

    curve: NoiseErrorCurve
    data: GaussianData
    ends: Ends


@dataclass(frozen=True)
class Rule:
    """A rule.

    Attributes:
        text: its principle, in a few words.
        levels: proposes levels from the inputs for K steps: [K + 1] log SNRs, rising, both ends included.
    """

    text: str
    levels: Callable[[RuleInputs, int], Array]


RULES: Final[dict[str, Rule]] = {
    "entropic": Rule("equal information per step", lambda x, k: entropic_time(x.curve, x.ends, k)),
    "rescaled": Rule(
        "equal information times sigma per step", lambda x, k: rescaled_entropic_time(x.curve, x.ends, k)
    ),
    "bound": Rule("lowest variational bound", lambda x, k: bound_optimum(x.curve, x.ends, k)),
    "shape": Rule("lowest bound where shapes are decided", lambda x, k: shape_optimum(x.curve, x.ends, k)),
    "tangent": Rule("equal arctan(sigma / c) per step", lambda x, k: tangent_law(x.data, x.ends, k)),
    "gaussian": Rule("least error on a Gaussian", lambda x, k: gaussian_optimum(x.data, x.ends, k)),
    "score": Rule("equal work of a corrector per step", lambda x, k: score_optimal(x.data, x.ends, k)),
    "constant-rate": Rule(
        "equal change of predicted x0 per step", lambda x, k: constant_rate(x.data, x.ends, k)
    ),
}
"""Rules by their names on the command line."""


def propose_levels(rule: str, inputs: RuleInputs, calls: int) -> Array:
    """Propose the log SNRs at which a sampler evaluates the network.

    Args:
        rule: a key of `RULES`.
        inputs: the inputs.
        calls: K.

    Returns:
        [K] log SNRs, rising from the noisy end. The last step leads from the last of them to the clean image.

    Raises:
        UserError: an unknown rule.
    """
    return _find(rule).levels(inputs, calls)[:-1]


def propose_betas(rule: str, inputs: RuleInputs, timesteps: int, *, zero_terminal_snr: bool = False) -> Array:
    """Propose a noise schedule for training, whose timesteps have the density of the rule's levels.

    Args:
        rule: a key of `RULES`.
        inputs: the inputs; timestep 0 has the log SNR of the clean end, and timestep T - 1 that of the noisy end.
        timesteps: T, at least 2.
        zero_terminal_snr: set the last beta to 1, so that the last timestep is pure noise.

    Returns:
        [T] betas, in (0, 1].

    Raises:
        UserError: an unknown rule, or fewer than 2 timesteps.
    """
    if timesteps < 2:
        raise UserError(f"expected at least 2 timesteps, the ends of the proposed schedule, got {timesteps}")
    log_snr = _find(rule).levels(inputs, timesteps - 1)[::-1]
    # abar = sigmoid(log SNR), so beta = 1 - abar_t / abar_{t - 1}, without loss of digits where abar is near 1.
    log_abar = -np.logaddexp(0.0, -log_snr)
    betas: Array = -np.expm1(np.diff(log_abar, prepend=0.0))
    if zero_terminal_snr:
        betas[-1] = 1.0
    return betas


def _find(rule: str) -> Rule:
    if rule not in RULES:
        hint = f"{did_you_mean(rule, RULES)} ".lstrip()
        raise UserError(f"unknown rule {rule!r}; {hint}(expected one of {', '.join(RULES)})")
    return RULES[rule]
