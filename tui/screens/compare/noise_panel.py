"""Panel of a comparison with the noise-prediction errors of its runs, or true against predicted noise of one run."""

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical

from core.runs.noise_error_epochs import have_heldout_errors, held_between, noise_errors_by_epoch
from core.runs.predicted_noise import PredictedNoise
from tui.screens.compare.curve_choice import CurveChoice
from tui.settings.series_colors import SeriesStyle
from tui.state.predicted_noise import PredictedNoiseCache
from tui.state.snapshot import RunSnapshot
from tui.widgets.charts.noise_error_chart import NoiseErrorChart, NoiseErrorLine
from tui.widgets.charts.noise_error_heatmap import HeatmapRun, NoiseErrorHeatmap
from tui.widgets.charts.predicted_noise_chart import PredictedNoiseChart


class NoisePanel(Vertical):
    """Curves of one epoch above heatmaps of all epochs; in their place true against predicted noise.

    Errors are those of the averaged weights on held-out images if all drawn runs have them, and else those of the
    training. An epoch without a sheet of samples has the held-out errors of the sheet before.

    Attributes:
        predicted: whether true against predicted noise is shown.
        cache: what evaluations have left of the runs.
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.predicted = False
        self.cache = PredictedNoiseCache()
        self._seen: tuple[PredictedNoise | None, ...] = ()

    def compose(self) -> ComposeResult:
        yield NoiseErrorChart(id="noise-curves")
        yield NoiseErrorHeatmap(id="noise-heatmap")
        yield PredictedNoiseChart(id="noise-predicted")

    def changed(self, runs: Sequence[RunSnapshot]) -> bool:
        """Return whether other tables are to be shown than the last time."""
        return self.predicted and tuple(self.cache.get(run) for run in runs) != self._seen

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
        for selector, is_shown in (
            ("#noise-curves", not self.predicted),
            ("#noise-heatmap", not self.predicted),
            ("#noise-predicted", self.predicted),
        ):
            self.query_one(selector).display = is_shown
        if self.predicted:
            at = choice.selected_index(ids)
            self._seen = tuple(self.cache.get(run) for run in runs)
            name = f"{styles[at].marker} {names[ids[at]]}"
            self.query_one(PredictedNoiseChart).show(name, styles[at].color, self._seen[at])
            return
        drawn = [
            (run, style) for run, style in zip(runs, styles, strict=True) if choice.is_drawn(ids, run.id)
        ]
        heldout = have_heldout_errors(run.epochs for run, _ in drawn)
        errors = {run.id: noise_errors_by_epoch(run.epochs, heldout=heldout) for run, _ in drawn}
        lines: list[NoiseErrorLine] = []
        on_top = None
        for run, style in drawn:
            found = [bins for at, bins in errors[run.id].items() if epoch is None or at <= epoch]
            if found:
                if run.id == ids[choice.selected_index(ids)]:
                    on_top = len(lines)
                lines.append(NoiseErrorLine(style.marker, style.color, found[-1]))
        self.query_one(NoiseErrorChart).show(lines, on_top=on_top, heldout=heldout)
        selected = ids[choice.selected_index(ids)]
        first = next((index for index, (run, _) in enumerate(drawn) if run.id == selected), 0)
        self.query_one(NoiseErrorHeatmap).show(
            [
                HeatmapRun(
                    style.marker,
                    style.color,
                    names[run.id],
                    tuple((held_between(errors[run.id]) if heldout else errors[run.id]).items()),
                )
                for run, style in (*drawn[first:], *drawn[:first])
            ]
        )
