"""Model of the schedules screen: editable schedules, noised images, tables and diagnoses."""

import math
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image
from textual.content import Content

from core.config import DataConfig, RunConfig, ScheduleConfig
from core.data import load_dataset
from core.errors import UserError
from core.recipes import load_recipe
from core.schedules import SCHEDULE_NAMES, make_schedule
from core.statistics.gaussian_sampling import fit_gaussian, sampling_error
from tui.screens.schedules.model import ScheduleExplorer
from tui.screens.schedules.noising import (
    POWER,
    ScheduleSet,
    add_noise,
    heldout_images,
    load_own_image,
    nudge,
    snr_decibels,
)
from tui.screens.schedules.prediction import Predictions, prediction_text
from tui.screens.schedules.table import ScheduleEntry, diagnoses_text, schedule_table
from tui.settings.series_colors import ON_DARK, series_style, series_variables

VARIABLES = series_variables(ON_DARK)


def typed(schedules: ScheduleSet, **texts: str) -> ScheduleSet:
    keys = {key: f"schedule.{key}" if key != POWER else POWER for key in texts}
    return replace(schedules, values={**schedules.values, **{keys[key]: text for key, text in texts.items()}})


# Schedules


def test_without_runs_it_starts_from_the_thesis_schedules_with_default_numbers() -> None:
    schedules = ScheduleSet.from_config([])
    assert schedules.offered[:5] == SCHEDULE_NAMES
    for name in schedules.offered:
        made, usual = schedules.schedule(name), make_schedule(name)
        assert made is not None
        assert np.array_equal(made.betas, usual.betas)


def test_it_starts_from_the_numbers_and_names_of_runs() -> None:
    config = ScheduleConfig(
        name="x^3.5", timesteps=17, beta_start=1.5e-5, beta_end=0.3, zero_terminal_snr=True
    )
    schedules = ScheduleSet.from_config([config, ScheduleConfig()])
    assert schedules.offered == (*SCHEDULE_NAMES, "cosine", "sigmoid", "flow", "edm", "x^3.5")
    assert schedules.config("x^3.5") == config
    assert schedules.config("linear") == msgspec.structs.replace(config, name="linear")


def test_a_schedule_from_a_file_keeps_its_file_and_can_be_made_only_with_as_many_timesteps(
    tmp_path: Path,
) -> None:
    file = tmp_path / "betas.txt"
    file.write_text("0.1 0.2 0.3")
    schedules = ScheduleSet.from_config([ScheduleConfig(name="custom", timesteps=3, file=str(file))])
    assert schedules.schedule("custom").timesteps == 3  # type: ignore[union-attr]  # it can be made
    assert schedules.config("linear").file is None
    assert typed(schedules, timesteps="4").schedule("custom") is None
    assert typed(schedules, timesteps="4").schedule("linear") is not None


def test_every_typed_number_is_used() -> None:
    schedules = typed(
        ScheduleSet.from_config([]),
        timesteps="300",
        beta_start="2e-4",
        beta_end="0.03",
        periods="2.5",
        power="0.5",
    )
    assert schedules.offered[-1] == "x^0.5"
    expected = make_schedule("sine", timesteps=300, beta_start=2e-4, beta_end=0.03, periods=2.5)
    assert np.array_equal(schedules.schedule("sine").betas, expected.betas)  # type: ignore[union-attr]  # likewise
    assert schedules.schedule("x^0.5").betas[-1] == pytest.approx(0.03)  # type: ignore[union-attr]  # likewise
    rescaled = replace(schedules, zero_terminal_snr=True)
    assert rescaled.schedule("x^0.5").terminal_alpha_bar == 0  # type: ignore[union-attr]  # likewise


@pytest.mark.parametrize(
    ("key", "text", "error"),
    [
        ("timesteps", "", "expected a value"),
        ("timesteps", "0", "expected a whole number >= 1"),
        ("timesteps", "1e9", "expected a whole number"),
        ("timesteps", "100001", "expected at most 100,000"),
        ("beta_start", "0", "expected a number > 0.0"),
        ("beta_end", "1", "expected a number < 1.0"),
        ("beta_end", "e", "expected a number"),
        ("periods", "-1", "expected a number > 0.0"),
        (POWER, "0", "expected a number up to 100"),
        (POWER, "101", "expected a number up to 100"),
        (POWER, "..", "expected a number up to 100"),
    ],
)
def test_an_invalid_number_has_an_error_and_makes_no_schedule(key: str, text: str, error: str) -> None:
    schedules = typed(ScheduleSet.from_config([]), **{key: text})
    assert schedules.text_error(key if key == POWER else f"schedule.{key}") == error
    if key == POWER:
        assert schedules.offered == ScheduleSet.from_config([]).offered
        assert schedules.schedule("linear") is not None
    else:
        assert schedules.schedule("linear") is None


def test_a_power_that_is_already_offered_adds_nothing() -> None:
    assert typed(ScheduleSet.from_config([]), power=" 2 ").offered == ScheduleSet.from_config([]).offered
    assert typed(ScheduleSet.from_config([]), power="").offered == ScheduleSet.from_config([]).offered


@pytest.mark.parametrize(
    ("key", "text", "up", "then"),
    [
        ("schedule.timesteps", "1", True, "2"),
        ("schedule.timesteps", "1", False, "1"),
        ("schedule.timesteps", "300", False, "250"),
        ("schedule.beta_end", "0.02", True, "0.024"),
        ("schedule.beta_end", "0.99", True, "0.999"),
        ("schedule.periods", "2", True, "2.5"),
        (POWER, "", True, "1.5"),
        (POWER, "0.5", False, "0.5"),
        (POWER, "..", True, ".."),
        ("schedule.beta_end", "1e999", True, "1e999"),
    ],
)
def test_a_number_goes_up_and_down(key: str, text: str, up: bool, then: str) -> None:
    assert nudge(key, text, up) == then


# Images


def test_held_out_images_are_the_first_of_the_set_without_making_it(tmp_path: Path) -> None:
    for name in ("high", "low", "array"):
        made = load_dataset(name, data_dir=tmp_path, count=1, heldout=4).heldout[:4, 0]
        assert np.array_equal(heldout_images(name), made)


def test_held_out_images_of_a_folder_are_those_that_a_training_would_be_tested_on(tmp_path: Path) -> None:
    source = tmp_path / "pictures"
    source.mkdir()
    rng = np.random.default_rng(0)
    for number in range(40):
        pixels = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(source / f"{number}.png")
    made = load_dataset(str(source), data_dir=tmp_path / "data").heldout
    found = heldout_images(str(source))
    assert 1 <= len(found) <= 4
    assert np.array_equal(found, made[:4].transpose(0, 2, 3, 1))
    for path in source.iterdir():
        path.write_bytes(b"nonsense")
    with pytest.raises(UserError, match="none of its 40 files is an image"):
        heldout_images(str(source))


def test_a_dataset_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(UserError):
        heldout_images("hihg")


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_an_own_image_is_cropped_to_a_square(tmp_path: Path, mode: str) -> None:
    image = Image.new(mode, (80, 40), 0 if mode == "L" else (0, 0, 0))
    image.paste(255 if mode == "L" else (255, 0, 0), (20, 0, 60, 40))
    image.save(tmp_path / "mine.png")
    found = load_own_image(str(tmp_path / "mine.png"), 16)
    assert found.shape == (1, 16, 16) + (3,) * (mode == "RGB")
    assert found.reshape(1, 256, -1)[0, :, 0].min() == 255


@pytest.mark.parametrize(
    ("name", "text"), [("none.png", "no such file"), (".", "a folder"), ("text.png", "not an image")]
)
def test_a_file_that_is_no_image_is_an_error(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(UserError, match=f"{text}; expected an image"):
        load_own_image(str(tmp_path / name), 16)


@pytest.mark.parametrize("t", [1, 100, 300, 1000])
def test_noise_removes_as_much_of_an_image_as_the_schedule_says(t: int) -> None:
    schedule = make_schedule("linear", timesteps=1000)
    dark, grey, light = (
        add_noise(np.full((1, 64, 64), value, np.uint8), schedule, t) for value in (78, 128, 178)
    )
    between = (dark > 0) & (light < 255)
    # The noises are the same, so what differs is what is left of the difference.
    kept = (light.astype(float) - dark)[between]
    assert np.abs(kept - 100 * math.sqrt(schedule.alphas_cumprod[t - 1])).max() <= 1
    spread = np.quantile(grey[between] if t < 300 else grey, 0.6) - 128
    assert spread == pytest.approx(
        127.5 * 0.2533 * math.sqrt(schedule.one_minus_alphas_cumprod[t - 1]), abs=4
    )


def test_without_noise_an_image_is_unchanged_and_pure_noise_is_the_same_for_all() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    linear, tenth = (make_schedule(name, zero_terminal_snr=True) for name in ("linear", "x^10"))
    assert add_noise(images, linear, 0) is images
    assert np.array_equal(add_noise(images, linear, 1000), add_noise(255 - images, tenth, 1000))
    assert not np.array_equal(add_noise(images, linear, 500), add_noise(images, tenth, 500))


def test_a_ratio_of_one_is_zero_decibels_and_no_signal_is_none() -> None:
    schedule = make_schedule("linear", timesteps=1000, zero_terminal_snr=True)
    values = snr_decibels(schedule)
    assert np.isnan(values[-1])
    assert values[:-1] == pytest.approx(10 * np.log10(schedule.snr[:-1]))


# Tables and diagnoses


def entries(*names: str, **settings: float) -> list[ScheduleEntry]:
    return [
        ScheduleEntry(series_style(index, VARIABLES), name, make_schedule(name, **settings))  # type: ignore[arg-type]  # numbers
        for index, name in enumerate(names)
    ]


def test_the_table_shows_the_signal_left_at_t_and_at_the_end() -> None:
    lines = schedule_table(entries("linear", "x^10"), 500, 72).plain.splitlines()
    assert lines[0].split() == ["abar_T", "SNR_T", "L_T", "left", "at", "t", "at", "T", "diagnosis"]
    assert lines[1].split() == ["1", "linear", "4.0e-05", "-44", "dB", "2.8e-05", "28%", "0.64%", "✔", "good"]
    assert lines[2].split()[-4:] == ["97%", "38%", "✖", "bad"]
    assert schedule_table(entries("linear"), 0, 72).plain.splitlines()[1].split()[6] == "100%"


@pytest.mark.parametrize("width", [10, 30, 46, 60, 200])
def test_the_table_fits_into_any_width(width: int) -> None:
    some = [*entries(*SCHEDULE_NAMES, "cosine"), ScheduleEntry(series_style(7, VARIABLES), "custom", None)]
    for line in schedule_table(some, 3, width).split("\n"):
        assert line.cell_length <= width
    if width >= 46:
        assert "cannot be made" in schedule_table(some, 3, width).plain
    assert isinstance(schedule_table([], 0, width), Content)


def test_diagnoses_begin_with_problems_and_join_the_good_schedules() -> None:
    text = diagnoses_text(entries("linear", "x^10", "sine", "x^2")).plain.split("\n\n")
    assert len(text) == 2
    assert text[0].startswith("✖ x^10 bad: 38% of the image's amplitude is left")
    assert text[1] == "✔ linear, sine, x^2 good: the last step is noise, where sampling starts"
    assert diagnoses_text([]).plain == ""


# The explorer


def test_entries_are_made_once_and_again_after_a_change() -> None:
    explorer = ScheduleExplorer.from_config(load_recipe("quick").configs)
    first = explorer.entries(VARIABLES)
    assert [one.name for one in first] == list(SCHEDULE_NAMES)
    assert explorer.entries(VARIABLES) is first
    explorer.toggle(1)
    explorer.toggle(99)
    assert [one.name for one in explorer.entries(VARIABLES)] == ["linear", "x^1.5", "x^2", "x^10"]
    explorer.set_text("schedule.timesteps", "20")
    explorer.set_text("schedule.timesteps", "10")
    assert explorer.timesteps(explorer.entries(VARIABLES)) == 10
    assert explorer.t(explorer.entries(VARIABLES)) == 5
    explorer.set_text("schedule.timesteps", "x")
    assert explorer.t(explorer.entries(VARIABLES)) == 0
    assert explorer.column(explorer.entries(VARIABLES)[0], 0).empty == "cannot be made"


def test_a_power_is_shown_while_it_is_typed_and_removed_with_its_text() -> None:
    explorer = ScheduleExplorer.from_config(load_recipe("quick").configs)
    for text, name in (("4", "x^4"), ("4.", "x^4."), ("4.5", "x^4.5")):
        explorer.set_text(POWER, text)
        assert name in explorer.chosen
        assert len(explorer.chosen) == 6
    explorer.set_text(POWER, "")
    assert len(explorer.chosen) == 5


def test_configurations_differ_only_in_their_schedules() -> None:
    base = RunConfig(data=DataConfig(dataset="low"), schedule=ScheduleConfig(timesteps=50))
    explorer = ScheduleExplorer.from_config([base])
    explorer.toggle(3)
    explorer.toggle_zero_terminal_snr()
    explorer.set_text("schedule.beta_end", "0.5")
    schedules = [
        ScheduleConfig(name=name, timesteps=50, beta_end=0.5, zero_terminal_snr=True)
        for name in ("linear", "x^2")
    ]
    assert explorer.configs() == [msgspec.structs.replace(base, schedule=schedule) for schedule in schedules]
    explorer.set_text("schedule.beta_end", "5")
    with pytest.raises(UserError):
        explorer.configs()


def test_predicted_errors_are_those_of_the_statistics_and_are_computed_once():
    images = np.random.default_rng(0).integers(0, 90, (50, 1, 4, 4)).astype(np.uint8)
    predictions = Predictions("array")
    schedule = make_schedule("x^10", timesteps=30)
    entries = [
        ScheduleEntry(series_style(0, VARIABLES), "x^10", schedule),
        ScheduleEntry(series_style(1, VARIABLES), "linear", None),
    ]
    assert not prediction_text(predictions, entries, 78).plain
    assert predictions.missing(entries) == []  # because there are no data
    predictions.data = fit_gaussian(images)
    assert predictions.missing(entries) == [schedule]
    predictions.compute([schedule])
    assert predictions.missing(entries) == []
    expected = sampling_error(predictions.data, schedule, range(29, -1, -1))
    assert predictions.error(schedule) == expected
    lines = prediction_text(predictions, entries, 78).plain.splitlines()
    assert f"{expected.start:.1%}" in lines[2]
    assert f"{expected.brightness:.2f}x" in lines[2]
    assert "x" not in lines[3]
