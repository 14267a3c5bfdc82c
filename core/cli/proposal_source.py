"""The run or data set that `core schedules propose` proposes noise levels for, with what the rules need of it."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from core.cli.output import note
from core.cli.progress import progress_bar
from core.data.recipe import find_data_recipe
from core.errors import UserError
from core.files.sanitize import sanitize
from core.launch.provenance import config_with_absolute_paths, run_data_dirs
from core.runs import RunDirectory, RunStore, read_evaluations
from core.runs.directory import DamagedStatusError
from core.runs.noise_errors import noise_error_curve
from core.schedules import Schedule, make_schedule
from core.statistics.gaussian_sampling import GaussianData, fit_gaussian
from core.statistics.linear_denoiser import linear_noise_error
from core.statistics.noise_error import NoiseErrorCurve
from core.statistics.proposals.even_steps import Ends
from core.statistics.proposals.rules import RuleInputs

if TYPE_CHECKING:
    from core.data import ImageSet

LOWEST_LOG_SNR: Final = -10.15
"""The log SNR at which sampling starts if a schedule ends next to pure noise: a sigma of 160, as in `core.spacing`."""

_MOST_LOG_SNR: Final = 100.0
_LEAST_SPREAD: Final = 1e-6
"""Spread of images in [-1, 1] below which they differ by rounding only."""


@dataclass(frozen=True, eq=False)
class ProposalSource:
    """A run or data set.

    Attributes:
        name: the run's id, or the data set's name.
        curve: origin of the noise errors: ``measured`` or ``linear denoiser``.
        inputs: inputs of the rules.
        schedule: the run's schedule; ``linear`` with 1,000 timesteps for a data set.
    """

    name: str
    curve: str
    inputs: RuleInputs
    schedule: Schedule


def find_source(given: str, root: Path, *, start: float | None, end: float | None) -> ProposalSource:
    """Find a run or data set, and read or compute what the rules need.

    Args:
        given: a run as for `RunStore.find`, or a data set as for `find_data_recipe`, which comes first.
        root: folder of the runs.
        start: log SNR of the noisy end; None takes the schedule's.
        end: log SNR of the clean end, likewise.

    Raises:
        UserError: neither a run nor a data set, images that are too large for a covariance or all the same, or ends
            that do not rise or are too far away.
    """
    for option, level in (("--start", start), ("--end", end)):
        if level is not None and abs(level) > _MOST_LOG_SNR:
            raise UserError(
                f"{option} {level:g}: expected a log SNR from {-_MOST_LOG_SNR:g} to {_MOST_LOG_SNR:g}"
            )
    run = _find_run(given, root)
    images = _load_data(given) if run is None else _load_run_data(run)
    schedule = make_schedule("linear")
    if run is not None:
        schedule = make_schedule(**msgspec.structs.asdict(config_with_absolute_paths(run.read()).schedule))
    noisy = max(float(schedule.log_snr[-1]), LOWEST_LOG_SNR) if start is None else start
    ends = Ends(noisy, float(schedule.log_snr[0]) if end is None else end)
    data = fit_gaussian(images.train)
    if data.spread < _LEAST_SPREAD:
        raise UserError(
            f"{sanitize(images.name)}: all training images are the same, so no noise level matters more"
        )
    curve = None if run is None else _measured_curve(run)
    if run is not None and curve is None:
        note(
            f"{sanitize(run.id)}: its noise errors were not measured, so the linear denoiser's are taken; "
            "core evaluate measures them"
        )
    return ProposalSource(
        name=images.name if run is None else run.id,
        curve="linear denoiser" if curve is None else "measured",
        inputs=RuleInputs(curve or _linear_curve(data, ends), data, ends),
        schedule=schedule,
    )


def _find_run(given: str, root: Path) -> RunDirectory | None:
    """Find a run; None if it is a data set."""
    if not RunDirectory(given).run_file.is_file():
        try:
            find_data_recipe(given)
            return None
        except UserError as error:
            unknown = error
    try:
        return RunStore(root).find(given)
    except UserError as error:
        if Path(given).suffix == ".toml":
            raise unknown from None
        raise UserError(
            f"{sanitize(given)}: neither a run in {root} nor a data set; give the id of a run (core runs list), "
            "or the name, recipe or folder of a data set (core data list)"
        ) from error


def _measured_curve(run: RunDirectory) -> NoiseErrorCurve | None:
    """Return the network's noise errors of the run's last evaluation that has them."""
    curves = [noise_error_curve(evaluation) for evaluation in read_evaluations(run)]
    found = [curve for curve in curves if curve is not None]
    return found[-1] if found else None


def _linear_curve(data: GaussianData, ends: Ends) -> NoiseErrorCurve:
    log_snr = ends.grid(257)
    error = linear_noise_error(data.variances, log_snr)
    return NoiseErrorCurve(log_snr, error, error, error)


def _load_data(name: str) -> "ImageSet":
    from core.data import load_dataset

    with progress_bar(sanitize(name), "images") as report:
        return load_dataset(name, progress=report)


def _load_run_data(run: RunDirectory) -> "ImageSet":
    from core.data import load_dataset
    from core.data.trained_images import find_trained_images, load_trained_images

    file = run.read()
    data = config_with_absolute_paths(file).data
    trained_with = None
    with contextlib.suppress(DamagedStatusError):
        trained_with = run.read_status().trained_with
    with progress_bar(sanitize(data.dataset), "images") as report:
        if trained_with is None or not trained_with.fingerprint:
            return load_dataset(data.dataset, count=data.count, progress=report)
        return find_trained_images(trained_with, run_data_dirs(file)) or load_trained_images(
            data.dataset, trained_with, count=data.count, progress=report
        )
