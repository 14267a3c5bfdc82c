"""Selection of runs in a comparison, and room for everything that it compares."""

import itertools
from pathlib import Path

import pytest

from core.runs.status import State
from tests.support.fake_groups import comparison, evaluated, five_runs
from tests.support.fake_runs import TRIANGLE_METRICS, dashboard_run
from tests.support.tui_pilot import Driven, dashboard
from tui.screens.compare.evaluation_table import HEADLINE_METRICS
from tui.screens.compare.layout import available_views, plan_comparison
from tui.screens.compare.screen import CompareScreen
from tui.widgets.images.image_wall import ImageWall
from tui.widgets.images.tile_size import Tile


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


async def test_the_evaluated_metrics_have_their_rows_and_what_is_cut_scrolls(tmp_path: Path) -> None:
    evaluated(tmp_path)
    async with dashboard(tmp_path, (160, 50)) as driven:
        screen = await compare(driven)
        text = driven.text()
        headlines = [name for name in HEADLINE_METRICS if name in TRIANGLE_METRICS]
        for name in headlines:
            assert f" {TRIANGLE_METRICS[name].title}" in text
        assert f"{len(TRIANGLE_METRICS) - len(headlines)} more metrics: 3 shows all" in text
        assert "schedule.name" in text
        assert "only several seeds" not in text
        wall = screen.query_one(ImageWall)
        assert wall.visible_rows >= 1
        await driven.press("pagedown")
        assert "only several seeds" in driven.text()
        await driven.press("pageup", "down")
        assert "only several seeds" not in driven.text()
        assert wall.first_row == 1


async def test_a_large_terminal_is_filled_and_shows_all_metrics(tmp_path: Path) -> None:
    evaluated(tmp_path)
    async with dashboard(tmp_path, (250, 70)) as driven:
        screen = await compare(driven)
        text = driven.text()
        assert all(f" {metric.title}" in text for metric in TRIANGLE_METRICS.values())
        assert "only several seeds" in text
        wall = screen.query_one(ImageWall)
        assert wall.region.right + 2 == screen.query_one("#numbers").region.x
        layout = wall.tile_layout
        assert layout.shown * layout.step >= 0.9 * wall.size.width


@pytest.mark.parametrize(("runs", "tiles"), [(1, 4), (2, 4), (3, 3), (5, 5)])
async def test_the_wall_wraps_the_images_of_few_runs_over_its_width(
    tmp_path: Path, runs: int, tiles: int
) -> None:
    for index, schedule in enumerate(("linear", "sine", "x^1.5", "x^2", "x^10")[:runs]):
        dashboard_run(tmp_path, schedule, state=State.STOPPED, epoch=2, index=index)
    async with dashboard(tmp_path, (160, 50)) as driven:
        screen = await compare(driven)
        assert screen.query_one(ImageWall).tile_layout.shown == tiles
        assert screen.query_one(ImageWall).visible_rows >= 2


async def test_columns_of_the_table_and_of_the_wall_scroll_together(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    async with dashboard(tmp_path, (160, 50)) as driven:
        screen = await compare(driven)
        await driven.press("Z", "full_stop")
        assert screen.query_one(ImageWall).first_column == 1
        assert screen.first_column == 1
        await driven.press("comma")
        assert screen.query_one(ImageWall).first_column == screen.first_column == 0


@pytest.mark.parametrize("size", [(80, 24), (140, 36), (160, 50), (200, 60), (250, 70), (400, 100)])
@pytest.mark.parametrize("runs", [1, 2, 3, 4, 5, 20])
def test_parts_of_a_comparison_stay_on_the_screen_and_apart(size: tuple[int, int], runs: int) -> None:
    width, height = size[0], size[1] - 3
    for view, lines, tile in itertools.product(
        available_views(*size), (0, 18, 60), (Tile(), Tile(64, 32), Tile(28, 14))
    ):
        layout = plan_comparison(view, width, height, runs, tile, lines)
        parts = (layout.curves, layout.numbers, layout.wall, layout.levels, layout.why, layout.sweep)
        areas = [area for area in parts if area is not None]
        assert len(areas) == (3 if view == "all" else 1)
        for area in areas:
            assert area.x >= 0
            assert area.y >= 0
            assert area.width > 0
            assert area.height > 0
            assert area.x + area.width <= width
            assert area.y + area.height <= height + (view in ("numbers", "why", "sweep"))
        for one, other in itertools.combinations(areas, 2):
            across = one.x < other.x + other.width and other.x < one.x + one.width
            assert not across or one.y + one.height <= other.y or other.y + other.height <= one.y
