"""Command-line options shared by several benchmarks."""

from collections.abc import Callable
from typing import Any

import click

from core.data import find_data_recipe
from core.launch.devices import make_plan

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def seconds_option(default: float) -> Decorator:
    """The option for the total time of a benchmark."""
    return click.option(
        "--seconds",
        type=click.FloatRange(min=0, min_open=True),
        default=default,
        show_default=True,
        metavar="S",
        help="Total time, warm-up included; a few rounds are run in any case.",
    )


def _checked_device(context: click.Context, parameter: click.Parameter, device: str) -> str:
    make_plan(device)
    return device


def _checked_dataset(context: click.Context, parameter: click.Parameter, dataset: str) -> str:
    find_data_recipe(dataset)
    return dataset


device_option = click.option(
    "--device",
    default="cpu",
    show_default=True,
    metavar="D",
    help="cpu, cuda, cuda:N or mps.",
    callback=_checked_device,
)

dataset_option = click.option(
    "--dataset", default="high", show_default=True, metavar="NAME", callback=_checked_dataset
)

threads_option = click.option(
    "--threads", type=click.IntRange(1), metavar="N", help="OpenMP threads; one per core unless given."
)

network_option = click.option(
    "--network", type=click.Choice(("lean", "thesis")), default="lean", show_default=True
)

batch_option = click.option(
    "--batch", type=click.IntRange(16), metavar="N", help="Images per step; the recipe's unless given."
)
