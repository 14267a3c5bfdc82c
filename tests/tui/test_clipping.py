"""Texts that do not fit: on every screen and at every size they end in an ellipsis, or can be scrolled."""

from pathlib import Path
from typing import Final

import pytest
from textual.widget import Widget
from textual.widgets import Static

from core.runs.status import State
from tests.support.fake_groups import comparison
from tests.support.fake_images import write_strip
from tests.support.fake_runs import dashboard_run, write_evaluation
from tests.support.tui_pilot import Driven, dashboard, still
from tui.screens.board.details import DetailsPanel
from tui.widgets.chip_line import ChipLine
from tui.widgets.header import Header
from tui.widgets.scrubber import Scrubber

SCREENS: Final = (
    (),
    ("c",),
    ("1",),
    ("1", "3"),
    ("escape", "d"),
    ("2",),
    ("escape", "s"),
    ("v",),
    ("v",),
    ("escape", "b"),
    ("3",),
    ("escape", "n"),
    ("escape", "T"),
    ("escape", "l"),
)
"""Keys that lead from each screen and view to the next."""
TEXTS: Final = (Static, Header, DetailsPanel, ChipLine, Scrubber)


def clipped(driven: Driven) -> list[str]:
    """Texts of the top screen that are not shown whole, cannot be scrolled to and do not end in an ellipsis."""
    screen, found = driven.app.screen, []
    lines = driven.text().splitlines()
    for widget in screen.query("*"):
        if not isinstance(widget, TEXTS) or not widget.region.area or not is_shown(widget):
            continue
        room = widget.content_region
        height = widget._render().get_height(widget.styles, room.width)
        if height > room.height and not can_be_scrolled(widget):
            shown = [lines[y][room.x : room.right] for y in range(room.y, room.bottom)]
            if not any("…" in line for line in shown):
                found.append(f"{widget!r}: {height} lines in {room.height}: {shown}")
    return found


def is_shown(widget: Widget) -> bool:
    return all(isinstance(one, Widget) and one.display for one in widget.ancestors_with_self if one.parent)


def can_be_scrolled(widget: Widget) -> bool:
    return any(isinstance(one, Widget) and one.max_scroll_y > 0 for one in widget.ancestors_with_self)


def write_runs(root: Path) -> None:
    """Runs whose data set has a long name, in all states, with images, evaluations and a long reason of a crash."""
    for run, level in zip(comparison(root, "failed", clean=True), (0.9, 0.6), strict=False):
        write_evaluation(run, level)
        write_strip(run, 36)
        run.log.write_text("error: " + "the reason of this crash is long, " * 9 + "\n", encoding="utf-8")
    dashboard_run(
        root,
        "cosine",
        state=State.FAILED,
        epoch=3,
        index=9,
        dataset="images-of-a-holiday-by-the-sea-" * 4,
        run_id="20261124-101509-holiday",
        error="the images of this run were removed, and it cannot be trained further: " * 3,
    )


@pytest.mark.parametrize("size", [pytest.param((60, 15), marks=pytest.mark.slow), (80, 24)], ids=str)
async def test_no_text_is_cut_without_an_ellipsis(tmp_path: Path, size: tuple[int, int]) -> None:
    write_runs(tmp_path)
    async with dashboard(tmp_path, size) as driven:
        for keys in SCREENS:
            await driven.press(*keys)
            await still(driven.pilot)
            assert clipped(driven) == [], keys
