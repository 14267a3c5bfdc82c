"""Panel of a comparison with the noise-prediction errors of its runs: over log SNR, and over the epochs as well."""

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical

from core.statistics.noise_error_bins import NoiseErrorBins
from tui.screens.compare.curve_choice import CurveChoice
from tui.settings.series_colors import SeriesStyle
from tui.state.snapshot import RunSnapshot
from tui.widgets.charts.noise_error_chart import NoiseErrorChart, NoiseErrorLine
from tui.widgets.charts.noise_error_heatmap import HeatmapRun, NoiseErrorHeatmap


class NoisePanel(Vertical):
    """Curves of one epoch above heatmaps of all epochs."""

    def compose(self) -> ComposeResult:
        yield NoiseErrorChart(id="noise-curves")
        yield NoiseErrorHeatmap(id="noise-heatmap")

    def show(
        self,
        runs: Sequence[RunSnapshot],
        names: dict[str, str],
        styles: Sequence[SeriesStyle],
        choice: CurveChoice,
        epoch: int | None,
    ) -> None:
        """Show runs.

        Args:
            runs: at least one.
            names: of the runs, by id.
            styles: of the runs, in their order.
            choice: the runs whose curves are drawn; the heatmap of the selected one is the first.
            epoch: the epoch of the curves, or the last one before it; None for the latest.
        """
        ids = [run.id for run in runs]
        drawn = [
            (run, style) for run, style in zip(runs, styles, strict=True) if choice.is_drawn(ids, run.id)
        ]
        lines: list[NoiseErrorLine] = []
        on_top = None
        for run, style in drawn:
            found = [
                record.noise_error
                for record in run.epochs
                if record.noise_error is not None and (epoch is None or record.epoch <= epoch)
            ]
            if found:
                if run.id == ids[choice.selected_index(ids)]:
                    on_top = len(lines)
                lines.append(NoiseErrorLine(style.marker, style.color, found[-1]))
        self.query_one(NoiseErrorChart).show(lines, on_top=on_top)
        selected = ids[choice.selected_index(ids)]
        first = next((index for index, (run, _) in enumerate(drawn) if run.id == selected), 0)
        self.query_one(NoiseErrorHeatmap).show(
            [
                HeatmapRun(style.marker, style.color, names[run.id], _errors(run))
                for run, style in (*drawn[first:], *drawn[:first])
            ]
        )


def _errors(run: RunSnapshot) -> tuple[tuple[int, NoiseErrorBins], ...]:
    return tuple(
        (record.epoch, record.noise_error) for record in run.epochs if record.noise_error is not None
    )
