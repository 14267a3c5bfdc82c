"""Panel of a comparison with the explanation of its runs: a table of causes with bars, and sentences below."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len, set_cell_size
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.comparison.causes import PARTS, Part, is_above_zero
from core.comparison.explain import Explanation, RunExplanation
from tui.settings.series_colors import SeriesStyle
from tui.state.formatting import pluralize, shorten
from tui.widgets.title_bar import update_static

PART_SIGNS: Final[dict[Part, tuple[str, str]]] = {
    "start": ("█", "$text-error"),
    "steps": ("═", "$text-warning"),
    "network": ("░", "$text-primary"),
}
"""Character of each part in a bar, and its colour; the characters differ in ASCII too."""
MAX_LABEL: Final = 20
MISSED_WIDTH: Final = 17
PART_GAP: Final = 3
"""Cells of a part's column beyond its name: a gap, the sign of the part, and a space."""
MIN_BAR: Final = 8
MAX_BAR: Final = 60


class WhyRun(NamedTuple):
    """A run: its name, its style, and the progress of its evaluation, empty if there is none."""

    name: str
    style: SeriesStyle
    progress: str
    problem: str


class WhyPanel(VerticalScroll, can_focus=False):
    """Table, what is missing, and sentences."""

    def compose(self) -> ComposeResult:
        for part in ("why-table", "why-missing", "why-text"):
            yield Static(id=part)

    def show(
        self,
        runs: Mapping[str, WhyRun],
        explanations: Sequence[Explanation],
        reasons: Mapping[str, str],
        width: int,
        *,
        titles: Sequence[str] = (),
        key: str = "enter",
        loading: bool = False,
    ) -> None:
        """Show runs.

        Args:
            runs: by label.
            explanations: one for each data set.
            reasons: why runs are not explained as they are now, by label.
            width: cells.
            titles: of the data sets, shown if there are several.
            key: the key that starts explaining; empty if none does.
            loading: whether explanations are being made.
        """
        tables, texts = [], []
        for index, explanation in enumerate(explanations):
            if len(explanations) > 1:
                tables.append(Content.styled(f" {titles[index]}", "bold"))
            tables.append(why_table(explanation, runs, width))
            texts += [why_text(one, runs, width) for one in explanation.runs]
        missing = [] if loading else why_missing(runs, reasons, key)
        if loading and not tables:
            missing = [Content.styled(" reading …", "$text-muted")]
        for part, lines in (("why-table", tables), ("why-missing", missing), ("why-text", texts)):
            widget = self.query_one(f"#{part}", Static)
            widget.display = bool(lines)
            update_static(widget, Content("\n").join(lines))


def why_table(explanation: Explanation, runs: Mapping[str, WhyRun], width: int) -> Content:
    """Return a line for each run: what its samples miss, and the parts of it as numbers and as a bar.

    Args:
        explanation: of runs on the same data.
        runs: by label.
        width: cells.
    """
    found = explanation.runs
    label = min(MAX_LABEL, max(4, *(cell_len(runs[one.label].name) for one in found)))
    left = 3 + label + 1 + MISSED_WIDTH + sum(len(part) + PART_GAP for part in PARTS)
    bar = min(MAX_BAR, width - left - 3)
    largest = max(sum(_sizes(one)) for one in found)
    heading: list[Content | str | tuple[str, str]] = [
        (f"   {'run':{label}} {'missed':<{MISSED_WIDTH}}", "$text-muted")
    ]
    for part, (sign, color) in PART_SIGNS.items():
        heading += [" ", (sign, color), (f" {part}", "$text-muted")]
    lines = [Content.assemble(*heading)]
    for one in found:
        run = runs[one.label]
        missed = f"{_number(one.distance.value)} [{_number(one.distance.low)}, {_number(one.distance.high)}]"
        parts: list[Content | str | tuple[str, str]] = [
            (f" {run.style.marker} ", f"bold {run.style.color}"),
            (set_cell_size(shorten(run.name, label), label), run.style.color),
            f" {missed:<{MISSED_WIDTH}}",
        ]
        for part in PARTS:
            text = f"{_number(one.decomposition.parts[part].value, '+'):>{len(part) + PART_GAP}}"
            parts.append((text, "bold" if _is_known(one, part) else "$text-muted"))
        if bar >= MIN_BAR:
            parts += ["  ", *_bar(one, largest, bar)]
        lines.append(Content.assemble(*parts))
    best = runs[found[0].label]
    note = (
        f"Missed: share of the kinds of real images, of which chance alone leaves {_number(explanation.real.value)}. "
        "Bold and coloured parts are beyond noise."
    )
    if len(found) > 1:
        note += f" Those of {best.name} are compared with real images, all others with {best.name}."
    return Content("\n").join([*lines, *_indented(" ", Content.styled(note, "$text-muted"), width, "")])


def why_text(one: RunExplanation, runs: Mapping[str, WhyRun], width: int) -> Content:
    """Return the sentences about a run: what it misses, and its causes numbered."""
    style = runs[one.label].style
    title = Content(one.text).stylize(f"bold {style.color}", 0, len(one.label))
    lines = _indented(f" {style.marker} ", title, width, f"bold {style.color}")
    for number, cause in enumerate(one.causes, start=1):
        lines += _indented(f"   {number}. ", Content(cause.text), width, "$text-muted")
    return Content("\n").join(lines)


def why_missing(runs: Mapping[str, WhyRun], reasons: Mapping[str, str], key: str) -> list[Content]:
    """Return lines about the runs that are not explained as they are now, with the key that explains them.

    Args:
        runs: by label.
        reasons: why runs are not explained, by label.
        key: the key that starts explaining; empty if none does.
    """
    lines = []
    progress = {label: run for label, run in runs.items() if run.progress}
    if progress:
        texts = [_marked(run, run.progress) for run in progress.values()]
        lines.append(Content(" ").join([Content.styled(" at work:", "$text-muted"), *texts]))
    for reason in dict.fromkeys(reasons.values()):
        members = [runs[label] for label in reasons if reasons[label] == reason and label not in progress]
        if members:
            names = Content(", ").join(_marked(run, run.name) for run in members)
            lines.append(Content.assemble(names, (f": {reason}", "$text-muted")))
    waiting = [label for label in reasons if label not in progress and "no checkpoint" not in reasons[label]]
    if waiting and key:
        text = f" {key} explains {pluralize(len(waiting), 'run')}, alongside training: samples them in several ways"
        lines.append(Content.styled(text, "$text-muted"))
    lines += [
        Content.styled(f" {run.style.marker} {run.name}: {run.problem}", "$text-error")
        for run in runs.values()
        if run.problem
    ]
    return lines


def _marked(run: WhyRun, text: str) -> Content:
    return Content.assemble((f" {run.style.marker} ", f"bold {run.style.color}"), text)


def _is_known(one: RunExplanation, part: Part) -> bool:
    """Return whether a part is above 0 beyond noise."""
    return is_above_zero(one.decomposition.parts[part])


def _sizes(one: RunExplanation) -> list[float]:
    """Return the parts that a bar shows: those above 0."""
    return [max(0.0, one.decomposition.parts[part].value or 0.0) for part in PARTS]


def _bar(one: RunExplanation, largest: float, width: int) -> list[tuple[str, str]]:
    """Return the segments of a stacked bar; the largest sum of all runs fills the width."""
    segments, end, drawn = [], 0.0, 0
    for part, size in zip(PARTS, _sizes(one), strict=True):
        end += size
        sign, color = PART_SIGNS[part]
        cells = round(width * end / largest) - drawn if largest > 0 else 0
        segments.append((sign * cells, color if _is_known(one, part) else "$text-muted"))
        drawn += cells
    return segments


def _indented(head: str, text: Content, width: int, style: str) -> list[Content]:
    """Wrap a text at words, with all lines after the first indented as far as its head is long."""
    lines = text.wrap(max(10, width - cell_len(head)))
    return [
        Content.assemble((head if index == 0 else " " * cell_len(head), style), line)
        for index, line in enumerate(lines)
    ]


def _number(value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{round(value, 2) + 0.0:{sign}.2f}"  # no minus before 0
