"""The signal that schedules leave of an image, as a table and as text."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from core.schedules import Schedule
from tui.settings.series_colors import SeriesStyle
from tui.state.formatting import LEVEL_MARKS, NOTHING, decibels_text, shorten, small_number

MIN_WIDTH = 52
"""The width in cells of a table with all columns, without the names."""


class ScheduleEntry(NamedTuple):
    """A schedule on the screen, with its style and name; the schedule is None if it cannot be made."""

    style: SeriesStyle
    name: str
    schedule: Schedule | None


def schedule_table(entries: Sequence[ScheduleEntry], t: int, width: int) -> Content:
    """A line for each schedule: abar_T, SNR_T, L_T, the share of the amplitude left at t and at T, and the diagnosis.

    Args:
        entries: the schedules.
        t: the timestep, from 0 to T.
        width: the width in cells.
    """
    label = min(12, max(8, *(cell_len(entry.name) for entry in entries), 0)) if entries else 8
    wide = width >= MIN_WIDTH + label
    heading = f"   {'':{label}} {'abar_T':>8} {'SNR_T':>7} {'L_T':>7}"
    heading += f" {'left at t':>10} {'at T':>6}  diagnosis" if wide else "  diagnosis"
    lines = [Content.styled(heading, "$text-muted")]
    for style, name, schedule in entries:
        parts: list[Content | str | tuple[str, str]] = [
            (f" {style.marker} ", f"bold {style.color}"),
            (set_cell_size(shorten(name, label), label), style.color),
        ]
        if schedule is None:
            lines.append(Content.assemble(*parts, (f" {NOTHING:>8}  cannot be made", "$text-muted")))
            continue
        left = 1.0 if t == 0 else math.sqrt(schedule.alphas_cumprod[t - 1])
        mark, tone = LEVEL_MARKS[schedule.diagnosis().level]
        parts.append(
            f" {small_number(schedule.terminal_alpha_bar):>8} {decibels_text(schedule.terminal_snr):>7}"
            f" {small_number(schedule.prior_bits_per_dim()):>7}"
        )
        if wide:
            parts.append(f" {percent(left):>10} {percent(math.sqrt(schedule.terminal_alpha_bar)):>6}")
        lines.append(Content.assemble(*parts, (f"  {mark} {schedule.diagnosis().level}", tone)))
    return Content("\n").join(line.truncate(width, ellipsis=True) for line in lines)


def diagnoses_text(entries: Sequence[ScheduleEntry]) -> Content:
    """The diagnoses: one paragraph for each schedule that does not end in noise, then one for all others."""
    parts = []
    good: list[Content] = []
    for style, name, schedule in entries:
        if schedule is None:
            continue
        diagnosis, title = schedule.diagnosis(), Content.styled(name, f"bold {style.color}")
        if diagnosis.ok:
            good.append(title)
            continue
        mark, tone = LEVEL_MARKS[diagnosis.level]
        rest = (diagnosis.text.removeprefix(diagnosis.level), "$text-muted")
        parts.append(Content.assemble((f"{mark} ", tone), title, " ", (diagnosis.level, tone), rest))
    if good:
        mark, tone = LEVEL_MARKS["good"]
        words = ": the last step is noise, where sampling starts"
        parts.append(
            Content.assemble(
                (f"{mark} ", tone), Content(", ").join(good), " ", ("good", tone), (words, "$text-muted")
            )
        )
    return Content("\n\n").join(parts)


def percent(share: float) -> str:
    """A share in percent, in at most six characters.

    >>> percent(1.0), percent(0.2837), percent(0.0064), percent(0.0), percent(1e-9)
    ('100%', '28%', '0.64%', '0%', '0.000%')
    """
    value = 100.0 * share
    if value == 0.0 or value >= 9.95:
        return f"{value:.0f}%"
    return f"{value:.1f}%" if value >= 0.95 else f"{value:.2f}%" if value >= 0.01 else f"{value:.3f}%"
