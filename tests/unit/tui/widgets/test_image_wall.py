"""Image wall: the layout of its tiles, and the parts that are drawn again."""

import numpy as np
import pytest
from textual.geometry import Region

from tests.support.widget_bench import BLUE, WidgetApp, noise, rendered_lines, rendered_pixels
from tui.widgets.images.image_wall import ImageWall, WallColumn, plan_wall


def columns(count: int, *, size: int = 32, rows: int = 4) -> list[WallColumn]:
    return [
        WallColumn(f"run {number}", noise(rows, size, seed=number), "epoch 3", BLUE)
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("count", "size", "width", "tile", "lines", "shown"),
    [
        (5, 32, 160, 32, 16, 5),
        (5, 32, 120, 24, 12, 5),
        (5, 32, 80, 16, 8, 5),
        (2, 32, 80, 32, 16, 2),
        (10, 32, 80, 16, 8, 5),
        (1, 32, 20, 20, 10, 1),
        (1, 32, 9, 8, 4, 1),
        (2, 8, 80, 32, 16, 2),
        (5, 8, 80, 16, 8, 5),
        (1, 256, 160, 64, 32, 1),
    ],
)
def test_tiles_are_as_large_as_lets_all_columns_be_seen(
    count: int, size: int, width: int, tile: int, lines: int, shown: int
) -> None:
    layout = plan_wall(columns(count, size=size), width)
    assert (layout.tile, layout.lines, layout.shown) == (tile, lines, shown)
    assert layout.left + (shown - 1) * layout.step + layout.tile <= width


def test_a_plan_without_columns_or_images_is_one_empty_tile() -> None:
    assert plan_wall([], 80).shown == 1
    assert plan_wall([WallColumn("a", None)], 80).tile == 32


class RecordingWall(ImageWall):
    """Records the regions that it refreshes."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Region, ...]] = []

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> "RecordingWall":
        if hasattr(self, "asked"):
            self.asked.append(regions)
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)


async def test_a_wall_shows_titles_notes_and_images() -> None:
    wall = ImageWall()
    async with WidgetApp(wall).run_test(size=(70, 20)) as pilot:
        wall.show(columns(2))
        await pilot.pause()
        assert wall.render_line(0).text.startswith("run 0 epoch 3")
        first = wall.columns[0].images
        assert first is not None
        cells = list(wall.render_line(1).crop(0, 32))
        assert np.abs(np.array(rendered_pixels([cells]))[:, :, 0] - first[0][:2].astype(int)).max() <= 9
        assert all(wall.render_line(y).cell_length == 70 for y in range(20))


async def test_only_the_column_that_changed_is_drawn_again() -> None:
    wall = RecordingWall()
    async with WidgetApp(wall).run_test(size=(160, 40)) as pilot:
        shown = columns(5)
        wall.show(shown)
        await pilot.pause()
        wall.asked.clear()
        wall.show(shown)
        wall.show([WallColumn(c.title, c.images, c.note, c.color) for c in shown])
        assert wall.asked == []
        shown[2] = WallColumn("run 2", noise(4, seed=99), "epoch 4", BLUE)
        wall.show(shown)
        assert wall.asked == [(Region(64, 0, 32, 40),)]
        wall.asked.clear()
        shown[1] = WallColumn("run 1", shown[1].images, "epoch 9", BLUE)
        wall.show(shown)
        assert wall.asked == [(Region(32, 0, 32, 1),)]
        await pilot.pause()
        assert "epoch 9" in wall.render_line(0).text


async def test_lines_are_drawn_once_and_then_come_from_the_cache() -> None:
    wall = ImageWall()
    async with WidgetApp(wall).run_test(size=(160, 40)) as pilot:
        wall.show(columns(5))
        await pilot.pause()
        drawn = wall.lines_drawn
        first = [wall.render_line(y) for y in range(40)]
        assert wall.lines_drawn == drawn
        assert all(wall.render_line(y) is line for y, line in enumerate(first))


async def test_rows_scroll_and_stop_at_both_ends() -> None:
    wall = ImageWall()
    async with WidgetApp(wall).run_test(size=(64, 35)) as pilot:
        wall.show(columns(2, rows=5))
        await pilot.pause()
        assert wall.visible_rows == 2
        assert not wall.scroll_rows(-1)
        before = wall.render_line(17).text, wall.render_line(17)
        assert wall.scroll_rows(1)
        await pilot.pause()
        assert wall.render_line(1).text == before[0]
        wall.scroll_rows(99)
        assert wall.first_row == 3
        assert not wall.scroll_rows(1)
        wall.show(columns(2, rows=1))
        assert wall.first_row == 0


async def test_columns_that_do_not_fit_are_paged_and_counted() -> None:
    wall = ImageWall()
    async with WidgetApp(wall).run_test(size=(80, 20)) as pilot:
        wall.show(columns(8))
        await pilot.pause()
        assert wall.render_line(0).text.endswith(" 3›")
        assert wall.scroll_columns(2)
        await pilot.pause()
        title = wall.render_line(0).text
        assert title.startswith("‹2 run 2")
        assert title.endswith(" 1›")
        wall.scroll_columns(99)
        await pilot.pause()
        assert wall.render_line(0).text.startswith("‹3 run 3")
        assert "›" not in wall.render_line(0).text
        wall.show(columns(3))
        await pilot.pause()
        assert wall.first_column == 0


async def test_a_column_without_images_says_why_on_as_many_lines_as_it_needs() -> None:
    wall = ImageWall()
    async with WidgetApp(wall).run_test(size=(80, 12)) as pilot:
        wall.show([*columns(4), WallColumn("late", None, empty="waits for its turn to come")])
        await pilot.pause()
        text = [line[64:].strip() for line in rendered_lines(wall)]
        assert text[0] == "late"
        assert [line for line in text[1:] if line] == ["waits for its", "turn to come"]


async def test_a_reason_that_does_not_fit_in_a_tile_ends_in_an_ellipsis() -> None:
    wall = ImageWall()
    async with WidgetApp(wall).run_test(size=(8, 4)) as pilot:
        wall.show([WallColumn("run", None, empty="the first strip of this run comes with epoch 10")])
        await pilot.pause()
        lines = [line.strip() for line in rendered_lines(wall)]
        assert lines[1] == "the"
        assert lines[-1].endswith("…")


async def test_a_note_gives_way_to_its_last_word_and_then_to_nothing_before_a_title_does() -> None:
    wall = ImageWall()
    async with WidgetApp(wall).run_test(size=(48, 12)) as pilot:
        images = noise()
        wall.show([WallColumn(title, images, "epoch 12") for title in ("ab", "abcdefghij", "a" * 40)])
        await pilot.pause()
        text = wall.render_line(0).text
        assert [text[at : at + 16].rstrip() for at in (0, 16, 32)] == [
            "ab epoch 12",
            "abcdefghij 12",
            "a" * 15 + "…",
        ]


async def test_a_wall_with_nothing_to_show_is_blank_and_grey_and_colour_stand_side_by_side() -> None:
    wall = ImageWall()
    async with WidgetApp(wall).run_test(size=(80, 12)) as pilot:
        assert all(not line.strip() for line in rendered_lines(wall))
        wall.show([WallColumn("grey", noise()), WallColumn("colour", noise(colour=True))])
        await pilot.pause()
        assert all(wall.render_line(y).cell_length == 80 for y in range(12))
        wall.show([])
        await pilot.pause()
        assert all(not line.strip() for line in rendered_lines(wall))


async def test_a_wall_is_laid_out_again_when_its_size_changes() -> None:
    wall = ImageWall()
    async with WidgetApp(wall).run_test(size=(160, 40)) as pilot:
        wall.show(columns(5))
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert wall.tile_layout.tile == 16
        assert all(wall.render_line(y).cell_length == 80 for y in range(24))
