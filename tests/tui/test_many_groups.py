"""The board with many groups: all runs at once, search over all of them, rows that can be told apart."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from core.runs.directory import RunDirectory
from core.runs.status import State
from tests.support.fake_groups import comparison
from tests.support.fake_runs import CREATED, dashboard_run
from tests.support.tui_pilot import dashboard
from tui.screens.board.run_table import RunTable, choose_columns
from tui.state.selection import RunSelection


def groups(root: Path, count: int = 12, apart: timedelta = timedelta(hours=3)) -> None:
    """Groups of two runs each, alike but for their times."""
    for number in range(count):
        for index, schedule in enumerate(("linear", "sine")):
            dashboard_run(
                root,
                schedule,
                state=State.STOPPED,
                epoch=2,
                index=index,
                group=f"group-{number}",
                created=CREATED + number * apart,
                run_id=f"run-{number:02}-{schedule}",
            )


async def test_one_key_shows_all_runs_and_then_the_group_of_the_selected_one(tmp_path: Path) -> None:
    groups(tmp_path)
    async with dashboard(tmp_path, (80, 24)) as driven:
        assert driven.board.selection.group == "group-11"
        await driven.press("a")
        assert len(driven.board.runs) == 24
        assert "all runs" in driven.text().splitlines()[0]
        assert driven.board.selected is not None
        assert driven.board.selected.group == "group-11"
        await driven.press("home", "down", "down", "a")
        assert driven.board.selection.group == "group-1"
        assert driven.board.selected.id == "run-01-linear"


async def test_a_search_finds_runs_of_every_group(tmp_path: Path) -> None:
    groups(tmp_path)
    async with dashboard(tmp_path, (80, 24)) as driven:
        await driven.press("slash")
        await driven.until(lambda: driven.app.focused is not None)
        await driven.press(*"sine")
        assert len(driven.board.runs) == 12
        assert "/sine: 12 of 24" in driven.text()
        await driven.press("enter", "home")
        assert driven.board.selected is not None
        assert driven.board.selected.id == "run-00-sine"
        await driven.press("escape")
        assert len(driven.board.runs) == 2


@pytest.mark.parametrize("apart", [timedelta(hours=3), timedelta(seconds=3)])
async def test_no_two_rows_of_different_groups_look_the_same(tmp_path: Path, apart: timedelta) -> None:
    groups(tmp_path, 4, apart)
    async with dashboard(tmp_path, (80, 24)) as driven:
        await driven.press("a")
        rows = [line[3:] for line in driven.text().splitlines()[2:10]]
        assert len(set(rows)) == len(rows) == 8


@pytest.mark.parametrize("width", [60, 70, 80, 100, 120])
async def test_the_position_in_a_long_list_covers_no_heading(tmp_path: Path, width: int) -> None:
    comparison(tmp_path, "finished")
    async with dashboard(tmp_path, (width, 24)) as driven:
        before = driven.app.snapshot
        assert before is not None
        many = tuple(
            replace(before.runs[0], run=RunDirectory(tmp_path / f"run-{number}")) for number in range(12_000)
        )
        driven.board.selection.update(replace(before, runs=many))
        await driven.press("G")
        table = driven.board.query_one(RunTable)
        heading = table.render_line(0).text
        names = [
            column.heading for column in choose_columns(width, table._list.label_width, groups=False).fixed
        ]
        assert heading.split()[: len(names)] == names
        assert "12,000" in heading


async def test_a_folder_that_is_still_being_read_has_no_run_that_matches_nothing(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    async with dashboard(tmp_path, (80, 24)) as driven:
        board, snapshot = driven.board, driven.app.snapshot
        assert snapshot is not None
        board.selection = RunSelection(on_change=board._apply_selection)
        board.update()
        await driven.pilot.pause()
        assert "reading the runs" in driven.text()
        assert "start quick" not in driven.text()
        board.selection.update(replace(snapshot, unread=1_900))
        board.selection.filter("nonsense")
        await driven.pilot.pause()
        assert "no run matches nonsense yet; 1,900 are still being read" in driven.text()
        board.selection.update(snapshot)
        board.update()
        await driven.pilot.pause()
        assert "no run matches nonsense; esc clears the search" in driven.text()


async def test_a_search_without_a_match_starts_no_training(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    async with dashboard(tmp_path, (80, 24)) as driven:
        before = sorted(path.name for path in tmp_path.iterdir())
        await driven.press("slash", *"zzz", "enter")
        assert "no run matches zzz" in driven.text()
        assert "start quick" not in driven.text()
        await driven.press("enter", "enter")
        await driven.pilot.pause(0.2)
        assert sorted(path.name for path in tmp_path.iterdir()) == before
        assert not driven.control.woken
        await driven.press("escape")
        assert len(driven.board.runs) == 5
