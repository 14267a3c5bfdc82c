"""Options that several commands share."""

import functools
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from core.config import SamplingOverrides
from core.launch.devices import make_plan
from core.sampling_names import CLIPS, SAMPLER_NAMES, SPACINGS

runs_option = click.option(
    "--runs",
    "root",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs"),
    show_default=True,
    metavar="DIR",
    help="The folder of the runs.",
)
device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="DEVICE",
    help="auto (all GPUs, else Apple's, else the CPU), cpu, cuda, cuda:N or mps; cuda:0+cuda:1: one run on both.",
)
no_start_option = click.option(
    "--no-start", is_flag=True, help="Queue only, and start nothing; torchrun then starts the worker, say."
)
slots_option = click.option(
    "--slots",
    type=click.IntRange(1),
    metavar="N",
    help="Runs at once; decided by cores and GPUs unless given.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Write JSON, with the keys of docs/cli.md."
)


def set_option(help: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The option that changes settings; the command gets what was given as `overrides`.

    Args:
        help: what it changes in this command.
    """
    return click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help=help)


def sampling_options(steps: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options that say how pictures are drawn; the command gets what they say as one `drawing`.

    Args:
        steps: what a number of steps means to this command.
    """
    options = (
        click.option("--sampler", type=click.Choice(SAMPLER_NAMES), help="The run's own unless given."),
        click.option("--steps", type=click.IntRange(1), metavar="K", help=steps),
        click.option(
            "--eta",
            type=click.FloatRange(0, 2),
            metavar="E",
            help="Of ddim, dpm++ and churn: how much noise each step adds, from 0 to 2; the run's own unless given.",
        ),
        click.option(
            "--spacing",
            type=click.Choice(SPACINGS),
            help="Which timesteps are visited; the run's own unless given.",
        ),
        click.option(
            "--clip",
            type=click.Choice(CLIPS),
            help="What is done to each foreseen picture; the run's own unless given.",
        ),
    )

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def with_drawing(**given: Any) -> None:
            names = (field.name for field in fields(SamplingOverrides))
            command(drawing=SamplingOverrides(**{name: given.pop(name) for name in names}), **given)

        for option in reversed(options):
            with_drawing = option(with_drawing)
        return with_drawing

    return decorate


def prepare_torch(device: str) -> str:
    """Get ready to compute beside runs that train; to be called before torch is imported.

    Args:
        device: as for `--device`.

    Returns:
        What torch calls it, for example ``cuda:0``; the first, where several are named.

    Raises:
        UserError: no such device here.
    """
    # Threads that spin while they wait would starve the runs that train beside us; but as most waits are for some
    # microseconds, those that never spin are a third slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    return make_plan(device).first_device
