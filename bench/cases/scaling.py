"""What a training step costs as batch, picture size, width or T grow, and the exponents of that."""

from typing import Any, Final

import click
import torch

from bench.harness.environment import OtherLoad, describe
from bench.harness.interleaved import Rates, Work, exponents, race
from bench.harness.options import device_option, network_option, seconds_option, threads_option
from bench.harness.report import Row, finish, row, say
from bench.harness.workloads import endless, noise_set, recipe_of, set_threads, with_settings, work_of
from core.config import RunConfig
from core.training.loop import Trainer
from core.training.malloc import disable_trim

BASE: Final = {"batch": 32, "size": 32, "width": 32, "T": 1000}
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
    """Cost of a training step against batch, picture size, width and T."""
    machine, where = describe(), torch.device(device)
    used = set_threads(threads, machine.cores)
    disable_trim()  # as workers do
    recipe = recipe_of(network)
    with OtherLoad() as others:
        points = points_of(axes or tuple(AXES))
        works = {label: work_at(recipe, point, where) for label, point in points.items()}
        rates = race(works, seconds=seconds, trial_seconds=_TRIAL_SECONDS, report=say)
    finish(
        "scaling",
        rows_of(rates, axes or tuple(AXES)),
        machine=machine,
        others=others.share,
        settings={"network": network, **BASE, "device": device, "threads": used},
        notes=[
            "One thing is changed at a time; the others are as above. An exponent is fitted in each round."
        ],
        variant=network if where.type == "cpu" else f"{network}-{where.type}",
    )


def points_of(axes: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """What is measured, by name; the common point of all axes once."""
    points = {label_of("batch", BASE["batch"]): dict(BASE)}
    for axis in axes:
        for value in AXES[axis]:
            if value != BASE[axis]:
                points[label_of(axis, value)] = {**BASE, axis: value}
    return points


def label_of(axis: str, value: int) -> str:
    """The name of a point; the one that all axes have is ``base``."""
    return "base" if value == BASE[axis] else f"{axis} {value}"


def work_at(recipe: RunConfig, point: dict[str, int], device: torch.device) -> Work:
    """Training at one point; its work is counted in steps."""
    batch = point["batch"]
    changed: dict[str, dict[str, Any]] = {
        "model": {"width": point["width"]},
        "schedule": {"timesteps": point["T"]},
    }
    config = with_settings(endless(recipe, batch=batch), **changed)
    work = work_of(Trainer(config, noise_set(batch * _BATCHES, point["size"]), device))
    return lambda: work() / batch


def rows_of(rates: Rates, axes: tuple[str, ...]) -> list[Row]:
    """Milliseconds a step of each point, then the exponent of each axis."""
    costs = {label: [1.0 / rate for rate in values] for label, values in rates.items()}
    rows = [row(label, "ms a step", [1000 * cost for cost in values]) for label, values in costs.items()]
    for axis in axes:
        fitted = exponents(AXES[axis], [costs[label_of(axis, value)] for value in AXES[axis]])
        rows.append(row(f"{axis}, exponent", "", fitted, f"over {', '.join(map(str, AXES[axis]))}"))
    return rows
