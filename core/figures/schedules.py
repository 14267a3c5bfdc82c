"""Figures 5.1 and 5.2: the schedules, and the same image noised under each."""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from core.config import ScheduleConfig
from core.figures.figure_data import FigureData, distinct_schedules
from core.figures.layout import TileRow, legend, legend_height, panel_grid, set_row_ylabels, tile_figure
from core.figures.style import SeriesStyle
from core.imaging import to_channels_last, to_pixels
from core.schedules import SCHEDULE_NAMES, Schedule

NOISE_SEED: Final = 0
STATE_COUNT: Final = 10

NamedSchedule = tuple[str, SeriesStyle, Schedule]


def q_sample(
    x0: NDArray[np.float64], schedule: Schedule, t: int, eps: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Noise an image in one step: xt = sqrt(abar_t) x0 + sqrt(1 - abar_t) eps.

    Args:
        x0: an image in [-1, 1], of any shape.
        schedule: the betas.
        t: the paper's timestep, 1..T; 0 returns x0.
        eps: like x0, standard normal.

    Reference: Ho et al. 2020, eq. 4.
    """
    if t == 0:
        return x0
    signal, noise = schedule.alphas_cumprod[t - 1], schedule.one_minus_alphas_cumprod[t - 1]
    noised: NDArray[np.float64] = np.sqrt(signal) * x0 + np.sqrt(noise) * eps
    return noised


def schedules_with_thesis(data: FigureData) -> list[NamedSchedule]:
    """Return the schedules of the runs, completed with the thesis's five at the same T and range of betas."""
    configs = [member.config.schedule for member in data.members]
    usual = [config for config in configs if config.name in SCHEDULE_NAMES and not config.zero_terminal_snr]
    model = (usual or configs)[0]
    five = [
        msgspec.structs.replace(model, name=name, periods=ScheduleConfig().periods, file=None)
        for name in SCHEDULE_NAMES
        if name not in {config.name for config in configs}
    ]
    five = [msgspec.structs.replace(config, zero_terminal_snr=False) for config in five]
    return distinct_schedules([*configs, *five])


def draw_betas(named: Sequence[NamedSchedule]) -> Figure:
    """Draw figure 5.1: beta_t of all schedules, and beside it the share of the image's power that is left."""
    entries = [(label, style) for label, style, _ in named]
    figure, axes = panel_grid(
        1, 2, height=2.2, top=legend_height(entries) + 0.1, across=0.7, left=0.62, bottom=0.42, right=0.8
    )
    left, right = axes[0]
    shared = len({schedule.timesteps for _, _, schedule in named}) == 1
    for _, style, schedule in named:
        steps = np.arange(1, schedule.timesteps + 1) / (1 if shared else schedule.timesteps)
        alone = {"marker": style.marker} if schedule.timesteps == 1 else {}
        left.plot(steps, schedule.betas, **style.line_kwargs, **alone)
        right.plot(steps, schedule.alphas_cumprod, **style.line_kwargs, **alone)
    for axis in (left, right):
        axis.set_xlabel("$t$" if shared else "$t\\,/\\,T$")
        axis.set_ylim(bottom=0)
        axis.margins(x=0.01)
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.yaxis.set_major_locator(MaxNLocator(5))
    set_row_ylabels(figure, axes, [r"$\beta_t$"])
    right.set_ylabel(r"$\bar\alpha_t$: what is left of the image")
    right.set_ylim(0, 1.02)
    _annotate_terminal_values(right, named, shared=shared)
    legend(figure, entries)
    return figure


def draw_noising(named: Sequence[NamedSchedule], image: NDArray[np.uint8]) -> Figure:
    """Draw figure 5.2: an image noised step by step, one row per schedule, with the same noise in each.

    Args:
        named: the schedules.
        image: uint8 [C, S, S].
    """
    x0 = image / 127.5 - 1.0
    eps = np.random.default_rng(NOISE_SEED).standard_normal(x0.shape)
    shares = np.linspace(0.0, 1.0, STATE_COUNT)
    longest = {schedule.timesteps for _, _, schedule in named}
    rows = []
    for label, style, schedule in named:
        steps = [round(share * schedule.timesteps) for share in shares]
        states = np.stack([q_sample(x0, schedule, t, eps) for t in steps])
        rows.append(TileRow(label, list(to_channels_last(to_pixels(states))), style))
    if len(longest) == 1:
        (timesteps,) = longest
        times = [str(round(share * timesteps)) for share in shares]
        heads = [f"$t$ = {times[0]}", *times[1:]]
    else:
        heads = ["$t$ = 0", *[f"{share:.0%}" for share in shares[1:-1]], "$T$"]
    return tile_figure(rows, heads)


def _annotate_terminal_values(axes: Axes, named: Sequence[NamedSchedule], *, shared: bool) -> None:
    """Write abar_T at the end of each curve that does not reach noise, if there is room for the text."""
    taken: list[float] = []
    for _, style, schedule in sorted(named, key=lambda entry: -entry[2].terminal_alpha_bar):
        end = schedule.terminal_alpha_bar
        if end < 0.02 or any(abs(end - other) < 0.06 for other in taken):
            continue
        taken.append(end)
        axes.annotate(
            rf"$\bar\alpha_T$ = {end:.3f}",
            (schedule.timesteps if shared else 1.0, end),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=style.color,
            fontsize=7.0,
            annotation_clip=False,
        )


def terminal_values_text(named: Sequence[NamedSchedule]) -> str:
    """List abar_T of each schedule, for a caption."""
    ends = (f"{label} {schedule.terminal_alpha_bar:.2g}" for label, _, schedule in named)
    return f"abar_T: {', '.join(ends)}"
