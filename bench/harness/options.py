"""Command-line options shared by several benchmarks."""

from collections.abc import Callable
from typing import Any

import click

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


device_option = click.option(
    "--device", default="cpu", show_default=True, metavar="D", help="cpu, cuda, cuda:N or mps."
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
