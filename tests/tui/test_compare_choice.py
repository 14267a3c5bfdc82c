"""Selection of runs in a comparison, and room for everything that it compares."""

from pathlib import Path

from tests.support.fake_groups import five_runs
from tests.support.tui_pilot import Driven, dashboard
from tui.screens.compare.screen import CompareScreen


async def compare(driven: Driven) -> CompareScreen:
    """Press c and wait for the screen."""
    await driven.press("c")
    await driven.until(lambda: isinstance(driven.app.screen, CompareScreen) and driven.app.screen.runs)
    await driven.pilot.pause()
    screen = driven.app.screen
    assert isinstance(screen, CompareScreen)
    return screen


async def test_the_selected_run_is_on_top_and_b_selects_the_next(tmp_path: Path) -> None:
    five_runs(tmp_path)
    async with dashboard(tmp_path, (80, 24)) as driven:
        await driven.press("4")
        screen = await compare(driven)
        assert screen.chart.highlight == 3
        assert any(line.startswith(">4 x^2") for line in driven.text().splitlines())
        seen = []
        for _ in range(5):
            await driven.press("b")
            seen.append(screen.chart.highlight)
        assert seen == [4, 0, 1, 2, 3]


async def test_a_run_is_drawn_alone_or_hidden_and_comes_back(tmp_path: Path) -> None:
    five_runs(tmp_path)
    async with dashboard(tmp_path, (160, 50)) as driven:
        screen = await compare(driven)

        def drawn() -> list[str]:
            return [one.name for one in screen.chart.series]

        await driven.press("s")
        assert drawn() == ["linear"]
        assert "1 of 5 alone" in driven.text()
        await driven.press("b", "b")
        assert drawn() == ["x^1.5"]
        await driven.press("s", "H")
        assert drawn() == ["linear", "sine", "x^2", "x^10"]
        assert "1 hidden" in driven.text()
        assert "-3 x^1.5" in driven.text()
        await driven.press("H")
        assert len(drawn()) == 5
        for _ in range(5):
            await driven.press("H", "b")
        assert len(drawn()) == 1
        assert any("the last curve stays" in message for message in driven.notifications())
