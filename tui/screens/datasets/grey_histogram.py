"""Histograms of grey values, as numbers and as bars, for real images beside samples."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.cells import set_cell_size
from textual.content import Content

from tui.state.formatting import shorten

Pixels = NDArray[np.uint8]

GREY_BINS: Final = ((0, 0), (1, 12), *((low, low + 22) for low in range(13, 243, 23)), (243, 254), (255, 255))
"""First and last grey value of each bin: black, nearly black, ten bins between 5% and 95%, nearly white, white."""
LABEL_WIDTH: Final = 22
NUMBER_WIDTH: Final = 7
MIN_BAR_WIDTH: Final = 4
MIN_SHARE: Final = 1e-4
"""The share at which the logarithmic scale begins."""
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_BIN_NAMES: Final = {
    (0, 0): "black",
    (1, 12): "nearly black",
    (243, 254): "nearly white",
    (255, 255): "white",
}


@dataclass(frozen=True, slots=True, eq=False)
class GreyShares:
    """Shares of pixels, each 0 to 1.

    Attributes:
        shares: the share of each of `GREY_BINS`.
        images: the number of images that were counted.
    """

    shares: tuple[float, ...]
    images: int

    @property
    def not_black_or_white(self) -> float:
        """The share of pixels that are neither black nor white."""
        return sum(self.shares[1:-1])

    @property
    def mid_grey(self) -> float:
        """The share of pixels that are neither nearly black nor nearly white."""
        return sum(self.shares[2:-2])


def grey_shares(images: Pixels) -> GreyShares:
    """Count grey values; a coloured pixel counts by its lightest channel, as in the evaluation of samples.

    Args:
        images: uint8 [N, H, W] or [N, H, W, 3].
    """
    values = images if images.ndim == 3 else images.max(axis=3)
    counts = np.bincount(values.ravel(), minlength=256)
    total = max(1, int(counts.sum()))
    return GreyShares(
        tuple(int(counts[low : high + 1].sum()) / total for low, high in GREY_BINS), len(images)
    )


def grey_share_per_image(images: Pixels) -> list[float]:
    """For each image the share of pixels that are neither black nor white, 0 to 1."""
    values = images if images.ndim == 3 else images.max(axis=3)
    share: list[float] = ((values > 0) & (values < 255)).mean(axis=(1, 2)).tolist()
    return share


def grey_bars(columns: Sequence[tuple[str, str, GreyShares]], width: int) -> Content:
    """A table with a line for each bin and a bar for each column, followed by a summary.

    Bars are logarithmic, because most pixels are black or white but the rare greys matter here.

    Args:
        columns: title, colour and shares of each column, at least one.
        width: the width in cells.
    """
    each = max(1, (width - LABEL_WIDTH) // len(columns))
    bar_width = max(MIN_BAR_WIDTH, each - NUMBER_WIDTH - 2)
    heads = [
        Content.styled(set_cell_size(shorten(title, each - 1), each), f"bold {color}")
        for title, color, _ in columns
    ]
    lines = [Content.assemble(" " * LABEL_WIDTH, *heads)]
    for index, (low, high) in enumerate(GREY_BINS):
        label = _BIN_NAMES.get((low, high), "grey")
        values = f"{low}" if low == high else f"{low}-{high}"
        parts: list[str | Content] = [
            Content.styled(f" {values:>7} ", "$text-muted"),
            f"{label:{LABEL_WIDTH - 9}}",
        ]
        for _, color, greys in columns:
            share = greys.shares[index]
            text = bar(log_length(share), bar_width)
            parts += [
                f"{percent(share):>{NUMBER_WIDTH - 1}} ",
                Content.styled(f"{text:{bar_width + 1}} ", color),
            ]
        lines.append(Content.assemble(*parts))
    scale = Content.styled(f" bars are logarithmic, from {percent(MIN_SHARE)} to 100%", "$text-muted")
    lines += [*summary(columns, width), scale]
    return Content("\n").join([line.rstrip().truncate(width, ellipsis=True) for line in lines])


def summary(columns: Sequence[tuple[str, str, GreyShares]], width: int) -> list[Content]:
    """A summary line for each column."""
    return [
        Content.assemble(
            (f" {title}: ", f"bold {color}"),
            (percent(greys.not_black_or_white), "bold"),
            f" neither black nor white, {percent(greys.mid_grey)} grey",
            (f" · {greys.images:,} images", "$text-muted"),
        ).truncate(width, ellipsis=True)
        for title, color, greys in columns
    ]


def log_length(share: float) -> float:
    """The length of the bar for a share of pixels, 0 to 1, on a logarithmic scale.

    >>> log_length(1.0), log_length(0.01), log_length(MIN_SHARE / 2)
    (1.0, 0.5, 0.0)
    """
    return max(0.0, 1.0 + math.log10(share) / -math.log10(MIN_SHARE)) if share > 0 else 0.0


def bar(length: float, width: int) -> str:
    """A bar of up to `width` cells, to an eighth of a cell; any length above 0 shows at least an eighth.

    >>> bar(1.0, 3), bar(0.5, 3), bar(1e-9, 3), bar(0.0, 3)
    ('███', '█▌', '▏', '')
    """
    eighths = round(min(max(0.0, length), 1.0) * width * 8)
    eighths = max(eighths, 1 if length > 0 else 0)
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")


def percent(share: float) -> str:
    """A share of pixels in at most six characters.

    >>> percent(0.12345), percent(0.00012), percent(0.0), percent(1.0)
    ('12.3%', '0.012%', '0%', '100%')
    """
    if share in (0.0, 1.0):
        return f"{share:.0%}"
    if share < 0.001:
        return f"{share:.3%}" if share >= 5e-6 else "<.001%"
    return f"{share:.2%}" if share < 0.1 else f"{share:.1%}"
