"""Cost of a training step against batch, image size, width and T, with fitted exponents."""

from typing import Any, Final

import click
import torch

from bench.harness.environment import OtherLoad, describe_machine
from bench.harness.interleaved import Rates, Work, exponents, run_interleaved
from bench.harness.options import device_option, network_option, seconds_option, threads_option
from bench.harness.report import Row, failure_notes, log_progress, make_row, report_result
from bench.harness.workloads import (
    endless_config,
    noise_set,
    recipe_config,
    set_threads,
    with_settings,
    work_from_trainer,
)
from core.config import RunConfig
from core.training.loop import Trainer
from core.training.malloc import disable_trim

BASE_POINT: Final = {"batch": 32, "size": 32, "width": 32, "T": 1000}
AXES: Final = {
    "batch": (16, 32, 64, 128),
    "size": (32, 64, 128),
    "width": (16, 32, 64),
    "T": (100, 1000, 10_000),
}
_BATCHES: Final = 4
_TRIAL_SECONDS: Final = 0.3


@click.command("scaling")
@network_option
@click.option(
    "--axis", "axes", multiple=True, type=click.Choice(tuple(AXES)), help="One of them; all unless given."
)
@seconds_option(120)
@device_option
@threads_option
def command(network: str, axes: tuple[str, ...], seconds: float, device: str, threads: int | None) -> None:
    """Cost of a training step against batch, image size, width and T."""
    machine, where = describe_machine(), torch.device(device)
    used = set_threads(threads, machine.cores)
    disable_trim()  # as workers do
    recipe = recipe_config(network)
    with OtherLoad() as others:
        points = scaling_points(axes or tuple(AXES))
        works = {label: scaling_work(recipe, point, where) for label, point in points.items()}
        failures: dict[str, str] = {}
        rates = run_interleaved(
            works, seconds=seconds, trial_seconds=_TRIAL_SECONDS, report=log_progress, failures=failures
        )
    report_result(
        "scaling",
        result_rows(rates, axes or tuple(AXES)),
        machine=machine,
        others=others.share,
        settings={"network": network, **BASE_POINT, "device": device, "threads": used},
        notes=[
            "One setting is changed at a time; the others are as above. An exponent is fitted in each round.",
            *failure_notes(failures),
        ],
        variant=network if where.type == "cpu" else f"{network}-{where.type}",
    )


def scaling_points(axes: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """The measured points by name, with the common point of all axes once."""
    points = {point_label("batch", BASE_POINT["batch"]): dict(BASE_POINT)}
    for axis in axes:
        for value in AXES[axis]:
            if value != BASE_POINT[axis]:
                points[point_label(axis, value)] = {**BASE_POINT, axis: value}
    return points


def point_label(axis: str, value: int) -> str:
    """The name of a point; the common point of all axes is ``base``."""
    return "base" if value == BASE_POINT[axis] else f"{axis} {value}"


def scaling_work(recipe: RunConfig, point: dict[str, int], device: torch.device) -> Work:
    """Training at one point; its work is in steps."""
    batch = point["batch"]
    changed: dict[str, dict[str, Any]] = {
        "model": {"width": point["width"]},
        "schedule": {"timesteps": point["T"]},
    }
    config = with_settings(endless_config(recipe, batch=batch), **changed)
    work = work_from_trainer(Trainer(config, noise_set(batch * _BATCHES, point["size"]), device))
    return lambda: work() / batch


def result_rows(rates: Rates, axes: tuple[str, ...]) -> list[Row]:
    """Milliseconds per step of each point, then the exponent of each axis."""
    costs = {label: [1.0 / rate for rate in values] for label, values in rates.items()}
    rows = [make_row(label, "ms a step", [1000 * cost for cost in values]) for label, values in costs.items()]
    for axis in axes:
        measured = [value for value in AXES[axis] if point_label(axis, value) in costs]
        if len(measured) < 2:
            continue  # the others failed
        fitted = exponents(measured, [costs[point_label(axis, value)] for value in measured])
        rows.append(make_row(f"{axis}, exponent", "", fitted, f"over {', '.join(map(str, measured))}"))
    return rows
