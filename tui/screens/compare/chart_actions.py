"""What is done to the curves of a comparison: axes, smoothing, pan, zoom, and the cursor that reads them."""

from typing import Final

from textual.content import Content
from textual.widgets import Static

from tui.textual_ext.background import BackgroundScreen
from tui.widgets.charts.interactive_loss_chart import InteractiveLossChart
from tui.widgets.charts.x_axis import UNITS
from tui.widgets.title_bar import say

PAN: Final = 0.2
"""The share of what is seen by which it moves."""


class ChartActionsMixin(BackgroundScreen):
    """A screen with a `InteractiveLossChart`."""

    @property
    def chart(self) -> InteractiveLossChart:
        """The curves."""
        return self.query_one(InteractiveLossChart)

    def update(self) -> None:
        """Say how the curves are shown now; a screen brings the rest of itself in line too."""
        dots = "   ╌╌ held-out" if self.chart.shown == "both" else ""
        say(self.query_one("#axes", Static), Content(f" loss   {self.chart.describe()}{dots}"))

    def action_log_y(self) -> None:
        self.chart.log_y = not self.chart.log_y
        self.update()

    def action_log_x(self) -> None:
        self.chart.log_x = not self.chart.log_x
        self.action_reset_zoom()

    def action_unit(self) -> None:
        """Go on to the next unit of the x axis; the whole of the curves is seen, and the cursor is gone."""
        chart = self.chart
        chart.unit = UNITS[(UNITS.index(chart.unit) + 1) % len(UNITS)]
        chart.hold(None)
        self.action_reset_zoom()

    def action_smoothing(self) -> None:
        self.chart.smoothing += 1
        self.update()

    def action_heldout(self) -> None:
        self.chart.next_shown()
        self.update()

    def action_band(self) -> None:
        """Set off the next run, after the last one none."""
        chart = self.chart
        following = 0 if chart.highlight is None else chart.highlight + 1
        chart.highlight = following if following < len(chart.series) else None
        self.update()

    def action_zoom(self, steps: int) -> None:
        self.chart.zoom(steps)
        self.update()

    def action_pan(self, direction: int) -> None:
        if self.chart.span is None:
            self.notify("all of the curves is seen: zoom in first", timeout=2)
        self.chart.pan(direction * PAN)
        self.update()

    def action_reset_zoom(self) -> None:
        self.chart.span = None
        self.update()

    def action_read(self, columns: int) -> None:
        self.chart.step_cursor(columns)
        self.update()
