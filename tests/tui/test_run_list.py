"""The board's list of runs, driven by keys: groups, filter, order, following the newest run, bells, many runs."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from core.runs.directory import RunDirectory
from core.runs.results import Evaluation, add_evaluation
from core.runs.status import State
from core.statistics.estimate import Estimate
from tests.support.fake_groups import comparison
from tests.support.fake_runs import CREATED, dashboard_run
from tests.support.tui_pilot import LOAD, Driven, dashboard
from tui.screens.board.run_table import RunTable
from tui.screens.board.system_panel import SystemPanel
from tui.settings.store import read_settings
from tui.state.formatting import recent_loss


def grid(root: Path, *, state: State = State.FINISHED) -> list[RunDirectory]:
    """Four runs, two groups: low linear, low sine, then high linear, high sine."""
    return [
        dashboard_run(
            root,
            schedule,
            dataset=dataset,
            group=f"{dataset}-group",
            created=CREATED + timedelta(minutes=place),
            index=place,
            state=state,
            epoch=1 + place,
        )
        for place, (dataset, schedule) in enumerate(
            (dataset, schedule) for dataset in ("low", "high") for schedule in ("linear", "sine")
        )
    ]


def shown(driven: Driven) -> list[str]:
    return [f"{run.dataset} {run.label}" for run in driven.board.runs]


def finish(run: RunDirectory, state: State, error: str = "") -> None:
    run.write_status(msgspec.structs.replace(run.read_status(), state=state, error=error))


async def test_a_slash_filters_while_words_are_typed_and_escape_shows_all_again(tmp_path: Path) -> None:
    grid(tmp_path)
    async with dashboard(tmp_path) as driven:
        await driven.press("g", "g", "slash")
        await driven.until(lambda: driven.app.focused is not None)
        await driven.press("l", "o", "w")
        assert shown(driven) == ["low linear", "low sine"]
        assert "/low: 2 of 4" in driven.text().splitlines()[0]
        await driven.press("space", "S", "I")
        assert shown(driven) == ["low sine"]
        await driven.press("enter")
        assert driven.app.focused is None
        assert shown(driven) == ["low sine"]
        await driven.press("escape")
        assert len(shown(driven)) == 4
        assert "all runs" in driven.text().splitlines()[0]


@pytest.mark.parametrize("word", ["sine", "high", "finished", "high-group", "quick", "s0-0003"])
async def test_a_filter_looks_at_name_schedule_dataset_state_group_and_recipe(
    tmp_path: Path, word: str
) -> None:
    grid(tmp_path)
    async with dashboard(tmp_path) as driven:
        await driven.press("g", "g")
        driven.board.selection.filter(word)
        assert "high sine" in shown(driven)
        driven.board.selection.filter(f"{word} nonsense")
        await driven.pilot.pause()
        assert shown(driven) == []
        assert "no run matches" in driven.text()
        await driven.press("escape")
        assert len(shown(driven)) == 4


async def test_up_and_down_move_while_a_filter_is_typed(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    async with dashboard(tmp_path) as driven:
        await driven.press("slash")
        await driven.until(lambda: driven.app.focused is not None)
        await driven.press("x", "down", "down")
        assert [run.label for run in driven.board.runs] == ["x^1.5", "x^2", "x^10"]
        assert driven.board.selected is not None
        assert driven.board.selected.label == "x^10"


async def test_a_run_whose_state_changes_leaves_the_filter_for_it(tmp_path: Path) -> None:
    runs = grid(tmp_path, state=State.RUNNING)
    async with dashboard(tmp_path) as driven:
        driven.board.selection.show_group(None)
        driven.board.selection.filter("running")
        assert len(shown(driven)) == 4
        finish(runs[1], State.FINISHED)
        await driven.until(lambda: len(shown(driven)) == 3)
        assert "low sine" not in shown(driven)


async def test_runs_are_grouped_by_start_recipe_dataset_and_schedule(tmp_path: Path) -> None:
    grid(tmp_path)
    async with dashboard(tmp_path) as driven:
        assert shown(driven) == ["high linear", "high sine"]
        await driven.press("v")
        assert len(shown(driven)) == 4
        assert "recipe quick" in driven.text().splitlines()[0]
        await driven.press("v")
        assert shown(driven) == ["high linear", "high sine"]
        assert "dataset high" in driven.text().splitlines()[0]
        await driven.press("g")
        assert shown(driven) == ["low linear", "low sine"]
        await driven.press("v")
        assert shown(driven) == ["low linear", "high linear"]
        assert "schedule linear" in driven.text().splitlines()[0]
        await driven.press("v")
        assert shown(driven) == ["low linear", "low sine"]


async def test_o_sorts_by_one_thing_after_another_and_capital_o_turns_it_round(tmp_path: Path) -> None:
    runs = grid(tmp_path)
    for run, rate in ((runs[0], 0.5), (runs[2], 0.75)):
        evaluated = Evaluation(
            created=CREATED.isoformat(),
            dataset="low",
            count=16,
            heldout=16,
            metrics={"balanced_pass_rate": Estimate(rate)},
        )
        add_evaluation(run, evaluated)
    finish(runs[2], State.FAILED)
    async with dashboard(tmp_path, (160, 50)) as driven:
        driven.board.selection.show_group(None)
        oldest = ["low linear", "low sine", "high linear", "high sine"]
        assert shown(driven) == oldest
        await driven.press("o")
        assert shown(driven) == oldest[::-1]
        await driven.press("o")
        by_loss = sorted(driven.board.runs, key=lambda run: recent_loss(run) or 0.0)
        assert list(driven.board.runs) == by_loss
        assert "by loss ▲" in driven.text()
        await driven.press("O")
        assert list(driven.board.runs) == by_loss[::-1]
        assert "by loss ▼" in driven.text()
        await driven.press("o")
        heldout = [run.epochs[-1].heldout for run in driven.board.runs]
        assert heldout == sorted(heldout)
        await driven.press("o")
        assert shown(driven)[0] == "high linear"
        await driven.press("o", "o")
        assert shown(driven) == ["high linear", "low linear", "low sine", "high sine"]
        assert "75.0%" in driven.text()
        await driven.press("O")
        assert shown(driven)[:2] == ["low linear", "high linear"]
        await driven.press("O", "o")
        assert shown(driven) == oldest


async def test_a_digit_is_a_runs_own_in_whatever_order(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    async with dashboard(tmp_path) as driven:
        await driven.press("o", "2")
        assert driven.board.selected is not None
        assert driven.board.selected.label == "sine"
        assert driven.board.selection.row == 3
        assert any(line.startswith(">2") for line in driven.text().splitlines())


async def test_the_cursor_follows_the_newest_training_run_until_it_is_moved(tmp_path: Path) -> None:
    runs = comparison(tmp_path, "running")
    async with dashboard(tmp_path) as driven:
        label = lambda: driven.board.selected and driven.board.selected.label  # noqa: E731
        assert label() == "sine"
        finish(runs[1], State.FINISHED)
        await driven.until(lambda: label() == "linear")
        await driven.press("5")
        assert driven.app.snapshot is not None
        driven.board.selection.update(driven.app.snapshot)
        assert label() == "x^10"
        await driven.press("f")
        assert label() == "linear"
        await driven.press("5")
        dashboard_run(tmp_path, "cosine", group="late", created=CREATED + timedelta(hours=1), epoch=1)
        await driven.until(lambda: len(driven.board.selection.groups) == 2)
        await driven.press("f")
        assert label() == "cosine"


@pytest.mark.parametrize(
    ("state", "said"), [(State.FINISHED, "finished"), (State.FAILED, "failed"), (State.CRASHED, "crashed")]
)
async def test_the_end_of_a_run_notifies_and_rings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: State, said: str
) -> None:
    run = dashboard_run(tmp_path, "linear", epoch=3)
    async with dashboard(tmp_path) as driven:
        bells = []
        monkeypatch.setattr(driven.app, "bell", lambda: bells.append(1))
        if state is State.CRASHED:
            run.write_status(msgspec.structs.replace(run.read_status(), pid=999_999_999))
        else:
            finish(run, state, error="it went wrong")
        await driven.until(lambda: bells)
        titles = [notification.title for notification in driven.app._notifications]
        assert titles == [f"linear {said}"]
        assert len(bells) == 1


async def test_several_ends_at_once_ring_once_and_a_stop_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in range(3):
        dashboard_run(tmp_path, "linear", index=place, epoch=2)
    async with dashboard(tmp_path) as driven:
        bells = []
        monkeypatch.setattr(driven.app, "bell", lambda: bells.append(1))
        before = driven.app.snapshot
        assert before is not None
        ended = [replace(run, state=State.FINISHED) for run in before.runs[:2]]
        stopped = replace(before.runs[2], state=State.STOPPED)
        driven.board._notify_ended(replace(before, runs=(*ended, stopped)))
        await driven.until(lambda: driven.app._notifications)
        assert [notification.title for notification in driven.app._notifications] == ["2 runs finished"]
        assert len(bells) == 1


async def test_the_bell_can_be_silenced_and_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = dashboard_run(tmp_path / "runs", "linear", epoch=2)
    remember = tmp_path / "state"
    bells = []
    monkeypatch.setattr("textual.app.App.bell", lambda app: bells.append(1))
    async with dashboard(tmp_path / "runs", remember=remember) as driven:
        await driven.press("m")
        finish(run, State.FINISHED)
        await driven.until(lambda: any("loss" in said for said in driven.notifications()))
        assert not bells
    async with dashboard(tmp_path / "runs", remember=remember, settings=read_settings(remember)[0]) as driven:
        driven.app.bell()
        assert not bells
        await driven.press("m")
        driven.app.bell()
        assert bells


async def test_i_shows_the_system_load(tmp_path: Path) -> None:
    comparison(tmp_path, "running")
    async with dashboard(tmp_path, (80, 24)) as driven:
        assert not driven.board.query_one(SystemPanel).display
        await driven.press("i")
        await driven.until(lambda: "63% of 8 cores" in driven.text())
        text = driven.text()
        for said in (
            "3.0 of 16 GB",
            "A100",
            "37%",
            "12 of 80 GB 51°C",
            "1,240 img/s",
            "queue 2 runs",
            "left",
        ):
            assert said in text
        assert "linear" in text
        await driven.press("i")
        assert "63%" not in driven.text()
        await driven.pilot.resize_terminal(160, 50)
        await driven.press("i")
        await driven.until(lambda: "63%" in driven.text())


async def test_a_wide_terminal_shows_the_system_load_by_default(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    loads = [LOAD]
    async with dashboard(tmp_path, (160, 50), machine=lambda: loads[-1]) as driven:
        await driven.until(lambda: "63%" in driven.text())
        assert "nothing trains" in driven.text()
        loads.append(replace(LOAD, cpu=0.25))
        await driven.until(lambda: "25% of 8 cores" in driven.text())


async def test_only_visible_rows_are_made_of_very_many_runs(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    async with dashboard(tmp_path, (100, 30)) as driven:
        before = driven.app.snapshot
        assert before is not None
        model = before.runs[0]
        many = tuple(
            replace(
                model,
                run=RunDirectory(tmp_path / f"run-{number:05d}"),
                version=10 + number,
            )
            for number in range(3000)
        )
        driven.board.selection.update(replace(before, runs=many))
        driven.board.update()
        table = driven.board.query_one(RunTable)
        await driven.press("G")
        assert "3,000 of 3,000" in driven.text()
        assert len(table._visible_rows) < 30
        assert len(driven.board.selection.visible_page) <= 20
        made = []
        run_list = driven.board.selection.run_list
        run_list.apply_filter = lambda: made.append(1)  # type: ignore[method-assign]  # what must not be called
        totals = run_list.totals
        changed = replace(many[5], version=99_999, losses=many[5].losses[:10])
        driven.board.selection.update(replace(before, runs=(*many[:5], changed, *many[6:])))
        assert not made
        assert run_list.runs[5] is changed
        assert run_list.totals.count == totals.count == 3000
