"""Schedules: the thesis's formulas and table, standard schedules, their diagnosis and rescaling."""

import math

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr
from diffusers.schedulers.scheduling_ddpm import (
    DDPMScheduler,
    betas_for_alpha_bar,
)

from core.errors import UserError
from core.schedules import (
    ALL_NAMES,
    SCHEDULE_NAMES,
    Schedule,
    make_schedule,
    matched_terminal,
    parse_power,
)

FORMULAS = [name for name in ALL_NAMES if name != "custom"]

THESIS_TABLE = [
    (300, "linear", 0.048),
    (300, "sine", 0.048),
    (300, "x^1.5", 0.088),
    (300, "x^2", 0.131),
    (300, "x^10", 0.558),
    (1000, "linear", 4.0e-5),
    (1000, "sine", 4.0e-5),
    (1000, "x^1.5", 3.0e-4),
    (1000, "x^2", 1.1e-3),
    (1000, "x^10", 0.146),
]


@pytest.mark.parametrize(("timesteps", "name", "expected"), THESIS_TABLE)
def test_what_is_left_at_the_last_step_is_what_the_thesis_page_says(timesteps, name, expected):
    abar = make_schedule(name, timesteps=timesteps).terminal_alpha_bar
    digits = 3 if timesteps == 300 or name == "x^10" else None
    assert abar == pytest.approx(expected, abs=0.5 * 10**-digits if digits else 0.05 * expected)


@pytest.mark.parametrize("name", SCHEDULE_NAMES)
def test_the_thesis_schedules_run_from_beta_start_to_beta_end(name):
    betas = make_schedule(name, timesteps=300, beta_start=2e-4, beta_end=0.03).betas
    assert betas.dtype == np.float64
    assert betas.shape == (300,)
    np.testing.assert_allclose([betas[0], betas[-1]], [2e-4, 0.03], rtol=1e-12)
    assert np.all(np.diff(betas) >= 0)


def test_a_power_follows_its_formula_at_an_inner_step():
    betas = make_schedule("x^2", timesteps=5, beta_start=0.1, beta_end=0.5).betas
    np.testing.assert_allclose(betas, [0.1, 0.125, 0.2, 0.325, 0.5], rtol=1e-12)


def test_any_positive_exponent_is_a_schedule_and_one_is_linear():
    np.testing.assert_array_equal(
        make_schedule("x^1", timesteps=9).betas, make_schedule("linear", timesteps=9).betas
    )
    betas = make_schedule("x^0.5", timesteps=5, beta_start=0.1, beta_end=0.5).betas
    assert betas[1] == pytest.approx(0.1 + 0.4 * 0.5)
    assert parse_power("x^0.25") == 0.25
    assert parse_power("cosine") is None


@pytest.mark.parametrize("name", ["x^0", "x^-1", "x^", "x^two", "x^inf", "x^nan"])
def test_an_exponent_that_is_no_positive_number_is_refused(name):
    with pytest.raises(UserError, match=r"expected x\^P with a positive number P"):
        make_schedule(name)


def test_the_sine_rises_once_with_half_a_period_and_is_rhythmic_with_two_and_a_half():
    once = make_schedule("sine", timesteps=101).betas
    assert np.all(np.diff(once) > 0)
    assert once[50] == pytest.approx((1e-4 + 0.02) / 2)
    rhythmic = make_schedule("sine", timesteps=101, periods=2.5).betas
    np.testing.assert_allclose(rhythmic[[0, 20, 40, 60, 80, 100]], [1e-4, 0.02, 1e-4, 0.02, 1e-4, 0.02])


@pytest.mark.parametrize("periods", [0.5, 1.0, 2.5])
def test_whole_and_half_periods_of_the_sine_have_the_mean_beta_of_linear(periods):
    betas = make_schedule("sine", timesteps=100_001, periods=periods).betas
    assert betas.mean() == pytest.approx((1e-4 + 0.02) / 2, rel=2e-5)


@pytest.mark.parametrize("timesteps", [2, 300, 1000])
def test_linear_and_sigmoid_agree_with_diffusers(timesteps):
    for name in ("linear", "sigmoid"):
        theirs = DDPMScheduler(num_train_timesteps=timesteps, beta_schedule=name)
        ours = make_schedule(name, timesteps=timesteps)
        np.testing.assert_allclose(ours.betas, theirs.betas.double().numpy(), rtol=1e-5, atol=1e-8)
        np.testing.assert_allclose(ours.alphas_cumprod, theirs.alphas_cumprod.double().numpy(), rtol=1e-3)


@pytest.mark.parametrize("timesteps", [1, 2, 300, 1000])
def test_cosine_agrees_with_diffusers(timesteps):
    theirs = betas_for_alpha_bar(timesteps).double().numpy()
    np.testing.assert_allclose(make_schedule("cosine", timesteps=timesteps).betas, theirs, rtol=1e-6)


@pytest.mark.parametrize("name", FORMULAS)
def test_the_derived_arrays_agree_with_their_definitions(name):
    schedule = make_schedule(name, timesteps=50)
    abar = np.array([np.prod(1.0 - schedule.betas[: t + 1]) for t in range(50)])
    np.testing.assert_allclose(schedule.alphas, 1.0 - schedule.betas)
    np.testing.assert_allclose(schedule.alphas_cumprod, abar, rtol=1e-12)
    np.testing.assert_allclose(np.exp(schedule.log_alphas_cumprod), abar, rtol=1e-12)
    np.testing.assert_allclose(schedule.one_minus_alphas_cumprod, 1.0 - abar, rtol=1e-9)
    np.testing.assert_allclose(schedule.snr, abar / (1.0 - abar), rtol=1e-9)
    with np.errstate(divide="ignore"):  # flow ends in pure noise
        np.testing.assert_allclose(schedule.log_snr, np.log(abar / (1.0 - abar)), rtol=1e-9, atol=1e-12)
    assert schedule.terminal_alpha_bar == pytest.approx(abar[-1], rel=1e-12)
    assert schedule.terminal_snr == pytest.approx(abar[-1] / (1 - abar[-1]), rel=1e-9)


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("zero_terminal_snr", [False, True])
def test_one_timestep_is_a_schedule_too(name, zero_terminal_snr):
    schedule = make_schedule(name, timesteps=1, zero_terminal_snr=zero_terminal_snr)
    assert schedule.timesteps == 1
    if zero_terminal_snr:
        assert schedule.terminal_alpha_bar == 0.0
    elif name not in ("cosine", "sigmoid", "flow", "edm"):
        assert schedule.betas[0] == pytest.approx(1e-4)


def test_betas_are_a_read_only_copy():
    given = np.array([0.1, 0.2])
    schedule = Schedule("mine", given)
    given[0] = 0.9
    assert schedule.betas[0] == 0.1
    with pytest.raises(ValueError, match="read-only"):
        schedule.betas[0] = 0.5


@pytest.mark.parametrize("name", FORMULAS)
def test_rescaling_reaches_zero_exactly_and_keeps_the_first_step(name):
    plain = make_schedule(name, timesteps=100)
    rescaled = make_schedule(name, timesteps=100, zero_terminal_snr=True)
    assert rescaled.name == name
    assert rescaled.betas[-1] == 1.0
    assert rescaled.terminal_alpha_bar == 0.0
    assert rescaled.terminal_snr == 0.0
    assert rescaled.log_snr[-1] == -math.inf
    assert rescaled.alphas_cumprod[0] == pytest.approx(plain.alphas_cumprod[0], rel=1e-12)
    assert rescaled.prior_bits_per_dim() == 0.0
    theirs = rescale_zero_terminal_snr(torch.from_numpy(plain.betas.copy()))
    np.testing.assert_allclose(rescaled.betas, theirs.numpy(), rtol=1e-9, atol=1e-12)


def test_rescaling_twice_changes_nothing_more():
    once = make_schedule("x^2", timesteps=100, zero_terminal_snr=True)
    np.testing.assert_allclose(once.rescaled_to_zero_terminal_snr().betas, once.betas, rtol=1e-9)


def test_betas_too_small_to_rescale_are_refused():
    with pytest.raises(UserError, match="use larger betas"):
        Schedule("tiny", np.full(3, 1e-300)).rescaled_to_zero_terminal_snr()


def test_a_schedule_so_long_that_abar_underflows_keeps_its_logarithm():
    schedule = make_schedule("linear", timesteps=200_000)
    assert schedule.terminal_alpha_bar == 0.0
    assert schedule.log_snr[-1] == pytest.approx(np.log1p(-schedule.betas).sum())
    np.testing.assert_array_equal(schedule.rescaled_to_zero_terminal_snr().betas[:-1], schedule.betas[:-1])


@pytest.mark.parametrize("mean_square", [0.0, 0.5, 1.0])
def test_the_prior_term_is_the_divergence_of_two_gaussians(mean_square):
    schedule = make_schedule("x^10", timesteps=300)
    abar = schedule.terminal_alpha_bar
    x0 = torch.tensor(math.sqrt(mean_square), dtype=torch.float64)
    qT = torch.distributions.Normal(math.sqrt(abar) * x0, math.sqrt(1 - abar))
    prior = torch.distributions.Normal(torch.zeros((), dtype=torch.float64), 1.0)
    expected = torch.distributions.kl_divergence(qT, prior).item() / math.log(2)
    assert schedule.prior_bits_per_dim(mean_square) == pytest.approx(expected, rel=1e-9)


def test_the_prior_term_of_an_array_is_that_of_its_mean():
    schedule = make_schedule("linear", timesteps=300)
    expected = schedule.prior_bits_per_dim(0.7)
    assert schedule.prior_bits_per_dim(np.array([0.5, 0.9])) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "timesteps", "level", "left"),
    [
        ("linear", 1000, "good", "0.64%"),
        ("cosine", 1000, "good", "0.0049%"),
        ("linear", 300, "doubtful", "22%"),
        ("x^2", 300, "bad", "36%"),
        ("x^10", 300, "bad", "75%"),
        ("x^10", 1000, "bad", "38%"),
    ],
)
def test_the_diagnosis_says_how_much_of_the_image_is_left(name, timesteps, level, left):
    diagnosis = make_schedule(name, timesteps=timesteps).diagnosis()
    assert diagnosis.level == level
    assert diagnosis.ok == (level == "good")
    assert diagnosis.text.startswith(f"{level}: ")
    assert f"{left} of the image's amplitude" in diagnosis.text
    assert ("zero_terminal_snr" in diagnosis.text) == (level != "good")


def test_the_diagnosis_of_a_rescaled_schedule_is_pure_noise():
    diagnosis = make_schedule("x^10", timesteps=300, zero_terminal_snr=True).diagnosis()
    assert diagnosis.ok
    assert "pure noise" in diagnosis.text


@pytest.mark.parametrize("target", [0.99, 0.048, 1e-12])
@pytest.mark.parametrize("name", ["x^10", "cosine"])
def test_a_schedule_can_be_matched_to_the_end_of_another(name, target):
    plain = make_schedule(name, timesteps=300)
    matched = matched_terminal(plain, target)
    assert matched.terminal_alpha_bar == pytest.approx(target, rel=1e-9)
    np.testing.assert_allclose(matched.betas / matched.betas[0], plain.betas / plain.betas[0], rtol=1e-9)


def test_a_rescaled_schedule_and_a_single_step_can_be_matched_too():
    rescaled = make_schedule("linear", timesteps=300, zero_terminal_snr=True)
    assert matched_terminal(rescaled, 0.01).terminal_alpha_bar == pytest.approx(0.01)
    assert matched_terminal(Schedule("one", np.array([0.3])), 0.25).betas == pytest.approx([0.75])


@pytest.mark.parametrize("target", [0.0, 1.0, -0.1, math.nan])
def test_an_end_that_no_factor_reaches_is_refused(target):
    with pytest.raises(UserError, match="target abar_T between 0 and 1"):
        matched_terminal(make_schedule("linear", timesteps=10), target)


@pytest.mark.parametrize(("name", "near"), [("liner", "linear"), ("cos", "cosine"), ("x1.5", r"x\^1.5")])
def test_an_unknown_name_is_refused_with_the_nearest_valid_one(name, near):
    with pytest.raises(UserError, match=rf"unknown schedule '{name}'; did you mean {near}\?.*x\^P"):
        make_schedule(name)


def test_a_name_like_no_schedule_is_refused_without_a_suggestion():
    with pytest.raises(UserError, match=r"unknown schedule 'zzz'; \(expected one of linear, .*x\^P"):
        make_schedule("zzz")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("timesteps", 0, "expected timesteps of at least 1, got 0"),
        ("beta_start", 0.0, "expected beta_start between 0 and 1, got 0.0"),
        ("beta_end", 1.0, "expected beta_end between 0 and 1, got 1.0"),
        ("beta_end", math.nan, "expected beta_end between 0 and 1, got nan"),
        ("periods", 0.0, "expected a positive number of periods up to 1e6, got 0.0"),
    ],
)
def test_a_number_out_of_bounds_is_refused_by_name(key, value, message):
    with pytest.raises(UserError, match=message):
        make_schedule("sine", **{key: value})


def test_custom_betas_come_from_text_with_any_separator_and_comments(tmp_path):
    file = tmp_path / "betas.txt"
    file.write_text("# mine\n0.1, 0.2\t0.3\n\n4e-1 # the fourth\n1\n")
    schedule = make_schedule("custom", timesteps=5, file=str(file))
    np.testing.assert_array_equal(schedule.betas, [0.1, 0.2, 0.3, 0.4, 1.0])
    assert schedule.name == "custom"
    assert schedule.terminal_alpha_bar == 0.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_custom_betas_come_from_a_npy_file(tmp_path, dtype):
    file = tmp_path / "betas.npy"
    np.save(file, np.array([0.25, 0.5], dtype=dtype))
    np.testing.assert_array_equal(make_schedule("custom", timesteps=2, file=str(file)).betas, [0.25, 0.5])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"expected a list of betas, got an array of shape \(0,\)"),
        ("0.1\n0.2 oops\n", "line 2: expected a number, got 'oops'"),
        ("0.1 0.0 0.2", "beta number 2 of 3 is 0; expected a number above 0 and at most 1"),
        ("0.1 1.5", "beta number 2 of 2 is 1.5"),
        ("0.1 nan", "beta number 2 of 2 is nan"),
        ("-0.1", "beta number 1 of 1 is -0.1"),
        ("0.1 1 0.2", "beta number 2 of 3 is 1, .* only the last beta may be 1"),
        ("0.1 0.2", r"has 2 betas but schedule.timesteps is 3; set schedule.timesteps = 2"),
    ],
)
def test_a_custom_file_that_cannot_be_used_is_named_with_the_place(tmp_path, content, message):
    file = tmp_path / "betas.txt"
    file.write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        make_schedule("custom", timesteps=3, file=str(file))
    assert str(caught.value).startswith(str(file))


@pytest.mark.parametrize("timesteps", [1, 10])
def test_betas_that_are_lost_in_rounding_are_refused(timesteps):
    """Found by fuzzing: the noise that they add is exactly none, and a division by it NaN."""
    with pytest.raises(UserError, match=r"beta number 1 is 8\.6e-120, so small that it adds no noise at all"):
        make_schedule("linear", timesteps=timesteps, beta_start=8.6e-120, beta_end=0.5)
    assert make_schedule("linear", timesteps=1, beta_start=1.2e-16).terminal_alpha_bar < 1


def test_more_periods_than_a_float_can_turn_are_refused():
    """Found by fuzzing: 2 pi periods was infinite, and its cosine no number."""
    with pytest.raises(UserError, match="expected a positive number of periods up to 1e6"):
        make_schedule("sine", timesteps=1, periods=2.9e307)


def test_a_file_whose_betas_are_lost_in_rounding_is_named(tmp_path):
    (tmp_path / "betas.txt").write_text("0.1 1e-200")
    with pytest.raises(UserError, match=r"betas\.txt: beta number 2 is 1e-200, so small"):
        make_schedule("custom", timesteps=2, file=str(tmp_path / "betas.txt"))


def test_a_custom_file_that_cannot_be_read_is_named(tmp_path):
    for name in ("gone.txt", "gone.npy"):
        with pytest.raises(UserError, match=rf"{name}: cannot be read \(No such file"):
            make_schedule("custom", file=str(tmp_path / name))


def test_files_of_the_wrong_kind_are_refused(tmp_path):
    binary = tmp_path / "betas.bin"
    binary.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(UserError, match="not a text file"):
        make_schedule("custom", file=str(binary))
    for name, payload in {"text.npy": b"0.1 0.2", "empty.npy": b""}.items():
        (tmp_path / name).write_bytes(payload)
        with pytest.raises(UserError, match=rf"{name}: not a .npy file"):
            make_schedule("custom", file=str(tmp_path / name))
    np.save(tmp_path / "words.npy", np.array(["a", "b"]))
    with pytest.raises(UserError, match=r"words.npy: not a .npy file of numbers"):
        make_schedule("custom", file=str(tmp_path / "words.npy"))
    np.save(tmp_path / "square.npy", np.full((2, 2), 0.1))
    with pytest.raises(UserError, match=r"got an array of shape \(2, 2\)"):
        make_schedule("custom", timesteps=4, file=str(tmp_path / "square.npy"))


def test_custom_without_a_file_asks_for_one():
    with pytest.raises(UserError, match=r"needs a file of betas; set schedule.file"):
        make_schedule("custom")
