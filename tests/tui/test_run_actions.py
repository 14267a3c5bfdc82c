"""Keys that act on runs: stop, resume, extend, delete, queue and clone."""

import time
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from textual.widgets import Input

from core.recipes import load_recipe
from core.runs.directory import RunDirectory
from core.runs.status import State
from core.runs.store import RunStore
from core.schedules import SCHEDULE_NAMES
from tests.support.fake_groups import comparison
from tests.support.fake_runs import CREATED, dashboard_run
from tests.support.tui_pilot import QuietControl, dashboard
from tui.dialogs.confirm import ConfirmScreen, NumberScreen
from tui.screens.new_run.screen import NewRunScreen
from tui.settings.schema import Settings


async def test_stop_takes_a_queued_run_from_the_queue_and_resume_puts_it_back(tmp_path: Path) -> None:
    run = dashboard_run(tmp_path, "linear", state=State.QUEUED)
    async with dashboard(tmp_path) as driven:
        assert "waiting in the queue" in driven.text()
        await driven.press("x")
        await driven.until(lambda: run.read_status().state is State.STOPPED)
        await driven.until(lambda: "■ stopped" in driven.text())
        assert "no images" in driven.text()
        assert "waiting in the queue" not in driven.text()
        assert not driven.control.woken
        await driven.press("r")
        await driven.until(lambda: run.read_status().state is State.QUEUED)
        await driven.until(lambda: driven.control.woken == [tmp_path])


async def test_a_run_that_was_acted_on_stays_selected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(QuietControl, "stop", lambda control, runs: asked.append(runs[0].id) or "")
    runs = [
        dashboard_run(tmp_path, schedule, epoch=3, index=index)
        for index, schedule in enumerate(SCHEDULE_NAMES)
    ]
    async with dashboard(tmp_path) as driven:
        assert driven.board.selection.follows_newest_run
        selected = driven.board.selected
        assert selected is not None
        assert selected.id == runs[-1].id
        await driven.press("x")
        await driven.until(lambda: asked == [runs[-1].id])
        runs[-1].write_status(msgspec.structs.replace(runs[-1].read_status(), state=State.STOPPED))
        await driven.until(lambda: driven.board.runs[-1].state is State.STOPPED)
        assert driven.board.selected is not None
        assert driven.board.selected.id == runs[-1].id
        await driven.press("f")
        assert driven.board.selected.id == runs[-2].id
        await driven.press("space")
        dashboard_run(tmp_path, "cosine", epoch=3, index=9)
        await driven.until(lambda: len(driven.board.runs) == len(runs) + 1)
        assert driven.board.selected.id == runs[-2].id


@pytest.mark.parametrize("key", ["delete", "D", "r", "x", "X", "R", "c", "n", "E", "space", "slash"])
async def test_a_board_that_is_too_small_to_show_runs_does_nothing_to_them(tmp_path: Path, key: str) -> None:
    runs = comparison(tmp_path / "runs", "stopped")
    exports = tmp_path / "exports"
    async with dashboard(tmp_path / "runs", (59, 15), exports=exports) as driven:
        assert "needs 60x15" in driven.text()
        await driven.press(key)
        await driven.pilot.pause(0.1)
        assert driven.app.screen is driven.board
        assert not driven.board.selection.marked
        assert not exports.exists()
        assert all(run.read_status().state is State.STOPPED for run in runs)
        await driven.pilot.resize_terminal(80, 24)
        await driven.press("question_mark")
        assert driven.app.screen is not driven.board


async def test_resume_on_a_queued_run_wakes_the_queue(tmp_path: Path) -> None:
    dashboard_run(tmp_path, "linear", state=State.QUEUED)
    async with dashboard(tmp_path) as driven:
        assert "the queue is not running" in driven.text()
        assert "queue is idle" in driven.text()
        await driven.press("r")
        await driven.until(lambda: driven.control.woken == [tmp_path])


async def test_a_crashed_run_is_resumed(tmp_path: Path) -> None:
    run = dashboard_run(tmp_path, "linear", state=State.CRASHED, epoch=3)
    async with dashboard(tmp_path) as driven:
        assert "✖ crashed" in driven.text()
        await driven.press("r")
        await driven.until(lambda: run.read_status().state is State.QUEUED)


async def test_all_stopped_runs_are_resumed_and_all_waiting_ones_stopped(tmp_path: Path) -> None:
    runs = comparison(tmp_path, "stopped")
    async with dashboard(tmp_path) as driven:
        await driven.press("R")
        await driven.until(lambda: all(run.read_status().state is State.QUEUED for run in runs))
        await driven.until(lambda: all(run.state is State.QUEUED for run in driven.board.runs))
        await driven.press("X")
        assert isinstance(driven.app.screen, ConfirmScreen)
        await driven.press("y")
        await driven.until(lambda: all(run.read_status().state is State.STOPPED for run in runs))


async def test_a_finished_run_is_extended_after_asking_for_a_number(tmp_path: Path) -> None:
    run = dashboard_run(tmp_path, "linear", state=State.FINISHED, epoch=4, epochs=4)
    async with dashboard(tmp_path) as driven:
        await driven.press("r")
        screen = driven.app.screen
        assert isinstance(screen, NumberScreen)
        field = screen.query_one(Input)
        assert field.value == "6"
        field.value = "4"
        await driven.press("enter")
        assert driven.app.screen is screen
        assert "at least 5" in driven.text()
        field.value = "9"
        await driven.press("enter")
        await driven.until(lambda: run.read_status().state is State.QUEUED)
    assert run.read().config.train.epochs == 9


async def test_delete_asks_and_keeps_the_run_unless_confirmed(tmp_path: Path) -> None:
    run = dashboard_run(tmp_path, "linear", state=State.STOPPED, epoch=1)
    async with dashboard(tmp_path) as driven:
        for answer in ("escape", "n"):
            await driven.press("D")
            assert isinstance(driven.app.screen, ConfirmScreen)
            assert run.id in driven.text()
            await driven.press(answer)
            assert driven.app.screen is driven.board
            assert run.path.exists()
        await driven.press("D", "y")
        await driven.until(lambda: not run.path.exists())
        await driven.until(lambda: "No runs here yet" in driven.text())


async def test_a_live_run_is_not_deleted(tmp_path: Path) -> None:
    run = dashboard_run(tmp_path, "linear", epoch=1)
    async with dashboard(tmp_path) as driven:
        await driven.press("D")
        assert driven.app.screen is driven.board
        assert any("stop it first" in said for said in driven.notifications())
    assert run.path.exists()


async def test_an_error_is_notified_and_nothing_breaks(tmp_path: Path) -> None:
    run = dashboard_run(tmp_path, "linear", state=State.STOPPED, epoch=1)
    async with dashboard(tmp_path) as driven:
        with run.lock():
            await driven.press("D", "y")
            await driven.until(
                lambda: any("another process writes this run" in said for said in driven.notifications())
            )
    assert run.path.exists()


async def test_an_empty_folder_greets_and_enter_queues_the_five_schedules(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    async with dashboard(root, (80, 24)) as driven:
        assert "No runs here yet" in driven.text()
        assert "⏎ start quick" in driven.text().splitlines()[-1]
        await driven.press("x", "r", "D", "d", "space", "c", "l", "y", "g", "left", "5")
        await driven.press("enter")
        await driven.until(lambda: len(driven.board.runs) == 5)
        assert driven.control.woken == [root]
        assert [run.label for run in driven.board.runs] == list(SCHEDULE_NAMES)
        assert "waits" in driven.text() or "queue" in driven.text()
        await driven.press("enter")
        assert len(driven.board.runs) == 5


async def queued(root: Path, recipe_overrides: tuple[str, ...] = ()) -> list[RunDirectory]:
    """The runs of `quick` as the dashboard queues them."""
    recipe = load_recipe("quick", recipe_overrides)
    async with dashboard(root, recipe=recipe) as driven:
        await driven.until(lambda: len(driven.board.runs) == 5)
        return [run.run for run in driven.board.runs]


async def test_a_recipe_is_queued_once_and_attached_to_after_that(tmp_path: Path) -> None:
    await queued(tmp_path)
    async with dashboard(tmp_path, recipe=load_recipe("quick")) as driven:
        await driven.until(lambda: driven.control.woken)
        assert driven.app.snapshot is not None
        assert len(driven.app.snapshot.runs) == 5


async def test_a_recipe_with_other_settings_is_another_comparison(tmp_path: Path) -> None:
    await queued(tmp_path)
    async with dashboard(tmp_path, recipe=load_recipe("quick", ["train.seed=1"])) as driven:
        await driven.until(lambda: [run.file.config.train.seed for run in driven.board.runs] == [1] * 5)
        assert len(RunStore(tmp_path).runs()) == 10


@pytest.mark.parametrize(
    ("key", "states"), [("r", State.QUEUED), ("l", State.STOPPED), ("escape", State.STOPPED)]
)
async def test_a_recipe_that_was_stopped_is_offered(tmp_path: Path, key: str, states: State) -> None:
    runs = await queued(tmp_path)
    async with dashboard(tmp_path) as driven:
        await driven.press("X", "y")
        await driven.until(lambda: all(run.read_status().state is State.STOPPED for run in runs))
    async with dashboard(tmp_path, recipe=load_recipe("quick")) as driven:
        await driven.until(lambda: isinstance(driven.app.screen, ConfirmScreen))
        assert "5 runs of 5 stopped before the end" in driven.text()
        await driven.press(key)
        await driven.until(lambda: all(run.read_status().state is states for run in runs))
        assert len(driven.board.runs) == 5


async def test_a_stopped_recipe_can_be_trained_again(tmp_path: Path) -> None:
    runs = await queued(tmp_path)
    async with dashboard(tmp_path) as driven:
        await driven.press("X", "y")
        await driven.until(lambda: all(run.read_status().state is State.STOPPED for run in runs))
    async with dashboard(tmp_path, recipe=load_recipe("quick")) as driven:
        await driven.until(lambda: isinstance(driven.app.screen, ConfirmScreen))
        await driven.press("n")
        await driven.until(lambda: [run.state for run in driven.board.runs] == [State.QUEUED] * 5)
        assert len(RunStore(tmp_path).runs()) == 10


async def test_the_new_run_form_queues_what_it_says(tmp_path: Path) -> None:
    async with dashboard(tmp_path, (120, 45)) as driven:
        await driven.press("n")
        await driven.until(lambda: isinstance(driven.app.screen, NewRunScreen))
        await driven.press("f5")
        await driven.until(lambda: len(driven.board.runs) == 5)
        assert driven.app.screen is driven.board
        await driven.until(lambda: driven.control.woken == [tmp_path])


async def test_a_clone_starts_from_the_settings_of_the_run(tmp_path: Path) -> None:
    before = CREATED - timedelta(days=3000)
    dashboard_run(tmp_path, "x^2", state=State.FINISHED, epoch=2, epochs=2, seed=5, created=before)
    async with dashboard(tmp_path, (120, 45)) as driven:
        await driven.press("y")
        await driven.until(lambda: isinstance(driven.app.screen, NewRunScreen))
        await driven.press("escape", "y")
        await driven.until(lambda: isinstance(driven.app.screen, NewRunScreen))
        await driven.press("f5")
        await driven.until(lambda: driven.board.runs[0].state is State.QUEUED)
        (run,) = driven.board.runs
        assert (run.label, run.file.config.train.seed, run.file.config.train.epochs) == ("x^2", 5, 2)


async def test_no_start_queues_nothing(tmp_path: Path) -> None:
    async with dashboard(tmp_path, recipe=load_recipe("quick"), start=False) as driven:
        await driven.pilot.pause()
        assert "No runs here yet" in driven.text()
    assert list(tmp_path.iterdir()) == []


async def test_an_action_on_a_run_is_shown_at_once(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    async with dashboard(tmp_path, settings=Settings(refresh=10.0)) as driven:
        started = time.monotonic()
        await driven.press("3", "D", "y")
        await driven.until(lambda: len(driven.board.runs) == 4)
        assert time.monotonic() - started < 9.0


async def test_a_gpu_that_is_not_used_is_named_once_when_runs_are_queued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        QuietControl, "device_note", lambda control: asked.append("") or "Torch cannot compute on cuda:0"
    )
    async with dashboard(tmp_path) as driven:
        driven.board.queue(load_recipe("quick"))
        await driven.until(lambda: "Torch cannot compute on cuda:0" in driven.notifications())
        driven.board.queue(load_recipe("quick"))
        await driven.until(lambda: len(RunStore(tmp_path).runs()) == 10)
        assert asked == [""]
