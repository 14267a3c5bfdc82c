"""Shape of an epoch's samples: ``python -m core.evaluation.epoch_quality FOLDER``, a subprocess of a training.

It reads an .npz of ``samples`` and ``heldout``, uint8 [N, C, S, S], from stdin, and writes JSON to stdout: value and
95% interval of the balanced pass rate and of the area distance. The fits of the held-out images are cached in FOLDER,
as `core evaluate` does. It imports no torch.
"""

import io
import sys
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.errors import EXIT_OK, EXIT_USAGE, UserError
from core.evaluation.metrics.shape import ShapeReference
from core.evaluation.triangle_fit.cache import cached_edge, cached_fits
from core.evaluation.triangle_fit.fit import fit_triangles
from core.runs.monitoring import MONITORED
from core.statistics.estimate import Estimate


def epoch_quality(
    samples: NDArray[np.uint8], heldout: NDArray[np.uint8], folder: Path
) -> dict[str, Estimate]:
    """Evaluate the shape of samples against held-out images.

    Args:
        samples: uint8 [N, C, S, S].
        heldout: uint8 [M, C, S, S].
        folder: folder of the data set, for the cached fits.

    Raises:
        UserError: the held-out images show no triangles.
    """
    real = heldout.astype(np.float32) / np.float32(255)
    edge = cached_edge(folder, real)
    reference = ShapeReference.from_fits(
        cached_fits(folder, real, edge, lambda: fit_triangles(real, edge=edge))
    )
    fits = fit_triangles(samples.astype(np.float32) / np.float32(255), edge=edge)
    metrics = reference.evaluate(fits).metrics
    return {name: metrics[name] for name in MONITORED}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; see the module."""
    (folder,) = sys.argv[1:] if arguments is None else arguments
    with np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False) as given:
        samples, heldout = given["samples"], given["heldout"]
    try:
        found = epoch_quality(samples, heldout, Path(folder))
    except UserError as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    sys.stdout.buffer.write(msgspec.json.encode(found))
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
