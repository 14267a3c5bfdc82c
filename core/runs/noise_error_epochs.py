"""Noise-prediction errors of a run's epochs: of averaged weights on held-out images, or else of the training itself."""

from collections.abc import Iterable, Mapping, Sequence

from core.runs.metrics import EpochRecord
from core.statistics.noise_error_bins import NoiseErrorBins


def have_heldout_errors(runs: Iterable[Sequence[EpochRecord]]) -> bool:
    """Return whether all runs that have noise errors have some of held-out images, so that these can be compared.

    Args:
        runs: the epochs of each run.
    """
    found = [
        any(record.heldout_noise_error is not None for record in epochs)
        for epochs in runs
        if any(record.noise_error or record.heldout_noise_error for record in epochs)
    ]
    return bool(found) and all(found)


def noise_errors_by_epoch(epochs: Iterable[EpochRecord], *, heldout: bool) -> dict[int, NoiseErrorBins]:
    """Return the noise errors of a run's epochs.

    Args:
        epochs: the run's epochs, ascending.
        heldout: those of held-out images, see `EpochRecord.heldout_noise_error`, instead of those of the training.
    """
    found = (
        (record.epoch, record.heldout_noise_error if heldout else record.noise_error) for record in epochs
    )
    return {epoch: bins for epoch, bins in found if bins is not None}


def held_between(errors: Mapping[int, NoiseErrorBins]) -> dict[int, NoiseErrorBins]:
    """Return errors in which each epoch without one, after the first with one, has that of the epoch before.

    Args:
        errors: by epoch, ascending, such as those of the epochs with a sheet of samples.
    """
    filled: dict[int, NoiseErrorBins] = {}
    for epoch, bins in errors.items():
        if filled:
            last, before = next(reversed(filled.items()))
            filled |= dict.fromkeys(range(last + 1, epoch), before)
        filled[epoch] = bins
    return filled
