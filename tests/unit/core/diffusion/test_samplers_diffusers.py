"""Samplers, step by step against diffusers' schedulers with the same noises."""

import itertools

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

from core.diffusion.gaussian import GaussianDiffusion
from core.diffusion.samplers.ancestral import sample_ddpm
from core.diffusion.samplers.base import SamplerOptions
from core.diffusion.samplers.ddim import sample_ddim
from core.diffusion.samplers.dpm_solver import sample_dpm_solver
from core.diffusion.samplers.unipc import sample_unipc
from core.schedules import Schedule, make_schedule
from core.spacing import inference_timesteps
from tests.support.samplers import DIFFUSERS_TYPES, PROCESSES, T, network, process, seeded, start

FIXED = {"beta": "fixed_large", "beta_tilde": "fixed_small"}


THRESHOLDS = {
    "none": {"thresholding": False},
    "static": {"thresholding": True, "sample_max_value": 1.0},
    "dynamic": {"thresholding": True, "sample_max_value": 1e9},
}
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4}


def with_betas(scheduler_class, diffusion, dtype, **options):
    betas = torch.from_numpy(diffusion.schedule.betas.copy()).to(dtype)
    scheduler = scheduler_class(
        num_train_timesteps=len(betas),
        trained_betas=betas.tolist(),
        prediction_type=diffusion.prediction_type,
        timestep_spacing="trailing",
        **options,
    )
    # It keeps float32; the comparison in float64 needs the betas to all digits.
    scheduler.betas, scheduler.alphas = betas, 1 - betas
    scheduler.alphas_cumprod = torch.cumprod(1 - betas, dim=0)
    return scheduler


def their_states(scheduler, noise, steps, **options):
    scheduler.set_timesteps(steps)
    xt, generator = noise, seeded()
    for t in scheduler.timesteps:
        output = network(xt, torch.full((len(xt),), int(t)))
        result = scheduler.step(output, t, xt, generator=generator, **options)
        xt = result.prev_sample
        yield xt, result.pred_original_sample


@pytest.mark.parametrize("clip", ["none", "static"])
@pytest.mark.parametrize("steps", [T, 7, 5, 1])
@pytest.mark.parametrize("variance", ["beta", "beta_tilde"])
@pytest.mark.parametrize(("prediction_type", "zero_terminal_snr"), PROCESSES)
def test_ddpm_agrees_with_diffusers(prediction_type, variance, steps, clip, zero_terminal_snr):
    for dtype, tolerance in TOLERANCE.items():
        diffusion = process(
            prediction_type=prediction_type, variance=variance, zero_terminal_snr=zero_terminal_snr
        )
        scheduler = with_betas(
            DDPMScheduler, diffusion, dtype, variance_type=FIXED[variance], clip_sample=clip == "static"
        )
        noise = start(dtype=dtype)
        ours = list(
            sample_ddpm(network, diffusion, noise, SamplerOptions(steps=steps, clip=clip), generator=seeded())
        )[1:]
        theirs = list(their_states(scheduler, noise, steps))
        assert len(ours) == len(theirs) == steps
        for state, (xt, x0) in zip(ours, theirs, strict=True):
            torch.testing.assert_close(state.x0, x0, rtol=tolerance, atol=tolerance)
            # diffusers adds noise even at the last of fewer steps; Algorithm 2 ends at the mean, which is x0.
            expected = xt if state.timestep >= 0 else x0
            torch.testing.assert_close(state.xt, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("clip", ["none", "static"])
@pytest.mark.parametrize("eta", [0.0, 0.4, 0.99])  # at 1 diffusers takes the root of a rounding error below 0
@pytest.mark.parametrize("steps", [T, 6, 1])
@pytest.mark.parametrize(("prediction_type", "zero_terminal_snr"), PROCESSES)
def test_ddim_agrees_with_diffusers(prediction_type, steps, eta, clip, zero_terminal_snr):
    for dtype, tolerance in TOLERANCE.items():
        diffusion = process(prediction_type=prediction_type, zero_terminal_snr=zero_terminal_snr)
        scheduler = with_betas(DDIMScheduler, diffusion, dtype, clip_sample=clip == "static")
        noise = start(dtype=dtype)
        ours = list(
            sample_ddim(
                network, diffusion, noise, SamplerOptions(steps=steps, eta=eta, clip=clip), generator=seeded()
            )
        )[1:]
        theirs = list(their_states(scheduler, noise, steps, eta=eta, use_clipped_model_output=True))
        assert len(ours) == len(theirs) == steps
        for state, (xt, x0) in zip(ours, theirs, strict=True):
            torch.testing.assert_close(state.x0, x0, rtol=tolerance, atol=tolerance)
            torch.testing.assert_close(state.xt, xt, rtol=tolerance, atol=tolerance)


def almost_pure_noise_at_the_end(timesteps=T, **options):
    """The process with abar_T = 2^-24, which is what diffusers makes of zero terminal SNR."""
    schedule = process(timesteps, zero_terminal_snr=True, prediction_type="sample").schedule
    betas = schedule.betas.copy()
    betas[-1] = 1.0 - 2.0**-24 / schedule.alphas_cumprod[-2]
    return GaussianDiffusion(Schedule("almost", betas), **options)


# Of numpy 2 about what diffusers does with its own sigmas.
@pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
@pytest.mark.parametrize("make", [process, almost_pure_noise_at_the_end])
@pytest.mark.parametrize("clip", ["none", "static", "dynamic"])
@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("steps", [T, 7, 3, 1])
@pytest.mark.parametrize("prediction_type", DIFFUSERS_TYPES)
def test_dpm_solver_agrees_with_diffusers(prediction_type, steps, eta, clip, make):
    diffusion = make(prediction_type=prediction_type)
    scheduler = with_betas(
        DPMSolverMultistepScheduler,
        diffusion,
        torch.float64,
        algorithm_type="sde-dpmsolver++" if eta else "dpmsolver++",
        solver_order=2,
        final_sigmas_type="zero",
        **THRESHOLDS[clip],
    )
    scheduler.set_timesteps(steps)
    chosen = inference_timesteps(T, steps)
    assert scheduler.timesteps.tolist() == chosen
    # It rounds them to float32.
    abar = torch.from_numpy(diffusion.schedule.alphas_cumprod.copy())[chosen]
    scheduler.sigmas = torch.cat((((1 - abar) / abar).sqrt(), torch.zeros(1, dtype=torch.float64)))
    noise, draws = start(), seeded()
    states = list(
        sample_dpm_solver(
            network, diffusion, noise, SamplerOptions(steps=steps, eta=eta, clip=clip), generator=seeded()
        )
    )
    for before, after in itertools.pairwise(states):
        output = network(before.xt, torch.full((2,), before.timestep))
        z = torch.randn(noise.shape, generator=draws, dtype=torch.float64) if eta else None
        # It rounds each state to float32 too, so each step begins from ours.
        theirs = scheduler.step(output, before.timestep, before.xt, variance_noise=z).prev_sample
        torch.testing.assert_close(after.x0, scheduler.model_outputs[-1], rtol=1e-7, atol=1e-7)
        torch.testing.assert_close(after.xt, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
@pytest.mark.parametrize("make", [process, almost_pure_noise_at_the_end])
@pytest.mark.parametrize("clip", ["none", "static", "dynamic"])
@pytest.mark.parametrize("steps", [T, 7, 3, 2, 1])
@pytest.mark.parametrize("prediction_type", DIFFUSERS_TYPES)
def test_unipc_agrees_with_diffusers(prediction_type, steps, clip, make):
    diffusion = make(prediction_type=prediction_type)
    scheduler = with_betas(
        UniPCMultistepScheduler,
        diffusion,
        torch.float64,
        solver_order=2,
        solver_type="bh2",
        final_sigmas_type="zero",
        **THRESHOLDS[clip],
    )
    scheduler.set_timesteps(steps)
    chosen = inference_timesteps(T, steps)
    assert scheduler.timesteps.tolist() == chosen
    abar = torch.from_numpy(diffusion.schedule.alphas_cumprod.copy())[chosen]
    scheduler.sigmas = torch.cat((((1 - abar) / abar).sqrt(), torch.zeros(1, dtype=torch.float64)))
    states = list(
        sample_unipc(network, diffusion, start(), SamplerOptions(steps=steps, clip=clip), generator=seeded())
    )
    xt = start()
    for state in states[1:]:
        t = states[state.index - 1].timestep
        xt = scheduler.step(network(xt, torch.full((2,), t)), t, xt).prev_sample
        torch.testing.assert_close(state.x0, scheduler.model_outputs[-1], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(state.xt, xt, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
@pytest.mark.parametrize(
    ("spacing", "option"), [("logsnr", "use_lu_lambdas"), ("karras", "use_karras_sigmas")]
)
@pytest.mark.parametrize("steps", [1, 2, 5, 10])
def test_timesteps_evenly_spaced_in_noise_are_those_of_diffusers(spacing, option, steps):
    diffusion = GaussianDiffusion(make_schedule("linear"))
    scheduler = with_betas(DPMSolverMultistepScheduler, diffusion, torch.float64, **{option: True})
    # Its last network call is at timestep 0; ours ends at timestep 0 with one call fewer.
    scheduler.set_timesteps(steps + 1)
    log_snr = diffusion.schedule.log_snr
    chosen = inference_timesteps(1000, steps, spacing=spacing, log_snr=log_snr)
    theirs = scheduler.timesteps.tolist()
    assert theirs[-1] == 0
    assert chosen == pytest.approx(theirs[:-1], abs=1)  # they round float32 logarithms


@pytest.mark.parametrize("timesteps", [1, 2, 7, 24, 50, 99])
def test_timesteps_are_spaced_like_diffusers_trailing_and_begin_at_the_last(timesteps):
    scheduler = DDPMScheduler(num_train_timesteps=timesteps, timestep_spacing="trailing")
    for steps in range(1, timesteps + 1):
        chosen = inference_timesteps(timesteps, steps)
        scheduler.set_timesteps(steps)
        # Rounding makes its list one longer for some pairs, with a timestep of -1 at the end.
        assert chosen == scheduler.timesteps.tolist()[:steps]
        assert chosen[0] == timesteps - 1
        assert len(chosen) == len(set(chosen)) == steps
        assert min(chosen) >= 0
    assert inference_timesteps(timesteps) == list(range(timesteps - 1, -1, -1))
