"""Schedules that are tried out, and pictures under them, before they are on a screen."""

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
from tui.screens.schedules.model import ScheduleExplorer
from tui.screens.schedules.noising import (
    POWER,
    ScheduleSet,
    decibels,
    heldout_images,
    nudged,
    own_image,
    with_noise,
)
from tui.screens.schedules.table import ScheduleEntry, diagnoses, terminal_table
from tui.settings.series_colors import ON_DARK, series_style, series_variables

VARIABLES = series_variables(ON_DARK)


def typed(bench: ScheduleSet, **texts: str) -> ScheduleSet:
    keys = {key: f"schedule.{key}" if key != POWER else POWER for key in texts}
    return replace(bench, values={**bench.values, **{keys[key]: text for key, text in texts.items()}})


# Schedules


def test_without_runs_the_thesis_schedules_are_tried_with_their_usual_numbers() -> None:
    bench = ScheduleSet.from_config([])
    assert bench.offered[:5] == SCHEDULE_NAMES
    for name in bench.offered:
        made, usual = bench.schedule(name), make_schedule(name)
        assert made is not None
        assert np.array_equal(made.betas, usual.betas)


def test_the_numbers_and_names_of_runs_are_where_it_starts() -> None:
    config = ScheduleConfig(
        name="x^3.5", timesteps=17, beta_start=1.5e-5, beta_end=0.3, zero_terminal_snr=True
    )
    bench = ScheduleSet.from_config([config, ScheduleConfig()])
    assert bench.offered == (*SCHEDULE_NAMES, "cosine", "sigmoid", "x^3.5")
    assert bench.config("x^3.5") == config
    assert bench.config("linear") == msgspec.structs.replace(config, name="linear")


def test_a_schedule_from_a_file_keeps_its_file_and_can_be_made_only_with_as_many_timesteps(
    tmp_path: Path,
) -> None:
    file = tmp_path / "betas.txt"
    file.write_text("0.1 0.2 0.3")
    bench = ScheduleSet.from_config([ScheduleConfig(name="custom", timesteps=3, file=str(file))])
    assert bench.schedule("custom").timesteps == 3  # type: ignore[union-attr]  # it can be made
    assert bench.config("linear").file is None
    assert typed(bench, timesteps="4").schedule("custom") is None
    assert typed(bench, timesteps="4").schedule("linear") is not None


def test_every_number_that_is_typed_counts() -> None:
    bench = typed(
        ScheduleSet.from_config([]),
        timesteps="300",
        beta_start="2e-4",
        beta_end="0.03",
        periods="2.5",
        power="0.5",
    )
    assert bench.offered[-1] == "x^0.5"
    expected = make_schedule("sine", timesteps=300, beta_start=2e-4, beta_end=0.03, periods=2.5)
    assert np.array_equal(bench.schedule("sine").betas, expected.betas)  # type: ignore[union-attr]  # likewise
    assert bench.schedule("x^0.5").betas[-1] == pytest.approx(0.03)  # type: ignore[union-attr]  # likewise
    rescaled = replace(bench, zero_terminal_snr=True)
    assert rescaled.schedule("x^0.5").terminal_alpha_bar == 0  # type: ignore[union-attr]  # likewise


@pytest.mark.parametrize(
    ("key", "text", "said"),
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
def test_a_number_that_cannot_be_is_explained_and_makes_no_schedule(key: str, text: str, said: str) -> None:
    bench = typed(ScheduleSet.from_config([]), **{key: text})
    assert bench.error(key if key == POWER else f"schedule.{key}") == said
    if key == POWER:
        assert bench.offered == ScheduleSet.from_config([]).offered
        assert bench.schedule("linear") is not None
    else:
        assert bench.schedule("linear") is None


def test_a_power_that_is_there_already_adds_nothing() -> None:
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
    assert nudged(key, text, up) == then


# Pictures


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
    with pytest.raises(UserError, match="none of its held-out files is an image"):
        heldout_images(str(source))


def test_a_dataset_that_does_not_exist_is_said_to_be_none() -> None:
    with pytest.raises(UserError):
        heldout_images("hihg")


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_image_of_ones_own_is_cut_square(tmp_path: Path, mode: str) -> None:
    image = Image.new(mode, (80, 40), 0 if mode == "L" else (0, 0, 0))
    image.paste(255 if mode == "L" else (255, 0, 0), (20, 0, 60, 40))
    image.save(tmp_path / "mine.png")
    found = own_image(str(tmp_path / "mine.png"), 16)
    assert found.shape == (1, 16, 16) + (3,) * (mode == "RGB")
    assert found.reshape(1, 256, -1)[0, :, 0].min() == 255


@pytest.mark.parametrize(
    ("name", "said"), [("none.png", "no such file"), (".", "a folder"), ("text.png", "not an image")]
)
def test_what_is_no_image_is_said_to_be_none(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(UserError, match=f"{said}; expected a picture"):
        own_image(str(tmp_path / name), 16)


@pytest.mark.parametrize("t", [1, 100, 300, 1000])
def test_noise_takes_as_much_of_a_image_as_the_schedule_says(t: int) -> None:
    schedule = make_schedule("linear", timesteps=1000)
    dark, grey, light = (
        with_noise(np.full((1, 64, 64), value, np.uint8), schedule, t) for value in (78, 128, 178)
    )
    between = (dark > 0) & (light < 255)
    # The noises are the same, so what differs is what is left of the difference.
    kept = (light.astype(float) - dark)[between]
    assert np.abs(kept - 100 * math.sqrt(schedule.alphas_cumprod[t - 1])).max() <= 1
    spread = np.quantile(grey[between] if t < 300 else grey, 0.6) - 128
    assert spread == pytest.approx(
        127.5 * 0.2533 * math.sqrt(schedule.one_minus_alphas_cumprod[t - 1]), abs=4
    )


def test_without_noise_a_image_is_itself_and_pure_noise_is_the_same_for_all() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    linear, tenth = (make_schedule(name, zero_terminal_snr=True) for name in ("linear", "x^10"))
    assert with_noise(images, linear, 0) is images
    assert np.array_equal(with_noise(images, linear, 1000), with_noise(255 - images, tenth, 1000))
    assert not np.array_equal(with_noise(images, linear, 500), with_noise(images, tenth, 500))


def test_a_ratio_of_one_is_zero_decibels_and_no_signal_is_none() -> None:
    schedule = make_schedule("linear", timesteps=1000, zero_terminal_snr=True)
    values = decibels(schedule)
    assert np.isnan(values[-1])
    assert values[:-1] == pytest.approx(10 * np.log10(schedule.snr[:-1]))


# What is said


def tried(*names: str, **settings: float) -> list[ScheduleEntry]:
    return [
        ScheduleEntry(series_style(place, VARIABLES), name, make_schedule(name, **settings))  # type: ignore[arg-type]  # numbers
        for place, name in enumerate(names)
    ]


def test_the_table_says_what_is_left_at_t_and_at_the_end() -> None:
    lines = terminal_table(tried("linear", "x^10"), 500, 72).plain.splitlines()
    assert lines[0].split() == ["abar_T", "SNR_T", "L_T", "left", "at", "t", "at", "T", "diagnosis"]
    assert lines[1].split() == ["1", "linear", "4.0e-05", "-44", "dB", "2.8e-05", "28%", "0.64%", "✔", "good"]
    assert lines[2].split()[-4:] == ["97%", "38%", "✖", "bad"]
    assert terminal_table(tried("linear"), 0, 72).plain.splitlines()[1].split()[6] == "100%"


@pytest.mark.parametrize("width", [10, 30, 46, 60, 200])
def test_the_table_fits_into_any_width(width: int) -> None:
    some = [*tried(*SCHEDULE_NAMES, "cosine"), ScheduleEntry(series_style(7, VARIABLES), "custom", None)]
    for line in terminal_table(some, 3, width).split("\n"):
        assert line.cell_length <= width
    if width >= 46:
        assert "cannot be made" in terminal_table(some, 3, width).plain
    assert isinstance(terminal_table([], 0, width), Content)


def test_diagnoses_begin_with_what_is_wrong_and_put_together_what_is_not() -> None:
    said = diagnoses(tried("linear", "x^10", "sine", "x^2")).plain.split("\n\n")
    assert len(said) == 2
    assert said[0].startswith("✖ x^10 bad: 38% of the picture's amplitude is left")
    assert said[1] == "✔ linear, sine, x^2 good: the last step is noise, where sampling starts"
    assert diagnoses([]).plain == ""


# What is tried


def test_what_is_shown_is_made_once_and_anew_when_something_changes() -> None:
    trying = ScheduleExplorer.from_config(load_recipe("quick").configs)
    first = trying.shown(VARIABLES)
    assert [one.name for one in first] == list(SCHEDULE_NAMES)
    assert trying.shown(VARIABLES) is first
    trying.toggle(1)
    trying.toggle(99)
    assert [one.name for one in trying.shown(VARIABLES)] == ["linear", "x^1.5", "x^2", "x^10"]
    trying.take_text("schedule.timesteps", "20")
    trying.take_text("schedule.timesteps", "10")
    assert trying.timesteps(trying.shown(VARIABLES)) == 10
    assert trying.t(trying.shown(VARIABLES)) == 5
    trying.take_text("schedule.timesteps", "x")
    assert trying.t(trying.shown(VARIABLES)) == 0
    assert trying.column(trying.shown(VARIABLES)[0], 0).empty == "cannot be made"


def test_a_typed_power_is_shown_while_it_is_typed_and_goes_with_the_text() -> None:
    trying = ScheduleExplorer.from_config(load_recipe("quick").configs)
    for text, name in (("4", "x^4"), ("4.", "x^4."), ("4.5", "x^4.5")):
        trying.take_text(POWER, text)
        assert name in trying.chosen
        assert len(trying.chosen) == 6
    trying.take_text(POWER, "")
    assert len(trying.chosen) == 5


def test_the_runs_that_are_set_up_differ_in_their_schedules_alone() -> None:
    base = RunConfig(data=DataConfig(dataset="low"), schedule=ScheduleConfig(timesteps=50))
    trying = ScheduleExplorer.from_config([base])
    trying.toggle(3)
    trying.toggle_zero()
    trying.take_text("schedule.beta_end", "0.5")
    schedules = [
        ScheduleConfig(name=name, timesteps=50, beta_end=0.5, zero_terminal_snr=True)
        for name in ("linear", "x^2")
    ]
    assert trying.configs() == [msgspec.structs.replace(base, schedule=schedule) for schedule in schedules]
    trying.take_text("schedule.beta_end", "5")
    with pytest.raises(UserError):
        trying.configs()
