"""Rules that propose noise levels: each against a case that is closed, or against all choices."""

from itertools import combinations, pairwise

import numpy as np
import pytest

from core.cli.schedule_proposals import RULE_NAMES
from core.errors import UserError
from core.schedules import Schedule, make_schedule
from core.statistics.gaussian_sampling import GaussianData, sampling_error
from core.statistics.linear_denoiser import linear_noise_error
from core.statistics.noise_error import NoiseErrorCurve
from core.statistics.proposals.bound_optimum import bound_bits, cheapest_path, step_costs
from core.statistics.proposals.even_steps import Ends
from core.statistics.proposals.gaussian_optimum import step_error
from core.statistics.proposals.rules import RULES, RuleInputs, propose_betas, propose_levels
from core.statistics.proposals.shape_optimum import APPEAR, SETTLED

ENDS = Ends(-7.0, 6.0)
STEPS = 9


def gaussian(*variances: float, mean: float = 0.0) -> GaussianData:
    size = len(variances)
    return GaussianData(np.array(variances), np.full(size, mean), np.full(size, 1 / size))


def inputs_for(data: GaussianData, ends: Ends = ENDS) -> RuleInputs:
    log_snr = ends.grid(2001)
    error = linear_noise_error(data.variances, log_snr)
    return RuleInputs(NoiseErrorCurve(log_snr, error, error, error), data, ends)


def levels_by(rule: str, data: GaussianData, ends: Ends = ENDS) -> np.ndarray:
    return RULES[rule].levels(inputs_for(data, ends), STEPS)


def assert_even(coordinate: np.ndarray) -> None:
    steps = np.diff(coordinate)
    assert steps == pytest.approx(np.full(len(steps), steps.mean()), rel=3e-3)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_rises_between_the_ends_and_proposes_a_schedule_between_them(rule: str) -> None:
    inputs = inputs_for(gaussian(2.0, 0.3, 1e-4, 0.0, mean=0.4))
    for calls in (1, 2, 10):
        levels = propose_levels(rule, inputs, calls)
        assert levels.shape == (calls,)
        assert levels[0] == ENDS.noisy
        assert (np.diff(np.append(levels, ENDS.clean)) > 0).all()
    for timesteps in (2, 90):
        schedule = Schedule(rule, propose_betas(rule, inputs, timesteps))
        assert schedule.timesteps == timesteps
        assert schedule.log_snr[[0, -1]] == pytest.approx([ENDS.clean, ENDS.noisy])
    assert Schedule(rule, propose_betas(rule, inputs, 90, zero_terminal_snr=True)).terminal_alpha_bar == 0.0


def test_the_command_knows_all_rules() -> None:
    assert tuple(RULES) == RULE_NAMES


def test_entropic_time_of_a_gaussian_is_even_in_its_information() -> None:
    assert_even(np.log1p(0.2 * np.exp(levels_by("entropic", gaussian(0.2)))))


@pytest.mark.parametrize("rule", ["tangent", "rescaled", "constant-rate", "gaussian"])
def test_for_one_variance_four_rules_are_the_tangent_law(rule: str) -> None:
    # The least error of a Gaussian counts the last step, to the clean image. The levels end there almost.
    ends = Ends(-7.0, 14.0)
    psi = np.arctan(np.exp(-0.5 * levels_by(rule, gaussian(0.2, 0.2), ends)) / np.sqrt(0.2))
    assert_even(psi[:-1] if rule == "gaussian" else psi)


def test_for_a_variance_of_1_the_tangent_law_is_the_cosine_schedule() -> None:
    schedule = make_schedule("cosine", timesteps=1000)
    ends = Ends(float(schedule.log_snr[899]), float(schedule.log_snr[99]))
    log_snr = RULES["tangent"].levels(inputs_for(gaussian(1.0), ends), 800)[::-1]
    # Nichol & Dhariwal divide abar by its first value, 0.99985.
    assert log_snr == pytest.approx(schedule.log_snr[99:900], abs=2e-3)


def test_score_optimal_levels_of_a_gaussian_are_even_in_the_closed_length() -> None:
    root = np.sqrt(1 + 0.2 * np.exp(levels_by("score", gaussian(0.2))))
    assert_even(np.log((root - 1) / (root + 1)) + 2 / root)


def test_dynamic_programming_finds_the_lowest_of_all_paths() -> None:
    curve = inputs_for(gaussian(1.0, 0.01)).curve
    candidates = ENDS.grid(12)
    costs = step_costs(curve, candidates)
    for steps in (1, 2, 4, 11):
        paths = [(0, *inner, 11) for inner in combinations(range(1, 11), steps - 1)]
        found = [float(sum(costs[i, j] for i, j in pairwise(path))) for path in paths]
        best = cheapest_path(costs, steps)
        assert tuple(best) == paths[int(np.argmin(found))]
        assert bound_bits(curve, candidates[best]) * np.log(2) == pytest.approx(min(found))
    with pytest.raises(UserError, match="from 1 to 11 steps"):
        cheapest_path(costs, 12)


def test_the_shape_rule_is_the_lowest_bound_between_its_limits_and_one_step_beyond_each() -> None:
    inputs = inputs_for(gaussian(1.0, 0.01), Ends(-10.0, 9.0))
    levels = RULES["shape"].levels(inputs, STEPS)
    assert levels[[0, 1, -2, -1]].tolist() == [-10.0, APPEAR, SETTLED, 9.0]
    inner = RULES["bound"].levels(inputs_for(inputs.data, Ends(APPEAR, SETTLED)), STEPS - 2)
    assert levels[1:-1] == pytest.approx(inner)
    # A network that was never trained on noisier levels starts where it can.
    assert RULES["shape"].levels(inputs_for(inputs.data, Ends(-3.0, 3.0)), STEPS)[[0, -1]].tolist() == [-3, 3]


def test_no_other_rule_has_a_lower_bound_or_a_lower_error_than_the_optimum_of_each() -> None:
    inputs = inputs_for(gaussian(3.0, 0.5, 0.02, mean=0.5))
    levels = {name: rule.levels(inputs, STEPS) for name, rule in RULES.items()}
    bits = {name: bound_bits(inputs.curve, found) for name, found in levels.items()}
    errors = {name: step_error(inputs.data, found) for name, found in levels.items()}
    assert min(bits, key=lambda name: bits[name]) == "bound"
    assert min(errors, key=lambda name: errors[name]) == "gaussian"


def test_the_error_of_the_steps_is_that_of_the_closed_form_sampler() -> None:
    schedule = make_schedule("linear", timesteps=300)
    data = gaussian(2.0, 0.3, 1e-4, 0.0, mean=0.4)
    timesteps = [299, 200, 120, 40, 0]
    expected = sampling_error(data, schedule, timesteps).steps
    levels = np.append(schedule.log_snr[timesteps], schedule.log_snr[0] + 1)
    assert step_error(data, levels) == pytest.approx(expected, rel=1e-9)


def test_ends_that_do_not_rise_are_refused() -> None:
    for noisy, clean in ((1.0, 1.0), (2.0, -2.0), (-np.inf, 1.0), (0.0, np.nan)):
        with pytest.raises(UserError, match="below that at the end"):
            Ends(noisy, clean)
