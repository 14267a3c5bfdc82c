"""Actions on the loss curves of a comparison: axes, smoothing, zoom, pan and cursor."""

from collections.abc import Sequence
from typing import Final

from textual.content import Content
from textual.widgets import Static

from tui.screens.compare.curve_choice import CurveChoice
from tui.screens.live import RunsScreen
from tui.state.run_controller import RunController
from tui.widgets.charts.interactive_loss_chart import InteractiveLossChart
from tui.widgets.charts.x_axis import UNITS
from tui.widgets.title_bar import update_static

PAN: Final = 0.2
"""Share of the visible span by which a pan moves it."""


class ChartActionsMixin(RunsScreen):
    """Actions on an `InteractiveLossChart`.

    Attributes:
        curve_choice: the runs whose curves are drawn.
    """

    def __init__(self, control: RunController, run_ids: Sequence[str]) -> None:
        super().__init__(control, run_ids)
        self.curve_choice = CurveChoice()

    @property
    def chart(self) -> InteractiveLossChart:
        """The loss curves."""
        return self.query_one(InteractiveLossChart)

    def _update_axes(self, run_ids: Sequence[str]) -> None:
        """Name units, scales, smoothing, kinds of losses and missing curves above the chart."""
        parts = [self.chart.describe(), self.curve_choice.describe(run_ids)]
        text = " · ".join(part for part in parts if part)
        dots = "   ╌╌ held-out" if self.chart.shown == "both" else ""
        update_static(self.query_one("#axes", Static), Content(f" loss   {text}{dots}"))

    def action_log_y(self) -> None:
        self.chart.log_y = not self.chart.log_y
        self.update()

    def action_log_x(self) -> None:
        self.chart.log_x = not self.chart.log_x
        self.action_reset_zoom()

    def action_unit(self) -> None:
        """Take the next unit of the x axis; this resets the zoom and hides the cursor."""
        chart = self.chart
        chart.unit = UNITS[(UNITS.index(chart.unit) + 1) % len(UNITS)]
        chart.place_cursor(None)
        self.action_reset_zoom()

    def action_smoothing(self) -> None:
        self.chart.smoothing += 1
        self.update()

    def action_heldout(self) -> None:
        self.chart.cycle_shown()
        self.update()

    def action_select(self, steps: int) -> None:
        """Select the run that many places further."""
        self.curve_choice.select([run.id for run in self.runs], steps)
        self.update()

    def action_solo(self) -> None:
        """Draw the selected run alone, or all that are not hidden."""
        self.curve_choice.alone = not self.curve_choice.alone
        self.update()

    def action_hide(self) -> None:
        """Hide the curve of the selected run, or show it again."""
        if self.runs and not self.curve_choice.toggle_hidden([run.id for run in self.runs]):
            self.notify("the last curve stays", timeout=2)
        self.update()

    def action_zoom(self, steps: int) -> None:
        self.chart.zoom(steps)
        self.update()

    def action_pan(self, direction: int) -> None:
        if self.chart.span is None:
            self.notify("the curves are shown in full: zoom in first", timeout=2)
        self.chart.pan(direction * PAN)
        self.update()

    def action_reset_zoom(self) -> None:
        self.chart.span = None
        self.update()

    def action_read(self, columns: int) -> None:
        self.chart.step_cursor(columns)
        self.update()
