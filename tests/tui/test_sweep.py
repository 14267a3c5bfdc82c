"""The view of a comparison with one number against one setting."""

from pathlib import Path

from core.config import RunConfig, ScheduleConfig, TrainConfig
from core.runs import State
from tests.support.fake_runs import dashboard_run, write_evaluation
from tests.support.tui_pilot import dashboard
from tui.screens.compare.screen import CompareScreen
from tui.screens.compare.sweep_panel import SweepPanel
from tui.widgets.charts.sweep_chart import SweepChart


def _grid(root: Path) -> None:
    """Make more runs than a comparison shows at once: four learning rates, two schedules and three seeds."""
    for index in range(24):
        rate, name, seed = 10.0 ** (index // 6 - 5), ("linear", "cosine")[index // 3 % 2], index % 3
        config = RunConfig(
            schedule=ScheduleConfig(name=name), train=TrainConfig(epochs=1, learning_rate=rate, seed=seed)
        )
        run = dashboard_run(
            root,
            state=State.FINISHED,
            epoch=0,
            config=config,
            index=index,
            run_id=f"r{index:02}",
            images=False,
        )
        write_evaluation(run, 0.4 + 0.1 * (index // 6) + 0.01 * seed, epoch=0)


async def test_a_sweep_pools_all_runs_shown_and_keys_change_number_setting_and_axis(tmp_path: Path) -> None:
    _grid(tmp_path)
    async with dashboard(tmp_path, (80, 24)) as driven:
        await driven.press("c")
        await driven.until(lambda: isinstance(driven.app.screen, CompareScreen) and driven.app.screen.runs)
        screen = driven.app.screen
        assert isinstance(screen, CompareScreen)
        await driven.press("6")
        assert screen.view == "sweep"
        assert len(screen.runs) < 24
        text = driven.text()
        assert "24 runs" in text
        assert "balanced pass % (higher is better) against train.learning_rate · logarithmic" in text
        assert "1 linear  2 cosine" in text
        assert "best mean: 71.0" in text
        labels = next(line for line in text.splitlines() if line.strip().startswith("1e-05"))
        assert labels.split() == ["1e-05", "0.0001", "0.001", "0.01"]
        chart, panel = screen.query_one(SweepChart), screen.query_one(SweepPanel)
        drawn = chart.draws
        await driven.press("x")
        assert "train.learning_rate · linear" in driven.text()
        assert chart.draws > drawn
        await driven.press("v")
        assert "against schedule.name · categories" in driven.text()
        await driven.press("V", "n")
        assert panel.setting == "train.learning_rate"
        assert " pass % (higher is better) against train.learning_rate" in driven.text()
        await driven.press("N", "x")
        assert "balanced pass %" in driven.text()
        assert not screen.query_one("#wall").display
