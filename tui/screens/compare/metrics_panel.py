"""Panel of a comparison with its tables and cautions, one below the other."""

from collections.abc import Mapping, Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.comparison.compare import Comparison
from tui.screens.compare.evaluation_table import EvaluatedRun, evaluation_table, metric_names
from tui.screens.compare.metrics_table import MetricsRow, difference_table, metric_table
from tui.screens.compare.summary import cautions, run_metrics, setting_differences
from tui.settings.series_colors import SeriesStyle
from tui.state.evaluations import RunEvaluation
from tui.state.formatting import pluralize
from tui.state.snapshot import RunSnapshot
from tui.widgets.title_bar import update_static


class MetricsPanel(VerticalScroll, can_focus=False):
    """Progress of runs, their evaluations, the settings in which they differ, and cautions.

    Attributes:
        wanted_lines: lines of everything but the cautions.
    """

    wanted_lines = 0

    def compose(self) -> ComposeResult:
        for part in ("metrics", "evaluation", "differences", "cautions"):
            yield Static(id=part)

    def show(
        self,
        runs: Sequence[RunSnapshot],
        names: Mapping[str, str],
        styles: Sequence[SeriesStyle],
        marks: Mapping[str, str],
        evaluations: Mapping[str, RunEvaluation],
        comparison: Comparison | None,
        width: int,
        *,
        headlines_only: bool = False,
        first: int = 0,
        evaluate_key: str = "enter",
        all_key: str = "3",
    ) -> None:
        """Show runs.

        Args:
            runs: at least one.
            names: of the runs, by id.
            styles: of the runs, in their order.
            marks: of the runs, by id: whether they are selected or hidden.
            evaluations: of the runs, by id.
            comparison: of these evaluations; None where there are none.
            width: cells.
            headlines_only: show the most important metrics, and the number of the others.
            first: index of the first column of evaluations shown.
            evaluate_key: the key that evaluates runs.
            all_key: the key that shows all metrics.
        """
        rows = [
            MetricsRow(names[run.id], style, run_metrics(run), marks[run.id])
            for run, style in zip(runs, styles, strict=True)
        ]
        found = setting_differences(runs)
        columns = [
            EvaluatedRun(run.id, names[run.id], style, evaluations[run.id])
            for run, style in zip(runs, styles, strict=True)
        ]
        texts = [_evaluate_prompt(columns, evaluate_key)] if comparison is None else []
        if comparison is not None:
            names_shown = metric_names(comparison, headlines_only=headlines_only)
            more = len(metric_names(comparison)) - len(names_shown)
            texts.append(evaluation_table(columns, comparison, names_shown, width, first=first))
            note = (
                f"{pluralize(more, 'more metric')}: {all_key} shows all"
                if more
                else _protocol_text(comparison)
            )
            texts.append(Content.styled(f" {note}", "$text-muted"))
        texts += [
            Content.styled(f" {run.style.marker} {run.name}: {run.evaluation.problem}", "$text-error")
            for run in columns
            if run.evaluation.problem
        ]
        progress, evaluation = metric_table(rows, width), Content("\n").join(texts)
        differences = difference_table(found, styles, width, runs=len(runs))
        update_static(self.query_one("#metrics", Static), progress)
        update_static(self.query_one("#evaluation", Static), evaluation)
        update_static(self.query_one("#differences", Static), differences)
        parts = (progress, evaluation, differences)
        self.wanted_lines = sum(part.plain.count("\n") + 2 for part in parts) - 1
        notes = [*cautions(runs), *(_comparison_cautions(comparison) if comparison is not None else [])]
        update_static(self.query_one("#cautions", Static), Content("\n".join(notes)))


def _evaluate_prompt(columns: Sequence[EvaluatedRun], key: str) -> Content:
    """Text shown before the first evaluation: its progress, or the key that starts it; an empty key starts none."""
    progress = [
        Content.assemble(
            (f" {run.style.marker} ", f"bold {run.style.color}"), (run.evaluation.progress, "$text-muted")
        )
        for run in columns
        if run.evaluation.progress
    ]
    if progress:
        return Content(" ").join([Content.styled(" evaluating:", "$text-muted"), *progress])
    if not key:
        return Content.styled(" not evaluated", "$text-muted")
    target = {1: "it", 2: "both runs"}.get(len(columns), f"all {len(columns)} runs")
    return Content.styled(f" not evaluated yet: {key} evaluates {target}, alongside training", "$text-muted")


def _protocol_text(comparison: Comparison) -> str:
    """Protocol of the evaluations, and meaning of the mark."""
    marks = "* best, or not clearly worse (5% for all together)"
    evaluated = [one for row in comparison.rows for one in row.evaluations]
    if not comparison.same_protocol:
        return f"± half a 95% interval; {marks}"
    one = evaluated[0]
    return f"{one.count} samples, {one.sampler} in {one.steps} steps; ± half a 95% interval; {marks}"


def _comparison_cautions(comparison: Comparison) -> list[str]:
    """Limits of these evaluations, one sentence each."""
    notes = []
    if not comparison.same_protocol:
        notes.append(
            "Not all runs were evaluated by the same protocol: no run wins over one with another protocol."
        )
    if len(comparison.rows) > 1:
        notes.append(
            "Each run is one training: only several seeds show whether its settings make the difference."
        )
    return notes
