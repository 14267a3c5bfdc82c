"""`core schedules`."""

import json

import pytest

from core.schedules import ALL_NAMES, make_schedule


def test_there_is_one_row_a_schedule_with_a_diagnosis(core):
    done = core("schedules")
    assert (done.returncode, done.stderr) == (0, "")
    header, *rows = done.stdout.splitlines()
    assert header.split()[:3] == ["schedule", "alpha_bar_T", "SNR_T"]
    assert [row.split()[0] for row in rows] == [name for name in ALL_NAMES if name != "custom"]
    assert [row.split()[4] for row in rows] == [*["good:"] * 4, "bad:", *["good:"] * 4]


def test_json_has_the_documented_keys_and_the_schedules_own_numbers(core):
    rows = json.loads(core("schedules", "--timesteps", "300", "--json").stdout)
    assert [row["name"] for row in rows][:5] == ["linear", "sine", "x^1.5", "x^2", "x^10"]
    for row in rows:
        schedule = make_schedule(row["name"], timesteps=300)
        assert set(row) == {
            *("name", "timesteps", "terminal_alpha_bar", "terminal_snr", "prior_bits_per_dim"),
            *("mean_square", "level", "diagnosis"),
        }
        assert row["timesteps"] == 300
        assert row["terminal_alpha_bar"] == schedule.terminal_alpha_bar
        assert row["prior_bits_per_dim"] == schedule.prior_bits_per_dim()
    # The thesis's table, at T = 300.
    assert [round(row["terminal_alpha_bar"], 3) for row in rows[:5]] == [0.048, 0.048, 0.088, 0.131, 0.558]


def test_names_choose_the_rows_in_their_order(core):
    rows = json.loads(core("schedules", "x^3", "cosine", "--json").stdout)
    assert [row["name"] for row in rows] == ["x^3", "cosine"]


def test_zero_terminal_snr_leaves_nothing_at_the_last_step(core):
    rows = json.loads(core("schedules", "--zero-terminal-snr", "--json").stdout)
    assert {row["terminal_alpha_bar"] for row in rows} == {0.0}
    assert {row["level"] for row in rows} == {"good"}


def test_a_single_timestep_is_a_schedule_too(core):
    assert core("schedules", "--timesteps", "1").returncode == 0


def test_a_file_of_betas_is_shown_as_custom(core, tmp_path):
    (tmp_path / "betas.txt").write_text("0.1 0.2\n0.3\n")
    arguments = ["schedules", "custom", "--file", "betas.txt", "--timesteps", "3", "--json"]
    (row,) = json.loads(core(*arguments).stdout)
    assert row["terminal_alpha_bar"] == pytest.approx(0.9 * 0.8 * 0.7, rel=1e-12)


def test_the_error_of_samples_is_predicted_for_a_data_set(core, tmp_path):
    (tmp_path / "tiny.toml").write_text('count = 60\nheldout = 8\nsize = 8\nstorage = "array"\n')
    arguments = ("schedules", "linear", "x^10", "cosine", "--timesteps", "300", "--data", "tiny.toml")
    linear, power, cosine = json.loads(core(*arguments, "--json").stdout)
    assert set(linear["samples"]) == {"start", "steps", "total", "brightness"}
    starts = [row["samples"]["start"] for row in (power, linear, cosine)]
    assert starts == sorted(starts, reverse=True)
    assert cosine["samples"]["brightness"] == pytest.approx(1.0, abs=0.05)
    assert linear["prior_bits_per_dim"] == make_schedule("linear", timesteps=300).prior_bits_per_dim(
        linear["mean_square"]
    )
    fewer = json.loads(core(*arguments, "--steps", "5", "--json").stdout)
    assert fewer[2]["samples"]["steps"] > cosine["samples"]["steps"]
    assert fewer[2]["samples"]["start"] == cosine["samples"]["start"]
    heading = core(*arguments).stdout.splitlines()[0]
    assert heading.split()[5:] == ["start", "steps", "brightness", "diagnosis"]


def test_options_of_sampling_without_data_are_refused(core):
    done = core("schedules", "--steps", "5")
    assert (done.returncode, done.stdout) == (2, "")
    assert "need --data" in done.stderr
