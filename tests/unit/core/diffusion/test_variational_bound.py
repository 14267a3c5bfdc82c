"""The exact variational bound, against torch.distributions, mpmath and closed forms."""

import math

import mpmath  # comes with torch, by way of sympy
import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from core.diffusion.variational_bound import (
    bound_terms,
    decoder_nll,
    discretized_log_likelihood,
    draw_timesteps,
    kl_term,
    prior_kl,
    variational_bound,
)
from core.errors import UserError
from tests.support.small_processes import images, process

LEVELS = torch.arange(256, dtype=torch.float64) / 127.5 - 1.0


@pytest.mark.parametrize("variance", ["beta", "beta_tilde"])
@pytest.mark.parametrize("zero_terminal_snr", [False, True])
def test_the_middle_terms_are_divergences_of_two_gaussians(variance, zero_terminal_snr):
    diffusion = process(variance=variance, prediction_type="sample", zero_terminal_snr=zero_terminal_snr)
    x0, eps, _ = images(count=2)
    predicted = (x0 + 0.1 * eps.flip(0)).clamp(-1, 1)
    for t in range(1, 20):
        steps = torch.full((2,), t)
        xt = diffusion.q_sample(x0, steps, eps)
        mean, beta_tilde = diffusion.posterior(x0, xt, steps)
        predicted_x0, _ = diffusion.posterior(predicted, xt, steps)
        sigma = math.sqrt(diffusion.schedule.betas[t]) if variance == "beta" else beta_tilde.sqrt()
        expected = kl_divergence(
            Normal(mean, beta_tilde.sqrt().expand_as(mean)),
            Normal(predicted_x0, sigma * torch.ones_like(mean)),
        )
        torch.testing.assert_close(kl_term(diffusion, x0, predicted, t), expected.flatten(1).mean(1))


@pytest.mark.parametrize("variance", ["beta", "beta_tilde"])
def test_the_middle_terms_weigh_the_error_in_the_noise_as_the_thesis_says(variance):
    diffusion = process(variance=variance)
    x0, eps, _ = images(count=2)
    guess = eps + 0.2 * x0
    for t in range(1, 20):
        steps = torch.full((2,), t)
        xt = diffusion.q_sample(x0, steps, eps)
        beta, alpha = diffusion.schedule.betas[t], diffusion.schedule.alphas[t]
        sigma2 = beta if variance == "beta" else diffusion.transition(t, t - 1).beta_tilde
        weight = beta**2 / (2 * sigma2 * alpha * (1 - diffusion.schedule.alphas_cumprod[t]))
        term = kl_term(diffusion, x0, diffusion.predict_x0(guess, xt, steps), t)
        constant = kl_term(diffusion, x0, x0, t)
        torch.testing.assert_close(term - constant, weight * diffusion.loss(guess, x0, eps, steps))


def test_the_prior_term_is_a_divergence_and_agrees_with_the_schedule():
    diffusion = process()
    x0, _, _ = images(count=3)
    abar = diffusion.schedule.terminal_alpha_bar
    qT = Normal(math.sqrt(abar) * x0, math.sqrt(1 - abar))
    expected = kl_divergence(qT, Normal(torch.zeros_like(x0), 1.0)).flatten(1).mean(1)
    torch.testing.assert_close(prior_kl(diffusion, x0), expected)
    bits = diffusion.schedule.prior_bits_per_dim(x0.square().mean().item())
    assert bits == pytest.approx(expected.mean().item() / math.log(2))


@pytest.mark.parametrize("sigma", [1e-4, 0.01, 0.3, 5.0])
@pytest.mark.parametrize("mean", [-1.7, -1.0, 0.003, 0.999, 2.0])
def test_the_decoder_shares_one_among_the_256_levels(mean, sigma):
    logs = discretized_log_likelihood(LEVELS, torch.full_like(LEVELS, mean), sigma)
    assert logs.exp().sum().item() == pytest.approx(1.0, abs=1e-12)
    assert torch.isfinite(logs).all()


@pytest.mark.parametrize(
    ("level", "mean", "sigma"), [(0, 0.9, 0.01), (128, -0.5, 0.01), (200, 0.57, 0.1), (255, -1.0, 0.3)]
)
def test_the_decoder_is_exact_even_far_out(level, mean, sigma):
    with mpmath.workdps(60):
        centre = mpmath.mpf(level) / 127.5 - 1
        low = -mpmath.inf if level == 0 else (centre - mpmath.mpf(1) / 255 - mean) / sigma
        high = mpmath.inf if level == 255 else (centre + mpmath.mpf(1) / 255 - mean) / sigma
        if low > 0:
            low, high = -high, -low
        expected = float(
            mpmath.log(mpmath.erfc(-high / mpmath.sqrt(2)) / 2 - mpmath.erfc(-low / mpmath.sqrt(2)) / 2)
        )
    actual = discretized_log_likelihood(LEVELS[level], torch.tensor(mean, dtype=torch.float64), sigma)
    assert actual.item() == pytest.approx(expected, rel=1e-9)


def test_the_decoder_with_beta_tilde_borrows_the_variance_of_the_second_step():
    x0 = LEVELS[::16].view(1, 1, 4, 4)
    predicted = x0 + 0.01
    for timesteps, variance in [(20, "beta"), (20, "beta_tilde"), (1, "beta"), (1, "beta_tilde")]:
        diffusion = process(timesteps=timesteps, variance=variance)
        sigma2 = diffusion.schedule.betas[0]
        if variance == "beta_tilde" and timesteps > 1:
            sigma2 = diffusion.posterior(x0, x0, torch.tensor([1]))[1].item()
        expected = -discretized_log_likelihood(x0, predicted, math.sqrt(sigma2)).mean()
        torch.testing.assert_close(decoder_nll(diffusion, x0, predicted), expected.view(1))


def known(diffusion, x0, error=0.0):
    """A network that predicts ``sample``: x0, off by an error that grows with t."""
    return lambda xt, t: x0 + error * (t.view(-1, 1, 1, 1).double() + 1) / diffusion.timesteps


@pytest.mark.parametrize("timesteps", [1, 2, 20])
def test_the_bound_of_a_perfect_network_is_only_prior_and_decoder(timesteps):
    diffusion = process(timesteps=timesteps, variance="beta_tilde", prediction_type="sample")
    x0 = LEVELS[::16].view(1, 1, 4, 4)
    bound = variational_bound(known(diffusion, x0), diffusion, x0, generator=torch.Generator())
    assert bound.timesteps.tolist() == list(range(1, timesteps))
    np.testing.assert_array_equal(bound.l_t, np.zeros(timesteps - 1))
    assert bound.l_T == prior_kl(diffusion, x0).item()
    assert bound.l_0 == decoder_nll(diffusion, x0, x0).item()
    assert bound.total == pytest.approx(bound.l_T + bound.l_0)


def test_the_bound_adds_up_and_turns_into_bits():
    diffusion = process(prediction_type="sample")
    x0 = LEVELS[::8].view(2, 1, 4, 4)
    bound = variational_bound(
        known(diffusion, x0, 0.1), diffusion, x0, generator=torch.Generator(), clip="none"
    )
    terms = [kl_term(diffusion, x0, x0 + 0.1 * (t + 1) / 20, t).mean().item() for t in range(1, 20)]
    np.testing.assert_allclose(bound.l_t, terms, rtol=1e-9)
    assert bound.total == pytest.approx(bound.l_T + sum(terms) + bound.l_0)
    parts = bound.prior_bits + bound.term_bits.sum() + bound.decoder_bits
    assert bound.total_bits == pytest.approx(parts) == pytest.approx(bound.total / math.log(2))


@pytest.mark.parametrize("terms", [1, 5, 19])
def test_a_stratified_subset_of_the_terms_stands_for_all(terms):
    diffusion = process(prediction_type="sample")
    x0 = LEVELS[::16].view(1, 1, 4, 4)
    model, generator = known(diffusion, x0, 0.1), torch.Generator().manual_seed(3)
    whole = variational_bound(model, diffusion, x0, generator=generator, clip="none").total
    totals = []
    for _ in range(200):
        bound = variational_bound(model, diffusion, x0, generator=generator, terms=terms, clip="none")
        assert len(bound.timesteps) == terms
        assert np.all(np.diff(bound.timesteps) > 0)
        assert bound.weights.sum() == 19
        totals.append(bound.total)
    standard_error = np.std(totals) / math.sqrt(len(totals))
    assert abs(np.mean(totals) - whole) <= 4 * standard_error + 1e-9


@pytest.mark.parametrize("terms", [0, 20])
def test_a_subset_that_does_not_exist_is_refused(terms):
    diffusion = process(prediction_type="sample")
    x0 = LEVELS[::16].view(1, 1, 4, 4)
    with pytest.raises(UserError, match=rf"expected from 1 to 19 terms .* got {terms}"):
        variational_bound(known(diffusion, x0), diffusion, x0, generator=torch.Generator(), terms=terms)


def test_the_bound_of_a_wrong_network_is_worse_and_repeats_with_the_seed():
    diffusion = process()
    x0 = LEVELS[::16].view(1, 1, 4, 4).float()

    def bound():
        generator = torch.Generator().manual_seed(5)
        return variational_bound(lambda xt, t: torch.zeros_like(xt), diffusion, x0, generator=generator)

    state = torch.get_rng_state()
    first, second = bound(), bound()
    assert first.total == second.total
    assert math.isfinite(first.total)
    assert np.all(first.l_t >= 0)
    assert torch.equal(torch.get_rng_state(), state)


def test_each_image_may_have_its_own_timesteps():
    diffusion = process(prediction_type="sample", variance="beta_tilde")
    x0, _, _ = images(count=3)
    model = known(diffusion, x0, 0.1)
    timesteps = torch.tensor([[1, 7], [19, 8], [4, 4]])
    found = bound_terms(model, diffusion, x0, timesteps, generator=torch.Generator(), clip="none")
    for row, (image, steps) in enumerate(zip(x0.split(1), timesteps.tolist(), strict=True)):
        for column, t in enumerate(steps):
            expected = kl_term(diffusion, image, image + 0.1 * (t + 1) / 20, t)
            torch.testing.assert_close(found.l_t[row, column], expected[0])
            assert found.losses[row, 1 + column].item() == pytest.approx((0.1 * (t + 1) / 20) ** 2)
    torch.testing.assert_close(found.l_0, decoder_nll(diffusion, x0, x0 + 0.1 / 20))
    torch.testing.assert_close(found.l_T, prior_kl(diffusion, x0))
    torch.testing.assert_close(found.losses[:, 0], torch.full((3,), (0.1 / 20) ** 2, dtype=torch.float64))


def test_timesteps_are_drawn_evenly_from_each_stratum_and_apart_for_each_image():
    strata = [np.arange(1, 2), np.arange(2, 6), np.arange(6, 20)]
    drawn = draw_timesteps(strata, 7000, torch.Generator().manual_seed(2))
    assert drawn.shape == (7000, 3)
    assert drawn.dtype == torch.int64
    for column, stratum in zip(drawn.T, strata, strict=True):
        values, counts = np.unique(column.numpy(), return_counts=True)
        assert values.tolist() == stratum.tolist()
        share = 7000 / len(stratum)
        assert np.all(np.abs(counts - share) < 5 * math.sqrt(share))
    assert draw_timesteps([], 2, torch.Generator()).shape == (2, 0)


def test_the_prior_term_is_never_below_zero():
    diffusion = process(timesteps=400)
    assert 0.0 < diffusion.schedule.terminal_alpha_bar < 1e-17
    assert prior_kl(diffusion, torch.zeros(1, 1, 2, 2)).item() >= 0.0
