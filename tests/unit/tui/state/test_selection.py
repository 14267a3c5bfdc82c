"""What a person looks at, while runs come and go."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from core.runs.status import State
from tests.support.tui_fixtures import NOW, START, fake_run
from tui.state.reader import RunsReader
from tui.state.selection import RunSelection
from tui.state.snapshot import Snapshot


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    """Two groups: `old` with runs 0 and 1, `new` with runs 2, 3 and 4."""
    for place, group in enumerate(("old", "old", "new", "new", "new")):
        created = START + timedelta(minutes=place)
        fake_run(tmp_path, "linear", state=State.STOPPED, place=place, group=group, created=created)
    taken = RunsReader(tmp_path, now=lambda: NOW).poll()
    assert taken is not None
    return taken


def without(snapshot: Snapshot, *places: int) -> Snapshot:
    return replace(
        snapshot, runs=tuple(run for place, run in enumerate(snapshot.runs) if place not in places)
    )


def test_before_there_is_anything_to_choose_from_nothing_is_chosen() -> None:
    choice = RunSelection()
    for snapshot in (None, Snapshot()):
        if snapshot is not None:
            choice.update(snapshot)
        choice.select(3)
        choice.next_group()
        choice.follow_newest()
        assert (choice.runs, choice.selected, choice.compared, choice.row) == ((), None, (), 0)


def test_the_newest_group_is_shown_until_a_person_chooses_another(snapshot: Snapshot) -> None:
    choice = RunSelection()
    choice.update(without(snapshot, 2, 3, 4))
    assert choice.group == "old"
    choice.update(snapshot)
    assert choice.group == "new"
    shown = []
    for _ in range(3):
        choice.next_group()
        shown.append(choice.group)
    assert shown == ["old", None, "new"]
    assert choice.follows_newest_group
    choice.show_group("old")
    choice.update(snapshot)
    assert choice.group == "old"
    choice.update(without(snapshot, 0, 1))
    assert choice.group == "new"


def test_the_cursor_follows_its_run_and_stays_in_its_row_when_the_run_is_gone(snapshot: Snapshot) -> None:
    choice = RunSelection()
    choice.update(snapshot)
    choice.show_group(None)
    choice.select(3)
    choice.update(without(snapshot, 0, 1))
    assert choice.selected is snapshot.runs[3]
    assert choice.row == 1
    choice.update(without(snapshot, 0, 1, 3))
    assert choice.selected is snapshot.runs[4]
    choice.update(without(snapshot, 1, 2, 3, 4))
    assert choice.selected is snapshot.runs[0]
    choice.select(99)
    assert choice.row == 0


def test_marks_are_forgotten_with_their_runs_and_all_runs_are_meant_without_any(snapshot: Snapshot) -> None:
    choice = RunSelection()
    choice.update(snapshot)
    assert choice.compared == snapshot.runs[2:]
    for place in (2, 3, 3, 0):
        choice.toggle_mark(snapshot.runs[place].id)
    assert choice.compared == (snapshot.runs[2],)
    choice.update(without(snapshot, 2))
    assert choice.marked == {snapshot.runs[0].id}
    assert choice.compared == snapshot.runs[3:]


def test_each_wish_is_told_once_and_a_new_snapshot_is_not(snapshot: Snapshot) -> None:
    told: list[int | None] = []
    choice = RunSelection(on_change=lambda: told.append(choice.epoch))
    choice.update(snapshot)
    assert told == []
    choice.select(1)
    choice.select_run(snapshot.runs[2].id)
    choice.toggle_mark(snapshot.runs[2].id)
    choice.show_epoch(7)
    choice.next_group()
    choice.follow_newest()
    assert told == [None, None, None, 7, None, None]
