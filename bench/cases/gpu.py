"""GPU check in a few minutes: correctness against float64 on the CPU, then training speed.

The checks cover the forward pass (also in bfloat16), its gradients, the update of an optimizer step and the sample of
each sampler. Errors are of a whole tensor, relative to its norm. TF32 is off during the checks.
"""

import copy
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import click
import torch
from torch import Tensor, nn

from bench.baselines.worker_process import run_benchmarks
from bench.harness.environment import OtherLoad, describe_machine
from bench.harness.options import network_option
from bench.harness.report import Row, log_progress, make_row, report_result
from bench.harness.workloads import noise_set, plain_config, recipe_config, with_settings
from core.diffusion.gaussian import GaussianDiffusion
from core.diffusion.samplers.base import Model, SamplerOptions
from core.diffusion.samplers.registry import SAMPLERS, sample
from core.errors import UserError
from core.training.loop import Trainer

STEPS: Final = 10
MAX_RELATIVE_ERROR: Final = {"fp32": 1e-3, "bf16": 0.05}
"""Largest relative errors that rounding explains."""
TIME_SHARES: Final = {"limit": 0.3, "throughput": 0.25, "concurrency": 0.2, "scaling": 0.25}
"""Share of the time of each benchmark."""
_MIN_SECONDS: Final = 2.0


class Check(NamedTuple):
    """One comparison with float64 on the CPU."""

    name: str
    error: float
    limit: float

    @property
    def passed(self) -> bool:
        """True if rounding explains the error; never for NaN."""
        return self.error <= self.limit


@click.command("gpu")
@network_option
@click.option("--device", default="cuda", show_default=True, metavar="D", help="cuda, cuda:N, mps; or cpu.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=360,
    show_default=True,
    metavar="S",
    help="For the benchmarks, without what they take to start; checks come on top.",
)
@click.option("--checks-only", is_flag=True, help="No benchmarks.")
def command(network: str, device: str, seconds: float, checks_only: bool) -> None:
    """Correctness against float64 on the CPU, then all benchmarks of training. Under 8 minutes on an H100."""
    where = parse_device(device)
    machine = describe_machine()
    torch.set_num_threads(machine.cores)
    with OtherLoad() as others:
        checks = []
        for check in run_checks(network, where):
            log_progress(f"{check.name}: {'agrees' if check.passed else 'DIFFERS'}")
            checks.append(check)
    report_result(
        "gpu",
        result_rows(checks),
        machine=machine,
        others=others.share,
        settings={"network": network, "device": device, "sampling steps": STEPS},
        notes=["Relative errors against float64 on the CPU; speeds are in the tables that follow."],
        variant=f"{network}-{where.type}",
    )
    run_benchmarks(
        () if checks_only else benchmark_commands(network, device, seconds),
        failed=[check.name for check in checks if not check.passed],
    )


def parse_device(device: str) -> torch.device:
    """Parse a device and check that torch can use it here.

    Raises:
        UserError: it cannot.
    """
    try:
        where = torch.device(device)
    except RuntimeError as error:
        raise UserError(f"--device {device}: expected cuda, cuda:N, mps or cpu") from error
    there = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    if (where.index or 0) >= there.get(where.type, 0):
        raise UserError(
            f"--device {device}: torch finds none on this machine; --device cpu tries the checks there"
        )
    return where


def benchmark_commands(network: str, device: str, seconds: float) -> list[list[str]]:
    """The arguments of each benchmark."""
    return [
        [
            *(name, "--network", network, "--device", device),
            *("--seconds", f"{max(_MIN_SECONDS, share * seconds):g}"),
            *(
                ("--only", "ours", "--only", "ours, compiled", "--only", "the printed loop")
                if name == "throughput"
                else ()
            ),
        ]
        for name, share in TIME_SHARES.items()
    ]


def run_checks(network: str, device: torch.device, *, batch: int = 16, size: int = 32) -> Iterator[Check]:
    """Run all comparisons, one after the other.

    Args:
        network: ``lean`` or ``thesis``.
        device: the device to check.
        batch: number of images.
        size: size of an image.
    """
    recipe = with_settings(plain_config(recipe_config(network)), train={"batch_size": batch})
    trainer = Trainer(recipe, noise_set(batch, size), device)
    model, diffusion = trainer.model, trainer.diffusion
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # a new network outputs zero for every input, which any device gets right
        for p in model.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=generator).to(device))
    exact = copy.deepcopy(model).cpu().double()
    x0 = torch.rand((batch, 1, size, size), generator=generator) * 2 - 1
    eps = torch.randn(x0.shape, generator=generator)
    t = torch.randint(diffusion.timesteps, (batch,), generator=generator)
    with torch.backends.cudnn.flags(allow_tf32=False):
        yield from _forward_checks(
            model, exact, diffusion.q_sample(x0.to(device), t.to(device), eps.to(device)), t
        )
        yield from _step_checks(trainer, exact, x0, eps, t)
        for one in (model, exact):
            one.eval()
        noise = torch.randn((2, 1, size, size), generator=generator)
        for name in SAMPLERS:
            actual = _sample(name, model, diffusion, noise.to(device))
            expected = _sample(name, lambda xt, t: exact(xt.double(), t).float(), diffusion, noise)
            yield Check(f"sampler {name}", relative_error([actual], [expected]), MAX_RELATIVE_ERROR["fp32"])


def _forward_checks(model: nn.Module, exact: nn.Module, xt: Tensor, t: Tensor) -> Iterator[Check]:
    model.eval()
    exact.eval()
    t_on_device = t.to(xt.device)
    with torch.no_grad():
        expected = exact(xt.cpu().double(), t)
        for precision, limit in MAX_RELATIVE_ERROR.items():
            with torch.autocast(xt.device.type, torch.bfloat16, enabled=precision == "bf16"):
                actual = model(xt, t_on_device)
            yield Check(f"forward, {precision}", relative_error([actual], [expected]), limit)
    model.train()
    exact.train()


def _step_checks(trainer: Trainer, exact: nn.Module, x0: Tensor, eps: Tensor, t: Tensor) -> Iterator[Check]:
    """Check loss, gradients and an Adam step, which updates the weights of both networks."""
    rate = trainer.config.train.learning_rate
    optimizer = torch.optim.Adam(exact.parameters(), lr=rate)
    before = [p.detach().cpu().clone() for p in trainer.model.parameters()]
    losses = []
    for model, device, dtype in (
        (trainer.model, trainer.device, torch.float32),
        (exact, torch.device("cpu"), torch.float64),
    ):
        images, noise, timesteps = x0.to(device, dtype), eps.to(device, dtype), t.to(device)
        output = model(trainer.diffusion.q_sample(images, timesteps, noise), timesteps)
        loss = trainer.diffusion.loss(output, images, noise, timesteps).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
    yield Check("loss", relative_error(losses[:1], losses[1:]), MAX_RELATIVE_ERROR["fp32"])
    gradients = [[p.grad for p in one.parameters() if p.grad is not None] for one in (trainer.model, exact)]
    yield Check("gradients", relative_error(*gradients), MAX_RELATIVE_ERROR["fp32"])
    for one in (*trainer.optimizers, optimizer):
        one.step()
    moved = [
        [after.detach().cpu().double() - old for after, old in zip(model.parameters(), before, strict=True)]
        for model in (trainer.model, exact)
    ]
    # The first step of Adam is the gradient's sign, which rounding can flip for gradients close to zero.
    yield Check("step of the optimizer", relative_error(*moved), MAX_RELATIVE_ERROR["bf16"])


def _sample(name: str, model: Model, diffusion: GaussianDiffusion, noise: Tensor) -> Tensor:
    """Sample in ten steps, with float32 between the network calls so that random draws are the same."""
    generator = torch.Generator().manual_seed(1)
    return sample(name, model, diffusion, noise, SamplerOptions(steps=STEPS), generator=generator)


def relative_error(actual: Iterable[Tensor], expected: Iterable[Tensor]) -> float:
    """The relative error of all tensors concatenated; NaN if any value is NaN."""
    ours = torch.cat([value.detach().cpu().double().flatten() for value in actual])
    exact = torch.cat([value.detach().cpu().double().flatten() for value in expected])
    return float((ours - exact).norm() / exact.norm().clamp_min(1e-30))


def result_rows(checks: Iterable[Check]) -> list[Row]:
    """One row per check."""
    return [
        make_row(
            check.name,
            "relative error",
            [check.error],
            f"{'agrees' if check.passed else 'DIFFERS'}, limit {check.limit:g}",
        )
        for check in checks
    ]
