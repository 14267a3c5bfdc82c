"""Measurements of a checkpoint that are, or are no longer, those of the whole training."""

import msgspec
import pytest

from core.comparison.kept_interventions import is_outdated
from core.comparison.trained_further import is_before
from core.config import RunConfig
from core.runs import EpochRecord, Evaluation
from core.runs.interventions import Interventions, SampleKinds

RECORD = EpochRecord(
    epoch=3, step=146, elapsed=1, mean=1, min=1, max=1, heldout=1, images_per_second=1, learning_rate=0
)
CONFIG = RunConfig()
KEPT = Interventions(
    created="",
    epoch=3,
    step=150,
    dataset="high",
    count=1,
    seed=0,
    sampler="churn",
    steps=10,
    finer_steps=30,
    sampling=msgspec.json.decode(msgspec.json.encode(CONFIG.sample)),
    drawn={},
    real=SampleKinds(kinds=[], brightness=0),
)


@pytest.mark.parametrize(
    ("epoch", "step", "before"), [(2, 146, False), (2, 100, True), (2, 0, True), (3, 146, False)]
)
def test_a_checkpoint_of_an_incomplete_last_epoch_is_the_last(epoch: int, step: int, before: bool) -> None:
    evaluation = Evaluation(created="", epoch=epoch, step=step, dataset="", count=1, heldout=1, metrics={})
    assert is_before(evaluation, RECORD) == before


def test_interventions_without_a_setting_that_is_newer_are_up_to_date() -> None:
    older = {key: value for key, value in KEPT.sampling.items() if key != "guidance"}
    assert older != KEPT.sampling
    assert not is_outdated(msgspec.structs.replace(KEPT, sampling=older), CONFIG, [RECORD])


def test_interventions_with_another_setting_or_an_unknown_one_are_outdated() -> None:
    for sampling in ({**KEPT.sampling, "steps": 3}, {**KEPT.sampling, "sampler": "unknown"}):
        assert is_outdated(msgspec.structs.replace(KEPT, sampling=sampling), CONFIG, [RECORD])
