"""General images, of anything: distances of samples from held-out images by their features; imports torch.

Letters of shapes: N samples, M held-out images, R training images.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.evaluation.features import image_features
from core.evaluation.metrics import Metrics, Progress
from core.statistics.density_coverage import density_coverage
from core.statistics.frechet import frechet_distance
from core.statistics.kernel_distance import kernel_distance
from core.statistics.precision_recall import precision_recall
from core.statistics.whitening import Whitening

MAX_FITTED: Final = 1000
"""Training images that whiten the features."""


class FeatureReference:
    """Held-out images, prepared for comparison with samples.

    Args:
        heldout: [M, C, H, W], uint8, or floats in [0, 1].
        train: [R, C, H, W] likewise; some of them whiten the features.
        seed: seed of the choice of equally many samples and held-out images.
        progress: called with the images done and in all.
    """

    def __init__(
        self, heldout: NDArray[Any], train: NDArray[Any], *, seed: int = 0, progress: Progress | None = None
    ) -> None:
        rng = np.random.default_rng([seed, 4])
        chosen = train[np.sort(rng.permutation(len(train))[:MAX_FITTED])]
        self._seed = seed
        self._whiten = Whitening.from_rows(image_features(chosen, progress))
        self._features = self._whiten(image_features(heldout, progress))

    def evaluate(self, samples: NDArray[Any], progress: Progress | None = None) -> Metrics:
        """Compare samples with the held-out images.

        Args:
            samples: [N, C, H, W], uint8, or floats in [0, 1].
            progress: called with the images done and in all.

        Returns:
            ``kid`` of all of both; ``frechet``, ``feature_precision``, ``feature_recall``, ``feature_density`` and
            ``feature_coverage`` of equally many of both, because these depend on the number. Without a value where
            there are too few.
        """
        rows = self._whiten(image_features(samples, progress))
        rng = np.random.default_rng([self._seed, 3])
        count = min(len(rows), len(self._features))
        ours, real = (side[np.sort(rng.permutation(len(side))[:count])] for side in (rows, self._features))
        # Twins among the real images would have balls without a radius.
        distinct = real + 1e-4 * rng.standard_normal(real.shape)
        density, coverage = density_coverage(ours.astype(np.float32), distinct.astype(np.float32))
        precision, recall = precision_recall(ours, real)
        return {
            "kid": kernel_distance(rows, self._features),
            "frechet": frechet_distance(ours, real),
            "feature_precision": precision,
            "feature_recall": recall,
            "feature_density": density,
            "feature_coverage": coverage,
        }
