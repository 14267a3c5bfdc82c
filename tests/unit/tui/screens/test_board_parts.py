"""The board's layout and texts: areas of the parts, hints that fit."""

import doctest
import importlib
import itertools
import math
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
from textual.app import App
from textual.content import Content

from core.config import RunConfig, ScheduleConfig
from core.errors import UserError
from core.runs.status import State
from tests.support.fake_groups import comparison
from tests.support.fake_runs import CREATED, NOW, STEPS, dashboard_run
from tui.app.settings_app import SettingsMixin
from tui.commands import ALL, BOARD, EVERYWHERE
from tui.screens.board.details import RunDetails, slider
from tui.screens.board.layout import MIN_CHART_HEIGHT, plan_layout
from tui.screens.board.run_table import choose_columns
from tui.settings.keymap import read_keymap
from tui.settings.schema import THEME_NAMES, Settings
from tui.settings.series_colors import ON_DARK, ON_LIGHT, series_style
from tui.settings.themes import THEMES, full_name, next_theme, short_name
from tui.state.formatting import (
    devices_text,
    heldout_loss,
    images_per_second,
    recent_loss,
    run_labels,
    seconds_left,
)
from tui.state.reader import RunsReader
from tui.state.run_totals import RunTotals
from tui.state.snapshot import RunSnapshot
from tui.widgets.area import Area
from tui.widgets.header import Headline, headline_content, make_headline
from tui.widgets.images.tile_size import Tile
from tui.widgets.key_bar import KeyHint, fitting_hints

SIZES = [
    (w, h) for w in (60, 66, 79, 80, 99, 100, 119, 139, 140, 160, 200, 250, 400) for h in range(13, 90, 3)
]
TILES = [Tile(), Tile(64, 32), Tile(28, 14), Tile(16, 16), Tile(50, 13)]


def read(root: Path) -> tuple[RunSnapshot, ...]:
    reader = RunsReader(root, now=lambda: NOW)
    snapshot = reader.poll()
    while snapshot is not None and snapshot.unread:  # on a busy machine a poll ends before it has read all
        snapshot = reader.poll()
    assert snapshot is not None
    return snapshot.runs


def overlap(a: Area, b: Area) -> bool:
    across = a.x < b.x + b.width and b.x < a.x + a.width
    return across and a.y < b.y + b.height and b.y < a.y + a.height


@pytest.mark.parametrize("runs", [1, 2, 3, 5, 7, 13, 300])
@pytest.mark.parametrize("tile", TILES, ids=lambda tile: f"{tile.width}x{tile.height}")
def test_parts_never_overlap_nor_leave_the_screen(runs: int, tile: Tile) -> None:
    for width, height in SIZES:
        placed = plan_layout(width, height, runs, tile)
        areas = [
            area for area in (placed.table, placed.details, placed.chart, placed.wall) if area is not None
        ]
        for area in areas:
            assert area.x >= 0, (width, height, placed)
            assert area.y >= 0, (width, height, placed)
            assert area.width > 0, (width, height, placed)
            assert area.height > 0, (width, height, placed)
            assert area.x + area.width <= width, (width, height, placed)
            assert area.y + area.height <= height, (width, height, placed)
        for one, other in itertools.combinations(areas, 2):
            assert not overlap(one, other), (width, height, placed)
        assert placed.table.height >= min(runs + 1, 5)
        assert placed.chart is None or placed.chart.height >= MIN_CHART_HEIGHT


def test_80x24_has_five_rows_and_two_images_at_full_size() -> None:
    placed = plan_layout(80, 22, 5)
    assert placed.table == Area(0, 0, 80, 6)
    assert placed.wall == Area(0, 6, 65, 16)
    assert placed.selected_only
    assert placed.per_run == 2
    assert placed.details is not None
    assert placed.chart is None


def test_160x50_has_five_columns_of_32_and_a_chart_beside_the_table() -> None:
    placed = plan_layout(160, 48, 5)
    assert placed.wall == Area(0, 15, 160, 33)
    assert placed.chart is not None
    assert placed.chart.x == placed.table.width + 1
    assert not placed.selected_only
    assert placed.per_run == 1


def test_between_the_two_all_five_columns_are_seen_smaller() -> None:
    placed = plan_layout(120, 34, 5)
    assert placed.wall is not None
    assert placed.wall.width // 5 >= 16
    assert not placed.selected_only


def test_a_single_run_fills_the_width_with_its_images() -> None:
    assert plan_layout(250, 68, 1).per_run == 5
    assert plan_layout(100, 34, 1).per_run == 3


@pytest.mark.parametrize("groups", [False, True])
def test_table_columns_fit_and_keep_the_design_at_80(groups: bool) -> None:
    for width in range(60, 260):
        columns = choose_columns(width, 12, groups=groups)
        used = 3 + sum(column.gap + column.width for column in columns.fixed) + 3 + columns.trend
        assert used <= width
        assert columns.trend >= 5
    names = [column.name for column in choose_columns(80, 6, groups=False).fixed]
    assert names == ["label", "state", "epoch", "loss", "heldout"]


@pytest.mark.parametrize(
    "name",
    [
        "core.imaging.sparkline",
        "tui.state.formatting",
        "tui.state.crash_reason",
        "tui.screens.board.details",
        "tui.screens.log.screen",
        "tui.settings.series_colors",
        "tui.web",
        "tui.widgets.charts.canvas",
    ],
)
def test_the_examples_in_docstrings_hold(name: str) -> None:
    module: ModuleType = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0


def test_elapsed_counts_parallel_runs_once_and_no_pauses(tmp_path: Path) -> None:
    for place in range(2):
        dashboard_run(tmp_path, "linear", index=place, epoch=30)
    assert RunTotals.from_runs(read(tmp_path)).elapsed(NOW) == pytest.approx(192.0)
    assert RunTotals.from_runs(()).elapsed(NOW) == 0.0


def test_elapsed_of_a_run_resumed_the_next_day_is_its_training_time(tmp_path: Path) -> None:
    dashboard_run(tmp_path, "linear", epoch=10, created=CREATED - timedelta(days=1))
    assert RunTotals.from_runs(read(tmp_path)).elapsed(NOW) == pytest.approx(50.0)


def test_the_time_left_is_what_is_left_to_train_at_the_speed_of_now(tmp_path: Path) -> None:
    comparison(tmp_path, "running")
    runs = read(tmp_path)
    left = (63 + 64 + 3 * 100) * STEPS * 32 / 1240
    assert images_per_second(runs) == 1240
    assert seconds_left(runs) == pytest.approx(left)
    assert seconds_left(runs[3:]) is None
    assert devices_text(runs) == "cpu 3x1"


def test_the_loss_is_the_mean_of_the_last_epoch_and_nan_when_the_last_one_was(tmp_path: Path) -> None:
    dashboard_run(tmp_path, "linear", epoch=3)
    dashboard_run(tmp_path, "sine", epoch=3, index=1, nan_from=101)
    dashboard_run(tmp_path, "x^2", state=State.QUEUED, index=2)
    good, broken, waiting = read(tmp_path)
    assert recent_loss(good) == pytest.approx(good.epochs[-1].mean)
    within = replace(good, losses=good.losses[:-7], steps=good.steps[:-7])
    assert recent_loss(within) == pytest.approx(within.losses[-STEPS:].mean())
    first = replace(good, losses=good.losses[:9], steps=good.steps[:9], epochs=())
    assert recent_loss(first) == pytest.approx(first.losses[-5:].mean())
    assert math.isnan(recent_loss(broken) or 0.0)
    assert recent_loss(waiting) is None
    assert heldout_loss(good) == good.epochs[-1].heldout
    assert heldout_loss(waiting) is None


def test_labels_add_only_what_sets_runs_apart(tmp_path: Path) -> None:
    dashboard_run(tmp_path, "linear", index=0)
    dashboard_run(tmp_path, "sine", index=1, seed=4)
    runs = read(tmp_path)
    assert list(run_labels(runs).values()) == ["linear", "sine"]
    dashboard_run(tmp_path, "linear", index=2, dataset="array")
    assert list(run_labels(read(tmp_path)).values()) == [
        "linear high seed=0",
        "sine high seed=4",
        "linear array seed=0",
    ]


def test_labels_of_custom_schedules_have_the_stem_of_the_file(tmp_path: Path) -> None:
    for index in range(3):
        dashboard_run(tmp_path, "linear", index=index)
    schedules = [ScheduleConfig(name="custom", file=f"/long/path/{name}.npy") for name in ("gentle", "steep")]
    runs = [
        replace(run, file=msgspec.structs.replace(run.file, config=RunConfig(schedule=schedule)))
        for run, schedule in zip(read(tmp_path), [*schedules, schedules[0]], strict=True)
    ]
    assert list(run_labels(runs[:2]).values()) == ["custom gentle", "custom steep"]
    assert len(set(run_labels(runs).values())) == 2


@pytest.mark.parametrize(("at", "place"), [(1, 0), (3, 4), (5, 9), (None, 9), (4, 9)])
def test_the_slider_stands_where_the_epoch_is_among_those_with_images(at: int | None, place: int) -> None:
    bar = slider(RunDetails(epochs=(1, 3, 5), shown_epoch=5, requested_epoch=at, color="red"), 12).plain
    assert len(bar) == 12
    assert bar[0] + bar[-1] == "[]"
    assert bar[1:-1].index("●") == place


def test_the_slider_of_one_epoch_stands_at_the_end() -> None:
    assert slider(RunDetails(epochs=(7,), shown_epoch=7, requested_epoch=7, color="red"), 5).plain == "[━━●]"


HEADLINE = Headline(
    "quick",
    ("high", "5 schedules", "cpu 2x1"),
    ("2 running", "3 queued"),
    ("8 min left", "1,240 img/s", "00:03:12"),
)


def test_the_top_line_fills_its_width_and_drops_what_matters_least() -> None:
    for width in range(45, 200):
        assert headline_content(HEADLINE, width).cell_length == width
    at_80 = headline_content(HEADLINE, 80).plain
    assert at_80.startswith(" ddpm-tui  quick · high · 5 schedules · cpu 2x1")
    assert at_80.endswith("1,240 img/s   00:03:12 ")
    assert "8 min left" not in at_80
    assert "3 queued" in headline_content(HEADLINE, 120).plain
    assert headline_content(HEADLINE, 20).cell_length <= 20


def test_a_top_line_that_counts_some_of_the_states_says_that_there_are_more() -> None:
    texts = {headline_content(HEADLINE, width).plain for width in range(60, 130)}
    parts = {text.partition("cpu 2x1")[2].partition("  ")[0] for text in texts}
    assert parts == {"", " · 2 running · …", " · 2 running · 3 queued"}
    assert headline_content(Headline("a name that is long"), 20).plain.rstrip().endswith("…")


def test_a_long_name_of_a_dataset_leaves_room_for_the_other_facts(tmp_path: Path) -> None:
    dashboard_run(tmp_path, "linear", state=State.STOPPED, epoch=1, dataset="holiday-" * 9, run_id="one")
    line = make_headline(
        RunTotals.from_runs(read(tmp_path)), title="", now=NOW, runner_alive=True, problems=0
    )
    assert headline_content(line, 80).plain.startswith(
        " ddpm-tui  holiday-holiday-hol… · 1 schedule · 1 stopped"
    )


@pytest.mark.parametrize("state", State)
def test_the_top_line_counts_runs_in_every_state(tmp_path: Path, state: State) -> None:
    dashboard_run(tmp_path, "linear", state=state, epoch=1)
    totals = RunTotals.from_runs(read(tmp_path))
    line = make_headline(totals, title="", now=NOW, runner_alive=True, problems=0)
    assert f"1 {state}" in line.extras


def test_the_key_bar_keeps_its_order_and_what_matters_most() -> None:
    hints = [
        KeyHint("x", "stop", "a", 2),
        KeyHint("n", "new", "b", 5),
        KeyHint("?", "help", "c", 1),
        KeyHint("q", "quit", "d", 0),
    ]
    assert fitting_hints(hints, 200) == hints
    assert [hint.key for hint in fitting_hints(hints, 15)] == ["?", "q"]
    assert [hint.key for hint in fitting_hints(hints, 23)] == ["x", "?", "q"]
    assert fitting_hints(hints, 3) == []
    assert isinstance(hints[0].content(), Content)


def test_command_ids_and_keys_are_used_once() -> None:
    assert len({command.id for command in ALL}) == len(ALL)
    commands = (*BOARD, *EVERYWHERE)
    keys = [key for command in commands for key in command.keys.split(",")]
    assert len(set(keys)) == len(keys)


def test_series_colours_differ_and_follow_the_theme() -> None:
    for palette in (ON_DARK, ON_LIGHT):
        assert len(set(palette)) == len(palette)
    assert [series_style(index).marker for index in range(3)] == ["1", "2", "3"]
    assert series_style(7).color == series_style(0).color
    assert series_style(0, {"series-1": "#123456"}).color == "#123456"
    assert series_style(0).variable == "series-1"


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.2."""

    def luminance(color: str) -> float:
        channels = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_text_and_curves_can_be_read_in_every_theme(theme: object) -> None:
    background = theme.background  # type: ignore[attr-defined]  # a Theme
    variables = theme.variables  # type: ignore[attr-defined]  # a Theme
    assert contrast(theme.foreground, background) > 7  # type: ignore[attr-defined]  # a Theme
    for name in ("primary", "warning", "error", "success", "accent"):
        assert contrast(getattr(theme, name), background) > 4.5, name
    assert contrast(variables["text-muted"], background) > 4.5
    for number in range(1, 8):
        assert contrast(variables[f"series-{number}"], background) > 4.5, number


def test_themes_cycle_and_start_over_from_an_unknown_one() -> None:
    full = [theme.name for theme in THEMES]
    assert full == [full_name(name) for name in THEME_NAMES]
    assert [short_name(name) for name in full] == list(THEME_NAMES)
    assert [next_theme(name) for name in full] == [*THEME_NAMES[1:], THEME_NAMES[0]]
    assert next_theme("dracula") == short_name("dracula") == THEME_NAMES[0]


def test_keys_toml_rebinds_by_section_or_by_dotted_name(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    assert read_keymap(file) == {}
    file.write_text('"run.stop" = "s"\n[run]\nresume = ["r", "ctrl+r"]\n', encoding="utf-8")
    assert read_keymap(file) == {"run.stop": "s", "run.resume": "r,ctrl+r"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"run.stpo" = "s"', r"keys\.toml: unknown command run\.stpo; did you mean run\.stop\?"),
        ("[run]\nstop = 3", r"run\.stop = 3: expected a key"),
        ("[run]\nstop = []", r"run\.stop = \[\]: expected a key"),
        ("run = {", r"keys\.toml: not valid TOML"),
    ],
)
def test_a_wrong_keys_toml_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_keymap(file)


class ThemedApp(SettingsMixin, App[None]):
    """An app with settings and no screens of its own."""


def test_textual_s_variable_names_the_theme_of_a_visit_if_it_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for asked, theme in (("ddpm-monochrome", "ddpm-monochrome"), ("nord", "ddpm-light")):
        monkeypatch.setenv("TEXTUAL_THEME", asked)
        assert ThemedApp(settings=Settings(theme="light")).theme == theme
