"""Checks and conversion of images to the input of a trained network."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import UserError
from core.training.checkpoint import LoadedModel

Images = NDArray[Any]
"""[N, C, H, W], uint8 or float in [0, 1]."""


def to_x0(loaded: LoadedModel, images: Images) -> Tensor:
    """Scale images of 256 levels to [-1, 1]: float32 [N, C, H, W], on the network's device.

    Args:
        loaded: the network.
        images: uint8, or float in [0, 1], which is rounded to the nearest of 256 levels.

    Raises:
        UserError: no images, another shape than the network was trained on, or numbers outside [0, 1].
    """
    if images.ndim != 4 or images.shape[1:] != loaded.shape or not len(images):
        expected = ", ".join(str(side) for side in loaded.shape)
        actual = ", ".join(str(side) for side in images.shape)
        raise UserError(
            f"expected images of the shape that the run was trained on, [N, {expected}], got [{actual}]"
        )
    if images.dtype != np.uint8:
        if not np.issubdtype(images.dtype, np.floating) or not ((images >= 0) & (images <= 1)).all():
            raise UserError(f"expected images of uint8, or of numbers from 0 to 1, got {_range(images)}")
        images = np.rint(images * 255.0)
    x0 = torch.from_numpy(images.astype(np.float32) / 127.5 - 1.0)
    return x0.to(loaded.device)


def _range(images: Images) -> str:
    if not np.issubdtype(images.dtype, np.number):
        return str(images.dtype)
    if np.isnan(images).any():
        return f"{images.dtype} with NaN"
    return f"{images.dtype} from {images.min():g} to {images.max():g}"
