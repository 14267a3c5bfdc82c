"""Snapshots of the board in each state at each size; `pytest --snapshot-update` takes new ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.support.fake_groups import comparison
from tests.support.tui_pilot import make_app, ready, still

SIZES = ((80, 24), (120, 36), (160, 50))
STATES = ("empty", "running", "stopped", "failed", "finished")


@pytest.fixture(autouse=True)
def _truecolor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")


def waiting(*keys: str) -> Callable[[Pilot[Any]], Any]:
    async def until_drawn(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await pilot.press(*keys)
        await still(pilot)

    return until_drawn


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("state", STATES)
def test_the_board_looks_as_it_did(
    snap_compare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, size: tuple[int, int]
) -> None:
    monkeypatch.chdir(tmp_path)
    if state != "empty":
        comparison(Path("runs"), state, clean=True)
    assert snap_compare(make_app(Path("runs")), terminal_size=size, run_before=waiting())


@pytest.mark.parametrize(
    "size",
    [(59, 15), (60, 15), (99, 30), (100, 30), (139, 40), (140, 40), (250, 70)],
    ids=lambda size: f"{size[0]}x{size[1]}",
)
def test_the_board_looks_as_it_did_on_both_sides_of_each_breakpoint(
    snap_compare: Any, tmp_path: Path, size: tuple[int, int]
) -> None:
    comparison(tmp_path, "failed", clean=True)
    assert snap_compare(make_app(tmp_path), terminal_size=size, run_before=waiting("5"))


@pytest.mark.parametrize("keys", [("question_mark",), ("4", "D"), ("1", "l")], ids=["help", "delete", "log"])
def test_other_screens_look_as_they_did(
    snap_compare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    comparison(Path("runs"), "failed", clean=True)
    assert snap_compare(make_app(Path("runs")), terminal_size=(80, 24), run_before=waiting(*keys))
