"""The user's selection, while runs are added and deleted."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from core.runs.status import State
from tests.support.fake_runs import CREATED, NOW, dashboard_run
from tui.state.reader import RunsReader
from tui.state.selection import RunSelection
from tui.state.snapshot import Snapshot


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    """Two groups: `old` with runs 0 and 1, `new` with runs 2, 3 and 4."""
    for index, group in enumerate(("old", "old", "new", "new", "new")):
        created = CREATED + timedelta(minutes=index)
        dashboard_run(tmp_path, "linear", state=State.STOPPED, index=index, group=group, created=created)
    taken = RunsReader(tmp_path, now=lambda: NOW).poll()
    assert taken is not None
    return taken


def without(snapshot: Snapshot, *indices: int) -> Snapshot:
    return replace(
        snapshot, runs=tuple(run for index, run in enumerate(snapshot.runs) if index not in indices)
    )


def test_without_runs_nothing_is_selected() -> None:
    selection = RunSelection()
    for snapshot in (None, Snapshot()):
        if snapshot is not None:
            selection.update(snapshot)
        selection.select(3)
        selection.next_group()
        selection.follow_newest()
        assert (selection.runs, selection.selected, selection.compared, selection.row) == ((), None, (), 0)


def test_the_newest_group_is_shown_until_the_user_chooses_another(snapshot: Snapshot) -> None:
    selection = RunSelection()
    selection.update(without(snapshot, 2, 3, 4))
    assert selection.group == "old"
    selection.update(snapshot)
    assert selection.group == "new"
    shown = []
    for _ in range(3):
        selection.next_group()
        shown.append(selection.group)
    assert shown == ["old", None, "new"]
    assert selection.follows_newest_group
    selection.show_group("old")
    selection.update(snapshot)
    assert selection.group == "old"
    selection.update(without(snapshot, 0, 1))
    assert selection.group == "new"


def test_the_cursor_follows_its_run_and_stays_in_its_row_when_the_run_is_gone(snapshot: Snapshot) -> None:
    selection = RunSelection()
    selection.update(snapshot)
    selection.show_group(None)
    selection.select(3)
    selection.update(without(snapshot, 0, 1))
    assert selection.selected is snapshot.runs[3]
    assert selection.row == 1
    selection.update(without(snapshot, 0, 1, 3))
    assert selection.selected is snapshot.runs[4]
    selection.update(without(snapshot, 1, 2, 3, 4))
    assert selection.selected is snapshot.runs[0]
    selection.select(99)
    assert selection.row == 0


def test_marks_are_removed_with_their_runs_and_without_marks_all_runs_are_compared(
    snapshot: Snapshot,
) -> None:
    selection = RunSelection()
    selection.update(snapshot)
    assert selection.compared == snapshot.runs[2:]
    for index in (2, 3, 3, 0):
        selection.toggle_mark(snapshot.runs[index].id)
    assert selection.compared == (snapshot.runs[2],)
    selection.update(without(snapshot, 2))
    assert selection.marked == {snapshot.runs[0].id}
    assert selection.compared == snapshot.runs[3:]


def test_each_change_by_the_user_is_reported_once_and_a_new_snapshot_is_not(snapshot: Snapshot) -> None:
    epochs: list[int | None] = []
    selection = RunSelection(on_change=lambda: epochs.append(selection.epoch))
    selection.update(snapshot)
    assert epochs == []
    selection.select(1)
    selection.select_run(snapshot.runs[2].id)
    selection.toggle_mark(snapshot.runs[2].id)
    selection.show_epoch(7)
    selection.next_group()
    selection.follow_newest()
    assert epochs == [None, None, None, 7, None, None]
