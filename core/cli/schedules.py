"""`core schedules`: noise schedules, how much of the image each leaves at the last step, and what that costs."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from core.cli.options import STEPS, GivenPath, json_option
from core.cli.output import emit, emit_json, format_table, number_text, stdout_width
from core.cli.progress import progress_bar
from core.errors import UserError
from core.files.sanitize import sanitize
from core.sampling_names import SPACINGS, Spacing
from core.schedules import ALL_NAMES, TRIANGLES_MEAN_SQUARE, Schedule, make_schedule

if TYPE_CHECKING:
    from core.data import ImageSet
    from core.statistics.gaussian_sampling import ClosedFormSampler, SamplingError


class _WithProposals(click.Command):
    """The command, or `core schedules propose` where that word follows it; it is no name of a schedule."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args[:1] == ["propose"]:
            from core.cli.schedule_proposals import command as propose

            return propose.make_context(f"{info_name} propose", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command("schedules", cls=_WithProposals)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--timesteps", type=click.IntRange(1, 1_000_000), default=1000, show_default=True, metavar="N")
@click.option("--beta-start", type=float, default=1e-4, show_default=True, metavar="B")
@click.option("--beta-end", type=float, default=0.02, show_default=True, metavar="B")
@click.option(
    "--periods", type=float, default=0.5, show_default=True, help="Periods of sine; 0.5 rises once."
)
@click.option("--file", type=GivenPath(), help="Text or .npy file of betas, for custom.")
@click.option("--zero-terminal-snr", is_flag=True, help="Rescale so that the last step is pure noise.")
@click.option(
    "--data",
    "dataset",
    metavar="NAME",
    help="Predict the error of samples, for a Gaussian with the mean and covariance of this data set.",
)
@click.option(
    "--sampler",
    type=click.Choice(["ddim", "ddpm"]),
    default="ddim",
    show_default=True,
    help="With --data: deterministic or ancestral steps.",
)
@click.option("--steps", type=STEPS, metavar="K", help="With --data: network calls; by default, T.")
@click.option(
    "--spacing",
    type=click.Choice(SPACINGS),
    default="uniform",
    show_default=True,
    help="With --data: spacing of the timesteps.",
)
@json_option
def command(
    names: tuple[str, ...],
    timesteps: int,
    beta_start: float,
    beta_end: float,
    periods: float,
    file: str | None,
    zero_terminal_snr: bool,
    dataset: str | None,
    sampler: "ClosedFormSampler",
    steps: int | None,
    spacing: Spacing,
    as_json: bool,
) -> None:
    """Compare noise schedules by how much of the image each leaves at the last step.

    NAME is linear, sine, x^P with any positive P, cosine, sigmoid, flow, edm or custom. Without one,
    all built-in schedules are shown. alpha_bar_T is the share of the image's power left at the last step,
    SNR_T its ratio to the noise, and L_T the cost of it in bits per dimension. Sampling starts from pure
    noise. If the schedule does not end there, the network was never trained on such inputs.

    With --data the error of samples is predicted in closed form, before any training, as if the data
    were Gaussian and the network ideal. START is the error from starting in pure noise, STEPS that of
    finitely many steps, both relative to the data's spread. BRIGHTNESS is that of the samples divided
    by the data's.

    core schedules propose proposes schedules, and levels to sample at; see its own --help.
    """
    if dataset is None and (steps is not None or spacing != "uniform" or sampler != "ddim"):
        raise UserError(
            "--sampler, --steps and --spacing need --data, the data set for which samples are predicted"
        )
    chosen = names or tuple(name for name in ALL_NAMES if name != "custom" or file)
    schedules = [
        make_schedule(
            name,
            timesteps=timesteps,
            beta_start=beta_start,
            beta_end=beta_end,
            periods=periods,
            file=file,
            zero_terminal_snr=zero_terminal_snr,
        )
        for name in chosen
    ]
    images = None if dataset is None else _load_images(dataset)
    mean_square = TRIANGLES_MEAN_SQUARE if images is None else images.mean_square
    errors = [] if images is None else _predict(images, schedules, sampler, steps, spacing)
    if as_json:
        found = [_schedule_json(schedule, mean_square) for schedule in schedules]
        for one, error in zip(found, errors, strict=False):
            one["samples"] = asdict(error)
        emit_json(found)
        return
    headers = ["schedule", "alpha_bar_T", "SNR_T", "L_T bits/dim", "diagnosis"]
    rows = [
        [
            schedule.name,
            number_text(schedule.terminal_alpha_bar),
            number_text(schedule.terminal_snr),
            number_text(schedule.prior_bits_per_dim(mean_square)),
            schedule.diagnosis().text,
        ]
        for schedule in schedules
    ]
    if errors:
        headers[-1:-1] = ["start", "steps", "brightness"]
        for row, error in zip(rows, errors, strict=True):
            row[-1:-1] = [f"{error.start:.1%}", f"{error.steps:.1%}", f"{error.brightness:.2f}x"]
    emit(format_table(headers, rows, "l" + "r" * (len(headers) - 2) + "l", width=stdout_width()))


def _load_images(dataset: str) -> "ImageSet":
    from core.data import load_dataset

    with progress_bar(sanitize(dataset), "images") as report:
        return load_dataset(dataset, progress=report)


def _predict(
    images: "ImageSet",
    schedules: list[Schedule],
    sampler: "ClosedFormSampler",
    steps: int | None,
    spacing: Spacing,
) -> "list[SamplingError]":
    from core.spacing import inference_timesteps
    from core.statistics.gaussian_sampling import fit_gaussian, sampling_error

    chosen = [
        inference_timesteps(schedule.timesteps, steps, spacing=spacing, log_snr=schedule.log_snr)
        for schedule in schedules
    ]
    data = fit_gaussian(images.train)
    return [
        sampling_error(data, schedule, timesteps, sampler=sampler)
        for schedule, timesteps in zip(schedules, chosen, strict=True)
    ]


def _schedule_json(schedule: Schedule, mean_square: float) -> dict[str, object]:
    diagnosis = schedule.diagnosis()
    return {
        "name": schedule.name,
        "timesteps": schedule.timesteps,
        "terminal_alpha_bar": schedule.terminal_alpha_bar,
        "terminal_snr": schedule.terminal_snr,
        "prior_bits_per_dim": schedule.prior_bits_per_dim(mean_square),
        "mean_square": mean_square,
        "level": diagnosis.level,
        "diagnosis": diagnosis.text,
    }
