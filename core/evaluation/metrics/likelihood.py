"""Likelihood of held-out images under a run: the exact variational bound in bits a dimension, and L_simple.

Noises and timesteps are drawn independently for each image. The total of an image is then an unbiased estimate of its
bound, and totals are independent between images. An interval over images therefore covers the choice of images, of
noises and of timesteps at once.

A schedule whose last step is pure noise (abar_T = 0) has L_T = 0. The term of its last step is finite for networks that
predict v or the image. For ``epsilon`` no reverse process exists there, because pure noise does not determine the
image. `GaussianDiffusion` refuses that combination, and no such run can be loaded.

In curves, timesteps are numbered 1..T as in the papers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from core.diffusion.models.centred import CentredNetwork
from core.diffusion.variational_bound import bound_terms, draw_timesteps, prior_kl
from core.errors import UserError
from core.evaluation.metrics import Curves, Metrics, Progress
from core.evaluation.preprocess import Images, to_x0
from core.statistics.intervals import finite_mean
from core.training.checkpoint import LoadedModel

MAX_IMAGES: Final = 256
"""Number of held-out images for which a run is evaluated."""
DEFAULT_TERMS: Final = 64
"""Middle terms of each image by default."""
_BATCH: Final = 64

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Likelihood:
    """Result of `likelihood`.

    Attributes:
        metrics: ``bits_per_dim`` and its summands ``prior_bits`` (L_T), ``middle_bits`` (the sum of all L_{t-1}) and
            ``decoder_bits`` (L_0); means over images.
        curves: ``bound_by_timestep``, bits a dimension of one timestep: L_0 at t = 1, L_{t-1} after it; and
            ``loss_by_timestep``, L_simple of the network's predictions. Each point is a mean over images and over the
            ``.weight`` timesteps around ``.x``, with a 95% interval from ``.low`` to ``.high``. The bound's values
            times their weights add up to middle and decoder bits.
        totals: [N] bits a dimension of each image.
    """

    metrics: Metrics
    curves: Curves
    totals: Numbers


def likelihood(
    loaded: LoadedModel,
    images: Images,
    *,
    terms: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Likelihood:
    """Compute the variational bound of images under a run's reverse process of T steps, with the run's own clipping.

    With `MAX_IMAGES` and `DEFAULT_TERMS`, 16,640 images pass through the network.

    Args:
        loaded: the run, as of a checkpoint.
        images: [N, C, H, W], N >= 1, uint8 or float in [0, 1].
        terms: number of the T - 1 middle terms to compute for each image, one drawn from each of as many strata; None
            takes `DEFAULT_TERMS`, or all where there are fewer.
        seed: seed of noises and timesteps, which are the same for runs with the same T on the same kind of device.
        progress: called with images passed through the network so far, and in all.

    Raises:
        UserError: images that the network cannot take, or not 1 <= terms <= T - 1.

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
    on_cpu = loaded.device.type == "cpu"
    noises = generator if on_cpu else torch.Generator(loaded.device).manual_seed(seed)
    total, done, batches = len(x0) * (1 + terms), 0, []

    def counting_model(xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        nonlocal done
        output: torch.Tensor = loaded.model(xt, t)
        done += len(xt)
        if progress is not None:
            progress(done, total)
        return output

    for batch in torch.split(x0, _BATCH):
        computed = bound_terms(
            counting_model,
            loaded.diffusion,
            batch,
            draw_timesteps(strata, len(batch), generator),
            generator=noises,
            clip=loaded.config.sample.clip,
        )
        if isinstance(loaded.model, CentredNetwork):
            # The prior is N(0, I) of the centred data.
            computed = replace(computed, l_T=prior_kl(loaded.diffusion, batch - loaded.model.centre))
        batches.append(computed)
    weights = np.array([len(stratum) for stratum in strata], dtype=np.float64)
    bits = 1.0 / np.log(2.0)
    prior = torch.cat([batch.l_T for batch in batches]).numpy() * bits
    each = torch.cat([batch.l_t for batch in batches]).numpy() * bits
    decoder = torch.cat([batch.l_0 for batch in batches]).numpy() * bits
    losses = torch.cat([batch.losses for batch in batches]).numpy()
    middle_bits = each @ weights
    totals = prior + middle_bits + decoder
    bits_by_name = {
        "bits_per_dim": totals,
        "prior_bits": prior,
        "middle_bits": middle_bits,
        "decoder_bits": decoder,
    }
    x = [1.0, *(float(stratum.mean()) + 1.0 for stratum in strata)]
    counts = [1.0, *weights.tolist()]
    by_timestep = np.concatenate((decoder[:, None], each), axis=1)
    return Likelihood(
        metrics={name: finite_mean(values) for name, values in bits_by_name.items()},
        curves={
            **_curve("bound_by_timestep", x, counts, by_timestep),
            **_curve("loss_by_timestep", x, counts, losses),
        },
        totals=totals,
    )


def timestep_strata(middle: int, count: int) -> list[NDArray[np.int64]]:
    """Split 1..`middle` into `count` strata of consecutive timesteps, short where terms are large.

    Terms fall about as 1/t, so half of the strata have a density of 1/t. The other half are spread evenly, for networks
    that fail at large t.

    Args:
        middle: T - 1.
        count: from 0 to `middle`; 0 only for T = 1.
    """
    if not count:
        return []
    density = 1.0 / np.arange(1, middle + 1)
    density = density / density.sum() + 1.0 / middle
    index = np.arange(1, count)
    edges = np.searchsorted(np.cumsum(density), 2.0 * index / count) + 1
    # No stratum may be empty: edges that coincide are pushed up, and leave room for those after them.
    edges = np.maximum.accumulate(edges - index) + index
    edges = np.minimum(edges, middle - count + index)
    return np.split(np.arange(1, middle + 1), edges)


def _curve(name: str, x: Sequence[float], weights: Sequence[float], values: Numbers) -> Curves:
    points = [finite_mean(column) for column in values.T]
    return {
        name: [point.value for point in points],
        f"{name}.x": list(x),
        f"{name}.low": [point.low for point in points],
        f"{name}.high": [point.high for point in points],
        f"{name}.weight": list(weights),
    }
