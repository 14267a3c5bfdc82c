"""Explanations in a comparison: read and made in a thread, shown in their panel, and started for other runs."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from textual import work

from tui.screens.compare.why_panel import WhyPanel, WhyRun
from tui.screens.live import RunsScreen
from tui.settings.series_colors import SeriesStyle
from tui.state.evaluations import Evaluations
from tui.state.explanations import Explanations
from tui.state.formatting import run_labels
from tui.state.run_controller import RunController
from tui.state.snapshot import RunSnapshot
from tui.widgets.key_bar import refused_actions
from tui.widgets.key_hints import keys_by_command


class WhyActionsMixin(RunsScreen):
    """Screen that explains its runs.

    Attributes:
        evaluations: of the runs, for the progress of jobs.
        explanations: of the runs.
    """

    def __init__(self, control: RunController, run_ids: Sequence[str]) -> None:
        super().__init__(control, run_ids)
        self.evaluations = Evaluations()
        self.explanations = Explanations()

    @work
    async def load_explanations(self) -> None:
        """Read and explain the runs in a thread, unless one is at it."""
        if not self.explanations.busy:
            runs = self.runs
            self.explanations.busy = True
            try:
                await asyncio.to_thread(self.explanations.load, runs, _unique_labels(runs))
            finally:
                self.explanations.busy = False
            self.update()

    def update_why(
        self, runs: Sequence[RunSnapshot], names: dict[str, str], styles: Sequence[SeriesStyle]
    ) -> None:
        """Show what is known of the runs, and read again what has changed."""
        self.evaluations.refresh(runs)
        evaluations = self.evaluations.by_run(runs)
        labels = _unique_labels(runs)
        loading = not self.explanations.is_current(runs, labels)
        if loading:
            self.load_explanations()
        explained = self.explanations.explained
        shown = {
            explained.labels.get(run.id, labels[run.id]): WhyRun(
                names[run.id], style, evaluations[run.id].progress, evaluations[run.id].problem
            )
            for run, style in zip(runs, styles, strict=True)
        }
        explanations = {
            dataset: explanation
            for dataset, explanation in explained.explanations.items()
            if all(one.label in shown for one in explanation.runs)
        }
        titles = {run.file.config.data.dataset: run.data_title for run in runs}
        self.query_one(WhyPanel).show(
            shown,
            list(explanations.values()),
            {
                explained.labels[run.id]: explained.reasons[run.id]
                for run in runs
                if run.id in explained.reasons
            },
            self.size.width - 1,
            titles=[titles.get(dataset, dataset) for dataset in explanations],
            key=""
            if "evaluate" in refused_actions(self.app)
            else keys_by_command(self).get("compare.judge", ["enter"])[0],
            loading=loading,
        )

    def why_changed(self) -> bool:
        """Return whether files that explanations are made of have changed, or the progress of jobs."""
        runs = self.runs
        changed = self.evaluations.refresh(runs)
        return changed or not self.explanations.is_current(runs, _unique_labels(runs))

    def explain(self) -> None:
        """Start explaining the runs that are not explained as they are now."""
        runs = self.runs
        evaluations = self.evaluations.by_run(runs)
        missing = self.explanations.missing(runs, {run.id for run in runs if evaluations[run.id].progress})
        ready = [(members, like) for members, like in missing if members]
        if ready:
            self.run_in_background(lambda: self.control.explain(ready))
        else:
            self.notify(
                "no run has a checkpoint yet" if missing else "all runs are explained or being sampled"
            )


def _unique_labels(runs: Sequence[RunSnapshot]) -> dict[str, str]:
    """Return a label for each run by id, for sentences: with its number in the comparison where labels repeat."""
    labels = run_labels(runs)
    counts = Counter(labels.values())
    return {
        run.id: label if counts[label := labels[run.id]] == 1 else f"{label} ({number})"
        for number, run in enumerate(runs, start=1)
    }
