"""Roofline: achieved operations per second against those that the device reaches, and a profile of the rest.

Work is the floating-point operations of the network's forward and backward pass, counted by torch. The optimizer, the
EMA of the weights and the noise take time but count as no work. The references are a matrix product and a 3x3
convolution in the same dtype, interleaved with training, and so large that only arithmetic takes time.
"""

from typing import Final

import click
import torch

from bench.harness.environment import OtherLoad, describe_machine
from bench.harness.interleaved import Rates, Work, ratios, run_interleaved
from bench.harness.options import batch_option, device_option, network_option, seconds_option, threads_option
from bench.harness.report import Row, failure_notes, log_progress, make_row, report_result
from bench.harness.workloads import (
    endless_config,
    noise_set,
    recipe_config,
    set_threads,
    with_settings,
    work_from_trainer,
)
from bench.harness.yardsticks import (
    DTYPES,
    REFERENCE_SIZES,
    convolution_operations,
    convolutions,
    gflop_work,
    matrix_products,
    profile_operators,
    step_flops,
)
from core.training.loop import Trainer
from core.training.malloc import disable_trim
from core.training.precision import bf16_is_fast

TRAINING, MATRIX, CONVOLUTION = "training", "matrix product", "3x3 convolution"
_BATCHES: Final = 8
_MAX_OPERATORS: Final = 12


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
        failures: dict[str, str] = {}
        rates = run_interleaved(works, seconds=seconds, report=log_progress, failures=failures)
        profiles = {
            name: operator_shares(trainers[name]) for name in chosen if f"{TRAINING}, {name}" in rates
        }
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
            "Shares of time come from a profiler, which slows small operations down more than large ones.",
            *failure_notes(failures),
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
            convolution_operations(size),
            device,
        ),
    }


def operator_shares(trainer: Trainer) -> list[tuple[str, float]]:
    """The operators with the largest shares of training time, without the time of the operators that they call."""
    times = profile_operators(work_from_trainer(trainer), trainer.device)
    total = sum(one.microseconds for one in times) or 1.0
    return [(one.name, one.microseconds / total) for one in times[:_MAX_OPERATORS]]


def result_rows(rates: Rates, chosen: tuple[str, ...]) -> list[Row]:
    """GFLOP/s of each, then the ratio of training to each reference, round by round."""
    rows = [make_row(name, "GFLOP/s", values) for name, values in rates.items()]
    for name in chosen:
        for reference in (MATRIX, CONVOLUTION):
            shares = ratios(rates, f"{TRAINING}, {name}", f"{reference}, {name}")
            if shares:
                rows.append(make_row(f"{TRAINING} / {reference}, {name}", "times", shares))
    return rows


def profile_rows(profiles: dict[str, list[tuple[str, float]]]) -> list[Row]:
    """Rows of the operators of each profile."""
    return [
        make_row(f"{name}: {operator}", "share of time", [share])
        for name, shares in profiles.items()
        for operator, share in shares
    ]
