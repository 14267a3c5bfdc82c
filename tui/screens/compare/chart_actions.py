"""Actions on the loss curves of a comparison: axes, smoothing, zoom, pan and cursor."""

from typing import Final

from textual.content import Content
from textual.widgets import Static

from tui.screens.live import LiveScreen
from tui.widgets.charts.interactive_loss_chart import InteractiveLossChart
from tui.widgets.charts.x_axis import UNITS
from tui.widgets.title_bar import update_static

PAN: Final = 0.2
"""Share of the visible span by which a pan moves it."""


class ChartActionsMixin(LiveScreen[None]):
    """Actions on an `InteractiveLossChart`."""

    @property
    def chart(self) -> InteractiveLossChart:
        """The loss curves."""
        return self.query_one(InteractiveLossChart)

    def _update_axes(self) -> None:
        """Name units, scales, smoothing and kinds of losses above the chart."""
        dots = "   ╌╌ held-out" if self.chart.shown == "both" else ""
        update_static(self.query_one("#axes", Static), Content(f" loss   {self.chart.describe()}{dots}"))

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

    def action_band(self) -> None:
        """Highlight the next run, and none after the last one."""
        chart = self.chart
        index = 0 if chart.highlight is None else chart.highlight + 1
        chart.highlight = index if index < len(chart.series) else None
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
