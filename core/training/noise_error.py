"""Noise-prediction error of a training by log SNR, from the losses of its own steps.

Each step leaves a record on the device: its loss, and the sums of its images in each bin. Records are fetched with the
losses, so no step waits for the device. A record is a sum, so the records of several processes add up.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.diffusion.gaussian import GaussianDiffusion
from core.statistics.noise_error_bins import BINS, NoiseErrorBins, bin_indices

SUMS: Final = 3 * BINS
"""Sums of a record: m, images and log SNR of each bin."""


class NoiseErrorRecorder:
    """Records of steps on a device.

    eps_hat is an affine function of the network's output at a timestep, for every prediction type. So m is the squared
    error of the output times a factor of the timestep: 1 for eps, abar for v, and the SNR for x0.

    Args:
        diffusion: the process, with its prediction type.
        device: device of the steps.
    """

    def __init__(self, diffusion: GaussianDiffusion, device: torch.device) -> None:
        log_snr = diffusion.schedule.log_snr
        count = len(log_snr)
        zero = torch.zeros(count, 1, 1, 1, dtype=torch.float64)
        t = torch.arange(count)
        slope = (diffusion.predict_eps(zero + 1, zero, t) - diffusion.predict_eps(zero, zero, t)).flatten()
        table = torch.zeros(count, 3, BINS, dtype=torch.float64)
        # At SNR 0 nothing is left of the image, and m says nothing about the network.
        known = torch.from_numpy(np.flatnonzero(np.isfinite(log_snr)))
        bins = torch.from_numpy(bin_indices(log_snr))[known]
        table[known, 0, bins] = slope[known].square()
        table[known, 1, bins] = 1.0
        table[known, 2, bins] = torch.from_numpy(log_snr.copy())[known]
        self._table = table.flatten(1).float().to(device)

    def record(self, loss: Tensor, losses: Tensor, t: Tensor, copies: int = 1) -> Tensor:
        """Return the record of a step, which stays on the device.

        Args:
            loss: this process's part of the batch's loss, [].
            losses: mean squared error of the output of each image of this process, [B].
            t: timesteps of these images, [B].
            copies: number of processes that compute the same images.

        Returns:
            float32 [1 + SUMS]: the loss, and the sums.
        """
        rows = self._table.index_select(0, t)
        rows[:, :BINS].mul_(losses.detach()[:, None])
        sums = rows.sum(0)
        if copies > 1:
            sums /= copies
        return torch.cat([loss.detach().reshape(1), sums])


class NoiseErrorSums:
    """Sums of the records of an epoch, in float64.

    Args:
        sums: those of an earlier `state`; others than `SUMS` numbers, as from an older version, count as none.
    """

    def __init__(self, sums: Sequence[float] = ()) -> None:
        known = len(sums) == SUMS
        self._sums = np.array(sums, dtype=np.float64) if known else np.zeros(SUMS)

    def add(self, sums: NDArray[np.float32]) -> None:
        """Add the sums of consecutive steps, [n, SUMS]; the order of summation is that of the steps."""
        for step in sums.astype(np.float64):
            self._sums += step

    def state(self) -> list[float]:
        """Return the numbers from which the sums can be restored."""
        state: list[float] = self._sums.tolist()
        return state

    def bins(self) -> NoiseErrorBins:
        """Return the means of the bins."""
        error, images, log_snr = self._sums.reshape(3, BINS).tolist()
        return NoiseErrorBins.from_sums(images, log_snr, error)
