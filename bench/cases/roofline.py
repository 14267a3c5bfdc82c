"""Roofline: achieved operations per second against those that the device reaches, and a profile of the rest.

Work is the floating-point operations of the network's forward and backward pass, counted by torch. The optimizer, the
EMA of the weights and the noise take time but count as no work. The references are a matrix product and a 3x3
convolution in the same dtype, interleaved with training, and so large that only arithmetic takes time.
"""

import copy
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import click
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from bench.harness.environment import OtherLoad, describe_machine
from bench.harness.interleaved import Rates, Work, ratios, run_interleaved
from bench.harness.options import batch_option, device_option, network_option, seconds_option, threads_option
from bench.harness.report import Row, log_progress, make_row, report_result
from bench.harness.workloads import (
    endless_config,
    noise_set,
    recipe_config,
    set_threads,
    with_settings,
    work_from_steps,
    work_from_trainer,
)
from core.training.loop import Trainer
from core.training.malloc import disable_trim
from core.training.precision import bf16_is_fast

DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16}
TRAINING, MATRIX, CONVOLUTION = "training", "matrix product", "3x3 convolution"
_BATCHES: Final = 8
_MAX_OPERATORS: Final = 12


class ReferenceSize(NamedTuple):
    """Sizes of the reference operations: an n x n matrix, and images [batch, channels, size, size]."""

    n: int
    batch: int
    channels: int
    size: int


REFERENCE_SIZES: Final = {"cpu": ReferenceSize(2048, 32, 128, 32), "other": ReferenceSize(8192, 128, 256, 64)}


@click.command("limit")
@network_option
@batch_option
@click.option(
    "--precision",
    type=click.Choice(tuple(DTYPES)),
    multiple=True,
    help="One of them; fp32 unless given, and bf16 where that is fast.",
)
@seconds_option(90)
@device_option
@threads_option
def command(
    network: str,
    batch: int | None,
    precision: tuple[str, ...],
    seconds: float,
    device: str,
    threads: int | None,
) -> None:
    """Achieved operations per second against those that the device reaches, and a profile."""
    machine, where = describe_machine(), torch.device(device)
    used = set_threads(threads, machine.cores)
    disable_trim()  # as workers do
    recipe = recipe_config(network)
    batch = batch or recipe.train.batch_size
    chosen = precision or (tuple(DTYPES) if bf16_is_fast(where) else ("fp32",))
    with OtherLoad() as others:
        works: dict[str, Work] = {}
        trainers = {}
        for name in chosen:
            config = endless_config(with_settings(recipe, train={"precision": name}), batch=batch)
            trainers[name] = Trainer(config, noise_set(batch * _BATCHES, 32), where)
            works |= roofline_work(name, trainers[name], where)
        operations = step_flops(trainers[chosen[0]], batch)
        rates = run_interleaved(works, seconds=seconds, report=log_progress)
        profiles = {name: operator_shares(trainers[name]) for name in chosen}
    report_result(
        "limit",
        [*result_rows(rates, chosen), *profile_rows(profiles)],
        machine=machine,
        others=others.share,
        settings={
            "network": network,
            "batch": batch,
            "size": 32,
            "GFLOP a step": round(operations / 1e9, 2),
            "optimizer": recipe.train.optimizer,
            "device": device,
            "threads": used,
        },
        notes=[
            "Shares of time come from a profiler, which slows small operations down more than large ones."
        ],
        variant=f"{network}-{batch}" if where.type == "cpu" else f"{network}-{batch}-{where.type}",
    )


def roofline_work(name: str, trainer: Trainer, device: torch.device) -> dict[str, Work]:
    """Training and both references in one dtype; their work is in GFLOP."""
    batch = trainer.config.train.batch_size
    step = step_flops(trainer, batch) / 1e9
    train = work_from_trainer(trainer)
    size = REFERENCE_SIZES.get(device.type, REFERENCE_SIZES["other"])
    dtype = DTYPES[name]
    return {
        f"{TRAINING}, {name}": lambda: train() / batch * step,
        f"{MATRIX}, {name}": gflop_work(matrix_products(size.n, dtype, device), 2 * size.n**3, device),
        f"{CONVOLUTION}, {name}": gflop_work(
            convolutions(size, dtype, device),
            2 * size.batch * size.size**2 * size.channels**2 * 9,
            device,
        ),
    }


def step_flops(trainer: Trainer, batch: int) -> int:
    """Floating-point operations of the network, forward and backward, for a batch; a multiply-add counts as two.

    Reference: `torch.utils.flop_counter`, which counts convolutions, matrix products and attention.
    """
    shape = (batch, trainer.channels, trainer.size, trainer.size)
    xt = torch.zeros(shape, device=trainer.device)
    t = torch.zeros(batch, dtype=torch.int64, device=trainer.device)
    # A copy, so that neither the gradients nor the BatchNorm statistics of the trained network change. Attention is
    # counted as plain matrix products, because the counter does not know the fused kernel of a CPU.
    model = copy.deepcopy(trainer.model)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(xt, t).sum().backward()
    return int(counter.get_total_flops())


def matrix_products(n: int, dtype: torch.dtype, device: torch.device) -> Iterator[int]:
    """Products of two n x n matrices, one after the other."""
    generator = torch.Generator(device).manual_seed(0)
    a, b = (torch.randn((n, n), generator=generator, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    while True:
        torch.mm(a, b, out=out)
        yield 1


def convolutions(size: ReferenceSize, dtype: torch.dtype, device: torch.device) -> Iterator[int]:
    """3x3 convolutions with as many output as input channels, in channels_last memory, forward only."""
    generator = torch.Generator(device).manual_seed(0)

    def draw(*shape: int) -> Tensor:
        drawn = torch.randn(shape, generator=generator, device=device)
        return drawn.to(dtype).to(memory_format=torch.channels_last)

    x = draw(size.batch, size.channels, size.size, size.size)
    kernel = draw(size.channels, size.channels, 3, 3)
    while True:
        with torch.no_grad():
            nn.functional.conv2d(x, kernel, padding=1)
        yield 1


def gflop_work(steps: Iterator[int], operations: int, device: torch.device) -> Work:
    """Repeated operations as work in GFLOP."""
    work = work_from_steps(steps, device)
    return lambda: work() * operations / 1e9


def operator_shares(trainer: Trainer) -> list[tuple[str, float]]:
    """The operators with the largest shares of training time, without the time of the operators that they call."""
    work = work_from_trainer(trainer)
    on_gpu = trainer.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as profiler:
        work()
    events: list[Any] = list(profiler.key_averages())
    times = {
        event.key: event.self_device_time_total if on_gpu else event.self_cpu_time_total for event in events
    }
    total = sum(times.values()) or 1.0
    largest = sorted(times.items(), key=lambda item: -item[1])[:_MAX_OPERATORS]
    return [(name, time / total) for name, time in largest]


def result_rows(rates: Rates, chosen: tuple[str, ...]) -> list[Row]:
    """GFLOP/s of each, then the ratio of training to each reference, round by round."""
    rows = [make_row(name, "GFLOP/s", values) for name, values in rates.items()]
    for name in chosen:
        for reference in (MATRIX, CONVOLUTION):
            shares = ratios(rates, f"{TRAINING}, {name}", f"{reference}, {name}")
            rows.append(make_row(f"{TRAINING} / {reference}, {name}", "times", shares))
    return rows


def profile_rows(profiles: dict[str, list[tuple[str, float]]]) -> list[Row]:
    """Rows of the operators of each profile."""
    return [
        make_row(f"{name}: {operator}", "share of time", [share])
        for name, shares in profiles.items()
        for operator, share in shares
    ]
