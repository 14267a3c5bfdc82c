"""The facts of the selected run: which pictures are shown, and whether its schedule reaches noise."""

import math
from dataclasses import dataclass
from typing import Final

from textual.content import Content
from textual.widget import Widget

from core.schedules import Diagnosis, Schedule
from tui.state.formatting import LEVEL_MARKS, build_schedule, decibels_text, problem, settings_line
from tui.state.snapshot import RunSnapshot

NARROW: Final = 44


@dataclass(frozen=True, slots=True)
class RunDetails:
    """What is said of one run.

    Args:
        run: the run; None says nothing.
        label: what it is called.
        marker: its number.
        color: of its series.
        epochs: of which there are pictures, ascending.
        shown: the epoch of the run's pictures on show; None where there are none.
        at: the epoch that all runs are asked for; a run that ended before it shows its last.
        following: whether the latest pictures are shown as they come.
    """

    run: RunSnapshot | None = None
    label: str = ""
    marker: str = ""
    color: str = ""
    epochs: tuple[int, ...] = ()
    shown: int | None = None
    at: int | None = None
    following: bool = True


class DetailsPanel(Widget, can_focus=False):
    """Facts as lines, in a narrow column beside the pictures or in a broad one under the table."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._facts = RunDetails()
        self._key: tuple[object, ...] = ()

    def show(self, facts: RunDetails) -> None:
        """Show these facts; nothing is drawn again when they look the same."""
        run = facts.run
        of_run = (run.id, run.file.config, run.state, problem(run)) if run else ()
        key = (
            *of_run,
            facts.label,
            facts.marker,
            facts.color,
            facts.epochs,
            facts.shown,
            facts.at,
            facts.following,
        )
        if key != self._key:
            self._facts, self._key = facts, key
            self.refresh()

    def render(self) -> Content:
        facts, (width, height) = self._facts, self.size
        if facts.run is None or not width or not height:
            return Content("")
        lines = narrow_lines(facts, width) if width < NARROW else broad_lines(facts, width, height)
        return Content("\n").join(lines[:height])


def narrow_lines(facts: RunDetails, width: int) -> list[Content]:
    """The facts for a column of a dozen cells or more."""
    run = facts.run
    if run is None:
        return []
    width -= 1
    lines = [_name(facts).truncate(width, ellipsis=True), Content("")]
    if facts.shown is not None:
        lines += [
            Content.assemble(("epoch ", "$text-muted"), str(facts.shown)),
            slider(facts, min(width, 20)),
            Content.styled("latest" if facts.following else "held, end:go", "$text-muted"),
            Content(""),
        ]
    else:
        lines += [Content.styled("no picture", "$text-muted"), Content("")]
    wrong = problem(run)
    if wrong:
        return [*lines, *_wrapped(Content.styled(wrong, "$text-error"), width)]
    schedule = build_schedule(run.file.config.schedule)
    if schedule is None:
        return lines
    lines += [
        _pair("abar_T", _short(schedule.terminal_alpha_bar), width),
        _pair("SNR_T", decibels_text(schedule.terminal_snr), width),
        _pair("L_T", _short(schedule.prior_bits_per_dim()), width),
        Content(""),
    ]
    return [*lines, *_wrapped(_told_briefly(schedule), width)]


def broad_lines(facts: RunDetails, width: int, height: int) -> list[Content]:
    """The facts for a strip some lines high; blank lines between them where there is room."""
    run = facts.run
    if run is None:
        return []
    config = run.file.config
    indent = Content("   ")
    inner = width - 4
    name = Content.assemble(_name(facts), "  ", (settings_line(config), "$text-muted"))
    lines = [[name.truncate(inner, ellipsis=True)]]
    if facts.shown is not None:
        tail = "follows the latest" if facts.following else "held; end follows again"
        bar = slider(facts, min(28, inner - 22))
        told = Content.assemble(("pictures  ", "$text-muted"), f"epoch {facts.shown:<5} ", bar)
        if told.cell_length + 2 + len(tail) <= inner:
            told = Content.assemble(told, "  ", (tail, "$text-muted"))
        lines.append([told])
    schedule = build_schedule(config.schedule)
    wrong = problem(run)
    if schedule is not None:
        parts = []
        for label, value in (
            ("abar_T", _short(schedule.terminal_alpha_bar)),
            ("SNR_T", decibels_text(schedule.terminal_snr)),
            ("L_T", f"{_short(schedule.prior_bits_per_dim())} bits/dim"),
        ):
            parts.append(Content.assemble((f"{label} ", "$text-muted"), value))
        lines.append([Content("   ").join(parts).truncate(inner, ellipsis=True)])
    if wrong:
        lines.insert(1, _wrapped(Content.styled(f"✖ {wrong}", "$text-error"), inner)[:2])
    elif schedule is not None:
        diagnosis = schedule.diagnosis()
        block = _wrapped(_told(diagnosis), inner)
        if sum(map(len, lines)) + len(block) > height:
            block = [_told_briefly(schedule, f"{diagnosis.level}: ")]
        lines.append(block)
    spare = height - sum(map(len, lines))
    flat: list[Content] = []
    for index, block in enumerate(lines):
        if index and spare > 0 and len(lines) - index <= spare:
            flat.append(Content(""))
            spare -= 1
        flat += [Content.assemble(indent, line) for line in block]
    return flat


def slider(facts: RunDetails, width: int) -> Content:
    """Where among the epochs with pictures the shown one is; its ends are the keys that move it."""
    inner = max(1, width - 2)
    count = len(facts.epochs)
    place = facts.epochs.index(facts.at) if facts.at in facts.epochs else count - 1
    at = round(place * (inner - 1) / (count - 1)) if count > 1 else inner - 1
    return Content.assemble(
        ("[", "bold $text-primary"),
        ("━" * at, "$text-muted"),
        ("●", facts.color),
        ("─" * (inner - 1 - at), "$text-disabled"),
        ("]", "bold $text-primary"),
    )


def brief_diagnosis(schedule: Schedule) -> str:
    """The diagnosis in a few words, where there is little room."""
    left = 100.0 * math.sqrt(schedule.terminal_alpha_bar)
    if schedule.diagnosis().ok:
        return "ends in noise"
    return f"{left:.2g}% of the picture left at T"


def _told(diagnosis: Diagnosis) -> Content:
    mark, tone = LEVEL_MARKS[diagnosis.level]
    level, separator, rest = diagnosis.text.partition(":")
    return Content.assemble((f"{mark} {level}{separator}", tone), (rest, "$text-muted"))


def _told_briefly(schedule: Schedule, level: str = "") -> Content:
    mark, tone = LEVEL_MARKS[schedule.diagnosis().level]
    return Content.assemble((f"{mark} {level}", tone), (brief_diagnosis(schedule), "$text-muted"))


def _name(facts: RunDetails) -> Content:
    return Content.styled(f"{facts.marker} {facts.label}", f"bold {facts.color}")


def _pair(name: str, value: str, width: int) -> Content:
    space = " " * max(1, min(width, 20) - len(name) - len(value))
    return Content.assemble((name, "$text-muted"), space, value)


def _short(value: float) -> str:
    return "0" if value == 0 else f"{value:.2g}" if value >= 1e-3 else f"{value:.0e}"


def _wrapped(text: Content, width: int) -> list[Content]:
    return list(text.wrap(max(1, width)))
