"""The thesis's network: a U-Net of strided convolutions with BatchNorm, 62.7 M parameters.

It follows the code printed in the thesis, not the thesis's figure, so that a run of the preset ``thesis`` repeats the
runs of the thesis. Letters: N images, C channels, H x W pixels, D sinusoids.
"""

import itertools
import math
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.diffusion.models.label_embedding import LabelEmbedding
from core.diffusion.models.padding import crop_padding, pad_to_multiple

THESIS_WIDTHS: Final = (64, 128, 256, 512, 1024)
TIME_SINUSOIDS: Final = 128
_FEW_PIXELS: Final = 4
"""Pixels of a map up to which a convolution of many channels is several times faster as a matrix product on a CPU."""


class SinusoidalEmbedding(nn.Module):
    """Embedding of timesteps as D/2 sines, then D/2 cosines, of frequencies exp(-k ln 10000 / (D/2 - 1)), k = 0..D/2-1.

    Args:
        dim: D, even and at least 4.
    """

    frequencies: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        half = dim // 2
        frequencies = torch.exp(torch.arange(half, dtype=torch.float64) * (-math.log(10000.0) / (half - 1)))
        self.register_buffer("frequencies", frequencies.float(), persistent=False)

    def forward(self, t: Tensor) -> Tensor:
        """Embed timesteps [N] as [N, D]."""
        angles = t[:, None].to(self.frequencies.dtype) * self.frequencies[None, :]
        return torch.cat((angles.sin(), angles.cos()), dim=1)


class Convolution(nn.Conv2d):
    """torch's convolution, with the same weights, computed on a CPU as a matrix product where the output map is tiny.

    There oneDNN's backward pass is slow: that of the network's coarsest convolution, 1024 to 1024 channels, takes a
    sixth of a whole step.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve [N, in, H, W] to [N, out, H', W']."""
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        pad = int(self.padding[0])
        height, width = ((side + 2 * pad - kernel) // stride + 1 for side in x.shape[-2:])
        if x.device.type != "cpu" or height * width > _FEW_PIXELS:
            return super().forward(x)
        padded = functional.pad(x, (pad,) * 4).permute(0, 2, 3, 1)
        windows = padded.unfold(1, kernel, stride).unfold(2, kernel, stride)  # [N, H', W', in, k, k]
        rows = windows.permute(0, 1, 2, 4, 5, 3).reshape(len(x) * height * width, -1)
        product = functional.linear(
            rows, self.weight.permute(0, 2, 3, 1).reshape(self.out_channels, -1), self.bias
        )
        return product.view(len(x), height, width, -1).permute(0, 3, 1, 2)


class BatchNorm(nn.BatchNorm2d):
    """torch's BatchNorm, which has no statistics of a single value a channel and then uses its running statistics.

    A batch of one image of 16x16 has a single value a channel at the coarsest level. Its variance would be zero.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalize [N, C, H, W] over all but the channels."""
        if self.training and x.numel() == x.shape[1]:
            return functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x)


class Block(nn.Module):
    """Two convolutions with the time embedding added between them, then a change of resolution by a factor of 2.

    Args:
        in_channels: channels of the input map (of an up block: including the skip connection).
        out_channels: channels of the output map.
        resample: the last layer, a plain or transposed 4x4 convolution of stride 2.
    """

    def __init__(self, in_channels: int, out_channels: int, resample: nn.Module) -> None:
        super().__init__()
        self.time = nn.Linear(TIME_SINUSOIDS, out_channels)
        self.conv1 = Convolution(in_channels, out_channels, 3, padding=1)
        self.norm1 = BatchNorm(out_channels)
        self.conv2 = Convolution(out_channels, out_channels, 3, padding=1)
        self.norm2 = BatchNorm(out_channels)
        self.resample = resample

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Map x [N, in, H, W] and time [N, D] to [N, out, H/2, W/2] (down) or [N, out, 2H, 2W] (up)."""
        h = self.norm1(functional.relu(self.conv1(x)))
        h = h + functional.relu(self.time(time))[:, :, None, None]
        h = self.norm2(functional.relu(self.conv2(h)))
        resampled: Tensor = self.resample(h)
        return resampled


class ThesisUNet(nn.Module):
    """The network of the thesis.

    With one channel and the default widths it has 62,713,025 parameters.

    Args:
        channels: C of the images, in and out.
        widths: channels of the maps from the finest to the coarsest resolution; one down and one up block lie
            between each two.
        classes: classes of the images; 0 builds no embedding of labels.
    """

    def __init__(self, channels: int = 1, widths: tuple[int, ...] = THESIS_WIDTHS, classes: int = 0) -> None:
        super().__init__()
        self.divisor = 2 ** (len(widths) - 1)
        """H and W are padded to multiples of this: 16 with the default widths."""
        pairs = list(itertools.pairwise(widths))
        self.embedding = SinusoidalEmbedding(TIME_SINUSOIDS)
        self.stem = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.downs = nn.ModuleList(
            Block(fine, coarse, Convolution(coarse, coarse, 4, stride=2, padding=1)) for fine, coarse in pairs
        )
        self.ups = nn.ModuleList(
            Block(2 * coarse, fine, nn.ConvTranspose2d(fine, fine, 4, stride=2, padding=1))
            for fine, coarse in reversed(pairs)
        )
        self.head = nn.Conv2d(widths[0], channels, 1)
        self.label_embedding = LabelEmbedding(classes, TIME_SINUSOIDS) if classes else None

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """Predict noise, image or v, whichever it was trained for, from noised images.

        Args:
            x: [N, C, H, W], of any size; see `core.diffusion.models.padding`.
            t: [N] int64 timesteps.
            labels: int64 [N], see `core.diffusion.models.label_embedding`; only of a network with classes.

        Returns:
            Like x.
        """
        time = self.embedding(t)
        if self.label_embedding is not None:
            time = self.label_embedding(time, labels)
        h = self.stem(pad_to_multiple(x, self.divisor))
        skips: list[Tensor] = []
        for down in self.downs:
            h = down(h, time)
            skips.append(h)
        # Skips are taken after downsampling, as in the thesis, so the first up block joins a map with itself.
        for up in self.ups:
            h = up(torch.cat((h, skips.pop()), dim=1), time)
        return crop_padding(self.head(h), *x.shape[-2:])


def doubling_widths(finest: int) -> tuple[int, ...]:
    """Compute the five widths of a thesis-like network from the channels of its finest level; 64 is the thesis's.

    >>> doubling_widths(64) == THESIS_WIDTHS
    True
    """
    return tuple(finest * 2**level for level in range(len(THESIS_WIDTHS)))
