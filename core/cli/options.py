"""Options that several commands share."""

import os
from pathlib import Path
from typing import Final, get_args, get_type_hints

import click
import msgspec

from core.config import RunConfig, SampleConfig
from core.launch.devices import make_plan
from core.spacing import SPACINGS, Spacing

SAMPLERS: Final = get_args(get_type_hints(SampleConfig)["sampler"])

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
    help="auto (all GPUs, else Apple's, else the CPU), cpu, cuda, cuda:N or mps.",
)
slots_option = click.option(
    "--slots",
    type=click.IntRange(1),
    metavar="N",
    help="Runs at once; decided by cores and GPUs unless given.",
)
sampler_option = click.option("--sampler", type=click.Choice(SAMPLERS), help="The run's own unless given.")
spacing_option = click.option(
    "--spacing",
    type=click.Choice(SPACINGS),
    help="Which timesteps are visited; the run's own unless given.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Write JSON, with the keys of docs/cli.md."
)


def with_spacing(config: RunConfig, spacing: Spacing | None) -> RunConfig:
    """A run's configuration with the spacing that was asked for, if any was."""
    if spacing is None:
        return config
    return msgspec.structs.replace(config, sample=msgspec.structs.replace(config.sample, spacing=spacing))


def prepare_torch(device: str) -> str:
    """Get ready to compute beside runs that train; to be called before torch is imported.

    Args:
        device: as for `--device`.

    Returns:
        What torch calls it, for example ``cuda:0``.

    Raises:
        UserError: no such device here.
    """
    # Threads that spin while they wait would starve the runs that train beside us.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return make_plan(device).devices[0].name
