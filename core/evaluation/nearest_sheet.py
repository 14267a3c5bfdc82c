"""A sheet of the samples that are most like copies, each above its nearest training image."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.evaluation.metrics.novelty import CopyTest
from core.imaging import to_channels_last, write_sheet

PAIRS: Final = 16
COLUMNS: Final = 8


def write_nearest_sheet(
    path: Path, samples: NDArray[np.floating], test: CopyTest, train: NDArray[Any], *, epoch: int
) -> None:
    """Write rows of samples, lowest `CopyTest.ratio` first, each over a row of their nearest training images.

    Args:
        path: the PNG; it is replaced.
        samples: [N, C, H, W] in [0, 1].
        test: of these samples.
        train: uint8 [R, C, H, W].
        epoch: epoch of the checkpoint, for the metadata.

    Raises:
        OSError: the file cannot be written.
    """
    first = np.argsort(test.ratio, kind="stable")[:PAIRS]
    drawn = np.rint(samples[first] * 255).astype(np.uint8)
    beside = train[test.index[first]]
    rows = []
    for begin in range(0, len(first), COLUMNS):
        part = slice(begin, begin + COLUMNS)
        rows += [_padded(drawn[part]), _padded(beside[part])]
    meta = {
        "epoch": str(epoch),
        "ratios": " ".join(f"{ratio:.3f}" for ratio in test.ratio[first]),
        "count": str(len(samples)),
    }
    write_sheet(path, to_channels_last(np.concatenate(rows)), columns=COLUMNS, meta=meta)


def _padded(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fill a short row with black images."""
    missing = COLUMNS - len(images)
    return np.concatenate([images, np.zeros((missing, *images.shape[1:]), np.uint8)]) if missing else images
