"""Figures 5.1 and 5.2: the schedules, and what each does to a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from core.config import ScheduleConfig
from core.figures.figure_data import FigureData, schedules_of
from core.figures.images import default_image, load_own_image
from core.figures.layout import TileRow, label_rows, legend, legend_height, panels, tile_figure
from core.figures.style import SeriesStyle
from core.imaging import to_channels_last, to_pixels
from core.schedules import SCHEDULE_NAMES, Schedule

NOISE_SEED: Final = 0
STATES: Final = 10

Named = tuple[str, SeriesStyle, Schedule]


def q_sample(
    x0: NDArray[np.float64], schedule: Schedule, t: int, eps: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Noise a picture in one jump: xt = sqrt(abar_t) x0 + sqrt(1 - abar_t) eps.

    Args:
        x0: a picture in [-1, 1], of any shape.
        schedule: the betas.
        t: the paper's timestep, 1..T; 0 is the picture itself.
        eps: like x0, standard normal.

    Reference: Ho et al. 2020, eq. 4.
    """
    if t == 0:
        return x0
    signal, noise = schedule.alphas_cumprod[t - 1], schedule.one_minus_alphas_cumprod[t - 1]
    noised: NDArray[np.float64] = np.sqrt(signal) * x0 + np.sqrt(noise) * eps
    return noised


def all_schedules(material: FigureData) -> list[Named]:
    """The schedules of the runs, and with them all of the thesis's five that have the same T and range."""
    configs = [member.config.schedule for member in material.members]
    usual = [config for config in configs if config.name in SCHEDULE_NAMES and not config.zero_terminal_snr]
    model = (usual or configs)[0]
    five = [
        msgspec.structs.replace(model, name=name, periods=ScheduleConfig().periods, file=None)
        for name in SCHEDULE_NAMES
        if name not in {config.name for config in configs}
    ]
    five = [msgspec.structs.replace(config, zero_terminal_snr=False) for config in five]
    return schedules_of([*configs, *five])


def draw_betas(named: Sequence[Named]) -> Figure:
    """Figure 5.1: beta_t of all schedules, and beside it how much of the picture's power is left."""
    entries = [(label, look) for label, look, _ in named]
    figure, axes = panels(
        1, 2, height=2.2, top=legend_height(entries) + 0.1, across=0.7, left=0.62, bottom=0.42, right=0.8
    )
    left, right = axes[0]
    shared = len({schedule.timesteps for _, _, schedule in named}) == 1
    for _, look, schedule in named:
        steps = np.arange(1, schedule.timesteps + 1) / (1 if shared else schedule.timesteps)
        alone = {"marker": look.marker} if schedule.timesteps == 1 else {}
        left.plot(steps, schedule.betas, **look.line, **alone)
        right.plot(steps, schedule.alphas_cumprod, **look.line, **alone)
    for axis in (left, right):
        axis.set_xlabel("$t$" if shared else "$t\\,/\\,T$")
        axis.set_ylim(bottom=0)
        axis.margins(x=0.01)
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.yaxis.set_major_locator(MaxNLocator(5))
    label_rows(figure, axes, [r"$\beta_t$"])
    right.set_ylabel(r"$\bar\alpha_t$: what is left of the picture")
    right.set_ylim(0, 1.02)
    _mark_ends(right, named, shared=shared)
    legend(figure, entries)
    return figure


def draw_noising(named: Sequence[Named], image: NDArray[np.uint8]) -> Figure:
    """Figure 5.2: a picture noised step by step, a row a schedule, the same noise in each.

    Args:
        named: the schedules.
        picture: uint8 [C, S, S].
    """
    x0 = image / 127.5 - 1.0
    eps = np.random.default_rng(NOISE_SEED).standard_normal(x0.shape)
    shares = np.linspace(0.0, 1.0, STATES)
    longest = {schedule.timesteps for _, _, schedule in named}
    rows = []
    for label, look, schedule in named:
        steps = [round(share * schedule.timesteps) for share in shares]
        states = np.stack([q_sample(x0, schedule, t, eps) for t in steps])
        rows.append(TileRow(label, list(to_channels_last(to_pixels(states))), look))
    if len(longest) == 1:
        (timesteps,) = longest
        times = [str(round(share * timesteps)) for share in shares]
        heads = [f"$t$ = {times[0]}", *times[1:]]
    else:
        heads = ["$t$ = 0", *[f"{share:.0%}" for share in shares[1:-1]], "$T$"]
    return tile_figure(rows, heads)


def image_to_noise(material: FigureData, own: Path | None) -> tuple[NDArray[np.uint8], str]:
    """The picture of figure 5.2, uint8 [C, S, S], and what it is, in words.

    Raises:
        UserError: `own` is no picture that can be read.
    """
    return (load_own_image(own), "a picture of yours") if own is not None else default_image(material)


def _mark_ends(axes: Axes, named: Sequence[Named], *, shared: bool) -> None:
    """Write abar_T at the end of each curve that does not reach noise, where there is room for it."""
    taken: list[float] = []
    for _, look, schedule in sorted(named, key=lambda entry: -entry[2].terminal_alpha_bar):
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
            color=look.color,
            fontsize=7.0,
            annotation_clip=False,
        )


def left_over(named: Sequence[Named]) -> str:
    """abar_T of each schedule, for a caption."""
    ends = (f"{label} {schedule.terminal_alpha_bar:.2g}" for label, _, schedule in named)
    return f"abar_T: {', '.join(ends)}"


def check_image(path: Path | None) -> None:
    """Say at once, and not after a minute of drawing, that a picture cannot be used.

    Raises:
        UserError: it is no picture that can be read.
    """
    if path is not None:
        load_own_image(path)
