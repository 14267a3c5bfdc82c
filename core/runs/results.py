"""Evaluations of a run's samples: the metrics, their meaning, and `evaluation.json`.

Torch-free and quick to import, so that tables, figures and the dashboard can show them. `core.evaluation` computes
them.
"""

import contextlib
import stat
from collections.abc import Iterator
from typing import Final

import msgspec

from core.errors import UserError
from core.files.atomic import atomic_write
from core.files.locks import HeldLock, hold_lock
from core.files.sanitize import sanitize
from core.runs.directory import RunDirectory
from core.sampling_names import SAMPLERS_WITH_ETA, Clip, Spacing
from core.statistics.estimate import Estimate

FORMAT_VERSION: Final = 1
FILE_NAME: Final = "evaluation.json"
SIZE_LIMIT: Final = 1 << 24
"""Bytes. An evaluation with all its curves has some tens of thousands."""
LOCK_WAIT: Final = 5.0
"""Seconds to wait for another process that saves an evaluation of the same run, which takes milliseconds."""
_LOCK_NAME: Final = ".evaluation.lock"
_LEGACY_CLIPS: Final[dict[bool, Clip]] = {False: "none", True: "static"}


class ClassEvaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics of the samples of one class.

    Attributes:
        name: of the class.
        count: number of its samples.
        metrics: values by the names of `METRICS`.
    """

    name: str
    count: int
    metrics: dict[str, Estimate]


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """One evaluation of one checkpoint's samples.

    Attributes:
        created: ISO 8601, UTC.
        epoch: epochs that the checkpoint was trained for; 0 for images from a file.
        step: steps likewise.
        dataset: name of the reference data.
        count: number of samples.
        heldout: number of held-out reference images.
        sampler: sampler that drew the samples; empty for images from a file.
        steps: network calls per sample.
        eta: eta of ddim and dpm++.
        spacing: spacing of the visited timesteps.
        levels: log SNRs at which the network was called, instead of spaced timesteps; empty without a list.
        clip: thresholding of the predicted x0; a boolean in older files is converted when read.
        start: distribution of the starting state, see `core.evaluation.starts`.
        seed: seed of the noise.
        guidance: weight of guidance; 1 is none.
        guidance_interval: log SNRs between which samples were guided; empty for all.
        classes: the classes of the data, with their metrics; empty without labels.
        metrics: values by the names of `METRICS`; a metric that could not be measured is missing.
        real: the same for as many training images, evaluated as if they were samples: the values of perfect samples.
        curves: lists of values by name; the x values of a curve are in the curve named ``NAME.x``.
    """

    format_version: int = FORMAT_VERSION
    created: str
    epoch: int = 0
    step: int = 0
    dataset: str
    count: int
    heldout: int
    sampler: str = ""
    steps: int = 0
    eta: float = 0.0
    spacing: Spacing = "uniform"
    levels: tuple[float, ...] = ()
    clip: Clip | bool = "static"
    start: str = "noise"
    seed: int = 0
    guidance: float = 1.0
    guidance_interval: tuple[float, ...] = ()
    classes: tuple[ClassEvaluation, ...] = ()
    metrics: dict[str, Estimate]
    real: dict[str, Estimate] = {}
    curves: dict[str, list[float | None]] = {}

    @property
    def protocol(self) -> tuple[object, ...]:
        """Settings of sampling and evaluation. Metrics of runs are comparable if their protocols are equal."""
        eta = self.eta if self.sampler in SAMPLERS_WITH_ETA else 0.0  # other samplers ignore it
        # Levels alone decide: a run with another schedule may have several at one timestep, and so make fewer calls.
        visited = self.levels or (self.steps, self.spacing)
        guidance = (self.guidance, self.guidance_interval if self.guidance != 1.0 else ())
        return (self.count, self.heldout, self.sampler, visited, eta, self.clip, self.start, *guidance)

    @property
    def settings(self) -> tuple[object, ...]:
        """All settings that affect the metrics. Of two evaluations with equal settings the later one is kept."""
        return (self.step, self.dataset, self.seed, *self.protocol)


def read_evaluations(run: RunDirectory) -> list[Evaluation]:
    """Read all evaluations of a run, the latest last; empty if the run has not been evaluated.

    Raises:
        UserError: the file is damaged, or from a newer version.
    """
    path = run.path / FILE_NAME
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > SIZE_LIMIT:
            raise UserError(
                f"{path}: too large to be an evaluation, or no file; delete it and evaluate again"
            )
        data = path.read_bytes()
        # Versions first, so that a file of a newer version is not reported as damaged.
        versions = [one.format_version for one in msgspec.json.decode(data, type=list[_Versioned])]
        if newer := [version for version in versions if version > FORMAT_VERSION]:
            raise UserError(
                f"{path}: made by a newer ddpm-tui (format {newer[0]}, this one reads {FORMAT_VERSION}): upgrade"
            )
        return [_sanitized(one) for one in msgspec.json.decode(data, type=list[Evaluation])]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path}: not an evaluation ({error}); delete it and evaluate again") from error


def latest_evaluation(run: RunDirectory) -> Evaluation | None:
    """Read the latest evaluation; None if the run has not been evaluated.

    Raises:
        UserError: see `read_evaluations`.
    """
    found = read_evaluations(run)
    return found[-1] if found else None


def add_evaluation(run: RunDirectory, evaluation: Evaluation, *, wait: float = LOCK_WAIT) -> Evaluation:
    """Save an evaluation with its run.

    An evaluation with the same settings is replaced, but metrics that only the older one has are kept. The oldest
    evaluations are dropped if the file would become larger than `SIZE_LIMIT`.

    Args:
        run: the run; it may be training.
        evaluation: the evaluation to save.
        wait: seconds to retry for while another process saves an evaluation.

    Returns:
        The evaluation as saved.

    Raises:
        UserError: the run was removed or cannot be written, another process is writing, or the file is damaged.
    """
    try:
        with _lock(run, wait) as held:
            before = read_evaluations(run)
            for old in before:
                if old.settings == evaluation.settings:
                    evaluation = msgspec.structs.replace(
                        evaluation,
                        metrics=old.metrics | evaluation.metrics,
                        real=old.real | evaluation.real,
                        curves=old.curves | evaluation.curves,
                    )
            kept = [old for old in before if old.settings != evaluation.settings]
            lines = [msgspec.json.encode(one) for one in (*kept, evaluation)]
            while len(lines) > 1 and sum(map(len, lines)) + len(lines) + 2 > SIZE_LIMIT:
                del lines[0]
            if not held.is_same:
                raise UserError(f"{sanitize(run.id)}: the run was removed meanwhile")
            atomic_write(run.path / FILE_NAME, b"[" + b",\n".join(lines) + b"]\n")
    except OSError as error:
        raise UserError(
            f"{run.path}: the evaluation cannot be saved there ({error.strerror or error})"
        ) from error
    return evaluation


class _Versioned(msgspec.Struct):
    format_version: int = FORMAT_VERSION


def _sanitized(evaluation: Evaluation) -> Evaluation:
    """Sanitize the texts of an evaluation, because its file is not trusted, and convert a legacy clip."""
    return msgspec.structs.replace(
        evaluation,
        created=sanitize(evaluation.created),
        dataset=sanitize(evaluation.dataset),
        sampler=sanitize(evaluation.sampler),
        start=sanitize(evaluation.start),
        classes=tuple(msgspec.structs.replace(one, name=sanitize(one.name)) for one in evaluation.classes),
        clip=evaluation.clip if isinstance(evaluation.clip, str) else _LEGACY_CLIPS[evaluation.clip],
    )


@contextlib.contextmanager
def _lock(run: RunDirectory, wait: float) -> Iterator[HeldLock]:
    """Lock the evaluations. This is not the lock of the run, because a run can be evaluated while it trains."""
    with hold_lock(run.path / _LOCK_NAME, wait=wait) as held:
        if held is None:
            raise UserError(f"{sanitize(run.id)}: another process is saving its evaluation; try again")
        yield held
