"""Training images where the training loop reads them: copied to the device, or mapped if they are many on a CPU."""

import warnings
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.files.mapped import release_pages

MAX_COPIED: Final = 1 << 28
"""Bytes of the largest set that is copied into the memory of a CPU."""
_RELEASED_AT: Final = 1 << 28
_PAGE: Final = 4096


class DeviceImages:
    """Training images, uint8 [N, C, H, W], read batch by batch.

    Args:
        images: the images, mapped from their file.
        device: device of the batches.

    Attributes:
        tensor: all images on the device; on a CPU a view of the file if they are many, which must not be written.
    """

    def __init__(self, images: NDArray[np.uint8], device: torch.device) -> None:
        self._mapped = images if device.type == "cpu" and images.nbytes > MAX_COPIED else None
        self._touched = 0
        if self._mapped is None:
            self.tensor = torch.from_numpy(np.array(images)).to(device)
        else:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*not writable")
                self.tensor = torch.from_numpy(images)

    def batch(self, indices: Tensor) -> Tensor:
        """Return the images with these indices, uint8 [B, C, H, W]."""
        batch = self.tensor[indices]
        if self._mapped is not None:
            # Each image touches whole pages, and pages that were touched count as memory of the process.
            self._touched += len(batch) * (batch[0].numel() + _PAGE)
            if self._touched > _RELEASED_AT:
                release_pages(self._mapped)
                self._touched = 0
        return batch
