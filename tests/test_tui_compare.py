"""The comparison: what it says of runs, and the screen that says it, driven by keys."""

import itertools
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes import CREATED, make_run
from textual.pilot import Pilot
from tui_fixtures import NOW, STEPS, comparison, fake_run, sheet
from tui_pilot import Driven, dashboard, make_app, ready

from core.config import DiffusionConfig, RunConfig, SampleConfig, ScheduleConfig, TrainConfig
from core.runs.metrics import MetricsWriter
from core.runs.status import State
from core.schedules import SCHEDULE_NAMES
from tui.commands import ALL, COMPARE
from tui.comparison import cautions, differences, figures, places, short_labels, step_of_epoch
from tui.live import LiveReader, Snapshot
from tui.palette import series_style
from tui.screens.compare import CompareScreen, upper_height
from tui.widgets.comparison_table import Line, difference_table, metric_table
from tui.widgets.epoch_slider import EpochSlider
from tui.widgets.loss_chart import LossChart
from tui.widgets.wall import Wall


def read(root: Path) -> Snapshot:
    snapshot = LiveReader(root, now=lambda: NOW).poll()
    assert snapshot is not None
    return snapshot


def configured(root: Path, number: int, config: RunConfig, *, group: str = "g") -> None:
    make_run(
        root,
        config=config,
        epochs=2,
        pictures=False,
        group=group,
        run_id=f"run-{number}",
        created=CREATED + timedelta(seconds=number),
    )


def config(
    schedule: str = "linear", *, prediction: Any = "epsilon", epochs: int = 2, **settings: Any
) -> RunConfig:
    return RunConfig(
        schedule=ScheduleConfig(name=schedule, **settings),
        diffusion=DiffusionConfig(prediction_type=prediction),
        train=TrainConfig(epochs=epochs),
        sample=SampleConfig(),
    )


def five(root: Path) -> None:
    """A finished comparison of five schedules, of few epochs."""
    for place, schedule in enumerate(SCHEDULE_NAMES):
        fake_run(root, schedule, state=State.FINISHED, epoch=3, epochs=3, place=place)


# What is said


def test_figures_are_of_the_last_whole_epoch_and_know_the_best_one(tmp_path: Path) -> None:
    fake_run(tmp_path, "x^10", state=State.FINISHED, epoch=5, epochs=5)
    (run,) = read(tmp_path).runs
    said = figures(run)
    assert (said.state, said.epoch, said.epochs) == (State.FINISHED, 5, 5)
    assert said.train == run.epochs[-1].mean
    assert said.heldout == run.epochs[-1].heldout
    assert said.best == min(record.heldout for record in run.epochs)
    assert run.epochs[said.best_epoch - 1].heldout == said.best
    assert said.images_per_second == 620.0
    assert said.terminal_alpha_bar == pytest.approx(0.14557807)
    assert said.terminal == "bad"


def test_a_run_that_has_not_begun_has_no_figures_and_a_broken_one_says_nan(tmp_path: Path) -> None:
    comparison(tmp_path, "failed")
    runs = read(tmp_path).runs
    queued = figures(runs[2])
    assert (queued.train, queued.heldout, queued.best, queued.images_per_second) == (None,) * 4
    failed = figures(runs[4])
    assert failed.train is not None
    assert failed.train != failed.train


def test_differences_are_the_settings_that_are_not_the_same_in_all_runs(tmp_path: Path) -> None:
    configured(tmp_path, 0, config("linear"))
    configured(tmp_path, 1, config("x^2", epochs=7))
    configured(tmp_path, 2, config("x^2", zero_terminal_snr=True, prediction="v_prediction"))
    found = {one.key: one.values for one in differences(read(tmp_path).runs)}
    assert found == {
        "schedule.name": (("linear", (0,)), ("x^2", (1, 2))),
        "schedule.zero_terminal_snr": (("false", (0, 1)), ("true", (2,))),
        "diffusion.prediction_type": (("epsilon", (0, 1)), ("v_prediction", (2,))),
        "train.epochs": (("2", (0, 2)), ("7", (1,))),
    }


def test_a_setting_that_one_run_leaves_out_differs_from_one_that_says_it(tmp_path: Path) -> None:
    configured(tmp_path, 0, config())
    steps = RunConfig(train=TrainConfig(epochs=2), sample=SampleConfig(steps=50))
    configured(tmp_path, 1, steps)
    assert [one.values for one in differences(read(tmp_path).runs)] == [(("–", (0,)), ("50", (1,)))]


def test_the_same_run_twice_or_alone_has_no_differences(tmp_path: Path) -> None:
    configured(tmp_path, 0, config())
    configured(tmp_path, 1, config())
    runs = read(tmp_path).runs
    assert differences(runs) == []
    assert differences(runs[:1]) == []
    assert cautions(runs) == []


def test_the_reader_is_warned_where_losses_cannot_be_compared(tmp_path: Path) -> None:
    configured(tmp_path, 0, config("linear"))
    configured(tmp_path, 1, config("x^10", prediction="sample"))
    said = "\n".join(cautions(read(tmp_path).runs))
    assert "different prediction types" in said
    assert "different schedules" in said
    assert "Bad: sampling starts where training never was" in said


def test_a_run_keeps_the_colour_and_digit_that_it_has_on_the_board(tmp_path: Path) -> None:
    five(tmp_path)
    snapshot = read(tmp_path)
    chosen = [snapshot.runs[3], snapshot.runs[1]]
    assert list(places(snapshot, chosen).values()) == [3, 1]


def test_runs_of_several_groups_are_numbered_as_they_come(tmp_path: Path) -> None:
    configured(tmp_path, 0, config(), group="a")
    configured(tmp_path, 1, config(), group="b")
    snapshot = read(tmp_path)
    assert list(places(snapshot, snapshot.runs[::-1]).values()) == [0, 1]


def test_labels_that_would_be_cut_off_give_way_to_the_schedule(tmp_path: Path) -> None:
    configured(tmp_path, 0, config("sine"))
    configured(tmp_path, 1, config("sine", epochs=7))
    snapshot = read(tmp_path)
    assert list(short_labels(snapshot.runs).values()) == ["sine epochs=2", "sine epochs=7"]
    configured(tmp_path, 2, config("sine", epochs=7, zero_terminal_snr=True, prediction="v_prediction"))
    assert set(short_labels(read(tmp_path).runs).values()) == {"sine"}


def test_the_step_of_an_epoch_is_that_of_the_first_run_that_got_there(tmp_path: Path) -> None:
    comparison(tmp_path, "failed")
    runs = read(tmp_path).runs
    assert step_of_epoch(runs, 37) == 37 * STEPS
    assert step_of_epoch(runs, 99) is None


@pytest.mark.parametrize("width", [20, 40, 60, 79, 120])
def test_the_table_fits_into_any_width(tmp_path: Path, width: int) -> None:
    comparison(tmp_path, "failed")
    lines = [
        Line(run.label * 3, series_style(place), figures(run))
        for place, run in enumerate(read(tmp_path).runs)
    ]
    text = metric_table(lines, width).plain.splitlines()
    assert len(text) == 6
    if width >= 40:
        assert all(len(line) <= width for line in text)
        assert "held-out" in text[0]


def test_at_eighty_columns_the_table_says_everything(tmp_path: Path) -> None:
    five(tmp_path)
    runs = read(tmp_path).runs
    lines = [Line(run.label, series_style(place), figures(run)) for place, run in enumerate(runs)]
    heading, first, *_ = metric_table(lines, 79).plain.splitlines()
    for word in ("state", "epoch", "train", "held-out", "best", "img/s", "abar_T", "terminal"):
        assert word in heading
    assert first.split()[:5] == ["1", "linear", "✔", "finished", "3/3"]
    assert first.endswith("good    ")
    assert len(first) <= 79


def test_values_wrap_and_long_ones_are_cut(tmp_path: Path) -> None:
    for number, name in enumerate(("linear", "sine", "x^1.5", "x^2", "x^10", "cosine")):
        configured(tmp_path, number, config(name))
    runs = read(tmp_path).runs
    styles = [series_style(place) for place in range(6)]
    text = difference_table(differences(runs), styles, 40, runs=6).plain.splitlines()
    assert len(text) == 3
    assert all(len(line) <= 40 for line in text)
    assert "1 linear   2 sine" in text[0]
    assert difference_table([], styles[:1], 40, runs=1).plain.strip().startswith("one run")
    assert "the same" in difference_table([], styles, 80, runs=2).plain


def test_curves_and_pictures_share_the_height_in_whole_rows_of_pictures() -> None:
    for body, tile in itertools.product(range(20, 80), (4, 8, 16, 32)):
        upper = upper_height(body, tile)
        assert 10 <= upper < body
        if body - 1 - tile >= 12:
            assert (body - upper - 1) % tile == 0


# The screen


async def compare(driven: Driven) -> CompareScreen:
    """Press c and wait for the screen."""
    await driven.press("c")
    await driven.until(lambda: isinstance(driven.app.screen, CompareScreen) and driven.app.screen.runs)
    await driven.pilot.pause()
    screen = driven.app.screen
    assert isinstance(screen, CompareScreen)
    return screen


async def test_a_wide_terminal_shows_curves_numbers_and_pictures_at_once(tmp_path: Path) -> None:
    five(tmp_path)
    async with dashboard(tmp_path, (160, 50)) as driven:
        screen = await compare(driven)
        assert screen.view == "all"
        text = driven.text()
        assert "log y · linear x" in text
        assert "schedule.name" in text
        assert "5 x^10 epoch 3" in text
        assert "epoch 3 of 3" in text
        assert screen.query_one(Wall).visible_rows == 2
        assert screen.query_one(LossChart).size.height >= 12


async def test_a_small_terminal_shows_one_part_at_a_time_and_nothing_is_cut_off(tmp_path: Path) -> None:
    comparison(tmp_path, "failed")
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await compare(driven)
        assert screen.view == "curves"
        text = driven.text()
        assert any(line.split()[:4] == ["2", "sine", "✖", "crashed"] for line in text.splitlines())
        assert any(line.split()[2:6] == ["✖", "failed", "3/100", "NaN"] for line in text.splitlines())
        await driven.press("2")
        assert screen.view == "pictures"
        assert "waits for its" in driven.text()
        assert "5 x^10 epoch 3" in driven.text()
        await driven.press("tab")
        assert screen.view == "numbers"
        assert "terminal" in driven.text()
        assert "schedule.name" in driven.text()
        await driven.press("tab")
        assert screen.view == "curves"
        for widget in screen.query("*"):
            if widget.display and widget.size:
                assert widget.region.right <= 80
                assert widget.region.bottom <= 24


async def test_a_digit_shows_one_part_alone_and_again_all(tmp_path: Path) -> None:
    five(tmp_path)
    async with dashboard(tmp_path, (160, 50)) as driven:
        screen = await compare(driven)
        await driven.press("1")
        assert screen.view == "curves"
        assert screen.query_one(LossChart).size.height > 30
        await driven.press("1")
        assert screen.view == "all"
        await driven.press("3", "0")
        assert screen.view == "all"
        await driven.press("tab", "tab")
        assert screen.view == "pictures"
        await driven.press("tab", "tab")
        assert screen.view == "all"


@pytest.mark.parametrize("key", ["escape", "q", "c"])
async def test_back_to_the_board(tmp_path: Path, key: str) -> None:
    five(tmp_path)
    async with dashboard(tmp_path) as driven:
        await compare(driven)
        await driven.press(key)
        assert driven.app.screen is driven.board


async def test_only_marked_runs_are_compared_in_their_own_colours(tmp_path: Path) -> None:
    five(tmp_path)
    async with dashboard(tmp_path, (160, 50)) as driven:
        await driven.press("2", "space", "4", "space")
        screen = await compare(driven)
        assert [run.label for run in screen.runs] == ["sine", "x^2"]
        assert [one.marker for one in screen.query_one(LossChart).series] == ["2", "4"]
        assert [column.title for column in screen.query_one(Wall).columns] == ["2 sine", "4 x^2"]


async def test_keys_change_axes_smoothing_and_what_is_drawn(tmp_path: Path) -> None:
    five(tmp_path)
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await compare(driven)
        chart = screen.query_one(LossChart)
        await driven.press("y", "x", "m")
        assert (chart.log_y, chart.log_x, chart.smoothing) == (False, True, 2)
        assert "linear y · log x · smoothing medium" in driven.text()
        assert "training only" in driven.text()
        await driven.press("h")
        assert "held-out only" in driven.text()
        await driven.press("h")
        assert chart.shown == "both"
        await driven.press("L", "X")
        assert (chart.log_y, chart.log_x) == (True, False)


async def test_all_columns_follow_the_epoch_and_the_chart_marks_it(tmp_path: Path) -> None:
    for place, (schedule, epoch) in enumerate((("linear", 12), ("sine", 5))):
        fake_run(tmp_path, schedule, state=State.STOPPED, epoch=epoch, place=place)
    async with dashboard(tmp_path, (160, 50)) as driven:
        screen = await compare(driven)
        wall, chart = screen.query_one(Wall), screen.query_one(LossChart)

        def notes() -> list[str]:
            return [column.note for column in wall.columns]

        assert notes() == ["epoch 12", "epoch 5"]
        assert chart.cursor is None
        await driven.press("left_square_bracket", "left")
        assert (screen.epoch, notes()) == (10, ["epoch 10", "epoch 5"])
        assert chart.cursor == 10 * STEPS
        await driven.press("home")
        assert notes() == ["epoch 1", "epoch 1"]
        await driven.press("left")
        assert notes() == ["epoch 1", "epoch 1"]
        await driven.press("right_square_bracket", "right")
        assert notes() == ["epoch 3", "epoch 3"]
        await driven.press("end")
        assert (screen.epoch, notes()) == (None, ["epoch 12", "epoch 5"])
        screen.query_one(EpochSlider).post_message(EpochSlider.Sought(4))
        await driven.until(lambda: screen.epoch == 4)


async def test_space_plays_from_the_start_to_the_end_and_then_follows(tmp_path: Path) -> None:
    fake_run(tmp_path, "linear", state=State.STOPPED, epoch=4)
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await compare(driven)
        await driven.press("space")
        assert "playing" in driven.text()
        await driven.until(lambda: screen.epoch == 3)
        await driven.until(lambda: screen.epoch is None)
        assert "latest" in driven.text()
        await driven.press("space")
        await driven.press("space")
        assert "playing" not in driven.text()
        assert screen.epoch is not None


async def test_there_is_nothing_to_play_before_the_second_sheet(tmp_path: Path) -> None:
    fake_run(tmp_path, "linear", state=State.STOPPED, epoch=1)
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await compare(driven)
        await driven.press("space", "left", "home")
        assert screen.epoch is None
        assert any("no epochs to play" in message for message in driven.said())


async def test_new_losses_and_pictures_appear_by_themselves(tmp_path: Path) -> None:
    run = fake_run(tmp_path, "linear", epoch=3)
    async with dashboard(tmp_path, (160, 50)) as driven:
        screen = await compare(driven)
        chart = screen.query_one(LossChart)
        with MetricsWriter(run.metrics_file) as writer:
            writer.steps(3 * STEPS + 1, 4, 20.0, [0.05] * STEPS)
        sheet(run.samples / "epoch-0004.png", 0.9, seed=3)
        await driven.until(lambda: len(chart.series[0].losses) == 4 * STEPS)
        await driven.until(lambda: screen.query_one(Wall).columns[0].note == "epoch 4")


async def test_a_run_that_is_deleted_leaves_the_comparison(tmp_path: Path) -> None:
    runs = [
        fake_run(tmp_path, schedule, state=State.STOPPED, epoch=2, place=place)
        for place, schedule in enumerate(("linear", "sine"))
    ]
    async with dashboard(tmp_path, (160, 50)) as driven:
        screen = await compare(driven)
        shutil.rmtree(runs[0].path)
        await driven.until(lambda: len(screen.query_one(Wall).columns) == 1)
        shutil.rmtree(runs[1].path)
        await driven.until(lambda: "no longer here" in driven.text())
        await driven.press("space", "left", "down", "y", "2", "tab", "end", "escape")
        assert driven.app.screen is driven.board


async def test_rows_of_pictures_and_long_lists_can_be_scrolled(tmp_path: Path) -> None:
    for place in range(14):
        fake_run(tmp_path, "linear", state=State.STOPPED, epoch=2, place=place, seed=place)
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await compare(driven)
        assert screen.query_one("#legend").max_scroll_y > 0
        await driven.press("down", "down")
        assert screen.query_one("#legend").scroll_offset.y == 2
        await driven.press("2", "down", "full_stop", "full_stop")
        wall = screen.query_one(Wall)
        assert (wall.first_row, wall.first_column) == (1, 2)
        await driven.press("up", "comma")
        assert (wall.first_row, wall.first_column) == (0, 1)
        await driven.press("3", "pagedown")
        assert (
            screen.query_one("#numbers").scroll_offset.y > 0 or not screen.query_one("#numbers").max_scroll_y
        )


async def test_the_same_comparison_fits_after_the_terminal_has_changed(tmp_path: Path) -> None:
    five(tmp_path)
    async with dashboard(tmp_path, (160, 50)) as driven:
        screen = await compare(driven)
        for size in ((80, 24), (30, 8), (200, 60), (160, 50)):
            await driven.pilot.resize_terminal(*size)
            await driven.pilot.pause()
            assert screen.view == ("all" if size[0] >= 140 else "curves")
        assert screen.query_one(Wall).visible_rows == 2


async def test_help_lists_every_key_of_the_comparison(tmp_path: Path) -> None:
    five(tmp_path)
    async with dashboard(tmp_path, (120, 60)) as driven:
        await compare(driven)
        await driven.press("question_mark")
        text = driven.text()
        for command in COMPARE:
            assert command.text in text


def test_no_two_commands_have_the_same_name() -> None:
    assert len({command.id for command in ALL}) == len(ALL)


# Pictures of it


@pytest.fixture
def _truecolor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")


def compared(*keys: str) -> Callable[[Pilot[Any]], Any]:
    async def until_drawn(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await pilot.press("c")
        await pilot.pause()
        await pilot.press(*keys)
        await pilot.pause()

    return until_drawn


@pytest.mark.usefixtures("_truecolor")
@pytest.mark.parametrize(
    ("state", "size", "keys"),
    [
        ("finished", (160, 50), ()),
        ("failed", (160, 50), ("home", "x")),
        ("failed", (80, 24), ()),
        ("failed", (80, 24), ("2",)),
        ("failed", (80, 24), ("3",)),
    ],
    ids=["160x50", "160x50-first-epoch", "80x24-curves", "80x24-pictures", "80x24-numbers"],
)
def test_the_comparison_looks_as_it_did(
    snap_compare: Any, tmp_path: Path, state: str, size: tuple[int, int], keys: tuple[str, ...]
) -> None:
    comparison(tmp_path, state, clean=True)
    assert snap_compare(make_app(tmp_path), terminal_size=size, run_before=compared(*keys))
