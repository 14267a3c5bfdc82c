"""Test whether a run has trained further since its checkpoint was evaluated or explained; torch-free."""

from core.runs import EpochRecord
from core.runs.interventions import Interventions
from core.runs.results import Evaluation


def is_before(measured: Evaluation | Interventions, last: EpochRecord) -> bool:
    """Return whether a measurement is of a checkpoint before the last epoch.

    The checkpoint of an incomplete last epoch, with which a budget of steps or minutes ends, names the complete epochs
    only. Its steps are those of the last epoch. Measurements of older versions have 0 steps.
    """
    return measured.epoch < last.epoch and measured.step < last.step
