"""The new-run form: parsing of texts, errors, and keys."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input, Select, Static

from core.config import ModelConfig, RunConfig, ScheduleConfig, TrainConfig
from core.data.augmentation import with_own_augment
from core.errors import UserError
from core.recipes import load_recipe
from core.runs.status import State
from core.schedules import SCHEDULE_NAMES, make_schedule
from tests.support.fake_groups import comparison
from tests.support.fake_runs import dashboard_run
from tests.support.tui_pilot import Driven, dashboard, make_app, ready
from tui.screens.new_run.screen import NewRunScreen, ScheduleList
from tui.state.run_draft import FIELDS, NAMED_SCHEDULES, RunDraft, config_error, field_error, preview_schedule

# Parsing


@pytest.mark.parametrize("recipe", ["quick", "thesis"])
def test_an_untouched_form_makes_exactly_the_runs_of_its_recipe(recipe: str) -> None:
    draft = RunDraft.from_recipe(recipe)
    assert tuple(draft.build(draft.initial_values(), draft.schedules)) == load_recipe(recipe).configs


def test_an_untouched_clone_is_the_run_itself() -> None:
    config = RunConfig(
        schedule=ScheduleConfig(name="x^3.5", timesteps=17, beta_start=1.234567890123e-5),
        train=TrainConfig(learning_rate=3.0000000000000004e-4, seed=7),
    )
    draft = RunDraft.from_configs([config])
    assert draft.schedules == ("x^3.5",)
    assert draft.offered == (*NAMED_SCHEDULES, "x^3.5")
    assert draft.build(draft.initial_values(), draft.schedules) == [config]


def test_a_clone_that_takes_another_network_takes_its_width_too_unless_it_had_one_of_its_own() -> None:
    for width, taken in ((None, 64), (32, 64), (24, 24)):
        cloned = RunConfig(model=ModelConfig(preset="lean", width=width)).resolved()
        draft = RunDraft.from_configs([cloned])
        (config,) = draft.build({**draft.initial_values(), "model.preset": "thesis"}, ["linear"])
        assert config.resolved().model == ModelConfig(preset="thesis", width=taken)


def test_only_changed_values_change() -> None:
    draft = RunDraft.from_recipe("quick")
    values = draft.initial_values() | {
        "train.epochs": " 3 ",
        "train.learning_rate": "5e-4",
        "train.seed": "0x10",
    }
    before = load_recipe("quick").configs[0]
    (config,) = draft.build(values, ["cosine"])
    train = msgspec.structs.replace(before.train, epochs=3, learning_rate=5e-4, seed=16)
    schedule = msgspec.structs.replace(before.schedule, name="cosine")
    assert config == msgspec.structs.replace(before, train=train, schedule=schedule)


def test_each_schedule_makes_one_run_and_a_grid_keeps_its_other_axes() -> None:
    draft = RunDraft.from_configs(load_recipe("quick", ["train.seed=[1,2]"]).configs)
    made = draft.build(draft.initial_values(), ["linear", "cosine"])
    assert [(config.train.seed, config.schedule.name) for config in made] == [
        (1, "linear"),
        (1, "cosine"),
        (2, "linear"),
        (2, "cosine"),
    ]
    values = draft.initial_values() | {"train.seed": "9"}
    assert [config.train.seed for config in draft.build(values, ["linear"])] == [9]


def test_fewer_timesteps_than_sampling_steps_shorten_the_sampling() -> None:
    draft = RunDraft.from_recipe("quick")
    (config,) = draft.build(draft.initial_values() | {"schedule.timesteps": "5"}, ["linear"])
    assert config.sample.steps == 5


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("train.epochs", "0", "expected a whole number >= 1"),
        ("train.epochs", "three", "expected a whole number"),
        ("train.epochs", "2.5", "expected a whole number"),
        ("train.epochs", "true", "expected a whole number"),
        ("train.epochs", "[1, 2]", "expected a whole number"),
        ("train.epochs", "", "expected a value"),
        ("train.epochs", '"', "expected a whole number"),
        ("train.batch_size", "-4", "expected a whole number >= 1"),
        ("train.learning_rate", "0", "expected a number > 0.0"),
        ("train.learning_rate", "fast", "expected a number"),
        ("train.learning_rate", "inf", "expected a number <= 1000000.0"),
        ("train.seed", "-1", "expected a whole number >= 0"),
        ("schedule.timesteps", "100001", "expected at most 100,000"),
        ("schedule.timesteps", "9" * 300, "expected"),
        ("diffusion.prediction_type", "eps", "expected one of epsilon, sample, v_prediction"),
        ("model.preset", "leen", "expected one of thesis, lean"),
        ("data.dataset", "hihg", "did you mean high?"),
        ("data.dataset", "   ", "expected a value"),
    ],
)
def test_a_mistake_is_explained_in_a_few_words(key: str, text: str, message: str) -> None:
    assert message in field_error(key, text)
    draft = RunDraft.from_recipe("quick")
    with pytest.raises(UserError, match=key):
        draft.build(draft.initial_values() | {key: text}, ["linear"])


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("train.epochs", "1"),
        ("train.epochs", " 12 "),
        ("train.learning_rate", "1"),
        ("train.learning_rate", "2e-3"),
        ("train.seed", "0"),
        ("schedule.timesteps", "1"),
        ("schedule.zero_terminal_snr", "true"),
        ("diffusion.prediction_type", "sample"),
        ("data.dataset", "array"),
    ],
)
def test_a_valid_value_has_no_error(key: str, text: str) -> None:
    assert field_error(key, text) == ""


def test_an_own_folder_and_an_own_recipe_are_datasets(tmp_path: Path) -> None:
    assert field_error("data.dataset", str(tmp_path)) == ""
    recipe = tmp_path / "mine.toml"
    recipe.write_text('kind = "triangles"\nsize = 16\n')
    assert field_error("data.dataset", str(recipe)) == ""
    assert "no data set called" in field_error("data.dataset", str(tmp_path / "nowhere"))


def test_conflicting_values_are_an_error() -> None:
    draft = RunDraft.from_recipe("quick")
    values = draft.initial_values() | {
        "schedule.zero_terminal_snr": "true",
        "diffusion.prediction_type": "epsilon",
    }
    with pytest.raises(UserError, match="use v_prediction"):
        draft.build(values, ["linear"])
    with pytest.raises(UserError, match="at least one schedule"):
        draft.build(draft.initial_values(), [])
    custom = RunConfig(schedule=ScheduleConfig(name="custom", file="gone.txt"))
    assert "cannot be made" in config_error(custom)


def test_a_schedule_is_previewed() -> None:
    draft = RunDraft.from_recipe("quick")
    values = draft.initial_values() | {"schedule.timesteps": "300"}
    shown = preview_schedule(draft, values, "x^10")
    assert shown is not None
    assert shown.terminal_alpha_bar == make_schedule("x^10", timesteps=300).terminal_alpha_bar
    cured = preview_schedule(draft, values | {"schedule.zero_terminal_snr": "true"}, "x^10")
    assert cured is not None
    assert cured.terminal_alpha_bar == 0.0
    assert preview_schedule(draft, values | {"schedule.timesteps": "-"}, "x^10") is None


def test_every_field_is_a_setting_of_the_configuration() -> None:
    values = RunDraft.from_recipe("thesis").initial_values()
    assert list(values) == [field.key for field in FIELDS]
    assert values["schedule.timesteps"] == "300"
    assert values["model.preset"] == "thesis"
    for field in FIELDS:
        assert not field.choices or values[field.key] in field.choices


# The screen


async def form(driven: Driven, *keys: str) -> NewRunScreen:
    await driven.press(*(keys or ("n",)))
    await driven.until(lambda: isinstance(driven.app.screen, NewRunScreen) and driven.app.screen.configs)
    await driven.pilot.pause()
    screen = driven.app.screen
    assert isinstance(screen, NewRunScreen)
    return screen


async def retype(driven: Driven, selector: str, text: str) -> None:
    field = driven.app.screen.query_one(selector, Input)
    field.focus()
    field.value = ""
    await driven.press(*text)


async def queued(driven: Driven, count: int) -> list[RunConfig]:
    """The configurations of so many queued runs, once they are on the board."""
    await driven.until(lambda: driven.app.screen is driven.board and len(driven.board.runs) == count)
    return [run.file.config for run in driven.board.runs]


@pytest.mark.parametrize("key", ["f5", "ctrl+r"])
async def test_starting_an_untouched_form_queues_the_quick_comparison(tmp_path: Path, key: str) -> None:
    async with dashboard(tmp_path, (80, 24)) as driven:
        await form(driven)
        assert "5 runs will be queued" in driven.text()
        await driven.press(key)
        assert await queued(driven, 5) == [
            with_own_augment(config).resolved() for config in load_recipe("quick").configs
        ]


async def test_a_form_filled_in_by_keys_queues_its_runs(tmp_path: Path) -> None:
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await form(driven)
        names = screen.query_one(ScheduleList)
        assert screen.focused is names
        for _ in range(4):
            await driven.press("space", "down")
        assert screen.schedules == ["x^10"]
        await retype(driven, "#train-epochs", "3")
        await retype(driven, "#schedule-timesteps", "10")
        await driven.until(lambda: "1 run will be queued: 3 epochs on high" in driven.text())
        screen.query_one("#start", Button).focus()
        await driven.press("enter")
        (config,) = await queued(driven, 1)
        assert (config.schedule.name, config.schedule.timesteps) == ("x^10", 10)
        assert (config.train.epochs, config.sample.steps) == (3, 10)


async def test_errors_are_shown_beside_the_field_while_typing_and_prevent_the_start(tmp_path: Path) -> None:
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await form(driven)
        await retype(driven, "#train-epochs", "0")
        await driven.until(lambda: "expected a whole number >= 1" in driven.text())
        assert screen.query_one("#start", Button).disabled
        screen.query_one("#train-seed").focus()
        await driven.press("f5")
        assert driven.app.screen is screen
        assert screen.focused is screen.query_one("#train-epochs")
        await driven.press("end", "backspace", "7")
        await driven.until(lambda: not screen.query_one("#start", Button).disabled)
        assert "expected" not in str(screen.query_one("#hint-train-epochs", Static).content)


async def test_a_folder_without_images_is_refused_in_the_form_and_nothing_is_queued(tmp_path: Path) -> None:
    images = tmp_path / ".images"
    images.mkdir()
    async with dashboard(tmp_path, (160, 50)) as driven:
        screen = await form(driven)
        screen.query_one("#data-dataset", Input).value = str(images)
        await driven.press("f5")
        await driven.until(lambda: "an empty folder; expected images" in driven.text())
        assert driven.app.screen is screen
        assert screen.focused is screen.query_one("#data-dataset")
        assert not list(tmp_path.glob("*-*"))


async def test_samples_that_no_sheet_can_hold_are_an_error_of_the_form(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text("size = 4096\n")
    async with dashboard(tmp_path, (160, 50)) as driven:
        screen = await form(driven)
        screen.query_one("#data-dataset", Input).value = str(recipe)
        await driven.until(lambda: "too many images of 4096x4096" in driven.text())
        assert screen.query_one("#start", Button).disabled


async def test_the_list_shows_the_signal_that_each_schedule_leaves(tmp_path: Path) -> None:
    async with dashboard(tmp_path, (80, 24)) as driven:
        await form(driven)
        assert "[x] x^10      abar_T  0.1456  bad" in driven.text()
        assert "[ ] cosine    abar_T 2.4e-09  good" in driven.text()
        await retype(driven, "#schedule-timesteps", "300")
        await driven.until(lambda: "[x] x^10      abar_T  0.5577  bad" in driven.text())
        await retype(driven, "#schedule-timesteps", "x")
        await driven.until(lambda: "[x] x^10      abar_T       –" in driven.text())


async def test_a_wide_form_explains_the_chosen_schedules(tmp_path: Path) -> None:
    async with dashboard(tmp_path, (160, 50)) as driven:
        screen = await form(driven)
        assert "of the image's amplitude is left" in driven.text()
        for _ in SCHEDULE_NAMES:
            await driven.press("space", "down")
        await driven.until(lambda: "choose at least one schedule" in driven.text())
        assert "amplitude" not in driven.text()
        assert screen.query_one("#start", Button).disabled


async def test_another_recipe_fills_the_form_again(tmp_path: Path) -> None:
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await form(driven)
        await retype(driven, "#train-epochs", "3")
        screen.query_one("#recipe", Select).value = "thesis"
        await driven.until(lambda: screen.query_one("#train-epochs", Input).value == "100")
        assert screen.query_one("#schedule-timesteps", Input).value == "300"
        await driven.press("f5")
        assert await queued(driven, 5) == [config.resolved() for config in load_recipe("thesis").configs]


async def test_a_clone_starts_from_its_run_and_can_go_back_to_it(tmp_path: Path) -> None:
    dashboard_run(tmp_path, "x^1.5", state=State.STOPPED, epoch=1, epochs=17)
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await form(driven, "y")
        assert screen.schedules == ["x^1.5"]
        assert "1 run will be queued: 17 epochs on high" in driven.text()
        select = screen.query_one("#recipe", Select)
        select.value = "quick"
        await driven.until(lambda: "5 runs" in driven.text())
        select.value = "as it was"
        await driven.until(lambda: "1 run will be queued: 17 epochs" in driven.text())
        before = driven.board.runs[0]
        await driven.press("f5")
        await driven.until(lambda: driven.app.snapshot and len(driven.app.snapshot.runs) == 2)
        assert driven.app.snapshot is not None
        assert {run.file.config for run in driven.app.snapshot.runs} == {before.file.config}


@pytest.mark.parametrize("leave", ["escape", "button"])
async def test_cancelling_queues_nothing(tmp_path: Path, leave: str) -> None:
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await form(driven)
        if leave == "button":
            screen.query_one("#cancel", Button).focus()
            await driven.press("enter")
        else:
            await driven.press("escape")
        await driven.until(lambda: driven.app.screen is driven.board)
        assert not list(tmp_path.glob("*-*"))


async def test_a_q_typed_into_a_field_does_not_leave(tmp_path: Path) -> None:
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await form(driven)
        await retype(driven, "#data-dataset", "quit?")
        assert driven.app.screen is screen
        assert screen.query_one("#data-dataset", Input).value == "quit?"
        await driven.until(lambda: "no data set called" in driven.text())


async def test_every_setting_can_be_reached_by_tab_in_a_small_terminal(tmp_path: Path) -> None:
    async with dashboard(tmp_path, (60, 15)) as driven:
        screen = await form(driven)
        seen = []
        for _ in range(len(FIELDS) + 4):
            await driven.press("tab")
            focused = screen.focused
            assert focused is not None
            assert focused.region.bottom <= 15
            assert focused.region.y >= 1
            seen.append(focused.id)
        wanted = {field.key.replace(".", "-") for field in FIELDS} | {"schedule-names", "start", "cancel"}
        assert wanted <= set(seen)


async def test_up_and_down_go_from_field_to_field(tmp_path: Path) -> None:
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await form(driven)
        screen.query_one("#train-epochs").focus()
        await driven.press("down")
        assert screen.focused is screen.query_one("#train-batch_size")
        await driven.press("up")
        assert screen.focused is screen.query_one("#train-epochs")


# Snapshots


def opened(*keys: str) -> Callable[[Pilot[Any]], Any]:
    async def until_drawn(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await pilot.press("n")
        await pilot.pause()
        for field in pilot.app.screen.query(Input):
            field.cursor_blink = False
        await pilot.press(*keys)
        await pilot.pause()

    return until_drawn


@pytest.mark.parametrize(
    ("size", "keys"),
    [((80, 24), ()), ((160, 50), ("tab", *"300", "tab", "tab", "tab", "tab", "0"))],
    ids=["80x24", "160x50-mistake"],
)
def test_the_form_looks_as_it_did(
    snap_compare: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    keys: tuple[str, ...],
) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    comparison(tmp_path, "stopped", clean=True)
    assert snap_compare(make_app(tmp_path), terminal_size=size, run_before=opened(*keys))
