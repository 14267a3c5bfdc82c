"""Levels of sampling: read from lists and files, and mapped to the timesteps of a run."""

import msgspec
import numpy as np
import pytest

from core.config import RunConfig, SampleConfig, SamplingOverrides, ScheduleConfig, decode
from core.config.sampling_levels import levels_note, read_levels, sampling_calls, visited_timesteps
from core.errors import UserError
from core.runs.trajectory import state_timesteps
from core.schedules import make_schedule
from core.spacing import inference_timesteps, nearest_timesteps

LEVELS = (-8.0, -1.5, 0.0, 4.0)


@pytest.mark.parametrize(
    "text",
    [
        "4\n0  # shapes\n-1.5\n\n-8\n",
        "-8, -1.5, 0, 4",
        "[4, 0, -1.5, -8, 4.0]",
        "levels = [-8, -1.5, 0, 4]",
        '# from a rule\n[sample]\nsampler = "ddim"\nlevels = [-8.0, -1.5,\n 0.0, 4.0]\n',
    ],
)
def test_each_format_of_a_list_is_read_from_a_file_and_from_the_command_line(text, tmp_path):
    (tmp_path / "levels.txt").write_text(text)
    assert read_levels(str(tmp_path / "levels.txt")) == LEVELS
    assert read_levels(text) == LEVELS


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1,nan", "got nan"),
        ("2000", "from -1000 to 1000"),
        ("[]", "from 1 to 10,000 log SNRs, got 0"),
        ('["1"]', "got 1"),
        ("nowhere.txt", "no list and no file"),
    ],
)
def test_what_is_no_list_of_levels_is_refused_with_what_was_expected(text, reason):
    with pytest.raises(UserError, match=reason):
        read_levels(text)


def test_pure_noise_is_a_level():
    config = RunConfig(sample=SampleConfig(levels=read_levels("-inf 3")))
    assert visited_timesteps(config)[0] == 999


@pytest.mark.parametrize("name", ["linear", "cosine", "x^10"])
def test_the_own_levels_of_a_schedule_are_its_own_timesteps(name):
    log_snr = make_schedule(name, timesteps=50).log_snr
    assert nearest_timesteps(log_snr, log_snr.tolist()) == inference_timesteps(50)
    shifted = log_snr + 0.3 * np.diff(log_snr, append=log_snr[-1])
    assert nearest_timesteps(log_snr, shifted.tolist()) == inference_timesteps(50)


def test_levels_beyond_the_schedule_become_its_ends_and_are_noted():
    config = RunConfig(
        schedule=ScheduleConfig(name="x^10", timesteps=300),
        sample=SampleConfig(levels=(-9.0, -4.0, 3.0, 20.0)),
    )
    visited = visited_timesteps(config)
    assert (len(visited), visited[0], visited[-1]) == (3, 299, 0)
    note = levels_note(config)
    assert "2 of 4 levels are noisier" in note
    assert "4 levels are 3 of its 300 timesteps" in note
    linear = msgspec.structs.replace(config, schedule=ScheduleConfig(), sample=SampleConfig(levels=LEVELS))
    assert levels_note(linear) == ""


def test_calls_and_states_of_a_run_are_those_of_its_levels():
    config = RunConfig(sample=SampleConfig(levels=LEVELS, steps=10))
    assert sampling_calls(config) == 4
    assert state_timesteps(config) == [t + 1 for t in visited_timesteps(config)] + [0]
    assert len(state_timesteps(config, 7)) == 8


def test_the_levels_of_the_runs_own_schedule_change_nothing():
    config = RunConfig(sample=SampleConfig(steps=10, spacing="decay"))
    own = SamplingOverrides(levels_of="linear").apply_to(config)
    assert own.sample.levels is not None
    assert visited_timesteps(own) == visited_timesteps(config)


def test_steps_replace_the_levels_of_a_run_and_do_not_go_with_given_ones():
    config = RunConfig(sample=SampleConfig(levels=LEVELS))
    assert sampling_calls(SamplingOverrides(steps=7).apply_to(config)) == 7
    with pytest.raises(UserError, match="expected no steps"):
        SamplingOverrides(steps=7, levels=LEVELS).apply_to(config)


def test_an_error_in_a_list_shows_the_list():
    with pytest.raises(UserError, match=r"sample.levels\[1\] = \[1, 'x'\]"):
        decode({"sample": {"levels": [1, "x"]}}, RunConfig, source="run.toml")
