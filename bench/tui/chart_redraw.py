"""Time to redraw the curves of five very long runs when each has grown."""

import asyncio
import time
from typing import Final

import numpy as np
from textual.app import App, ComposeResult

from tui.widgets.charts.loss_chart import LossChart
from tui.widgets.charts.series import Series

RUNS: Final = 5
POINTS: Final = 1_000_000
NEW_POINTS: Final = 10
REPEATS: Final = 30


class _ChartApp(App[None]):
    def compose(self) -> ComposeResult:
        yield LossChart()


def measure_redraws(points: int = POINTS, repeats: int = REPEATS) -> list[float]:
    """Milliseconds of each redraw, for curves that have grown since the last one."""
    return asyncio.run(_measure_redraws(points, repeats))


async def _measure_redraws(points: int, repeats: int) -> list[float]:
    rng = np.random.default_rng(0)
    most = points + (repeats + 1) * NEW_POINTS
    steps = np.arange(1.0, most + 1)
    losses = [0.02 + np.exp(-steps / 3000) + 0.002 * np.abs(rng.standard_normal(most)) for _ in range(RUNS)]
    app, found = _ChartApp(), []
    async with app.run_test(size=(160, 50)):
        chart = app.query_one(LossChart)
        for turn in range(repeats + 1):
            seen = points + turn * NEW_POINTS
            start = time.perf_counter()
            chart.show(
                [
                    Series(name=f"run {index}", color="#56B4E9", steps=steps[:seen], losses=loss[:seen])
                    for index, loss in enumerate(losses)
                ]
            )
            lines = [chart.render_line(y) for y in range(chart.size.height)]
            found.append(1000 * (time.perf_counter() - start))
            if not any("⣀" <= character <= "⣿" for line in lines for character in line.text):
                raise RuntimeError("no curve was drawn")
    return found[1:]  # the first redraw processes all points
