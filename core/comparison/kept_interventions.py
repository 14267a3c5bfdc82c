"""Interventions that are kept with runs: those that go together, and the explanation that follows; torch-free."""

from collections.abc import Sequence

import msgspec

from core.comparison.explain import Explanation, Subject, explain
from core.comparison.trained_further import is_before
from core.config import RunConfig
from core.config.schema import SampleConfig
from core.runs import EpochRecord
from core.runs.interventions import Interventions


def is_outdated(interventions: Interventions, config: RunConfig, epochs: Sequence[EpochRecord]) -> bool:
    """Return whether a run has trained further since, or samples in another way by now.

    Args:
        interventions: those kept with the run.
        config: the run's configuration.
        epochs: its epochs.
    """
    if epochs and is_before(interventions, epochs[-1]):
        return True
    try:
        sampling = msgspec.convert(
            interventions.sampling, SampleConfig
        )  # settings that are newer have their defaults
    except msgspec.ValidationError:
        return True
    return sampling != config.sample


def newest(found: Sequence[Interventions | None]) -> Interventions | None:
    """Return the newest interventions; None if there are none."""
    return max((one for one in found if one is not None), key=lambda one: one.created, default=None)


def go_together(one: Interventions, other: Interventions) -> bool:
    """Return whether two runs' samples can be compared: as many, from the same noises, on the same data."""
    return (one.count, one.seed, one.dataset) == (other.count, other.seed, other.dataset)


def explain_kept(subjects: Sequence[Subject]) -> dict[str, Explanation]:
    """Explain runs of one or several data sets, for each data set those that go with its newest interventions.

    Args:
        subjects: runs, each with a label of its own.

    Returns:
        Explanations by the name of the data set, in the order of their first runs.
    """
    explanations = {}
    for dataset in dict.fromkeys(subject.config.data.dataset for subject in subjects):
        members = [subject for subject in subjects if subject.config.data.dataset == dataset]
        reference = newest([member.interventions for member in members])
        assert reference is not None  # `members` has at least one
        explanations[dataset] = explain(
            [member for member in members if go_together(member.interventions, reference)]
        )
    return explanations
