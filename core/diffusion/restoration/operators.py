"""Degradations of images as operators A: what each leaves of an image, and its regularised inverse.

An observation is y = A x0 + sigma_y n with standard normal n. Images are [N, C, H, W] in [-1, 1], so a noise level in
[0, 1] is half of one here.

For a linear A, `Operator.inverse` is A^T (A A^T + ratio I)^-1: the pseudo-inverse for a ratio of 0, and for sigma_y^2
over the variance of x0 the gain of a Wiener filter.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from core.errors import UserError

_BLOCK: Final = 8
_TRUNCATE: Final = 4.0
"""Standard deviations after which a Gaussian kernel ends."""
_LUMINANCE: Final = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMINANCE: Final = (
    *(17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99),
    *(24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99),
    *([99] * 32),
)


class Operator(Protocol):
    """A degradation A.

    Attributes:
        linear: True if `forward` is linear.
    """

    @property
    def linear(self) -> bool: ...

    def forward(self, x: Tensor) -> Tensor:
        """Degrade images [N, C, H, W]: A x."""

    def inverse(self, y: Tensor, ratio: float = 0.0) -> Tensor:
        """Return to images [N, C, H, W]: A^T (A A^T + ratio I)^-1 y."""


@dataclass(frozen=True, eq=False)
class Identity:
    """Nothing but noise: A = I."""

    linear = True

    def forward(self, x: Tensor) -> Tensor:
        """Return the images themselves."""
        return x

    def inverse(self, y: Tensor, ratio: float = 0.0) -> Tensor:
        """Return y / (1 + ratio)."""
        return y / (1.0 + ratio)


@dataclass(frozen=True, eq=False)
class Mask:
    """Missing pixels, which are 0 in y.

    Args:
        known: [1, 1, H, W] or [N, 1, H, W], 1 where a pixel is known and 0 where it is missing.
    """

    known: Tensor
    linear = True

    def forward(self, x: Tensor) -> Tensor:
        """Set the missing pixels to 0."""
        return self.known * x

    def inverse(self, y: Tensor, ratio: float = 0.0) -> Tensor:
        """Return y / (1 + ratio), with the missing pixels at 0."""
        return self.known * y / (1.0 + ratio)


@dataclass(frozen=True, eq=False)
class AveragePool:
    """Means of squares of pixels: A A^T = I / factor^2.

    Args:
        factor: side of the squares in pixels; it divides the sides of the images.
    """

    factor: int
    linear = True

    def forward(self, x: Tensor) -> Tensor:
        """Average: [N, C, H / factor, W / factor].

        Raises:
            UserError: the factor does not divide the sides.
        """
        if x.shape[-1] % self.factor or x.shape[-2] % self.factor:
            raise UserError(
                f"expected a factor that divides images of {x.shape[-1]}x{x.shape[-2]}, got {self.factor}"
            )
        return functional.avg_pool2d(x, self.factor)

    def inverse(self, y: Tensor, ratio: float = 0.0) -> Tensor:
        """Repeat each pixel, divided by 1 + factor^2 ratio."""
        rows = y.repeat_interleave(self.factor, dim=-2)
        return rows.repeat_interleave(self.factor, dim=-1) / (1.0 + self.factor**2 * ratio)


class GaussianBlur:
    """Gaussian blur along rows and columns, with images reflected at their edges: d c b a | a b c d | d c b a.

    The matrix of an axis is symmetric, so its eigenvectors make the regularised inverse exact.

    Args:
        sigma: standard deviation in pixels.
        size: side of the images, in pixels.

    Raises:
        UserError: sigma is not above 0, or is above the side.
    """

    linear = True

    def __init__(self, sigma: float, size: int) -> None:
        if not 0.0 < sigma <= size:
            raise UserError(f"expected a blur of more than 0 pixels and at most {size}, got {sigma:g}")
        self.sigma = sigma
        values, vectors = np.linalg.eigh(blur_matrix(sigma, size))
        self._vectors = torch.from_numpy(vectors.astype(np.float32))
        self._values = torch.from_numpy(np.outer(values, values).astype(np.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Blur; like x."""
        return self._scale(x, self._values)

    def inverse(self, y: Tensor, ratio: float = 0.0) -> Tensor:
        """Sharpen; like y. With a ratio of 0, eigenvalues below 1e-4 of the largest count as 0."""
        values = self._values
        if ratio > 0.0:
            return self._scale(y, values / (values.square() + ratio))
        return self._scale(y, torch.where(values.abs() > 1e-4, 1.0 / values, 0.0))

    def _scale(self, x: Tensor, values: Tensor) -> Tensor:
        V = self._vectors.to(x)
        return V @ (values.to(x) * (V.T @ x @ V)) @ V.T


def blur_matrix(sigma: float, size: int) -> NDArray[np.float64]:
    """Return the matrix [size, size] of a Gaussian blur along an axis that is reflected at its ends."""
    radius = max(1, int(_TRUNCATE * sigma + 0.5))
    offsets = np.arange(-radius, radius + 1)
    with np.errstate(over="ignore"):  # of a sigma next to 0, which blurs nothing
        kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    kernel /= kernel.sum()
    matrix = np.zeros((size, size))
    for row in range(size):
        index = (row + offsets) % (2 * size)
        np.add.at(matrix[row], np.where(index < size, index, 2 * size - 1 - index), kernel)
    return (matrix + matrix.T) / 2.0  # symmetric but for rounding


class Jpeg:
    """JPEG: cosine coefficients of 8x8 blocks, rounded to multiples of a table, without subsampling of colour.

    It is not linear. As in Kawar et al. 2022, "JPEG Artifact Correction using Denoising Diffusion Restoration Models",
    `forward` is coding and decoding, which repeated changes nothing, and it is inverted by the identity. Its gradient
    is that of the identity, because rounding has none.

    Args:
        quality: 1 to 100, as for libjpeg.

    Raises:
        UserError: another quality.
    """

    linear = False

    def __init__(self, quality: int) -> None:
        if not 1 <= quality <= 100:
            raise UserError(f"expected a JPEG quality from 1 to 100, got {quality}")
        self.quality = quality

    def forward(self, x: Tensor) -> Tensor:
        """Code and decode; like x."""
        height, width = x.shape[-2:]
        levels = (x.detach() + 1.0) * 127.5 - 128.0
        padded = functional.pad(levels, (0, -width % _BLOCK, 0, -height % _BLOCK), mode="replicate")
        colour = padded.shape[1] == 3
        planes = torch.einsum("ij,njhw->nihw", _YCC.to(x), padded + 128.0) if colour else padded
        planes = planes - torch.tensor([128.0, 0.0, 0.0]).to(x).view(1, 3, 1, 1) if colour else planes
        D = _dct_matrix().to(x)
        blocks = planes.unfold(2, _BLOCK, _BLOCK).unfold(3, _BLOCK, _BLOCK)  # [N, C, rows, columns, 8, 8]
        table = self.tables.to(x)[: planes.shape[1], None, None]
        rounded = torch.round(D @ blocks @ D.T / table) * table
        decoded = (D.T @ rounded @ D).permute(0, 1, 2, 4, 3, 5).reshape(planes.shape)
        if colour:
            decoded = decoded + torch.tensor([128.0, 0.0, 0.0]).to(x).view(1, 3, 1, 1)
            decoded = torch.einsum("ij,njhw->nihw", torch.linalg.inv(_YCC).to(x), decoded) - 128.0
        found = ((decoded + 128.0) / 127.5 - 1.0)[..., :height, :width]
        return x + (found - x.detach()) if x.requires_grad else found

    def inverse(self, y: Tensor, ratio: float = 0.0) -> Tensor:
        """Return y / (1 + ratio)."""
        return y / (1.0 + ratio)

    @cached_property
    def tables(self) -> Tensor:
        """Steps of the coefficients of luminance and of the two colours, [3, 8, 8]: ISO/IEC 10918-1, annex K."""
        scale = 5000 // self.quality if self.quality < 50 else 200 - 2 * self.quality
        base = np.array([_LUMINANCE, _CHROMINANCE, _CHROMINANCE]).reshape(3, _BLOCK, _BLOCK)
        return torch.from_numpy(np.clip((base * scale + 50) // 100, 1, 255).astype(np.float32))


_YCC: Final = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
"""RGB to luminance and colour differences around 0: JFIF 1.02."""


def _dct_matrix() -> Tensor:
    """Return the orthonormal matrix of the discrete cosine transform of 8 values."""
    k, n = np.mgrid[:_BLOCK, :_BLOCK]
    matrix = np.sqrt(2.0 / _BLOCK) * np.cos(np.pi * (2 * n + 1) * k / (2 * _BLOCK))
    matrix[0] /= np.sqrt(2.0)
    return torch.from_numpy(matrix.astype(np.float32))
