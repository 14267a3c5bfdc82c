"""Guidance: predictions moved away from those of a worse predictor, as a wrapper that every sampler can call.

The worse predictor is the network without the label (classifier-free guidance), or another network, such as an earlier
checkpoint (autoguidance). The predicted noise is eps = eps_weak + w (eps_good - eps_weak). At given xt and t the noise
is affine in the output of the network with one slope for both, so the outputs themselves are mixed, whatever they
predict.

References: Ho & Salimans 2022, eq. 6, whose w is w - 1 here; Karras et al. 2024, "Guiding a Diffusion Model with a Bad
Version of Itself", eq. 3; Kynkäänniemi et al. 2024 for the interval.
"""

import math
from typing import Final

import torch
from torch import Tensor, nn

from core.diffusion.gaussian import GaussianDiffusion
from core.diffusion.samplers.base import Model

ALWAYS: Final = (-math.inf, math.inf)
"""Interval that includes all log SNRs."""


class Labelled:
    """A network with the labels of its images given, as a function of xt and t.

    Args:
        network: of (xt, t, labels).
        labels: int64 [N], the classes of the images that will be sampled.
    """

    def __init__(self, network: nn.Module, labels: Tensor) -> None:
        self._network, self._labels = network, labels

    def __call__(self, xt: Tensor, t: Tensor) -> Tensor:
        """Predict for xt [N, C, H, W] at timesteps t [N]; like xt."""
        output: Tensor = self._network(xt, t, self._labels)
        return output


class Guided:
    """A predictor guided by a worse one.

    Outside the interval only the good predictor is called.

    Args:
        good: the predictor.
        weak: the worse one, whose output means the same.
        weight: w; 1 is the good predictor alone, 0 the weak one.
        diffusion: the process of both.
        interval: log SNRs, lowest and highest, between which predictions are guided.
    """

    def __init__(
        self,
        good: Model,
        weak: Model,
        weight: float,
        diffusion: GaussianDiffusion,
        interval: tuple[float, float] = ALWAYS,
    ) -> None:
        self._good, self._weak, self._weight = good, weak, weight
        low, high = interval
        self._applies = [low <= float(log_snr) <= high for log_snr in diffusion.schedule.log_snr]

    def __call__(self, xt: Tensor, t: Tensor) -> Tensor:
        """Predict for xt [N, C, H, W] at one timestep, t int64 [N] with equal values; like xt."""
        good = self._good(xt, t)
        if not self._applies[int(t[0])]:
            return good
        weak = self._weak(xt, t)
        return weak + self._weight * (good - weak)


def label_predictor(
    network: nn.Module,
    diffusion: GaussianDiffusion,
    labels: Tensor | None,
    *,
    guidance: float = 1.0,
    interval: tuple[float, float] | None = None,
) -> Model:
    """Return the predictor that samples images of given classes.

    Args:
        network: of (xt, t, labels), trained with some labels left out.
        diffusion: its process.
        labels: int64 [N]; None returns the network itself, which predicts without labels.
        guidance: w; 1 is no guidance.
        interval: log SNRs between which predictions are guided; None is all.
    """
    if labels is None:
        return network
    labelled = Labelled(network, labels)
    if guidance == 1.0:
        return labelled
    return Guided(labelled, network, guidance, diffusion, interval or ALWAYS)


def autoguided(
    network: nn.Module,
    weak: nn.Module,
    diffusion: GaussianDiffusion,
    labels: Tensor | None,
    *,
    guidance: float,
    interval: tuple[float, float] | None = None,
) -> Model:
    """Return the predictor of a network that is guided by a worse one of the same process (Karras et al. 2024).

    Arguments are those of `label_predictor`; with labels both networks are given them.
    """
    good, bad = (net if labels is None else Labelled(net, labels) for net in (network, weak))
    return good if guidance == 1.0 else Guided(good, bad, guidance, diffusion, interval or ALWAYS)


def cycled_labels(count: int, classes: int) -> Tensor:
    """Return labels of `count` images that take the classes in turn: i mod K, int64 [count]."""
    return torch.arange(count) % classes
