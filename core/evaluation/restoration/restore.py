"""Restoration of degraded images by a run: several answers for each image, by one of several methods."""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
from torch import Tensor

from core.diffusion.models.centred import starting_state
from core.diffusion.restoration.ddnm import restore_ddnm
from core.diffusion.restoration.operators import Identity, Mask, Operator
from core.diffusion.restoration.pigdm import restore_pigdm
from core.diffusion.restoration.repaint import RESAMPLINGS, restore_repaint
from core.diffusion.samplers.base import SamplerOptions, SamplerState
from core.diffusion.samplers.ddim import sample_ddim
from core.errors import UserError
from core.sampling_names import RestorationMethod
from core.training.checkpoint import LoadedModel

ROUNDING: Final = 2.0 / 255.0 / math.sqrt(12.0)
"""Standard deviation of rounding to 256 levels, for images in [-1, 1]; no saved image has less noise."""
DEFAULT_CALLS: Final = 100
_ETA: Final = 1.0


def default_method(operator: Operator, sigma_y: float = 0.0) -> RestorationMethod:
    """Return the method with the best PSNR on held-out triangles, see docs/restoration.md.

    Args:
        operator: the degradation.
        sigma_y: standard deviation of the noise of y; beside a mask it needs `pigdm`.
    """
    if isinstance(operator, Identity):
        return "denoise"
    return "repaint" if isinstance(operator, Mask) and sigma_y <= ROUNDING else "pigdm"


def check_method(method: RestorationMethod, operator: Operator, sigma_y: float) -> None:
    """Refuse a method for degradations that it does not invert.

    Raises:
        UserError: RePaint without missing pixels, or RePaint or DDNM with noise.
    """
    if method == "repaint" and not isinstance(operator, Mask):
        raise UserError("method repaint fills in missing pixels only; expected ddnm or pigdm")
    if method == "denoise" and not isinstance(operator, Identity):
        raise UserError("method denoise removes noise only; expected pigdm, or repaint or ddnm without noise")
    if method in ("repaint", "ddnm") and sigma_y > ROUNDING:
        raise UserError(f"method {method} takes the image for free of noise; expected pigdm")


def restore(
    loaded: LoadedModel,
    y: Tensor,
    operator: Operator,
    *,
    method: RestorationMethod | None = None,
    sigma_y: float = 0.0,
    calls: int = DEFAULT_CALLS,
    generator: torch.Generator,
) -> Iterator[SamplerState]:
    """Yield the states from noise to restored images; the last one's `xt` are the answers.

    Args:
        loaded: the run, as of a checkpoint.
        y: the degraded images, around [-1, 1], on the network's device; an image for each answer.
        operator: the degradation.
        method: None takes `default_method`.
        sigma_y: standard deviation of the noise of y.
        calls: network calls, at least 1; fewer where the schedule has fewer timesteps.
        generator: draws all noise.

    Raises:
        UserError: see `check_method`.
    """
    method = method or default_method(operator, sigma_y)
    check_method(method, operator, sigma_y)
    model, diffusion = loaded.model, loaded.diffusion
    clip = loaded.config.sample.clip
    if method == "denoise":
        t = matching_timestep(loaded, sigma_y)
        alpha_t, _ = diffusion.alpha_sigma(t)
        options = SamplerOptions(steps=min(calls, t + 1), start=t, eta=_ETA, clip=clip)
        yield from sample_ddim(model, diffusion, alpha_t * y, options, generator=generator)
        return
    shape = (len(y), *loaded.shape)
    noise = torch.randn(shape, generator=generator, device=generator.device).to(loaded.device)
    noise = starting_state(model, noise, diffusion.timesteps - 1)
    options = SamplerOptions(steps=min(calls, diffusion.timesteps), eta=_ETA, clip=clip)
    if method == "repaint" and isinstance(operator, Mask):
        options = SamplerOptions(steps=_repaint_steps(calls, diffusion.timesteps), clip=clip)
        yield from restore_repaint(model, diffusion, noise, y, operator, options, generator=generator)
    elif method == "ddnm":
        yield from restore_ddnm(model, diffusion, noise, y, operator, options, generator=generator)
    else:
        yield from restore_pigdm(
            model,
            diffusion,
            noise,
            y,
            operator,
            options,
            sigma_y=max(sigma_y, ROUNDING),
            generator=generator,
        )


def network_calls(loaded: LoadedModel, method: RestorationMethod, calls: int, sigma_y: float) -> int:
    """Count the network calls of an answer, of at most `calls` that were asked for."""
    timesteps = loaded.diffusion.timesteps
    if method == "denoise":
        return min(calls, matching_timestep(loaded, sigma_y) + 1)
    if method == "repaint":
        return (_repaint_steps(calls, timesteps) - 1) * RESAMPLINGS + 1
    return min(calls, timesteps)


def _repaint_steps(calls: int, timesteps: int) -> int:
    """Count the timesteps that RePaint visits: all but the last take `RESAMPLINGS` calls."""
    return min(max(1, (calls - 1) // RESAMPLINGS + 1), timesteps)


def to_device(operator: Operator, device: torch.device) -> Operator:
    """Move an operator's tensors; those of most operators follow the images."""
    return Mask(operator.known.to(device)) if isinstance(operator, Mask) else operator


def matching_timestep(loaded: LoadedModel, sigma_y: float) -> int:
    """Return the timestep whose noise sigma_t / alpha_t is nearest, in log SNR, to that of y in [-1, 1]."""
    log_snr = loaded.diffusion.schedule.log_snr
    return int(np.abs(log_snr + 2.0 * math.log(max(sigma_y, ROUNDING))).argmin())
