"""How probable a run finds pictures that it has not seen: the exact bound in bits a dimension, and L_simple.

Each picture has its own noises and its own timesteps, drawn independently of those of all others. Its total is
then an unbiased estimate of its bound, and totals are independent between pictures: an interval over pictures
covers the choice of pictures, of noises and of timesteps at once.

A schedule whose last step is pure noise (abar_T = 0) has L_T = 0, and the term of its last step is finite for
networks that predict v or the picture. Noise alone does not say what the picture was, so for ``epsilon`` no
reverse process exists there; `GaussianDiffusion` refuses the pair, and no such run can be loaded.

In curves, timesteps are numbered 1..T as in the papers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from core.diffusion.variational_bound import bound_terms, draw_timesteps
from core.errors import UserError
from core.evaluation.preprocess import Images, to_x0
from core.statistics.estimate import Estimate
from core.statistics.intervals import mean
from core.training.checkpoint import LoadedModel

MAX_IMAGES: Final = 256
"""Pictures enough for a run."""
DEFAULT_TERMS: Final = 64
"""Middle terms of each picture where none are asked for."""
_BATCH: Final = 64

Progress = Callable[[int, int], None]
Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Likelihood:
    """What `likelihood` found.

    Attributes:
        metrics: ``bits_per_dim`` and what it is the sum of, ``prior_bits`` (L_T), ``middle_bits`` (the sum of all
            L_{t-1}) and ``decoder_bits`` (L_0); means over pictures.
        curves: ``bound_by_timestep``, bits a dimension of one timestep: L_0 at t = 1, L_{t-1} after it; and
            ``loss_by_timestep``, L_simple of what the network predicts. Each point is a mean over pictures and
            over the ``.weight`` timesteps around ``.x``, with a 95% interval from ``.low`` to ``.high``. Values
            of the bound times weights add up to middle and decoder bits.
        totals: [N] bits a dimension of each picture.
    """

    metrics: dict[str, Estimate]
    curves: dict[str, list[float | None]]
    totals: Numbers


def likelihood(
    loaded: LoadedModel,
    images: Images,
    *,
    terms: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Likelihood:
    """The variational bound of pictures under a run's reverse process of T steps, clipping as the run samples.

    With `PICTURES` and `TERMS`, 16,640 pictures pass through the network.

    Args:
        loaded: the run, as of a checkpoint.
        pictures: [N, C, H, W], N >= 1, uint8 or float in [0, 1].
        terms: how many of the T - 1 middle terms to compute for each picture, one drawn from each of as many
            strata; None takes `TERMS`, or all where there are fewer.
        seed: of noises and timesteps. Runs with the same T meet the same.
        progress: called with pictures passed through the network so far, and in all.

    Raises:
        UserError: pictures that the network cannot take, or not 1 <= terms <= T - 1.

    Reference: Ho et al. 2020, eq. 5 and 14.
    """
    x0 = to_x0(loaded, images)
    middle = loaded.diffusion.timesteps - 1
    if terms is None:
        terms = min(DEFAULT_TERMS, middle)
    elif not 1 <= terms <= middle:
        raise UserError(f"expected from 1 to {middle} terms of the bound (timesteps - 1), got {terms}")
    strata = timestep_strata(middle, terms)
    generator = torch.Generator().manual_seed(seed)
    total, done, found = len(x0) * (1 + terms), 0, []

    def counted(xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        nonlocal done
        output: torch.Tensor = loaded.model(xt, t)
        done += len(xt)
        if progress is not None:
            progress(done, total)
        return output

    for batch in torch.split(x0, _BATCH):
        part = bound_terms(
            counted,
            loaded.diffusion,
            batch,
            draw_timesteps(strata, len(batch), generator),
            generator=generator,
            clip=loaded.config.sample.clip,
        )
        found.append(part)
    weights = np.array([len(stratum) for stratum in strata], dtype=np.float64)
    bits = 1.0 / np.log(2.0)
    prior = torch.cat([part.l_T for part in found]).numpy() * bits
    each = torch.cat([part.l_t for part in found]).numpy() * bits
    decoder = torch.cat([part.l_0 for part in found]).numpy() * bits
    losses = torch.cat([part.losses for part in found]).numpy()
    summed = each @ weights
    totals = prior + summed + decoder
    parts = {"bits_per_dim": totals, "prior_bits": prior, "middle_bits": summed, "decoder_bits": decoder}
    x = [1.0, *(float(stratum.mean()) + 1.0 for stratum in strata)]
    counts = [1.0, *weights.tolist()]
    by_timestep = np.concatenate((decoder[:, None], each), axis=1)
    return Likelihood(
        metrics={name: _mean(values) for name, values in parts.items()},
        curves={
            **_curve("bound_by_timestep", x, counts, by_timestep),
            **_curve("loss_by_timestep", x, counts, losses),
        },
        totals=totals,
    )


def timestep_strata(middle: int, count: int) -> list[NDArray[np.int64]]:
    """1..`middle` cut into `count` pieces, short where terms are large.

    Terms fall about as 1/t, so that is how densely half of the visits lie; the other half lie evenly, for
    networks that fail at large t.

    Args:
        middle: T - 1.
        count: from 0 to `middle`; 0 only for T = 1.
    """
    if not count:
        return []
    density = 1.0 / np.arange(1, middle + 1)
    density = density / density.sum() + 1.0 / middle
    place = np.arange(1, count)
    edges = np.searchsorted(np.cumsum(density), 2.0 * place / count) + 1
    # No piece may be empty: edges that coincide are pushed up, and leave room for those after them.
    edges = np.maximum.accumulate(edges - place) + place
    edges = np.minimum(edges, middle - count + place)
    return np.split(np.arange(1, middle + 1), edges)


def _mean(values: Numbers) -> Estimate:
    """A network that has gone wrong says NaN, which no interval holds."""
    return mean(values) if np.isfinite(values).all() else Estimate(None)


def _curve(
    name: str, x: Sequence[float], weights: Sequence[float], values: Numbers
) -> dict[str, list[float | None]]:
    points = [_mean(column) for column in values.T]
    return {
        name: [point.value for point in points],
        f"{name}.x": list(x),
        f"{name}.low": [point.low for point in points],
        f"{name}.high": [point.high for point in points],
        f"{name}.weight": list(weights),
    }
