"""Which timesteps a sampler visits; without torch, so that figures and the dashboard can name them too."""

import math
from collections.abc import Callable
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError

Spacing = Literal["uniform", "logsnr", "karras", "cosine", "decay"]
SPACINGS: Final[tuple[str, ...]] = get_args(Spacing)
_RHO: Final = 7.0
"""How much Karras et al. 2022 shorten the steps near the picture, eq. 5."""
_LEAST: Final = -math.log(160.0)
"""Half the log SNR where they begin: sigma of 80 for pictures with a deviation of 0.5."""
_DECAYED: Final = 0.03
"""The -ln(abar) below which steps of ``decay`` do not become shorter: a log SNR of 3.5, where shapes are settled."""


_PLACES: Final[dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]]] = {
    "logsnr": lambda half_log_snr: half_log_snr,
    "karras": lambda half_log_snr: -np.exp(-half_log_snr / _RHO),
    "cosine": lambda half_log_snr: np.arctan(np.exp(half_log_snr)) ** (2 / 3),
    # -ln(abar) is ln(1 + 1 / SNR); next to pure noise all count as one place.
    "decay": lambda half_log_snr: (
        -np.log(_DECAYED + np.logaddexp(0.0, -2.0 * np.maximum(half_log_snr, _LEAST)))
    ),
}
"""What steps are even in, of half the log SNR."""


def inference_timesteps(
    timesteps: int,
    steps: int | None = None,
    start: int | None = None,
    *,
    spacing: Spacing = "uniform",
    log_snr: NDArray[np.float64] | None = None,
) -> list[int]:
    """The timesteps visited, downwards from `start`; `steps` None visits all.

    All begin at the very timestep of the starting state; from T - 1, which is where it begins unless told otherwise,
    that is where training has seen the least of the picture. ``uniform`` takes equal numbers of timesteps, the
    "trailing" spacing of Lin et al. 2023, table 2. ``logsnr`` takes equal steps of log SNR (Lu et al. 2022, section
    3.4), and ``karras`` equal steps of sigma^(1/7), sigma being the noise beside a signal of 1. ``cosine`` takes equal
    steps of phi^(2/3), where phi = atan(sqrt(SNR)) is the angle that the cosine schedule divides evenly: most steps
    are where shapes are decided, and yet the first are short. ``decay`` takes equal steps of ln(0.03 + D), where
    D = -ln(abar) is how far the picture has decayed, the integral of beta: each step of the noisy part undoes as large
    a share of it as the one before, so that few steps get from pure noise to where shapes are decided, and most are
    there. These four fit any schedule. Where more steps are asked for than they have different timesteps, the nearest
    free ones are taken. Where a schedule ends next to pure noise, the second timestep of ``logsnr`` and ``karras`` is
    the one where sigma is 160, and of ``decay`` all before that one counts as one place.

    >>> inference_timesteps(1000, 5)
    [999, 799, 599, 399, 199]
    >>> inference_timesteps(1000, 5, start=499)
    [499, 399, 299, 199, 99]

    Args:
        timesteps: T.
        steps: network calls.
        start: the first of them; None is T - 1.
        spacing: one of `SPACINGS`.
        log_snr: [T], ln(abar / (1 - abar)), which only ``uniform`` can do without; -inf for pure noise.

    Raises:
        UserError: not 0 <= start < T, not 1 <= steps <= start + 1, or no such spacing.
    """
    if start is not None:
        if not 0 <= start < timesteps:
            raise UserError(f"expected a timestep from 0 to {timesteps - 1} to start at, got {start}")
        timesteps = start + 1
    if steps is None:
        steps = timesteps
    if not 1 <= steps <= timesteps:
        reason = "the schedule's timesteps" if start is None else "the timesteps from the start down"
        raise UserError(f"expected from 1 to {timesteps} sampling steps ({reason}), got {steps}")
    if spacing not in SPACINGS:
        raise UserError(f"unknown spacing {spacing!r}; expected one of {', '.join(SPACINGS)}")
    if spacing == "uniform":
        # The very expression of diffusers, so that halves round alike; rounding can make it one too long.
        spaced = np.round(np.arange(timesteps, 0, -timesteps / steps))[:steps]
        return [int(t) - 1 for t in spaced]
    if log_snr is None:
        raise ValueError(f"spacing {spacing} needs log_snr")
    return _evenly(0.5 * np.asarray(log_snr[:timesteps], np.float64), steps, spacing)


def _evenly(half_log_snr: NDArray[np.float64], steps: int, spacing: Spacing) -> list[int]:
    """`steps` timesteps from the last of `half_log_snr` [T] down, evenly spaced in a function of it."""
    last = len(half_log_snr) - 1
    first, head, count = last, [], steps
    if spacing in ("logsnr", "karras") and half_log_snr[last] < _LEAST:
        # Next to pure noise, even steps would all be spent where there is nothing to see: one leads out of there.
        head, count = [last], steps - 1
        first = max(int(np.searchsorted(-half_log_snr, -_LEAST, side="right")) - 1, count - 1)
    if count == 0:
        return head
    rising = half_log_snr[first::-1]
    place = _PLACES[spacing](rising)
    # The end of the last step is the picture, so one more than is visited is spaced.
    targets = np.linspace(place[0], place[-1], count + 1)[:count]
    wanted = np.round(np.interp(targets, place, np.arange(first, -1, -1))).astype(int).tolist()
    wanted[0] = first  # where several have its place too
    visited: list[int] = []
    for index, t in enumerate(wanted):
        highest = visited[-1] - 1 if visited else first
        visited.append(max(min(t, highest), count - 1 - index))
    return head + visited
