"""Options and arguments that several commands share."""

import functools
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from core.cli.output import note, note_library_messages
from core.config import RunConfig, SamplingOverrides
from core.config.launch import LaunchConfig
from core.errors import UserError
from core.files.environment import require_memory_for_torch
from core.launch.devices import Plan, make_plan
from core.launch.engines.registry import check_engine
from core.launch.subprocess_env import GPU_ORDER
from core.sampling_names import CLIPS, SAMPLER_NAMES, SPACINGS, START_NAMES


class GivenPath(click.Path):
    """A path that is not empty, because an empty one, of a variable that is not set, would be the working directory."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert a value as `click.Path` does, unless it is empty."""
        if value == "":
            hint = "; give . for the working directory" if self.dir_okay else ""
            self.fail(f"expected a path, got an empty one{hint}", param, ctx)
        return super().convert(value, param, ctx)


class FiniteRange(click.FloatRange):
    """A number in a range; nan, which no comparison excludes, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert a value as `click.FloatRange` does, unless it is not a number."""
        number = super().convert(value, param, ctx)
        if number != number:
            self.fail(f"expected a number, got {value}", param, ctx)
        return number


class LogSnrInterval(click.ParamType):  # type: ignore[type-arg]
    """Two log SNRs, the lower one first, separated by a comma."""

    name = "interval"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert text such as -3,2 to a tuple."""
        if not isinstance(value, str):
            return value
        try:
            low, high = (float(part) for part in value.split(","))
        except ValueError:
            self.fail(f"expected two log SNRs, such as -3,2, got {value!r}", param, ctx)
        if not low < high:
            self.fail(f"expected the lower log SNR first, got {value}", param, ctx)
        return low, high


class LevelList(click.ParamType):  # type: ignore[type-arg]  # no parameters in older versions
    """A list of log SNRs, or a file of them; see `core.config.sampling_levels.read_levels`."""

    name = "levels"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert a list or the path of a file to log SNRs."""
        from core.config.sampling_levels import read_levels  # numpy takes a moment to import

        return read_levels(value) if isinstance(value, str) else value


COUNT = click.IntRange(1, 10_000_000)
"""A number of images or of epochs."""
SEED = click.IntRange(0, 2**63 - 1)
"""A seed of torch's generators."""
STEPS = click.IntRange(1, 1_000_000)
"""A number of network calls, or a timestep."""
SLOTS = click.IntRange(1, 10_000)

runs_option = click.option(
    "--runs",
    "root",
    type=GivenPath(file_okay=False, path_type=Path),
    default=Path("runs"),
    show_default=True,
    metavar="DIR",
    help="Folder of the runs.",
)
device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="DEVICE",
    help="auto (all GPUs, else Apple's, else the CPU), cpu, cuda, cuda:N or mps; cuda:0+cuda:1 trains one run on both.",
)
no_start_option = click.option(
    "--no-start", is_flag=True, help="Only queue; core runs start, or torchrun, starts the runs."
)
launch_option = click.option(
    "--launch",
    "engine",
    metavar="ENGINE",
    help="What starts the runs: local (the queue of this machine), slurm or ray; by default, as [launch] says.",
)
slots_option = click.option(
    "--slots",
    type=SLOTS,
    metavar="N",
    help="Number of runs at once; by default, decided by cores and GPUs.",
)
runs_argument = click.argument("selectors", nargs=-1, metavar="[RUN]...")
all_option = click.option("--all", "everything", is_flag=True, help="Select all runs in the folder.")
image_option = click.option(
    "--picture",
    "image",
    type=GivenPath(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Your own image for figure 5.2; by default, a held-out one of the data.",
)
checkpoint_option = click.option(
    "--checkpoint",
    type=click.Choice(("last", "best")),
    default="last",
    show_default=True,
    help="Weights of the last checkpoint, or of the best epoch, if the run keeps them (train.keep_best).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON with the keys in docs/cli.md.")


def set_option(help: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the ``--set`` option, which passes its values to the command as `overrides`.

    Args:
        help: describes the changed settings for this command.
    """
    return click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help=help)


def sampling_options(
    steps: str, *, start: bool = True
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that adds the sampling options, passed to the command as one `sampling`.

    Args:
        steps: the help text of ``--steps``, whose meaning depends on the command.
        start: add ``--start`` too.
    """
    options = (
        click.option(
            "--sampler", type=click.Choice(SAMPLER_NAMES), help="Sampler; by default, the run's own."
        ),
        click.option("--steps", type=STEPS, metavar="K", help=steps),
        click.option(
            "--eta",
            type=FiniteRange(0, 2),
            metavar="E",
            help="For ddim, dpm++ and churn: noise added by each step, from 0 to 2; by default, the run's own.",
        ),
        click.option(
            "--spacing",
            type=click.Choice(SPACINGS),
            help="Spacing of the timesteps; by default, the run's own.",
        ),
        click.option(
            "--levels",
            type=LevelList(),
            metavar="LIST|FILE",
            help="Log SNRs at which the network is called, in place of --steps and --spacing.",
        ),
        click.option(
            "--levels-of",
            metavar="SCHEDULE",
            help="Levels of another noise schedule, with the run's T and betas.",
        ),
        click.option(
            "--clip",
            type=click.Choice(CLIPS),
            help="Thresholding of each predicted x0; by default, the run's own.",
        ),
        click.option(
            "--guidance",
            type=FiniteRange(0, 100),
            metavar="W",
            help="Weight of guidance, 1 for none; by default, the run's own.",
        ),
        click.option(
            "--guidance-interval",
            type=LogSnrInterval(),
            metavar="LO,HI",
            help="Log SNRs between which samples are guided; by default, the run's own, or all.",
        ),
    )

    start_option = click.option(
        "--start",
        type=click.Choice(START_NAMES),
        help="Starting state: noise (the default), or with the mean, or the mean and covariance, of the training "
        "images, or noised held-out images.",
    )

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def with_sampling(**given: Any) -> None:
            names = (field.name for field in fields(SamplingOverrides))
            command(sampling=SamplingOverrides(**{name: given.pop(name, None) for name in names}), **given)

        for option in reversed((start_option, *options) if start else options):
            with_sampling = option(with_sampling)
        return with_sampling

    return decorate


def note_levels(config: RunConfig) -> None:
    """Note how sampling levels were mapped to a run's timesteps, if not each to one of its own."""
    if config.sample.levels is not None:
        from core.config.sampling_levels import levels_note

        if text := levels_note(config):
            note(text)


def prepare_torch(device: str) -> str:
    """Set up threading for work beside training runs; call it before torch is imported.

    Args:
        device: as for `--device`.

    Returns:
        The device by its torch name, for example ``cuda:0``; the first of several.

    Raises:
        UserError: the device does not exist on this machine, or too little memory is allowed for torch.
    """
    # Spinning OpenMP threads would starve runs that train on the same cores. A short spin is kept because most waits
    # last microseconds: without any, computing is a third slower.
    note_library_messages()
    require_memory_for_torch()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    os.environ.setdefault(*GPU_ORDER)
    return check_device(device).first_device


def check_device(device: str, slots: int | None = None) -> Plan:
    """Return the plan for `--device` and `--slots`, and note GPUs that are not used because torch cannot compute there.

    Raises:
        UserError: no such device here, or torch cannot compute on it; raised before anything is queued.
    """
    plan = make_plan(device, slots)
    if plan.note:
        note(plan.note)
    return plan


def check_for_engine(launch: LaunchConfig, device: str, slots: int | None, *, starts: bool = True) -> None:
    """Check that an engine can start runs, before any is queued for it.

    Args:
        launch: the engine.
        device: of `--device`.
        slots: of `--slots`.
        starts: whether runs are started, and not only queued.

    Raises:
        UserError: it cannot be reached from here, or `--device` or `--slots` are for another; or see `check_device`.
    """
    if launch.engine == "local":
        if starts:
            require_memory_for_torch()
        check_device(device, slots)  # raises now what would otherwise end each worker right after its start
        return
    if device != "auto" or slots is not None:
        raise UserError(
            f"--device and --slots are for the local queue; for {launch.engine} see docs/clusters.md"
        )
    if starts:
        check_engine(launch)
