"""Details of the selected run: the epoch whose images are shown, its data, and whether its schedule ends in noise."""

import math
from dataclasses import dataclass
from typing import Final

from textual.content import Content
from textual.widget import Widget

from core.files.sanitize import sanitize
from core.runs.monitoring import run_plateau
from core.schedules import Diagnosis, Schedule
from tui.state.formatting import LEVEL_MARKS, build_schedule, decibels_text, problem, settings_line
from tui.state.snapshot import RunSnapshot
from tui.widgets.fitted_text import cut_lines, fitted_lines

NARROW_WIDTH: Final = 44
"""Below this width the details are a column of short lines."""
_KEPT, _IMPLIED, _SLIDER, _BLANK = range(4)
"""Ranks of lines in a narrow column; those of high rank are left out first."""
_NOTE_LINES: Final = 6
_FULL_HEIGHT: Final = 6
"""Height from which a broad panel has a line for the data without taking one from the schedule."""


@dataclass(frozen=True, slots=True)
class RunDetails:
    """Content of a `DetailsPanel`.

    Args:
        run: the run; None leaves the panel empty.
        label: its name in the list.
        marker: its number.
        color: of its series.
        epochs: those with images, ascending.
        shown_epoch: the epoch whose images of this run are shown; None where there are none.
        requested_epoch: the epoch shown for all runs; a run that ended before it shows its last one.
        following: whether the latest images are shown as they come.
    """

    run: RunSnapshot | None = None
    label: str = ""
    marker: str = ""
    color: str = ""
    epochs: tuple[int, ...] = ()
    shown_epoch: int | None = None
    requested_epoch: int | None = None
    following: bool = True


class DetailsPanel(Widget, can_focus=False):
    """Details as lines, in a narrow column beside the images or in a broad one under the table."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._details = RunDetails()
        self._key: tuple[object, ...] = ()

    def show(self, details: RunDetails) -> None:
        """Show these details; redraw only if they look different."""
        run = details.run
        of_run = (
            (run.id, run.file.config, run.state, run.status.trained_with, problem(run), plateau_line(run))
            if run
            else ()
        )
        key = (
            *of_run,
            details.label,
            details.marker,
            details.color,
            details.epochs,
            details.shown_epoch,
            details.requested_epoch,
            details.following,
        )
        if key != self._key:
            self._details, self._key = details, key
            self.refresh()

    def render(self) -> Content:
        details, (width, height) = self._details, self.size
        if details.run is None or not width or not height:
            return Content("")
        form = narrow_lines if width < NARROW_WIDTH else broad_lines
        return Content("\n").join(form(details, width, height))


def narrow_lines(details: RunDetails, width: int, height: int) -> list[Content]:
    """Return the details for a column of a dozen cells or more.

    If they are too high, blank lines are left out first, then the slider, then what else the other lines imply.
    """
    run = details.run
    if run is None:
        return []
    width -= 1
    blank = (_BLANK, Content(""))
    ranked = [(_KEPT, _title(details).truncate(width, ellipsis=True)), blank]
    if details.shown_epoch is not None:
        following = "latest" if details.following else "held, end:go"
        ranked += [
            (_KEPT, Content.assemble(("epoch ", "$text-muted"), str(details.shown_epoch))),
            (_SLIDER, slider(details, min(width, 20))),
            (_IMPLIED, Content.styled(following, "$text-muted")),
            blank,
        ]
    else:
        ranked += [(_SLIDER, Content.styled("no image", "$text-muted")), blank]
    schedule = build_schedule(run.file.config.schedule)
    if error := problem(run):
        ranked += [(_KEPT, line) for line in _wrapped(Content.styled(error, "$text-error"), width)]
    elif schedule is not None:
        ranked += [
            (_IMPLIED, _name_value("abar_T", _compact_number(schedule.terminal_alpha_bar), width)),
            (_KEPT, _name_value("SNR_T", decibels_text(schedule.terminal_snr), width)),
            (_KEPT, _name_value("L_T", _compact_number(schedule.prior_bits_per_dim()), width)),
            blank,
            *((_KEPT, line) for line in _wrapped(_brief_diagnosis_content(schedule), width)),
        ]
    room = height - sum(rank < _BLANK for rank, _ in ranked)
    if (plateau := plateau_line(run)) and room > 0:
        lines = fitted_lines(Content.styled(plateau, "$text-warning"), width, min(room, _NOTE_LINES))
        ranked += [blank, *((_KEPT, line) for line in lines)]
        room -= len(lines)
    if (notes := data_notes(run)) and room > 0:
        lines = fitted_lines(Content.styled(notes, "$text-warning"), width, min(room, _NOTE_LINES))
        ranked += [blank, *((_KEPT, line) for line in lines)]
    while len(ranked) > height and (worst := max(rank for rank, _ in ranked)) > _KEPT:
        ranked.pop(max(index for index, (rank, _) in enumerate(ranked) if rank == worst))
    return cut_lines([line for _, line in ranked], width, height)


def broad_lines(details: RunDetails, width: int, height: int) -> list[Content]:
    """Return the details for a strip of `height` lines, with blank lines between them where there is room."""
    run = details.run
    if run is None:
        return []
    config = run.file.config
    indent = Content("   ")
    inner = width - 4
    name = Content.assemble(_title(details), "  ", (settings_line(config), "$text-muted"))
    lines = [[name.truncate(inner, ellipsis=True)]]
    notes = "; ".join(text for text in (data_notes(run), plateau_line(run)) if text)
    has_data_line = height >= _FULL_HEIGHT and bool(data_counts(run))
    notes_beside = notes and not has_data_line and not problem(run)
    if details.shown_epoch is not None:
        tail = "follows the latest" if details.following else "held; end follows again"
        bar = slider(details, min(10 if notes_beside else 28, inner - 22))
        if notes_beside and details.following:
            tail = ""
        line = Content.assemble(("images  ", "$text-muted"), f"epoch {details.shown_epoch:<5} ", bar)
        if tail and line.cell_length + 2 + len(tail) <= inner:
            line = Content.assemble(line, "  ", (tail, "$text-muted"))
        if notes_beside:
            line = Content.assemble(line, "  ", (notes, "$text-warning")).truncate(inner, ellipsis=True)
        lines.append([line])
    if has_data_line:
        line = Content.assemble(("data    ", "$text-muted"), data_counts(run))
        if notes:
            line = Content.assemble(line, "  ", (notes, "$text-warning"))
        lines.append([line.truncate(inner, ellipsis=True)])
    elif notes_beside and details.shown_epoch is None:
        lines.append([Content.styled(notes, "$text-warning").truncate(inner, ellipsis=True)])
    schedule = build_schedule(config.schedule)
    error = problem(run)
    if schedule is not None:
        parts = []
        for label, value in (
            ("abar_T", _compact_number(schedule.terminal_alpha_bar)),
            ("SNR_T", decibels_text(schedule.terminal_snr)),
            ("L_T", f"{_compact_number(schedule.prior_bits_per_dim())} bits/dim"),
        ):
            parts.append(Content.assemble((f"{label} ", "$text-muted"), value))
        lines.append([Content("   ").join(parts).truncate(inner, ellipsis=True)])
    if error:
        text = Content.styled(f"✖ {error}", "$text-error")
        if sum(map(len, lines)) + len(_wrapped(text, inner)) > height:
            del lines[1:]
        lines.insert(1, fitted_lines(text, inner, max(1, height - len(lines))))
    elif schedule is not None:
        diagnosis = schedule.diagnosis()
        block = _wrapped(_diagnosis_content(diagnosis), inner)
        if sum(map(len, lines)) + len(block) > height:
            block = [_brief_diagnosis_content(schedule, f"{diagnosis.level}: ")]
        lines.append(block)
    spare = height - sum(map(len, lines))
    flat: list[Content] = []
    for index, block in enumerate(lines):
        if index and spare > 0 and len(lines) - index <= spare:
            flat.append(Content(""))
            spare -= 1
        flat += [Content.assemble(indent, line) for line in block]
    return cut_lines(flat, width, height)


def plateau_line(run: RunSnapshot) -> str:
    """Return since when the run has become no better; empty while it improves."""
    plateau = run_plateau(run.epochs, run.file.config.train.monitor)
    return plateau.text if plateau is not None and plateau.verdict != "improving" else ""


def data_counts(run: RunSnapshot) -> str:
    """Return how many images a run is trained on, and their shape; empty until they are made."""
    trained_with = run.status.trained_with
    return trained_with.images_text if trained_with is not None and trained_with.train else ""


def data_notes(run: RunSnapshot) -> str:
    """Return the notes on a run's images in one line, for example that files were skipped."""
    trained_with = run.status.trained_with
    return sanitize("; ".join(trained_with.notes)) if trained_with is not None else ""


def slider(details: RunDetails, width: int) -> Content:
    """Draw the position of the requested epoch among those with images; the ends are the keys that move it."""
    inner = max(1, width - 2)
    epochs, count = details.epochs, len(details.epochs)
    index = epochs.index(details.requested_epoch) if details.requested_epoch in epochs else count - 1
    at = round(index * (inner - 1) / (count - 1)) if count > 1 else inner - 1
    return Content.assemble(
        ("[", "bold $text-primary"),
        ("━" * at, "$text-muted"),
        ("●", details.color),
        ("─" * (inner - 1 - at), "$text-disabled"),
        ("]", "bold $text-primary"),
    )


def brief_diagnosis(schedule: Schedule) -> str:
    """Return the diagnosis in a few words, for narrow panels."""
    left = 100.0 * math.sqrt(schedule.terminal_alpha_bar)
    if schedule.diagnosis().ok:
        return "ends in noise"
    return f"{left:.2g}% of the image left at T"


def _diagnosis_content(diagnosis: Diagnosis) -> Content:
    mark, tone = LEVEL_MARKS[diagnosis.level]
    level, separator, rest = diagnosis.text.partition(":")
    return Content.assemble((f"{mark} {level}{separator}", tone), (rest, "$text-muted"))


def _brief_diagnosis_content(schedule: Schedule, level: str = "") -> Content:
    mark, tone = LEVEL_MARKS[schedule.diagnosis().level]
    return Content.assemble((f"{mark} {level}", tone), (brief_diagnosis(schedule), "$text-muted"))


def _title(details: RunDetails) -> Content:
    return Content.styled(f"{details.marker} {details.label}", f"bold {details.color}")


def _name_value(name: str, value: str, width: int) -> Content:
    space = " " * max(1, min(width, 20) - len(name) - len(value))
    return Content.assemble((name, "$text-muted"), space, value)


def _compact_number(value: float) -> str:
    return "0" if value == 0 else f"{value:.2g}" if value >= 1e-3 else f"{value:.0e}"


def _wrapped(text: Content, width: int) -> list[Content]:
    return list(text.wrap(max(1, width)))
