"""The board, driven by keys."""

from datetime import timedelta
from pathlib import Path

import pytest
from textual.events import MouseScrollDown, MouseScrollUp
from textual.widgets import Input
from tui_fixtures import START, STEPS, comparison, fake_run, sheet
from tui_pilot import dashboard

from core.recipes import load_recipe
from core.runs.directory import RunDirectory
from core.runs.metrics import MetricsWriter
from core.runs.status import State
from core.runs.store import RunStore
from core.schedules import SCHEDULE_NAMES
from tui.commands import BOARD, EVERYWHERE
from tui.parts.facts import FactsPanel
from tui.parts.run_table import RunTable
from tui.screens.compare import CompareScreen
from tui.screens.confirm import ConfirmScreen, NumberScreen
from tui.screens.help import HelpScreen
from tui.screens.log import LogScreen
from tui.screens.new_run import NewRunScreen
from tui.themes import THEMES
from tui.widgets.loss_chart import LossChart
from tui.widgets.wall import Wall


async def test_the_five_schedules_stand_in_their_order_with_words_for_their_states(tmp_path: Path) -> None:
    comparison(tmp_path, "failed")
    async with dashboard(tmp_path, (120, 36)) as driven:
        lines = driven.text().splitlines()
    rows = lines[2:7]
    for row, schedule, state in zip(
        rows, SCHEDULE_NAMES, ("running", "crashed", "queued", "stopped", "failed"), strict=True
    ):
        assert schedule in row
        assert state in row
    assert "37/100" in rows[0]
    assert "process is gone" in rows[1]
    assert "NaN" in rows[4]
    assert "loss became NaN at step 101" in rows[4]


async def test_a_single_error_with_markup_in_it_is_shown_as_it_is(tmp_path: Path) -> None:
    fake_run(tmp_path, "linear", state=State.FAILED, epoch=1, error="[bold]no [/] such [file")
    async with dashboard(tmp_path, (120, 36)) as driven:
        assert "[bold]no [/] such [file" in driven.text()


async def test_the_cursor_moves_jumps_and_stops_at_the_ends(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    async with dashboard(tmp_path) as driven:
        board = driven.board
        for key, label in (
            *(("down", "sine"), ("j", "x^1.5"), ("up", "sine"), ("k", "linear"), ("k", "linear")),
            *(("4", "x^2"), ("9", "x^10"), ("down", "x^10"), ("home", "linear"), ("G", "x^10")),
        ):
            await driven.press(key)
            assert board.selected is not None
            assert board.selected.label == label
        assert ">5" in driven.text().splitlines()[6]


async def test_the_cursor_stays_on_its_run_when_others_come_and_go(tmp_path: Path) -> None:
    runs = comparison(tmp_path, "stopped")
    async with dashboard(tmp_path) as driven:
        board = driven.board
        await driven.press("3")
        await driven.press("1", "d", "y")
        await driven.until(lambda: len(board.runs) == 4)
        await driven.press("2")
        assert board.selected is not None
        assert board.selected.id == runs[2].id
        await driven.press("4", "d", "y")
        await driven.until(lambda: len(board.runs) == 3)
        assert board.selected.id == runs[3].id


async def test_stop_takes_a_queued_run_from_the_queue_and_resume_puts_it_back(tmp_path: Path) -> None:
    run = fake_run(tmp_path, "linear", state=State.QUEUED)
    async with dashboard(tmp_path) as driven:
        assert "waits for its turn" in driven.text()
        await driven.press("x")
        await driven.until(lambda: run.read_status().state is State.STOPPED)
        await driven.until(lambda: "■ stopped" in driven.text())
        assert "no pictures" in driven.text()
        assert "waits for its turn" not in driven.text()
        assert not driven.control.woken
        await driven.press("r")
        await driven.until(lambda: run.read_status().state is State.QUEUED)
        await driven.until(lambda: driven.control.woken == [tmp_path])


async def test_resume_on_a_queued_run_wakes_the_queue(tmp_path: Path) -> None:
    fake_run(tmp_path, "linear", state=State.QUEUED)
    async with dashboard(tmp_path) as driven:
        assert "nobody serves the queue" in driven.text()
        assert "queue is idle" in driven.text()
        await driven.press("r")
        await driven.until(lambda: driven.control.woken == [tmp_path])


async def test_a_crashed_run_is_resumed(tmp_path: Path) -> None:
    run = fake_run(tmp_path, "linear", state=State.CRASHED, epoch=3)
    async with dashboard(tmp_path) as driven:
        assert "✖ crashed" in driven.text()
        await driven.press("r")
        await driven.until(lambda: run.read_status().state is State.QUEUED)


async def test_all_that_stopped_is_resumed_at_once_and_all_that_waits_is_stopped(tmp_path: Path) -> None:
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
    run = fake_run(tmp_path, "linear", state=State.FINISHED, epoch=4, epochs=4)
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


async def test_delete_asks_and_leaves_the_run_unless_told_to(tmp_path: Path) -> None:
    run = fake_run(tmp_path, "linear", state=State.STOPPED, epoch=1)
    async with dashboard(tmp_path) as driven:
        for answer in ("escape", "n"):
            await driven.press("d")
            assert isinstance(driven.app.screen, ConfirmScreen)
            assert run.id in driven.text()
            await driven.press(answer)
            assert driven.app.screen is driven.board
            assert run.path.exists()
        await driven.press("d", "y")
        await driven.until(lambda: not run.path.exists())
        await driven.until(lambda: "No runs here yet" in driven.text())


async def test_a_live_run_is_not_deleted(tmp_path: Path) -> None:
    run = fake_run(tmp_path, "linear", epoch=1)
    async with dashboard(tmp_path) as driven:
        await driven.press("d")
        assert driven.app.screen is driven.board
        assert any("stop it first" in said for said in driven.said())
    assert run.path.exists()


async def test_an_error_is_told_and_nothing_breaks(tmp_path: Path) -> None:
    run = fake_run(tmp_path, "linear", state=State.STOPPED, epoch=1)
    async with dashboard(tmp_path) as driven:
        with run.lock():
            await driven.press("d", "y")
            await driven.until(
                lambda: any("another process writes this run" in said for said in driven.said())
            )
    assert run.path.exists()


async def test_space_marks_and_unmarks(tmp_path: Path) -> None:
    runs = comparison(tmp_path, "finished")
    async with dashboard(tmp_path) as driven:
        await driven.press("space", "3", "space")
        assert driven.board.marked == {runs[0].id, runs[2].id}
        assert [run.id for run in driven.board.compared()] == [runs[0].id, runs[2].id]
        lines = driven.text().splitlines()
        assert lines[2].startswith(" 1✓")
        assert lines[4].startswith(">3✓")
        assert "compare 2" in lines[-1]
        await driven.press("space")
        assert driven.board.marked == {runs[0].id}
        await driven.press("1", "space")
        assert len(driven.board.compared()) == 5


async def test_brackets_walk_through_the_epochs_and_the_end_follows_again(tmp_path: Path) -> None:
    run = fake_run(tmp_path, "linear", epoch=6, every=2)
    async with dashboard(tmp_path) as driven:
        wall = driven.board.query_one(Wall)
        shown = lambda: wall.columns[0].note  # noqa: E731
        assert shown() == "epoch 6"
        await driven.press("left_square_bracket")
        assert shown() == "epoch 4"
        await driven.press("left", "left", "left")
        assert shown() == "epoch 2"
        sheet(run.samples / "epoch-0008.png", 0.9, seed=3)
        await driven.until(lambda: driven.board.runs[0].sheets[-1][0] == 8)
        assert shown() == "epoch 2"
        await driven.press("right_square_bracket", "right_square_bracket", "right_square_bracket")
        assert shown() == "epoch 8"
        assert driven.board.epoch == 8
        await driven.press("right_square_bracket")
        assert driven.board.epoch is None
        await driven.press("left")
        await driven.press("end")
        assert shown() == "epoch 8"


async def test_an_epoch_that_a_run_never_reached_shows_the_one_before(tmp_path: Path) -> None:
    comparison(tmp_path, "failed")
    async with dashboard(tmp_path, (160, 50)) as driven:
        await driven.press("left")
        notes = [column.note for column in driven.board.query_one(Wall).columns]
        assert notes == ["epoch 36", "epoch 36", "", "epoch 12", "epoch 3"]


async def test_new_losses_and_pictures_appear_by_themselves(tmp_path: Path) -> None:
    run = fake_run(tmp_path, "linear", epoch=2)
    async with dashboard(tmp_path, (160, 50)) as driven:
        wall, chart = driven.board.query_one(Wall), driven.board.query_one(LossChart)
        before = chart.series[0].losses
        with MetricsWriter(run.metrics_file) as writer:
            writer.steps(2 * STEPS + 1, 3, 12.0, [0.01] * 60)
        sheet(run.samples / "epoch-0003.png", 0.5, seed=3)
        await driven.until(lambda: wall.columns[0].note == "epoch 3")
        await driven.until(lambda: len(chart.series[0].losses) == len(before) + 60)
        assert "0.0100" in driven.text()


async def test_a_picture_that_is_damaged_says_so_and_breaks_nothing(tmp_path: Path) -> None:
    run = fake_run(tmp_path, "linear", epoch=1)
    (run.samples / "epoch-0002.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    async with dashboard(tmp_path, (160, 50)) as driven:
        assert "picture cannot be read" in driven.text()


async def test_groups_come_one_after_the_other_then_all_then_the_newest(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    fake_run(tmp_path, "cosine", place=9, group="later", epoch=1)
    async with dashboard(tmp_path) as driven:
        board = driven.board
        assert [run.label for run in board.runs] == ["cosine"]
        await driven.press("g")
        assert [run.label for run in board.runs] == list(SCHEDULE_NAMES)
        await driven.press("g")
        assert len(board.runs) == 6
        assert "all runs" in driven.text()
        await driven.press("g")
        assert [run.label for run in board.runs] == ["cosine"]


async def test_a_group_that_is_looked_at_stays_when_a_newer_one_comes(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    fake_run(tmp_path, "cosine", place=9, group="later", epoch=1)
    async with dashboard(tmp_path) as driven:
        await driven.press("g")
        fake_run(tmp_path, "sigmoid", place=10, group="latest", epoch=1)
        await driven.until(lambda: len(driven.app.snapshot.runs) == 7 if driven.app.snapshot else False)
        assert len(driven.board.runs) == 5


async def test_runs_that_share_a_schedule_are_told_apart(tmp_path: Path) -> None:
    for place in range(2):
        fake_run(tmp_path, "linear", place=place, seed=place, epoch=1)
    async with dashboard(tmp_path) as driven:
        text = driven.text()
    assert "linear seed=0" in text
    assert "linear seed=1" in text


async def test_many_runs_scroll_with_the_cursor(tmp_path: Path) -> None:
    for place in range(40):
        fake_run(tmp_path, "linear", place=place, seed=place, state=State.FINISHED, epoch=1)
    async with dashboard(tmp_path, (80, 24)) as driven:
        assert "1 of 40" in driven.text()
        await driven.press("G")
        text = driven.text()
        assert "40 of 40" in text
        assert "seed=39" in text
        await driven.pilot.resize_terminal(160, 50)
        await driven.pilot.pause()
        assert "seed=39" in driven.text()


async def test_nothing_is_drawn_while_nothing_happens(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    async with dashboard(tmp_path, (160, 50)) as driven:
        wall, chart = driven.board.query_one(Wall), driven.board.query_one(LossChart)
        drawn = wall.lines_drawn, chart.draws
        for _ in range(5):
            driven.board.update()
            await driven.pilot.pause()
        assert (wall.lines_drawn, chart.draws) == drawn


async def test_a_click_selects(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    async with dashboard(tmp_path) as driven:
        await driven.pilot.click(RunTable, offset=(10, 4))
        assert driven.board.selected is not None
        assert driven.board.selected.label == "x^2"
        await driven.pilot.click("#keys", offset=(driven.text().splitlines()[-1].index("? help"), 0))
        assert isinstance(driven.app.screen, HelpScreen)


async def test_the_log_follows_what_is_appended_and_starts_over_with_a_new_file(tmp_path: Path) -> None:
    run = fake_run(tmp_path, "linear", epoch=1)
    async with dashboard(tmp_path) as driven:
        await driven.press("l")
        assert isinstance(driven.app.screen, LogScreen)
        await driven.until(lambda: "epoch 49 loss 0.049" in driven.text())
        with run.log.open("a", encoding="utf-8") as log:
            log.write("\x1b[31mred\x1b[0m [bold]words[/]\nhalf a li")
        await driven.until(lambda: "red [bold]words[/]" in driven.text())
        assert "half" not in driven.text()
        with run.log.open("a", encoding="utf-8") as log:
            log.write("ne\n")
        await driven.until(lambda: "half a line" in driven.text())
        run.log.write_text("anew\n", encoding="utf-8")
        await driven.until(lambda: "anew" in driven.text() and "half" not in driven.text())
        await driven.press("escape")
        assert driven.app.screen is driven.board


async def test_a_run_without_a_log_says_so_and_shows_it_when_it_comes(tmp_path: Path) -> None:
    run = fake_run(tmp_path, "linear", state=State.QUEUED)
    run.log.unlink()
    async with dashboard(tmp_path) as driven:
        await driven.press("l")
        await driven.until(lambda: "no log yet" in driven.text())
        run.log.write_text("first words\n", encoding="utf-8")
        await driven.until(lambda: "first words" in driven.text() and "no log yet" not in driven.text())


async def test_help_lists_every_command(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    async with dashboard(tmp_path, (120, 80)) as driven:
        await driven.press("question_mark")
        text = driven.text()
        for command in (*BOARD, *EVERYWHERE):
            assert command.text in text or command.action == "start_quick"
        await driven.press("escape")
        assert driven.app.screen is driven.board


async def test_every_command_is_in_the_palette(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    async with dashboard(tmp_path) as driven:
        names = {command.title for command in driven.app.get_system_commands(driven.board)}
    wanted = {command.text for command in (*BOARD, *EVERYWHERE)}
    assert wanted - names == {
        "Find a command by name",
        "Start the quick comparison of five schedules",
    }
    assert {f"Theme: {theme.name.removeprefix('ddpm-')}" for theme in THEMES} <= names


async def test_no_command_needs_a_key_that_terminals_keep_for_themselves(tmp_path: Path) -> None:
    for command in (*BOARD, *EVERYWHERE):
        keys = command.keys.split(",")
        assert set(keys) - {"ctrl+a", "ctrl+b", "ctrl+q", "ctrl+s", "ctrl+z"}, command


async def test_the_palette_opens_with_a_colon_and_acts_on_the_board(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    async with dashboard(tmp_path) as driven:
        await driven.press("colon")
        await driven.until(lambda: driven.app.screen is not driven.board)
        await driven.press(*"Select the last")
        await driven.until(lambda: "Select the last run" in driven.text())
        await driven.pilot.pause(0.2)
        await driven.press("enter")
        await driven.until(
            lambda: driven.board.selected is not None and driven.board.selected.label == "x^10"
        )


async def test_themes_go_round_and_redraw_the_colours(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    async with dashboard(tmp_path, (160, 50)) as driven:
        seen = []
        for _ in THEMES:
            seen.append((driven.app.theme, driven.board.query_one(Wall).columns[0].color))
            await driven.press("t")
        assert [name for name, _ in seen] == [theme.name for theme in THEMES]
        assert seen[1][1] != seen[0][1]
        assert driven.app.theme == THEMES[0].name


async def test_a_chosen_theme_is_there_again_next_time(tmp_path: Path) -> None:
    file = tmp_path / "state" / "theme"
    async with dashboard(tmp_path / "runs", remember=file) as driven:
        await driven.press("t")
        assert driven.app.theme == "ddpm-light"
    async with dashboard(tmp_path / "runs", remember=file) as driven:
        assert driven.app.theme == "ddpm-light"


async def test_a_run_that_cannot_be_read_is_told_of(tmp_path: Path) -> None:
    fake_run(tmp_path, "linear", epoch=1)
    broken = fake_run(tmp_path, "sine", epoch=1, place=1)
    broken.status_file.write_text("{", encoding="utf-8")
    async with dashboard(tmp_path) as driven:
        assert "1 run unreadable" in driven.text().splitlines()[0]
        assert any("status.json" in said for said in driven.said())


async def test_the_wheel_moves_the_cursor(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    async with dashboard(tmp_path) as driven:
        table = driven.board.query_one(RunTable)
        for direction, label in ((1, "sine"), (1, "x^1.5"), (-1, "sine"), (-1, "linear"), (-1, "linear")):
            kind = MouseScrollDown if direction > 0 else MouseScrollUp
            table.post_message(kind(table, 3, 3, 0, direction, 0, False, False, False))
            await driven.pilot.pause()
            assert driven.board.selected is not None
            assert driven.board.selected.label == label


async def test_keys_can_be_rebound_and_the_bar_and_the_help_say_so(tmp_path: Path) -> None:
    run = fake_run(tmp_path, "linear", state=State.QUEUED)
    async with dashboard(tmp_path, keymap={"run.stop": "s"}) as driven:
        assert "s stop" in driven.text().splitlines()[-1]
        await driven.press("x")
        assert run.read_status().state is State.QUEUED
        await driven.press("s")
        await driven.until(lambda: run.read_status().state is State.STOPPED)


@pytest.mark.parametrize("name", ["running", "failed", "finished"])
async def test_no_size_of_terminal_breaks_the_board(tmp_path: Path, name: str) -> None:
    comparison(tmp_path, name)
    async with dashboard(tmp_path, (80, 24)) as driven:
        sizes = [(20, 5), (1, 1), (59, 40), (60, 15), (80, 14), (80, 24), (99, 20), (100, 16), (139, 60)]
        for width, height in [*sizes, (140, 15), (160, 50), (250, 70), (400, 120), (80, 24)]:
            await driven.pilot.resize_terminal(width, height)
            await driven.pilot.pause()
            small = width < 60 or height < 15
            assert ("needs 60x15" in driven.text()) is (small and width >= 20)
            if not small:
                assert "linear" in driven.text()


@pytest.mark.parametrize("key", ["question_mark", "d", "r", "l", "colon"])
async def test_other_screens_survive_a_terminal_of_20_by_5(tmp_path: Path, key: str) -> None:
    fake_run(tmp_path, "linear", state=State.FINISHED, epoch=4, epochs=4)
    async with dashboard(tmp_path, (80, 24)) as driven:
        await driven.press(key)
        for size in ((20, 5), (1, 1), (80, 24)):
            await driven.pilot.resize_terminal(*size)
            await driven.pilot.pause()
        await driven.press("escape")
        assert driven.app.screen is driven.board


async def test_the_facts_tell_whether_the_schedule_reaches_noise(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    async with dashboard(tmp_path, (160, 50)) as driven:
        assert "✔ good" in driven.text()
        await driven.press("5")
        assert "✖ bad" in driven.text()
        assert "abar_T 0.15" in driven.text()
        await driven.pilot.resize_terminal(80, 24)
        await driven.pilot.pause()
        assert driven.board.query_one(FactsPanel).display
        assert "38% of" in driven.text()


async def test_an_empty_folder_greets_and_enter_queues_the_five_schedules(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    async with dashboard(root, (80, 24)) as driven:
        assert "No runs here yet" in driven.text()
        assert "enter start quick" in driven.text().splitlines()[-1]
        await driven.press("x", "r", "d", "space", "c", "l", "y", "g", "left", "5")
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


async def test_a_recipe_that_was_stopped_can_be_trained_anew(tmp_path: Path) -> None:
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
    before = START - timedelta(days=3000)
    fake_run(tmp_path, "x^2", state=State.FINISHED, epoch=2, epochs=2, seed=5, created=before)
    async with dashboard(tmp_path, (120, 45)) as driven:
        await driven.press("y")
        await driven.until(lambda: isinstance(driven.app.screen, NewRunScreen))
        await driven.press("escape", "y")
        await driven.until(lambda: isinstance(driven.app.screen, NewRunScreen))
        await driven.press("f5")
        await driven.until(lambda: driven.board.runs[0].state is State.QUEUED)
        (run,) = driven.board.runs
        assert (run.label, run.file.config.train.seed, run.file.config.train.epochs) == ("x^2", 5, 2)


async def test_compare_opens_with_the_marked_runs_and_comes_back(tmp_path: Path) -> None:
    runs = comparison(tmp_path, "finished")
    async with dashboard(tmp_path) as driven:
        await driven.press("space", "4", "space", "c")
        await driven.until(lambda: isinstance(driven.app.screen, CompareScreen))
        screen = driven.app.screen
        assert isinstance(screen, CompareScreen)
        assert screen.run_ids == (runs[0].id, runs[3].id)
        await driven.press("escape")
        assert driven.app.screen is driven.board


async def test_no_start_queues_nothing(tmp_path: Path) -> None:
    async with dashboard(tmp_path, recipe=load_recipe("quick"), start=False) as driven:
        await driven.pilot.pause()
        assert "No runs here yet" in driven.text()
    assert list(tmp_path.iterdir()) == []


async def test_leaving_with_q_and_ctrl_c_ends_the_app(tmp_path: Path) -> None:
    comparison(tmp_path, "running")
    for key in ("q", "ctrl+c", "ctrl+q"):
        async with dashboard(tmp_path) as driven:
            await driven.press(key)
            assert driven.app._exit
