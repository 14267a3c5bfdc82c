"""The bound in bits a dimension, against a known case in closed form and against random trajectories."""

import math

import msgspec
import numpy as np
import pytest
import torch
from numpy.polynomial.hermite import hermgauss
from scipy import stats
from torch.distributions import Normal

from core.diffusion.gaussian import PREDICTION_TYPES
from core.errors import UserError
from core.evaluation.metrics.likelihood import likelihood, timestep_strata
from core.statistics.estimate import Estimate
from tests.support.networks import load, process

LEVELS = np.arange(256) / 127.5 - 1.0
BITS = 1.0 / math.log(2.0)
PARTS = ("prior_bits", "middle_bits", "decoder_bits")


class Known:
    """Independent pixels from N(0.2, 0.3^2), rounded to levels, and their best linear prediction."""

    def __init__(self, diffusion):
        self.diffusion = diffusion
        weight = np.exp(-0.5 * ((LEVELS - 0.2) / 0.3) ** 2)
        self.share = weight / weight.sum()
        self.mean = float(self.share @ LEVELS)
        self.variance = float(self.share @ (LEVELS - self.mean) ** 2)
        abar = diffusion.schedule.alphas_cumprod
        self.abar = abar
        self.gain = np.sqrt(abar) * self.variance / (abar * self.variance + 1 - abar)
        self.error = (1 - self.gain * np.sqrt(abar)) ** 2 * self.variance + self.gain**2 * (1 - abar)

    def draw(self, count, seed=0):
        rng = np.random.default_rng(seed)
        return rng.choice(256, size=(count, 1, 4, 4), p=self.share).astype(np.uint8)

    def network(self, xt, t):
        """Return the prediction of x0 as the output that the process expects of its network."""
        abar, gain = (torch.from_numpy(each)[t].view(-1, 1, 1, 1).to(xt) for each in (self.abar, self.gain))
        x0 = self.mean + gain * (xt - abar.sqrt() * self.mean)
        if self.diffusion.prediction_type == "sample":
            return x0
        eps = (xt - abar.sqrt() * x0) / (1 - abar).sqrt()
        if self.diffusion.prediction_type == "epsilon":
            return eps
        return abar.sqrt() * eps - (1 - abar).sqrt() * x0

    def losses(self):
        scale = {"sample": 1.0, "epsilon": self.abar / (1 - self.abar), "v_prediction": 1 / (1 - self.abar)}
        return self.error * scale[self.diffusion.prediction_type]

    def prior(self):
        abar = self.abar[-1]
        return 0.5 * (abar * (self.mean**2 + self.variance) - abar - math.log1p(-abar)) * BITS

    def middle(self):
        """Each L_{t-1} by Ho et al. 2020, eq. 7 and 8."""
        betas, before = self.diffusion.schedule.betas[1:], self.abar[:-1]
        tilde = (1 - before) / (1 - self.abar[1:]) * betas
        sigma2 = betas if self.diffusion.variance == "beta" else tilde
        pull = np.sqrt(before) * betas / (1 - self.abar[1:])
        terms = pull**2 * self.error[1:] / sigma2 + tilde / sigma2 - 1 - np.log(tilde / sigma2)
        return 0.5 * terms * BITS

    def decoder(self):
        """By quadrature over the noise of the first step, for each level."""
        betas = self.diffusion.schedule.betas
        sigma2 = betas[0]
        if self.diffusion.variance == "beta_tilde" and len(betas) > 1:
            sigma2 = (1 - self.abar[0]) / (1 - self.abar[1]) * betas[1]
        nodes, weights = hermgauss(60)
        offset = self.gain[0] * (math.sqrt(self.abar[0]) * (LEVELS[:, None] - self.mean))
        noise = self.gain[0] * math.sqrt(1 - self.abar[0]) * math.sqrt(2) * nodes
        bits = -log_share(LEVELS[:, None], self.mean + offset + noise, math.sqrt(sigma2)) * BITS
        return float(self.share @ bits @ weights) / math.sqrt(math.pi)


def log_share(level, mean, sigma):
    """log of what a Gaussian gives to a level's bin, by scipy."""
    lower = np.where(level <= -1, -np.inf, (level - 1 / 255 - mean) / sigma)
    upper = np.where(level >= 1, np.inf, (level + 1 / 255 - mean) / sigma)
    far = lower > 0
    lower, upper = np.where(far, -upper, lower), np.where(far, -lower, upper)
    return np.log(stats.norm.cdf(upper) - stats.norm.cdf(lower))


def standard_error(estimate):
    return (estimate.high - estimate.low) / (2 * 1.96)


@pytest.mark.parametrize("terms", [None, 8, 3])
@pytest.mark.parametrize("variance", ["beta", "beta_tilde"])
@pytest.mark.parametrize(
    ("prediction_type", "zero_terminal_snr"),
    [("epsilon", False), ("v_prediction", False), ("v_prediction", True), ("sample", True)],
)
def test_the_bits_of_a_known_case_are_right(prediction_type, zero_terminal_snr, variance, terms):
    diffusion = process(
        prediction_type=prediction_type, zero_terminal_snr=zero_terminal_snr, variance=variance
    )
    known = Known(diffusion)
    found = likelihood(load(diffusion, known.network), known.draw(400), terms=terms)
    exact = {
        "prior_bits": known.prior(),
        "middle_bits": float(known.middle().sum()),
        "decoder_bits": known.decoder(),
    }
    exact["bits_per_dim"] = sum(exact.values())
    assert set(found.metrics) == set(exact)
    for name, value in exact.items():
        estimate = found.metrics[name]
        assert abs(estimate.value - value) <= 4 * standard_error(estimate) + 1e-9, name
    # Tight enough to tell the right number from a wrong one.
    assert standard_error(found.metrics["bits_per_dim"]) < 0.03 * exact["bits_per_dim"]
    if zero_terminal_snr:
        assert found.metrics["prior_bits"] == Estimate(0.0, 0.0, 0.0)


def test_each_timestep_of_a_known_case_is_right():
    diffusion = process(prediction_type="v_prediction", zero_terminal_snr=True)
    known = Known(diffusion)
    curves = likelihood(load(diffusion, known.network), known.draw(400)).curves
    for name, exact in (
        ("bound_by_timestep", [known.decoder(), *known.middle()]),
        ("loss_by_timestep", known.losses()),
    ):
        assert curves[f"{name}.x"] == list(range(1, 21))
        assert curves[f"{name}.weight"] == [1.0] * 20
        for value, low, high, right in zip(
            curves[name], curves[f"{name}.low"], curves[f"{name}.high"], exact, strict=True
        ):
            assert low < value < high
            assert abs(value - right) <= 4.5 * (high - low) / (2 * 1.96)


@pytest.mark.parametrize("terms", [1, 4])
def test_the_interval_covers_the_choice_of_timesteps_too(terms):
    diffusion = process(prediction_type="sample")
    known = Known(diffusion)
    exact = known.prior() + float(known.middle().sum()) + known.decoder()
    held = []
    for seed in range(100):
        bits = likelihood(
            load(diffusion, known.network), known.draw(60, seed), terms=terms, seed=seed
        ).metrics["bits_per_dim"]
        held.append(bits.low <= exact <= bits.high)
    # 95 of 100 are expected; fewer than 87 happen once in a thousand such tests.
    assert sum(held) >= 87


def test_one_timestep_has_no_middle_and_bounds_the_true_likelihood():
    diffusion = process(1, prediction_type="sample")
    known = Known(diffusion)
    found = likelihood(load(diffusion, known.network), known.draw(400))
    assert found.metrics["middle_bits"] == Estimate(0.0, 0.0, 0.0)
    assert found.curves["bound_by_timestep.x"] == [1.0]
    exact = known.prior() + known.decoder()
    bits = found.metrics["bits_per_dim"]
    assert abs(bits.value - exact) <= 4 * standard_error(bits)
    # p(x0) itself: the decoder averaged over x_T from N(0, 1).
    xT, width = np.linspace(-9, 9, 4001, retstep=True)
    means = known.mean + known.gain[0] * (xT - math.sqrt(known.abar[0]) * known.mean)
    with np.errstate(divide="ignore"):
        share = np.exp(log_share(LEVELS[:, None], means, math.sqrt(diffusion.schedule.betas[0])))
    likelihoods = share @ stats.norm.pdf(xT) * width
    assert likelihoods.sum() == pytest.approx(1.0, abs=1e-6)
    assert exact > -float(known.share @ np.log(likelihoods)) * BITS


@pytest.mark.parametrize("clip", ["none", "static"])
@pytest.mark.parametrize("variance", ["beta", "beta_tilde"])
@pytest.mark.parametrize("zero_terminal_snr", [False, True])
def test_the_bound_agrees_with_paths_drawn_step_by_step(zero_terminal_snr, variance, clip):
    """-log of p over q along whole paths, with nothing but densities: no divergence is worked out."""
    diffusion = process(
        5, prediction_type="v_prediction", zero_terminal_snr=zero_terminal_snr, variance=variance
    )
    betas = torch.from_numpy(diffusion.schedule.betas.copy())
    abar = torch.from_numpy(diffusion.schedule.alphas_cumprod.copy())

    def network(xt, t):
        return torch.tanh(2 * xt.flip(3)) - 0.7 * xt + 0.05 * t.view(-1, 1, 1, 1)

    image = np.random.default_rng(3).integers(0, 256, (1, 1, 2, 2)).astype(np.uint8)
    found = likelihood(
        load(diffusion, network, size=2, clip=clip), np.repeat(image, 4000, axis=0), terms=4
    ).metrics["bits_per_dim"]

    generator = torch.Generator().manual_seed(11)
    x0 = torch.from_numpy(image / 127.5 - 1.0).expand(40_000, -1, -1, -1)
    states, forward = [x0], torch.zeros(len(x0), dtype=torch.float64)
    for beta in betas:
        step = Normal((1 - beta).sqrt() * states[-1], beta.sqrt())
        noise = torch.randn(x0.shape, generator=generator, dtype=torch.float64)
        states.append(step.mean + step.stddev * noise)
        forward += step.log_prob(states[-1]).sum(dim=(1, 2, 3))
    backward = Normal(0.0, 1.0).log_prob(states[-1]).sum(dim=(1, 2, 3))
    for t in reversed(range(5)):
        xt = states[t + 1]
        v = network(xt, torch.full((len(xt),), t))
        predicted = abar[t].sqrt() * xt - (1 - abar[t]).sqrt() * v
        if clip == "static":
            predicted = predicted.clamp(-1, 1)
        tilde = betas[t] * (1 - abar[t - 1]) / (1 - abar[t]) if t else betas[0]
        if t:
            mean = abar[t - 1].sqrt() * betas[t] * predicted + (1 - betas[t]).sqrt() * (1 - abar[t - 1]) * xt
            sigma2 = betas[t] if variance == "beta" else tilde
            density = Normal(mean / (1 - abar[t]), sigma2.sqrt()).log_prob(states[t])
        else:
            sigma2 = (
                betas[0] if variance == "beta" else betas[1] * (1 - abar[0]) / (1 - abar[1])
            )  # the second step's, where the first has none
            density = torch.from_numpy(log_share(x0.numpy(), predicted.numpy(), math.sqrt(sigma2)))
        backward += density.sum(dim=(1, 2, 3))
    paths = ((forward - backward) * BITS / 4).numpy()
    error = math.hypot(paths.std() / math.sqrt(len(paths)), standard_error(found))
    assert error < 0.03 * paths.mean()
    assert abs(found.value - paths.mean()) <= 4 * error


@pytest.mark.parametrize("terms", [None, 1, 7])
def test_the_parts_and_the_curve_add_up_to_the_whole(terms):
    diffusion = process(prediction_type="sample")
    known = Known(diffusion)
    found = likelihood(load(diffusion, known.network), known.draw(70), terms=terms)
    whole = found.metrics["bits_per_dim"].value
    assert whole == pytest.approx(sum(found.metrics[name].value for name in PARTS))
    assert whole == pytest.approx(found.totals.mean())
    assert found.totals.shape == (70,)
    curve, weights = (np.array(found.curves[f"bound_by_timestep{end}"]) for end in ("", ".weight"))
    assert whole == pytest.approx(found.metrics["prior_bits"].value + curve @ weights)
    assert weights.sum() == 20
    assert len(curve) == 1 + (terms or 19)
    assert all(len(values) == len(curve) for values in found.curves.values())


@pytest.mark.parametrize("middle", [1, 2, 19, 299, 999])
def test_strata_cut_the_timesteps_into_pieces_that_are_short_where_terms_are_large(middle):
    for count in {1, 2, 5, 64, middle // 2, middle - 1, middle} - {0}:
        if count > middle:
            continue
        strata = timestep_strata(middle, count)
        assert len(strata) == count
        assert np.concatenate(strata).tolist() == list(range(1, middle + 1))
        lengths = [len(stratum) for stratum in strata]
        assert min(lengths) >= 1
        assert lengths[0] == min(lengths)
    assert timestep_strata(0, 0) == []
    assert [len(stratum) for stratum in timestep_strata(999, 64)][:5] == [1] * 5


def test_numbers_repeat_with_the_seed_and_leave_the_global_one_alone():
    diffusion = process(prediction_type="sample")
    known = Known(diffusion)
    before = torch.get_rng_state()
    first, second, other = (
        likelihood(load(diffusion, known.network), known.draw(5), seed=seed) for seed in (1, 1, 2)
    )
    assert first.metrics == second.metrics
    assert first.curves == second.curves
    assert first.metrics != other.metrics
    assert torch.equal(torch.get_rng_state(), before)


def test_grey_from_0_to_1_and_bytes_are_the_same_images():
    diffusion = process(prediction_type="sample")
    known = Known(diffusion)
    images = known.draw(3)
    loaded = load(diffusion, known.network)
    expected = likelihood(loaded, images).totals
    for other in (images / 255.0, (images / 255.0).astype(np.float32)):
        np.testing.assert_array_equal(likelihood(loaded, other).totals, expected)


def test_one_image_has_a_value_and_no_interval():
    diffusion = process(prediction_type="sample")
    known = Known(diffusion)
    bits = likelihood(load(diffusion, known.network), known.draw(1)).metrics["bits_per_dim"]
    assert math.isfinite(bits.value)
    assert (bits.low, bits.high) == (None, None)


def test_a_network_that_has_diverged_has_no_bits():
    diffusion = process(prediction_type="epsilon")
    found = likelihood(load(diffusion, lambda xt, t: xt * math.nan), Known(diffusion).draw(3))
    assert found.metrics["bits_per_dim"] == Estimate(None)
    assert math.isfinite(found.metrics["prior_bits"].value)
    assert set(found.curves["loss_by_timestep"]) == {None}
    assert msgspec.json.decode(msgspec.json.encode(found.curves)) == found.curves


def test_progress_is_counted_in_images_through_the_network():
    diffusion = process(prediction_type="sample")
    known, heard = Known(diffusion), []
    likelihood(
        load(diffusion, known.network),
        known.draw(70),
        terms=2,
        progress=lambda done, total: heard.append((done, total)),
    )
    assert heard == [(done, 210) for done in (64, 128, 192, 198, 204, 210)]


@pytest.mark.parametrize("terms", [0, 20, -1])
def test_a_number_of_terms_out_of_range_is_refused(terms):
    diffusion = process(prediction_type="sample")
    known = Known(diffusion)
    with pytest.raises(UserError, match=rf"expected from 1 to 19 terms .* got {terms}"):
        likelihood(load(diffusion, known.network), known.draw(1), terms=terms)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((0, 1, 4, 4), np.uint8), r"expected images .* \[N, 1, 4, 4\], got \[0, 1, 4, 4\]"),
        (np.zeros((2, 3, 4, 4), np.uint8), r"got \[2, 3, 4, 4\]"),
        (np.zeros((2, 4, 4)), r"got \[2, 4, 4\]"),
        (np.full((1, 1, 4, 4), 255.0), "numbers from 0 to 1, got float64 from 255 to 255"),
        (np.full((1, 1, 4, 4), np.nan), "got float64 with NaN"),
        (np.ones((1, 1, 4, 4), np.int64), "got int64 from 1 to 1"),
        (np.zeros((1, 1, 4, 4), bool), "got bool"),
    ],
)
def test_images_that_the_network_cannot_take_are_refused(images, message):
    diffusion = process(prediction_type="sample")
    with pytest.raises(UserError, match=message):
        likelihood(load(diffusion, Known(diffusion).network), images)


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_an_untrained_network_costs_more_bits(prediction_type):
    diffusion = process(prediction_type=prediction_type)
    known = Known(diffusion)
    wise = likelihood(load(diffusion, known.network), known.draw(20)).metrics["bits_per_dim"]
    blind = likelihood(load(diffusion, lambda xt, t: torch.zeros_like(xt)), known.draw(20)).metrics
    assert blind["bits_per_dim"].value > wise.high
