"""Crossing of a network with the levels of another schedule.

The distribution of a noised image depends on its log SNR only (Kingma et al. 2021). So a network may be sampled at the
levels of any schedule, as far as they are within its own.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import msgspec

from core.config import SamplingOverrides
from core.config.sampling_levels import levels_beyond, sampling_calls, visited_timesteps
from core.evaluation.evaluator import Evaluator
from core.evaluation.metrics import Progress
from core.evaluation.sampling import draw_samples, to_unit
from core.evaluation.starts import make_start
from core.runs.cross import CrossCell
from core.training.checkpoint import LoadedModel

METRICS_OF_TRIANGLES: Final = ("balanced_pass_rate", "area_distance")
METRICS_OF_OTHERS: Final = ("kid", "frechet")


def plan_cell(
    loaded: LoadedModel,
    schedule: str,
    levels: Sequence[float],
    evaluator: Evaluator,
    *,
    count: int,
    sampling: SamplingOverrides,
    seed: int,
) -> CrossCell:
    """Describe a cell without its metrics.

    Args:
        loaded: the run.
        schedule: name of the schedule whose levels are taken.
        levels: its levels.
        evaluator: for the data that the run was trained on.
        count: number of samples.
        sampling: changes to the run's sampling.
        seed: seed of all noises.

    Raises:
        UserError: the sampler does not take the overrides.
    """
    config = _at_levels(loaded, levels, sampling).config
    sample = config.sample
    return CrossCell(
        schedule=schedule,
        levels=tuple(levels),
        calls=sampling_calls(config),
        beyond=levels_beyond(loaded.diffusion.schedule.log_snr, levels),
        step=loaded.position.step,
        sampler=f"{sample.sampler}, eta {sample.eta:g}, clip {sample.clip}",
        start=sampling.start or "noise",
        count=count,
        heldout=len(evaluator.heldout),
        seed=seed,
    )


def evaluate_cell(
    loaded: LoadedModel,
    cell: CrossCell,
    evaluator: Evaluator,
    *,
    sampling: SamplingOverrides,
    progress: Progress | None = None,
) -> CrossCell:
    """Sample the network at the cell's levels, and return the cell with its metrics.

    Args:
        loaded: the run.
        cell: as of `plan_cell`.
        evaluator: as for `plan_cell`.
        sampling: as for `plan_cell`.
        progress: called with the network calls done and in all.

    Raises:
        UserError: the samples cannot be evaluated, because the network has diverged.
    """
    loaded = _at_levels(loaded, cell.levels, sampling)
    start = None
    if sampling.start not in (None, "noise"):
        t = visited_timesteps(loaded.config)[0]
        start = make_start(sampling.start, evaluator.images, loaded.diffusion, t, seed=cell.seed)
    drawn = draw_samples(loaded, cell.count, seed=cell.seed, start=start, progress=progress)
    names = METRICS_OF_TRIANGLES if evaluator.has_triangles else METRICS_OF_OTHERS
    metrics, _ = evaluator.evaluate(to_unit(drawn), ("shape" if evaluator.has_triangles else "features",))
    return msgspec.structs.replace(cell, metrics={name: metrics[name] for name in names if name in metrics})


def _at_levels(loaded: LoadedModel, levels: Sequence[float], sampling: SamplingOverrides) -> LoadedModel:
    changes = replace(sampling, steps=None, spacing=None, levels=tuple(levels), levels_of=None)
    return replace(loaded, config=changes.apply_to(loaded.config))
