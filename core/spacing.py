"""Spacing of the timesteps at which a sampler evaluates the network; torch-free, for figures and the dashboard."""

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError
from core.sampling_names import SPACINGS, Spacing

_RHO: Final = 7.0
"""The rho of Karras et al. 2022, eq. 5: the larger it is, the shorter are the steps near the clean image."""
_MIN_HALF_LOG_SNR: Final = -math.log(160.0)
"""Half the log SNR at which Karras et al. begin: a sigma of 80 for images with a standard deviation of 0.5."""
_MIN_DECAY: Final = 0.03
"""The -ln(abar) below which steps of ``decay`` do not become shorter: a log SNR of 3.5, where shapes are settled."""

MIN_LEVEL: Final = -1000.0
"""The log SNR that stands for pure noise in a list of levels."""

_COORDINATES: Final[dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]]] = {
    "logsnr": lambda half_log_snr: half_log_snr,
    "karras": lambda half_log_snr: -np.exp(-half_log_snr / _RHO),
    "cosine": lambda half_log_snr: np.arctan(np.exp(half_log_snr)) ** (2 / 3),
    # -ln(abar) is ln(1 + 1 / SNR). All timesteps next to pure noise have the same coordinate.
    "decay": lambda half_log_snr: (
        -np.log(_MIN_DECAY + np.logaddexp(0.0, -2.0 * np.maximum(half_log_snr, _MIN_HALF_LOG_SNR)))
    ),
}
"""The coordinate in which the steps of each spacing are even, as a function of half the log SNR."""


def inference_timesteps(
    timesteps: int,
    steps: int | None = None,
    start: int | None = None,
    *,
    spacing: Spacing = "uniform",
    log_snr: NDArray[np.float64] | None = None,
) -> list[int]:
    """Choose the timesteps at which a sampler evaluates the network, descending from `start`.

    Every spacing begins exactly at the timestep of the starting state. From T - 1, the default, that is where the
    network was trained with the least of the image left.

    - ``uniform``: equal numbers of timesteps, the "trailing" spacing of Lin et al. 2023, table 2.
    - ``logsnr``: equal steps of log SNR (Lu et al. 2022, section 3.4).
    - ``karras``: equal steps of sigma^(1/7), where sigma is the noise beside a signal of 1.
    - ``cosine``: equal steps of phi^(2/3), where phi = atan(sqrt(SNR)) is the angle that the cosine schedule divides
      evenly. Most steps are where shapes are decided, but the first steps are short too.
    - ``decay``: equal steps of ln(0.03 + D), where D = -ln(abar), the integral of beta, is the decay of the image.
      Each step of the noisy part undoes as large a share of D as the step before. So few steps lead from pure noise to
      where shapes are decided, and most steps are there.

    The last four fit any schedule. Where they map several steps to one timestep, the nearest free timesteps are taken.
    Where a schedule ends next to pure noise, the second timestep of ``logsnr`` and ``karras`` is the one where sigma is
    160, and ``decay`` treats all timesteps before that one as equal.

    >>> inference_timesteps(1000, 5)
    [999, 799, 599, 399, 199]
    >>> inference_timesteps(1000, 5, start=499)
    [499, 399, 299, 199, 99]

    Args:
        timesteps: T.
        steps: network evaluations; None evaluates at all timesteps.
        start: the first timestep; None is T - 1.
        spacing: one of `SPACINGS`.
        log_snr: [T], ln(abar / (1 - abar)), required by all but ``uniform``; -inf for pure noise.

    Returns:
        `steps` timesteps.

    Raises:
        UserError: not 0 <= start < T, not 1 <= steps <= start + 1, or an unknown spacing.
        ValueError: log_snr is missing.
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
        # The same expression as in diffusers, so that halves round alike. Rounding can make it one too long.
        spaced = np.round(np.arange(timesteps, 0, -timesteps / steps))[:steps]
        return [int(t) - 1 for t in spaced]
    if log_snr is None:
        raise ValueError(f"spacing {spacing} needs log_snr")
    return _evenly(0.5 * np.asarray(log_snr[:timesteps], np.float64), steps, spacing)


def nearest_timesteps(
    log_snr: NDArray[np.float64], levels: Sequence[float], start: int | None = None
) -> list[int]:
    """Map levels of noise to the nearest timesteps of a schedule, descending.

    Levels beyond either end of the schedule are mapped to that end. A timestep to which several levels are mapped is
    returned once.

    >>> nearest_timesteps(np.array([6.0, 3.0, 0.0, -3.0]), (2.4, 2.6, -2.0, -9.0))
    [3, 1]

    Args:
        log_snr: [T], ln(abar / (1 - abar)), falling; -inf for pure noise.
        levels: log SNRs in any order, at least one.
        start: the first timestep, after which only later levels are mapped; None begins at the noisiest level.

    Raises:
        UserError: not 0 <= start < T.
    """
    if start is not None and not 0 <= start < len(log_snr):
        raise UserError(f"expected a timestep from 0 to {len(log_snr) - 1} to start at, got {start}")
    rising = np.maximum(np.asarray(log_snr, np.float64)[::-1], MIN_LEVEL)
    wanted = np.asarray(levels, np.float64)
    above = np.clip(np.searchsorted(rising, wanted), 1, max(len(rising) - 1, 1))
    below_is_nearer = wanted - rising[above - 1] <= rising[np.minimum(above, len(rising) - 1)] - wanted
    nearest = len(rising) - 1 - np.where(below_is_nearer, above - 1, np.minimum(above, len(rising) - 1))
    found = sorted(set(nearest.tolist()), reverse=True)
    return found if start is None else [start, *(t for t in found if t < start)]


def _evenly(half_log_snr: NDArray[np.float64], steps: int, spacing: Spacing) -> list[int]:
    """Choose `steps` timesteps from the last of `half_log_snr` [T] down, evenly spaced in the spacing's coordinate."""
    last = len(half_log_snr) - 1
    first, head, count = last, [], steps
    if spacing in ("logsnr", "karras") and half_log_snr[last] < _MIN_HALF_LOG_SNR:
        # Next to pure noise, even steps would all be spent where nothing of the image is left. One step leaves there.
        head, count = [last], steps - 1
        first = max(int(np.searchsorted(-half_log_snr, -_MIN_HALF_LOG_SNR, side="right")) - 1, count - 1)
    if count == 0:
        return head
    rising = half_log_snr[first::-1]
    coordinate = _COORDINATES[spacing](rising)
    # The last step ends at timestep 0, in place of the clean image, so one more timestep is spaced than evaluated.
    targets = np.linspace(coordinate[0], coordinate[-1], count + 1)[:count]
    nearest = np.round(np.interp(targets, coordinate, np.arange(first, -1, -1))).astype(int).tolist()
    nearest[0] = first  # because other timesteps may have the same coordinate
    chosen: list[int] = []
    for index, t in enumerate(nearest):
        highest = chosen[-1] - 1 if chosen else first
        chosen.append(max(min(t, highest), count - 1 - index))
    return head + chosen
