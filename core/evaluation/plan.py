"""Description of an evaluation before it is made, by which one that was made before is found."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from core.config import SamplingOverrides
from core.config.sampling_levels import sampling_calls
from core.runs import Evaluation, RunDirectory

if TYPE_CHECKING:
    from core.evaluation.evaluator import Evaluator

_NO_OVERRIDES: Final = SamplingOverrides()


def plan_evaluation(
    run: RunDirectory,
    evaluator: "Evaluator",
    *,
    count: int,
    overrides: SamplingOverrides = _NO_OVERRIDES,
    seed: int = 0,
    checkpoint: Literal["last", "best"] = "last",
) -> Evaluation:
    """Describe the evaluation that `evaluate_run` would make of a checkpoint of the run, without its numbers.

    Raises:
        UserError: the run cannot be read, has no checkpoint, or its sampler does not take the overrides.
    """
    from core.training.checkpoint import read_named_checkpoint  # torch takes seconds to import

    config = overrides.apply_to(run.read().config)
    sample = config.sample
    _, position = read_named_checkpoint(run, checkpoint, "no tensor")
    return Evaluation(
        created=timestamp(),
        epoch=position.epoch,
        step=position.step,
        dataset=evaluator.images.name,
        count=count,
        heldout=len(evaluator.heldout),
        sampler=sample.sampler,
        steps=sampling_calls(config),
        eta=sample.eta,
        spacing=sample.spacing,
        levels=sample.levels or (),
        clip=sample.clip,
        start=overrides.start or "noise",
        seed=seed,
        guidance=sample.guidance,
        guidance_interval=sample.guidance_interval or (),
        metrics={},
    )


def timestamp() -> str:
    """Current time in ISO 8601, UTC, to the microsecond, so text order is time order."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
