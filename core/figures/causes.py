"""Causes of bad samples: explanations from the interventions that runs keep, as a table, as text and as bars."""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from core.comparison.causes import PARTS, Part
from core.comparison.explain import Explanation, Subject
from core.comparison.kept_interventions import explain_kept, is_outdated
from core.figures.figure_data import CannotDrawError, FigureData
from core.figures.layout import panel_grid, text_width
from core.figures.style import INK, typeset
from core.figures.tables import MISSING, Cell, Table
from core.runs.interventions import read_interventions
from core.statistics.estimate import Estimate

NOT_EXPLAINED: Final = "no run has been explained; run core explain"
_ROW: Final = 0.22
_PART_STYLES: Final[dict[Part, tuple[str, str]]] = {
    "start": ("#D55E00", ""),
    "steps": ("#E69F00", "//////"),
    "network": ("#56B4E9", "....."),
}
"""Colour and hatching of each part."""


@dataclass(frozen=True, eq=False)
class ExplainedRuns:
    """Explanations by data set, and notes about runs that have none or an old one."""

    explanations: dict[str, Explanation]
    notes: tuple[str, ...]


def explain_runs(data: FigureData) -> ExplainedRuns:
    """Explain the runs whose interventions are kept; nothing is sampled."""
    labels = _labels(data)
    subjects: list[Subject] = []
    without: list[str] = []
    old: list[str] = []
    for member in data.members:
        label = labels[member.info.id]
        kept = read_interventions(member.info.directory)
        if kept is None:
            without.append(label)
            continue
        subjects.append(Subject(label, member.config, member.epochs, kept))
        if is_outdated(kept, member.config, member.epochs):
            old.append(f"{label} (epoch {kept.epoch})")
    explanations = explain_kept(subjects)
    used = {run.label for explanation in explanations.values() for run in explanation.runs}
    other = [subject.label for subject in subjects if subject.label not in used]
    notes = (
        ("Not explained yet", without),
        ("Left out, because other samples were drawn than for the newest explanation", other),
        ("Explained before the run was trained further or sampled in another way", old),
    )
    return ExplainedRuns(
        explanations, tuple(f"{text}: {', '.join(runs)}." for text, runs in notes if runs and subjects)
    )


def cause_table(explanation: Explanation, title: str) -> Table:
    """Return a row per run: the share of real images' kinds that it misses, and the parts of that."""
    rows = []
    for run in explanation.runs:
        parts = run.decomposition.parts
        rows.append(
            (
                Cell((run.label,)),
                _cell(run.distance),
                Cell((run.versus or "real images",)),
                _cell(run.decomposition.total, "+"),
                *(_cell(parts[part], "+") for part in PARTS),
            )
        )
    note = (
        "Missed: share of the real images' kinds, from 0 to 1; as many real images miss "
        f"{_text(explanation.real.value)}. Start, steps and network add up to the difference."
    )
    heads = ("run", "missed", "compared with", "difference", *PARTS)
    return Table(heads, tuple(rows), frozenset({1, 3, 4, 5, 6}), title, note)


def draw_causes(data: FigureData) -> tuple[Figure, str]:
    """Draw a panel per data set with a stacked bar per run, best first.

    Returns:
        The figure and its caption.

    Raises:
        CannotDrawError: no run has interventions.
    """
    found = explain_runs(data).explanations
    if not found:
        raise CannotDrawError(NOT_EXPLAINED)
    names = [typeset(run.label) for explanation in found.values() for run in explanation.runs]
    rows = max(len(explanation.runs) for explanation in found.values())
    figure, axes = panel_grid(
        len(found), 1, height=_ROW * rows + 0.1, left=0.2 + max(text_width(name, 7.0) for name in names), top=0.5,
        bottom=0.42, down=0.45, sharex=True,
    )  # fmt: skip
    for axis, (dataset, explanation) in zip(axes[:, 0], found.items(), strict=True):
        _draw_bars(axis, explanation)
        axis.set_title(typeset(data.titles[dataset]), pad=4)
    axes[-1, 0].set_xlabel("difference in the share of real images' kinds that is missed")
    handles = [
        Patch(facecolor=color, hatch=hatch, edgecolor=INK, linewidth=0.4, label=part)
        for part, (color, hatch) in _PART_STYLES.items()
    ]
    figure.legend(handles=handles, loc="upper center", ncols=len(handles), borderaxespad=0.2)
    return figure, (
        "The best run is compared with real images, all others with the best run. Bars: parts of the difference that "
        "are above 0; lines: the difference with its 95% interval."
    )


def _draw_bars(axis: Axes, explanation: Explanation) -> None:
    for index, run in enumerate(explanation.runs):
        left = 0.0
        for part in PARTS:
            size = max(0.0, run.decomposition.parts[part].value or 0.0)
            color, hatch = _PART_STYLES[part]
            axis.barh(index, size, 0.6, left, color=color, hatch=hatch, edgecolor=INK, linewidth=0.4)
            left += size
        total = run.decomposition.total
        axis.plot([total.low or 0.0, total.high or 0.0], [index, index], color=INK, linewidth=1.0)
        axis.plot([total.value or 0.0], [index], color=INK, marker="o", markersize=2.5)
    axis.axvline(0.0, color=INK, linewidth=0.6)
    axis.set_yticks(range(len(explanation.runs)), [typeset(run.label) for run in explanation.runs])
    axis.set_ylim(len(explanation.runs) - 0.5, -0.5)
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0)


def _labels(data: FigureData) -> dict[str, str]:
    """Return a label for each run by id: of its series, with the data, the seed or the id where that is not enough."""
    labels = {member.info.id: one.label for one in data.series for member in one.members}
    more = [
        {member.info.id: one.title for one in data.series for member in one.members},
        {member.info.id: f"seed {member.config.train.seed}" for member in data.members},
        {member.info.id: member.info.id for member in data.members},
    ]
    for texts in more:
        counts = Counter(labels.values())
        repeated = {run_id for run_id, label in labels.items() if counts[label] > 1}
        if len({texts[run_id] for run_id in repeated}) > 1:
            labels |= {run_id: f"{labels[run_id]}, {texts[run_id]}" for run_id in repeated}
    return labels


def _cell(estimate: Estimate, sign: str = "") -> Cell:
    if estimate.low is None or estimate.high is None:
        return Cell((_text(estimate.value, sign),))
    return Cell((_text(estimate.value, sign),), f"{_text(estimate.low)} to {_text(estimate.high)}")


def _text(value: float | None, sign: str = "") -> str:
    return MISSING if value is None else f"{round(value, 2) + 0.0:{sign}.2f}"
