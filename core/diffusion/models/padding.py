"""Padding of images to sides that a network can halve, and the crop that undoes it.

A network pads its own input and crops its own output. So images, noise, loss and samples keep the size of the data set,
and the loss has no pixel of the padding.
"""

import torch.nn.functional as F
from torch import Tensor


def pad_to_multiple(x: Tensor, divisor: int) -> Tensor:
    """Pad images with zeros, alike on both sides or by one more at the bottom and right.

    Zeros are what the networks' own convolutions see beyond an edge.

    Args:
        x: [N, C, H, W].
        divisor: number of which both sides shall be multiples.

    Returns:
        [N, C, H', W'] with the next multiples; x itself if its sides are multiples already.
    """
    rows, columns = (-side % divisor for side in x.shape[-2:])
    if rows == columns == 0:
        return x
    top, left = rows // 2, columns // 2
    return F.pad(x, (left, columns - left, top, rows - top))


def crop_padding(x: Tensor, height: int, width: int) -> Tensor:
    """Cut out of padded images [N, C, H', W'] what was not padded, [N, C, height, width]."""
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width]
