"""Precision and recall of samples by the neighbourhoods of real images, and of real images by those of samples.

Letters of shapes: N samples, R real images, D features, k neighbours.
"""

import numpy as np
from numpy.typing import NDArray

from core.statistics.density_coverage import NEIGHBOURS
from core.statistics.estimate import Estimate
from core.statistics.intervals import proportion
from core.statistics.nearest import row_chunks, squared_distances

Numbers = NDArray[np.floating]


def precision_recall(
    samples: Numbers, real: Numbers, neighbours: int = NEIGHBOURS
) -> tuple[Estimate, Estimate]:
    """Estimate the share of samples among real images, and the share of real images among samples.

    An image is among others if it lies in the ball of one of them, which reaches to that one's k-th nearest neighbour.

    Args:
        samples: [N, D].
        real: [R, D]; take R = N, because both shares grow with the number of balls.
        neighbours: k.

    Returns:
        Precision and recall, with Wilson's intervals, which hold for these balls; undefined unless N and R are
        at least k + 1.

    Reference: Kynkäänniemi et al. 2019, "Improved Precision and Recall Metric for Assessing Generative Models", eqs. 1
    to 3.
    """
    if min(len(samples), len(real)) <= neighbours:
        return Estimate(None), Estimate(None)
    centre = real.mean(0)
    ours, theirs = samples - centre, real - centre
    return _share_inside(ours, theirs, neighbours), _share_inside(theirs, ours, neighbours)


def _share_inside(rows: Numbers, centres: Numbers, neighbours: int) -> Estimate:
    reach = np.empty(len(centres))
    for part in row_chunks(len(centres), len(centres)):
        # The nearest is the centre itself.
        reach[part] = np.partition(squared_distances(centres[part], centres), neighbours, axis=1)[
            :, neighbours
        ]
    inside = 0
    for part in row_chunks(len(rows), len(centres)):
        inside += int((squared_distances(rows[part], centres) <= reach).any(1).sum())
    return proportion(inside, len(rows))
