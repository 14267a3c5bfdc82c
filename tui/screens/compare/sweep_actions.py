"""Actions on the sweep of a comparison: its metric, its setting and its axis."""

from tui.screens.compare.chart_actions import ChartActionsMixin
from tui.screens.compare.sweep_panel import SweepPanel
from tui.state.snapshot import RunSnapshot


class SweepActionsMixin(ChartActionsMixin):
    """Actions on a `SweepPanel`; without one on the screen, they show it."""

    chosen_view: str
    swept_ids: tuple[str, ...]

    @property
    def swept_runs(self) -> list[RunSnapshot]:
        """The runs of the sweep that still exist, in their order."""
        known = {run.id: run for run in self.snapshot.runs}
        return [known[run_id] for run_id in self.swept_ids if run_id in known]

    def action_metric(self, steps: int) -> None:
        """Show the metric that many places further."""
        self._turn(metric=steps)

    def action_setting(self, steps: int) -> None:
        """Take the setting that many places further as the x axis."""
        self._turn(setting=steps)

    def action_log_x(self) -> None:
        """Switch the x axis of the sweep, or else of the curves."""
        if self.chosen_view != "sweep":
            super().action_log_x()
            return
        panel = self.query_one(SweepPanel)
        panel.linear = not panel.linear
        self.update()

    def _turn(self, *, metric: int = 0, setting: int = 0) -> None:
        if self.chosen_view == "sweep":
            panel = self.query_one(SweepPanel)
            panel.next_metric(metric)
            panel.next_setting(setting)
        self.chosen_view = "sweep"
        self.update()
