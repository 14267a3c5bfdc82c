"""The board, driven by keys: cursor, images, groups and sizes."""

from pathlib import Path

import msgspec
import pytest
from textual.events import MouseScrollDown, MouseScrollUp

from core.runs.metrics import MetricsWriter
from core.runs.status import State
from core.schedules import SCHEDULE_NAMES
from tests.support.fake_groups import comparison
from tests.support.fake_images import write_samples
from tests.support.fake_runs import NOW, STEPS, dashboard_run
from tests.support.tui_pilot import dashboard, still
from tui.screens.board.details import DetailsPanel
from tui.screens.board.run_table import RunTable
from tui.screens.compare.screen import CompareScreen
from tui.screens.help.screen import HelpScreen
from tui.widgets.charts.loss_chart import LossChart
from tui.widgets.images.image_wall import ImageWall


async def test_five_schedules_are_listed_in_order_with_their_states(tmp_path: Path) -> None:
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
    dashboard_run(tmp_path, "linear", state=State.FAILED, epoch=1, error="[bold]no [/] such [file")
    async with dashboard(tmp_path, (120, 36)) as driven:
        assert "[bold]no [/] such [file" in driven.text()


async def test_a_run_that_may_hang_says_so_in_its_row_and_beside_the_images(tmp_path: Path) -> None:
    run = dashboard_run(tmp_path, "linear", epoch=1)
    run.write_status(msgspec.structs.replace(run.read_status(), heartbeat=NOW - 3600))
    async with dashboard(tmp_path, (160, 50)) as driven:
        text = driven.text()
    assert "● running" in text
    assert text.count("no sign of life since") == 2


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


async def test_the_chart_follows_the_cursor_once_keys_rest(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    async with dashboard(tmp_path, (160, 50)) as driven:
        chart = driven.board.query_one(LossChart)
        for key, place in (("3", 2), ("down", 3)):
            await driven.press(key)
            await driven.until(lambda place=place: chart.highlight == place)
        for _ in range(3):
            driven.board.action_move(-1)
            assert driven.board.selected is not None
            assert chart.highlight == 3
        assert driven.board.selected.label == "linear"
        await driven.until(lambda: chart.highlight == 0)


async def test_the_cursor_stays_on_its_run_when_others_come_and_go(tmp_path: Path) -> None:
    runs = comparison(tmp_path, "stopped")
    async with dashboard(tmp_path) as driven:
        board = driven.board
        await driven.press("3")
        await driven.press("1", "D", "y")
        await driven.until(lambda: len(board.runs) == 4)
        await driven.press("2")
        assert board.selected is not None
        assert board.selected.id == runs[2].id
        await driven.press("4", "D", "y")
        await driven.until(lambda: len(board.runs) == 3)
        assert board.selected.id == runs[3].id


async def test_space_marks_and_unmarks(tmp_path: Path) -> None:
    runs = comparison(tmp_path, "finished")
    async with dashboard(tmp_path) as driven:
        await driven.press("space", "3", "space")
        assert driven.board.selection.marked == {runs[0].id, runs[2].id}
        assert [run.id for run in driven.board.selection.compared] == [runs[0].id, runs[2].id]
        lines = driven.text().splitlines()
        assert lines[2].startswith(" 1✓")
        assert lines[4].startswith(">3✓")
        assert "compare 2" in lines[-1]
        await driven.press("space")
        assert driven.board.selection.marked == {runs[0].id}
        await driven.press("1", "space")
        assert len(driven.board.selection.compared) == 5


async def test_brackets_step_through_the_epochs_and_end_follows_again(tmp_path: Path) -> None:
    run = dashboard_run(tmp_path, "linear", epoch=6, every=2)
    async with dashboard(tmp_path) as driven:
        wall = driven.board.query_one(ImageWall)
        shown = lambda: wall.columns[0].note  # noqa: E731
        assert shown() == "epoch 6"
        await driven.press("left_square_bracket")
        assert shown() == "epoch 4"
        await driven.press("left", "left", "left")
        assert shown() == "epoch 2"
        write_samples(run.samples / "epoch-0008.png", 0.9, seed=3)
        await driven.until(lambda: driven.board.runs[0].sheets[-1][0] == 8)
        assert shown() == "epoch 2"
        await driven.press("right_square_bracket", "right_square_bracket", "right_square_bracket")
        assert shown() == "epoch 8"
        assert driven.board.selection.epoch == 8
        await driven.press("right_square_bracket")
        assert driven.board.selection.epoch is None
        await driven.press("left")
        await driven.press("end")
        assert shown() == "epoch 8"


async def test_an_epoch_that_a_run_never_reached_shows_the_one_before(tmp_path: Path) -> None:
    comparison(tmp_path, "failed")
    async with dashboard(tmp_path, (160, 50)) as driven:
        await driven.press("left")
        notes = [column.note for column in driven.board.query_one(ImageWall).columns]
        assert notes == ["epoch 36", "epoch 36", "", "epoch 12", "epoch 3"]


async def test_new_losses_and_images_appear_by_themselves(tmp_path: Path) -> None:
    run = dashboard_run(tmp_path, "linear", epoch=2)
    async with dashboard(tmp_path, (160, 50)) as driven:
        wall, chart = driven.board.query_one(ImageWall), driven.board.query_one(LossChart)
        before = chart.series[0].losses
        with MetricsWriter(run.metrics_file) as writer:
            writer.append_steps(2 * STEPS + 1, 3, 12.0, [0.01] * 60)
        write_samples(run.samples / "epoch-0003.png", 0.5, seed=3)
        await driven.until(lambda: wall.columns[0].note == "epoch 3")
        await driven.until(lambda: len(chart.series[0].losses) == len(before) + 60)
        assert "0.0100" in driven.text()


async def test_a_damaged_image_shows_a_message_and_breaks_nothing(tmp_path: Path) -> None:
    run = dashboard_run(tmp_path, "linear", epoch=1)
    (run.samples / "epoch-0002.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    async with dashboard(tmp_path, (160, 50)) as driven:
        assert "image cannot be read" in driven.text()


async def test_groups_come_one_after_the_other_then_all_then_the_newest(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    dashboard_run(tmp_path, "cosine", index=9, group="later", epoch=1)
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


async def test_a_shown_group_stays_when_a_newer_one_comes(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    dashboard_run(tmp_path, "cosine", index=9, group="later", epoch=1)
    async with dashboard(tmp_path) as driven:
        await driven.press("g")
        dashboard_run(tmp_path, "sigmoid", index=10, group="latest", epoch=1)
        await driven.until(lambda: len(driven.app.snapshot.runs) == 7 if driven.app.snapshot else False)
        assert len(driven.board.runs) == 5


async def test_runs_that_share_a_schedule_are_told_apart(tmp_path: Path) -> None:
    for place in range(2):
        dashboard_run(tmp_path, "linear", index=place, seed=place, epoch=1)
    async with dashboard(tmp_path) as driven:
        text = driven.text()
    assert "linear seed=0" in text
    assert "linear seed=1" in text


async def test_many_runs_scroll_with_the_cursor(tmp_path: Path) -> None:
    for place in range(40):
        dashboard_run(tmp_path, "linear", index=place, seed=place, state=State.FINISHED, epoch=1)
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
        wall, chart = driven.board.query_one(ImageWall), driven.board.query_one(LossChart)
        await still(driven.pilot)
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


async def test_a_run_that_cannot_be_read_is_notified(tmp_path: Path) -> None:
    dashboard_run(tmp_path, "linear", epoch=1)
    broken = dashboard_run(tmp_path, "sine", epoch=1, index=1)
    broken.status_file.write_text("{", encoding="utf-8")
    async with dashboard(tmp_path) as driven:
        assert "1 run unreadable" in driven.text().splitlines()[0]
        assert any("status.json" in said for said in driven.notifications())


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


async def test_details_show_whether_the_schedule_ends_in_noise(tmp_path: Path) -> None:
    comparison(tmp_path, "finished")
    async with dashboard(tmp_path, (160, 50)) as driven:
        assert "✔ good" in driven.text()
        await driven.press("5")
        assert "✖ bad" in driven.text()
        assert "abar_T 0.15" in driven.text()
        await driven.pilot.resize_terminal(80, 24)
        await driven.pilot.pause()
        assert driven.board.query_one(DetailsPanel).display
        assert "38% of" in driven.text()


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


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (160, 50)], ids=str)
async def test_a_crash_shows_the_reason_that_is_in_the_log(tmp_path: Path, size: tuple[int, int]) -> None:
    run = dashboard_run(tmp_path, "linear", state=State.CRASHED, epoch=3)
    async with dashboard(tmp_path, size) as driven:
        assert "process is gone" in driven.text()

        def details() -> str:
            area = driven.board.query_one(DetailsPanel).region
            lines = driven.text().splitlines()[area.y : area.bottom]
            return "".join("".join(line[area.x : area.right] for line in lines).split())

        reason = "killed by SIGKILL; if nobody did that, the system ran out of memory; lower train.batch_size"
        with run.log.open("a", encoding="utf-8") as log:
            log.write(f"--- 2026-11-24 10:20:00 the worker was {reason}\n")
        await driven.until(lambda: reason.replace(" ", "") in details())
        with run.log.open("a", encoding="utf-8") as log:
            log.write("--- 2026-11-24 10:30:00 worker on cpu, 1 thread\nTraceback (most recent call last):\n")
        await driven.until(lambda: "processisgone" in details())
        with run.log.open("a", encoding="utf-8") as log:
            log.write("RuntimeError: \x1b[31mno kernel image\n")
        await driven.until(lambda: "RuntimeError:nokernelimage" in details())


@pytest.mark.parametrize("runs", [5, 9])
async def test_what_a_schedule_leaves_of_the_image_is_never_cut_silently(tmp_path: Path, runs: int) -> None:
    for index in range(runs):
        dashboard_run(tmp_path, "x^10", state=State.FINISHED, epoch=4, epochs=4, index=index, seed=index)
    async with dashboard(tmp_path, (100, 30)) as driven:
        await driven.press("G")
        for height in (30, 28, 26, 24):
            await driven.pilot.resize_terminal(100, height)
            await driven.pilot.pause()
            text = driven.text()
            if driven.board.query_one(DetailsPanel).display:
                assert "…" in text or all(word in text for word in ("SNR_T", "L_T", "38% of the image"))
            if height == 30:
                assert all(word in text for word in ("SNR_T", "L_T", "38% of the image"))
