"""Everything that a comparison says in numbers and words, one below the other."""

from collections.abc import Mapping, Sequence
from typing import Final

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.comparison.compare import Comparison
from tui.screens.compare.evaluation_table import JudgedRun, judged_table, measured
from tui.screens.compare.metrics_table import Line, difference_table, metric_table
from tui.screens.compare.summary import cautions, differences, figures
from tui.settings.series_colors import SeriesStyle
from tui.state.evaluations import Judged
from tui.state.formatting import counted
from tui.state.snapshot import RunSnapshot
from tui.widgets.title_bar import say

LEAST_JUDGED: Final = 2
JUDGED_HEADS: Final = 2


class Numbers(VerticalScroll, can_focus=False):
    """How far runs are, what they were judged by, in which settings they differ, and what to beware of."""

    def compose(self) -> ComposeResult:
        for part in ("metrics", "judged", "differences", "cautions"):
            yield Static(id=part)

    def show(
        self,
        runs: Sequence[RunSnapshot],
        names: Mapping[str, str],
        styles: Sequence[SeriesStyle],
        known: Mapping[str, Judged],
        comparison: Comparison | None,
        width: int,
        *,
        height: int | None = None,
        first: int = 0,
        judge_key: str = "enter",
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
            JudgedRun(run.id, names[run.id], style, known[run.id])
            for run, style in zip(runs, styles, strict=True)
        ]
        most = None
        if height is not None:
            most = max(LEAST_JUDGED, height - (1 + len(runs)) - 1 - JUDGED_HEADS - 1 - len(found))
        judged = [_asked(columns, judge_key)] if comparison is None else []
        if comparison is not None:
            judged.append(judged_table(columns, comparison, measured(comparison, most), width, first=first))
            if most is None:
                judged.append(Content.styled(" " + _protocol(comparison), "$text-muted"))
        judged += [
            Content.styled(f" {run.style.marker} {run.name}: {run.judged.trouble}", "$text-error")
            for run in columns
            if run.judged.trouble
        ]
        say(self.query_one("#judged", Static), Content("\n").join(judged))
        say(self.query_one("#differences", Static), difference_table(found, styles, width, runs=len(runs)))
        said = [*cautions(runs), *(_notes(comparison) if comparison is not None else [])]
        say(self.query_one("#cautions", Static), Content("\n".join(said)))


def _asked(columns: Sequence[JudgedRun], key: str) -> Content:
    """What to say while nothing has been judged."""
    doing = [
        Content.assemble(
            (f" {run.style.marker} ", f"bold {run.style.color}"), (run.judged.doing, "$text-muted")
        )
        for run in columns
        if run.judged.doing
    ]
    if doing:
        return Content(" ").join([Content.styled(" being judged:", "$text-muted"), *doing])
    whom = "it" if len(columns) == 1 else f"all {counted(len(columns), 'run')}"
    return Content.styled(f" not judged yet: {key} judges {whom}, beside the training", "$text-muted")


def _protocol(comparison: Comparison) -> str:
    """How runs were judged, and what a mark means."""
    marks = "* best, or not clearly worse (5% for all together)"
    judged = [one for row in comparison.rows for one in row.judged]
    if not comparison.alike:
        return f"± half a 95% interval; {marks}"
    one = judged[0]
    return f"{one.count} samples, {one.sampler} in {one.steps} steps; ± half a 95% interval; {marks}"


def _notes(comparison: Comparison) -> list[str]:
    """What a reader of the judgements should know before believing them."""
    notes = []
    if not comparison.alike:
        notes.append("Not all were judged alike: nobody wins over a run that was judged otherwise.")
    if len(comparison.rows) > 1:
        notes.append(
            "Each run is one training: whether its settings make the difference, several seeds tell."
        )
    return notes
