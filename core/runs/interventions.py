"""Samples of one checkpoint drawn in several ways, and `interventions.json`: what `core explain` reasons from.

Torch-free. `core.evaluation.interventions` draws the samples.
"""

import contextlib
from typing import Final, Literal

import msgspec

from core.files.atomic import atomic_write
from core.runs.directory import RunDirectory

FORMAT_VERSION: Final = 1
FILE_NAME: Final = "interventions.json"
SIZE_LIMIT: Final = 1 << 24

Variant = Literal["own", "images", "gaussian", "finer", "images+finer", "quiet"]
"""A way to draw samples of a checkpoint.

- ``own``: as the run's settings say.
- ``images``: starting from held-out images noised to the last timestep, the ideal start.
- ``gaussian``: starting from a Gaussian with the mean and covariance of noised images.
- ``finer``: with several times as many network calls.
- ``images+finer``: both; what is still wrong is the network's.
- ``quiet``: without the noise that the sampler adds.
"""


class SampleKinds(msgspec.Struct, frozen=True, kw_only=True):
    """N samples, each reduced to its kind, the decile of held-out images that it belongs to.

    Attributes:
        kinds: [N], 0 to 9; -1 for a sample that fails the tests of shape, or is near-empty.
        brightness: mean brightness of the samples, from 0 to 1.
    """

    kinds: list[int]
    brightness: float


class Interventions(msgspec.Struct, frozen=True, kw_only=True):
    """Samples of one checkpoint in several variants.

    Attributes:
        created: ISO 8601, UTC.
        epoch: epochs that the checkpoint was trained for.
        step: steps likewise.
        dataset: name of the data.
        count: number of samples in each way.
        seed: seed of the noises.
        sampler: the run's own sampler.
        sampling: all settings of the run's own sampling.
        steps: network calls of the run's own sampling.
        finer_steps: network calls of ``finer``.
        drawn: by `Variant`.
        real: as many training images.
        copies: share of the ``own`` samples that are near copies of training images.
        copy_z: how many standard errors that is above held-out images.
        measure: what the deciles are of, "area" of triangles or "brightness".
        curves: noise errors by log SNR, as of an evaluation.
    """

    format_version: int = FORMAT_VERSION
    created: str
    epoch: int
    step: int
    dataset: str
    count: int
    seed: int
    sampler: str
    sampling: dict[str, object]
    steps: int
    finer_steps: int
    drawn: dict[Variant, SampleKinds]
    real: SampleKinds
    copies: float | None = None
    copy_z: float | None = None
    measure: Literal["area", "brightness"] = "area"
    curves: dict[str, list[float | None]] = {}


def read_interventions(run: RunDirectory) -> Interventions | None:
    """Read the interventions that are kept with a run; None if there are none, or none that can be read."""
    path = run.path / FILE_NAME
    with contextlib.suppress(OSError, msgspec.DecodeError, ValueError):
        if path.is_file() and path.stat().st_size <= SIZE_LIMIT:
            found = msgspec.json.decode(path.read_bytes(), type=Interventions)
            return found if found.format_version == FORMAT_VERSION else None
    return None


def write_interventions(run: RunDirectory, interventions: Interventions) -> None:
    """Keep interventions with a run, in place of earlier ones.

    Raises:
        OSError: the file cannot be written.
    """
    atomic_write(run.path / FILE_NAME, msgspec.json.encode(interventions))
