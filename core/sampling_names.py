"""Names of samplers, timestep spacings, x0 thresholdings and starts, spelled as in the configuration.

Imports neither torch nor numpy, so that the configuration, the command line and the dashboard start quickly.
"""

from typing import Final, Literal, get_args

SamplerName = Literal["ddpm", "ddim", "dpm++", "unipc", "churn"]
SAMPLER_NAMES: Final[tuple[SamplerName, ...]] = get_args(SamplerName)
SAMPLERS_WITH_ETA: Final[tuple[SamplerName, ...]] = ("ddim", "dpm++", "churn")
"""Samplers that take `eta`. The variance of ``ddpm`` is that of the process, and ``unipc`` adds no noise."""

Spacing = Literal["uniform", "logsnr", "karras", "cosine", "decay"]
"""Spacings of the timesteps at which a sampler evaluates the network; see `core.spacing`."""
SPACINGS: Final[tuple[Spacing, ...]] = get_args(Spacing)

Clip = Literal["none", "static", "dynamic"]
"""Treatment of predicted x0 outside [-1, 1]; see `core.diffusion.samplers.thresholding`."""
CLIPS: Final[tuple[Clip, ...]] = get_args(Clip)

StartName = Literal["noise", "mean", "gaussian", "images"]
"""Distributions of the state from which sampling starts; see `core.evaluation.starts`."""
START_NAMES: Final[tuple[StartName, ...]] = get_args(StartName)

RestorationMethod = Literal["repaint", "ddnm", "pigdm", "denoise"]
"""Methods of restoring a degraded image; see `core.evaluation.restoration.restore`."""
RESTORATION_METHODS: Final[tuple[RestorationMethod, ...]] = get_args(RestorationMethod)
