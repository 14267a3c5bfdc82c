"""`core schedules`: noise schedules, and how much of the image each leaves at the last step."""

import click

from core.cli.options import GivenPath, json_option
from core.cli.output import emit, emit_json, format_table, number_text, stdout_width
from core.schedules import ALL_NAMES, TRIANGLES_MEAN_SQUARE, Schedule, make_schedule


@click.command("schedules")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--timesteps", type=click.IntRange(1, 1_000_000), default=1000, show_default=True, metavar="N")
@click.option("--beta-start", type=float, default=1e-4, show_default=True, metavar="B")
@click.option("--beta-end", type=float, default=0.02, show_default=True, metavar="B")
@click.option(
    "--periods", type=float, default=0.5, show_default=True, help="Periods of sine; 0.5 rises once."
)
@click.option("--file", type=GivenPath(), help="Text or .npy file of betas, for custom.")
@click.option("--zero-terminal-snr", is_flag=True, help="Rescale so that the last step is pure noise.")
@json_option
def command(
    names: tuple[str, ...],
    timesteps: int,
    beta_start: float,
    beta_end: float,
    periods: float,
    file: str | None,
    zero_terminal_snr: bool,
    as_json: bool,
) -> None:
    """Compare noise schedules by how much of the image each leaves at the last step.

    NAME is linear, sine, x^P with any positive P, cosine, sigmoid or custom. Without one, all
    built-in schedules are shown. alpha_bar_T is the share of the image's power left at the last step,
    SNR_T its ratio to the noise, and L_T the cost of it in bits per dimension. Sampling starts from pure
    noise. If the schedule does not end there, the network was never trained on such inputs.
    """
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
    if as_json:
        emit_json([_schedule_json(schedule) for schedule in schedules])
        return
    headers = ("schedule", "alpha_bar_T", "SNR_T", "L_T bits/dim", "diagnosis")
    rows = [
        (
            schedule.name,
            number_text(schedule.terminal_alpha_bar),
            number_text(schedule.terminal_snr),
            number_text(schedule.prior_bits_per_dim()),
            schedule.diagnosis().text,
        )
        for schedule in schedules
    ]
    emit(format_table(headers, rows, "lrrrl", width=stdout_width()))


def _schedule_json(schedule: Schedule) -> dict[str, object]:
    diagnosis = schedule.diagnosis()
    return {
        "name": schedule.name,
        "timesteps": schedule.timesteps,
        "terminal_alpha_bar": schedule.terminal_alpha_bar,
        "terminal_snr": schedule.terminal_snr,
        "prior_bits_per_dim": schedule.prior_bits_per_dim(),
        "mean_square": TRIANGLES_MEAN_SQUARE,
        "level": diagnosis.level,
        "diagnosis": diagnosis.text,
    }
