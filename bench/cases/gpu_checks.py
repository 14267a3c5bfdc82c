"""Correctness of a device: its float32 and bfloat16 against float64 on the CPU, relative to those of the CPU.

Rounding alone gives errors that depend on the network: an activation near zero changes its sign, and a gradient with
it. So an error is compared with the error that the CPU makes in the same dtype, over several orders of summation. A
device may have a few times that, or `FLOOR` where the CPU has next to none.

The optimizers get the same gradients on all devices, because the first step of Adam is the gradient's sign. The
samplers get a smooth network, because a random one with BatchNorm is chaotic over ten calls.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor, nn

from bench.harness.workloads import noise_set, plain_config, recipe_config, with_settings
from core.config import RunConfig
from core.diffusion.gaussian import GaussianDiffusion
from core.diffusion.samplers.base import Model, SamplerOptions
from core.diffusion.samplers.registry import SAMPLERS, sample
from core.training.loop import Trainer

SAMPLING_STEPS: Final = 10
FACTORS: Final = {"fp32": 10.0, "bf16": 3.0}
"""Largest multiples of the CPU's own error in the same dtype."""
FLOORS: Final = {"fp32": 1e-4, "bf16": 0.01}
"""Relative errors that are never too large; TF32 alone has more than that of fp32."""
CEILING: Final = 0.2
"""Relative error of the CPU above which a comparison says nothing."""
MUON_FLOOR: Final = 0.05
"""For updates of Muon, whose matrix products may be in bfloat16."""
_ORDERS: Final = 2
_OPTIMIZER_STEPS: Final = (1.0, -0.5, 0.25)
"""Factors of the gradients in consecutive steps."""

Precision = Literal["fp32", "bf16"]


class Check(NamedTuple):
    """One comparison with float64 on the CPU.

    Attributes:
        name: of the compared quantity.
        error: relative error of the device.
        reference: largest relative error of the CPU in the same dtype.
        limit: largest relative error that rounding explains.
    """

    name: str
    error: float
    reference: float
    limit: float

    @property
    def passed(self) -> bool:
        """True if rounding explains the error; never for NaN."""
        return self.error <= self.limit and self.reference <= CEILING


def make_check(
    name: str,
    error: float,
    references: Sequence[float],
    precision: Precision = "fp32",
    floor: float | None = None,
) -> Check:
    """A check whose limit follows from the errors of the CPU."""
    reference = float(torch.tensor(references).max())  # NaN if any is
    smallest = FLOORS[precision] if floor is None else floor
    return Check(name, error, reference, max(smallest, FACTORS[precision] * reference))


class Replica:
    """The same training on one device in one dtype, all replicas starting from the same weights.

    Args:
        config: the configuration.
        device: the device.
        batch: number of images.
        size: size of an image.
        like: the replica with the weights; None draws them.
        dtype: of weights and images.
    """

    def __init__(
        self,
        config: RunConfig,
        device: torch.device,
        *,
        batch: int,
        size: int,
        like: "Replica | None" = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.device, self.dtype = device, dtype
        self.trainer = Trainer(config, noise_set(batch, size), device)
        self.model = self.trainer.model.to(dtype)  # in place, so the optimizers keep their parameters
        with torch.no_grad():
            if like is None:
                generator = torch.Generator().manual_seed(0)
                for p in self.model.parameters():
                    if not p.any():  # a new network outputs zero for every input, which any device gets right
                        p.copy_(0.05 * torch.randn(p.shape, generator=generator))
            else:
                self.model.load_state_dict(like.model.state_dict())

    def output(self, xt: Tensor, t: Tensor, *, bf16: bool = False) -> Tensor:
        """The network's output for noised images."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            found: Tensor = self.model(xt.to(self.device, self.dtype), t.to(self.device))
        return found

    def loss_and_gradients(
        self, x0: Tensor, eps: Tensor, t: Tensor, *, training: bool
    ) -> tuple[Tensor, list[Tensor]]:
        """The mean loss of a batch, and its gradients by all parameters."""
        self.model.train(training)
        x0, eps, t = x0.to(self.device, self.dtype), eps.to(self.device, self.dtype), t.to(self.device)
        output = self.output(self.trainer.diffusion.q_sample(x0, t, eps), t)
        loss = self.trainer.diffusion.loss(output, x0, eps, t).mean()
        return loss.detach(), list(torch.autograd.grad(loss, list(self.model.parameters())))

    def updates(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """The changes of all parameters, on the CPU, in steps of the optimizers with these gradients."""
        parameters = list(self.model.parameters())
        before = [p.detach().to("cpu", torch.float64, copy=True) for p in parameters]
        for factor in _OPTIMIZER_STEPS:
            for p, gradient in zip(parameters, gradients, strict=True):
                p.grad = (factor * gradient).to(p.device, p.dtype)
            for optimizer in self.trainer.optimizers:
                optimizer.step()
        return [p.detach().cpu().double() - old for p, old in zip(parameters, before, strict=True)]


class SmoothNetwork(nn.Module):
    """A network whose output changes smoothly with its input, for ten calls in a row without chaos."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 1, 3, padding=1)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(0.2 * torch.randn(p.shape, generator=generator))

    def forward(self, xt: Tensor, t: Tensor) -> Tensor:
        """Map noised images [N, 1, H, W] and timesteps [N] to an output like xt."""
        phase = t.to(xt.dtype)[:, None, None, None] / 300
        found: Tensor = self.outer(torch.tanh(self.inner(xt) + torch.sin(phase)))
        return 0.5 * torch.tanh(xt) + 0.5 * torch.tanh(found)


@contextlib.contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Compute float32 with all of its bits, by the libraries that also train: cuDNN stays enabled.

    Raises:
        RuntimeError: cuDNN is disabled all the same, so that the checks would test other kernels.
    """
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        if not torch.backends.cudnn.enabled:
            raise RuntimeError("cuDNN is disabled: expected the kernels that also train")
        yield


def check_names(network: str) -> list[str]:
    """The names of all comparisons, in their order."""
    return [
        *("forward, fp32", "forward, bf16"),
        *(f"{value}, {mode}" for mode in ("eval", "training") for value in ("loss", "gradients")),
        f"updates of {recipe_config(network).train.optimizer}",
        *(f"sampler {name}" for name in SAMPLERS),
    ]


def run_checks(
    network: str, device: torch.device, *, batch: int = 16, size: int = 32, width: int | None = None
) -> Iterator[Check]:
    """Run all comparisons, one after the other.

    Args:
        network: ``lean`` or ``thesis``.
        device: the device to check.
        batch: number of images.
        size: size of an image.
        width: width of the network; the recipe's unless given.
    """
    recipe = recipe_config(network)
    config = with_settings(
        plain_config(recipe),
        train={"batch_size": batch, "optimizer": recipe.train.optimizer},
        model={"width": width or recipe.model.width},
    )
    cpu = torch.device("cpu")
    with exact_arithmetic():
        reference = Replica(config, cpu, batch=batch, size=size)
        exact = Replica(config, cpu, batch=batch, size=size, like=reference, dtype=torch.float64)
        checked = Replica(config, device, batch=batch, size=size, like=reference)
        generator = torch.Generator().manual_seed(1)
        x0 = torch.rand((batch, 1, size, size), generator=generator) * 2 - 1
        eps = torch.randn(x0.shape, generator=generator)
        t = torch.randint(exact.trainer.diffusion.timesteps, (batch,), generator=generator)
        yield from _forward_checks(checked, reference, exact, x0, eps, t)
        yield from _step_checks(checked, reference, exact, recipe.train.optimizer, x0, eps, t)
        yield from _sampler_checks(checked.device, exact.trainer.diffusion, size)


def _forward_checks(
    checked: Replica, reference: Replica, exact: Replica, x0: Tensor, eps: Tensor, t: Tensor
) -> Iterator[Check]:
    xt = exact.trainer.diffusion.q_sample(x0, t, eps)
    for replica in (checked, reference, exact):
        replica.model.eval()
    with torch.no_grad():
        expected = exact.output(xt, t)
        for precision in FACTORS:
            bf16 = precision == "bf16"
            errors = [
                relative_error(
                    [reference.output(xt.roll(k, 0), t.roll(k), bf16=bf16).roll(-k, 0)], [expected]
                )
                for k in _shifts(len(t))
            ]
            error = relative_error([checked.output(xt, t, bf16=bf16)], [expected])
            yield make_check(f"forward, {precision}", error, errors, "bf16" if bf16 else "fp32")


def _step_checks(
    checked: Replica,
    reference: Replica,
    exact: Replica,
    optimizer: str,
    x0: Tensor,
    eps: Tensor,
    t: Tensor,
) -> Iterator[Check]:
    # A random network with BatchNorm amplifies rounding a thousand times, so only eval mode shows small mistakes. It
    # comes first, because each call in training mode changes the statistics.
    for mode in ("eval", "training"):
        training = mode == "training"
        exact_loss, exact_gradients = exact.loss_and_gradients(x0, eps, t, training=training)
        loss_errors, gradient_errors = [], []
        for k in _shifts(len(t)):
            loss, gradients = reference.loss_and_gradients(
                x0.roll(k, 0), eps.roll(k, 0), t.roll(k), training=training
            )
            loss_errors.append(relative_error([loss], [exact_loss]))
            gradient_errors.append(relative_error(gradients, exact_gradients))
        loss, gradients = checked.loss_and_gradients(x0, eps, t, training=training)
        yield make_check(f"loss, {mode}", relative_error([loss], [exact_loss]), loss_errors)
        yield make_check(f"gradients, {mode}", relative_error(gradients, exact_gradients), gradient_errors)
    same = [gradient.float() for gradient in exact_gradients]
    expected = exact.updates(same)
    yield make_check(
        f"updates of {optimizer}",
        relative_error(checked.updates(same), expected),
        [relative_error(reference.updates(same), expected)],
        floor=MUON_FLOOR if optimizer == "muon" else None,
    )


def _sampler_checks(device: torch.device, diffusion: GaussianDiffusion, size: int) -> Iterator[Check]:
    smooth, smooth_exact = SmoothNetwork(), SmoothNetwork().double()
    smooth_checked = SmoothNetwork().to(device)
    noise = torch.randn((4, 1, size, size), generator=torch.Generator().manual_seed(2))
    for name in SAMPLERS:
        # Float32 between the calls, so that random draws are the same.
        expected = _sample(name, lambda xt, t: smooth_exact(xt.double(), t).float(), diffusion, noise)
        reference = _sample(name, smooth, diffusion, noise)
        actual = _sample(name, smooth_checked, diffusion, noise.to(device))
        yield make_check(
            f"sampler {name}",
            relative_error([actual], [expected]),
            [relative_error([reference], [expected])],
        )


def _sample(name: str, model: Model, diffusion: GaussianDiffusion, noise: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return sample(name, model, diffusion, noise, SamplerOptions(steps=SAMPLING_STEPS), generator=generator)


def _shifts(batch: int) -> range:
    """Rotations of a batch, each with another order of summation."""
    return range(min(_ORDERS, batch))


def relative_error(actual: Iterable[Tensor], expected: Iterable[Tensor]) -> float:
    """The relative error of all tensors together, by their norm; NaN if any value is NaN."""
    difference = total = 0.0
    for ours, exact in zip(actual, expected, strict=True):
        wanted = exact.detach().cpu().double()
        difference += float((ours.detach().cpu().double() - wanted).square().sum())
        total += float(wanted.square().sum())
    return float((difference / max(total, 1e-60)) ** 0.5)
