"""Everything that a comparison says in numbers and words, one below the other."""

from collections.abc import Mapping, Sequence
from typing import Final

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.comparison.compare import Comparison
from tui.screens.compare.evaluation_table import EvaluatedRun, evaluation_table, measured
from tui.screens.compare.metrics_table import Line, difference_table, metric_table
from tui.screens.compare.summary import cautions, differences, figures
from tui.settings.series_colors import SeriesStyle
from tui.state.evaluations import RunEvaluation
from tui.state.formatting import pluralize
from tui.state.snapshot import RunSnapshot
from tui.widgets.title_bar import say

MIN_EVALUATION_LINES: Final = 2
EVALUATION_HEADINGS: Final = 2


class MetricsPanel(VerticalScroll, can_focus=False):
    """How far runs are, what they were judged by, in which settings they differ, and what to beware of."""

    def compose(self) -> ComposeResult:
        for part in ("metrics", "judged", "differences", "cautions"):
            yield Static(id=part)

    def show(
        self,
        runs: Sequence[RunSnapshot],
        names: Mapping[str, str],
        styles: Sequence[SeriesStyle],
        known: Mapping[str, RunEvaluation],
        comparison: Comparison | None,
        width: int,
        *,
        height: int | None = None,
        first: int = 0,
        evaluate_key: str = "enter",
    ) -> None:
        """Show runs.

        Args:
            runs: at least one.
            names: what each is called, by id.
            styles: how they are told apart.
            known: what they were judged by, by id.
            comparison: of what they were judged by; None where none was.
            width: cells.
            height: lines that are seen, where only the most telling numbers are wanted; None for all numbers.
            first: the column of judged runs to begin with.
            judge_key: has runs judged.
        """
        lines = [Line(names[run.id], style, figures(run)) for run, style in zip(runs, styles, strict=True)]
        say(self.query_one("#metrics", Static), metric_table(lines, width))
        found = differences(runs)
        columns = [
            EvaluatedRun(run.id, names[run.id], style, known[run.id])
            for run, style in zip(runs, styles, strict=True)
        ]
        most = None
        if height is not None:
            most = max(
                MIN_EVALUATION_LINES, height - (1 + len(runs)) - 1 - EVALUATION_HEADINGS - 1 - len(found)
            )
        evaluated = [_asked(columns, evaluate_key)] if comparison is None else []
        if comparison is not None:
            evaluated.append(
                evaluation_table(columns, comparison, measured(comparison, most), width, first=first)
            )
            if most is None:
                evaluated.append(Content.styled(" " + _protocol(comparison), "$text-muted"))
        evaluated += [
            Content.styled(f" {run.style.marker} {run.name}: {run.evaluation.problem}", "$text-error")
            for run in columns
            if run.evaluation.problem
        ]
        say(self.query_one("#judged", Static), Content("\n").join(evaluated))
        say(self.query_one("#differences", Static), difference_table(found, styles, width, runs=len(runs)))
        said = [*cautions(runs), *(_notes(comparison) if comparison is not None else [])]
        say(self.query_one("#cautions", Static), Content("\n".join(said)))


def _asked(columns: Sequence[EvaluatedRun], key: str) -> Content:
    """What to say while nothing has been judged."""
    doing = [
        Content.assemble(
            (f" {run.style.marker} ", f"bold {run.style.color}"), (run.evaluation.progress, "$text-muted")
        )
        for run in columns
        if run.evaluation.progress
    ]
    if doing:
        return Content(" ").join([Content.styled(" being judged:", "$text-muted"), *doing])
    whom = "it" if len(columns) == 1 else f"all {pluralize(len(columns), 'run')}"
    return Content.styled(f" not judged yet: {key} judges {whom}, beside the training", "$text-muted")


def _protocol(comparison: Comparison) -> str:
    """How runs were judged, and what a mark means."""
    marks = "* best, or not clearly worse (5% for all together)"
    evaluated = [one for row in comparison.rows for one in row.evaluations]
    if not comparison.same_protocol:
        return f"± half a 95% interval; {marks}"
    one = evaluated[0]
    return f"{one.count} samples, {one.sampler} in {one.steps} steps; ± half a 95% interval; {marks}"


def _notes(comparison: Comparison) -> list[str]:
    """What a reader of the judgements should know before believing them."""
    notes = []
    if not comparison.same_protocol:
        notes.append("Not all were judged alike: nobody wins over a run that was judged otherwise.")
    if len(comparison.rows) > 1:
        notes.append(
            "Each run is one training: whether its settings make the difference, several seeds tell."
        )
    return notes
