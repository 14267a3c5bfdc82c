"""Samples of a run, drawn in batches."""

import dataclasses

import msgspec
import numpy as np
import pytest
import torch

from core.config import RunConfig, SampleConfig, SamplingOverrides, ScheduleConfig
from core.diffusion.samplers.base import SamplerOptions
from core.diffusion.samplers.registry import sample
from core.errors import UserError
from core.evaluation.sampling import BATCH, draw_samples, draw_samples_from, to_unit
from core.training.checkpoint import LoadedModel, Position, make_diffusion


class Shrinking(torch.nn.Module):
    """A network that predicts noise in proportion to its input."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.9))

    def forward(self, xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return xt * self.weight + t[:, None, None, None] / 100


def loaded(timesteps: int = 6, **settings: object) -> LoadedModel:
    config = RunConfig(
        schedule=ScheduleConfig(timesteps=timesteps),
        sample=msgspec.structs.replace(SampleConfig(), **settings),
    )
    position = Position(
        epoch=1, batch=0, step=1, losses=[], elapsed=0.0, metrics_offset=0, channels=1, size=8
    )
    return LoadedModel(Shrinking(), make_diffusion(config), config, position)


def test_images_are_those_of_one_call_after_the_other_with_one_generator():
    run = loaded()
    generator = torch.Generator().manual_seed(3)
    expected = []
    for size in (BATCH, 5):
        noise = torch.randn((size, 1, 8, 8), generator=generator)
        expected.append(sample("ddpm", run.model, run.diffusion, noise, generator=generator))
    found = draw_samples(run, BATCH + 5, seed=3)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, torch.cat(expected).numpy())


def test_a_network_without_a_run_draws_the_same_images():
    run = loaded(sampler="ddim", steps=3, eta=0.5, spacing="karras", clip="none")
    shape = (BATCH + 1, *run.shape)
    found = draw_samples_from(run.model, run.diffusion, run.config.sample, shape, device=run.device, seed=2)
    np.testing.assert_array_equal(found, draw_samples(run, BATCH + 1, seed=2))


@pytest.mark.parametrize("count", [1, BATCH, BATCH + 1])
def test_as_many_images_are_drawn_as_were_asked_for(count):
    assert draw_samples(loaded(), count).shape == (count, 1, 8, 8)


def test_the_runs_own_sampler_steps_eta_and_clipping_are_used_unless_others_are_given():
    own = loaded(sampler="ddim", steps=2, eta=0.5, clip="none")
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((3, 1, 8, 8), generator=generator)
    options = SamplerOptions(steps=2, eta=0.5, clip="none")
    expected = sample("ddim", own.model, own.diffusion, noise, options, generator=generator)
    np.testing.assert_array_equal(draw_samples(own, 3), expected.numpy())
    asked = SamplingOverrides(sampler="ddpm", steps=3, spacing="karras", clip="static")
    other = dataclasses.replace(own, config=asked.apply_to(own.config))
    np.testing.assert_array_equal(draw_samples(other, 3), draw_samples(loaded(steps=3, spacing="karras"), 3))


def test_an_eta_is_for_samplers_that_take_one():
    config = RunConfig(sample=SampleConfig(sampler="ddpm"))
    assert SamplingOverrides(sampler="ddim", eta=0.5).apply_to(config).sample.eta == 0.5
    assert SamplingOverrides().apply_to(config) == config
    with pytest.raises(UserError, match=r"eta 0\.5: the sampler ddpm takes none; expected one of ddim"):
        SamplingOverrides(eta=0.5).apply_to(config)


def test_a_seed_means_the_same_images_each_time_and_another_means_others():
    np.testing.assert_array_equal(draw_samples(loaded(), 2, seed=1), draw_samples(loaded(), 2, seed=1))
    assert np.abs(draw_samples(loaded(), 2, seed=1) - draw_samples(loaded(), 2, seed=2)).max() > 1e-3


def test_progress_counts_the_networks_calls_to_the_end():
    seen: list[tuple[int, int]] = []
    draw_samples(loaded(steps=3), BATCH + 1, progress=lambda done, total: seen.append((done, total)))
    assert {total for _, total in seen} == {6}
    assert sorted({done for done, _ in seen}) == list(range(7))


def test_one_timestep_is_enough():
    assert np.isfinite(draw_samples(loaded(timesteps=1), 2)).all()


@pytest.mark.parametrize("options", [{"steps": 7}, {"sampler": "euler"}])
def test_what_no_sampler_can_do_is_explained(options):
    with pytest.raises(UserError):
        draw_samples(loaded(**options), 1)


def test_images_are_clipped_into_0_to_1():
    found = to_unit(np.array([-3.0, -1.0, 0.0, 1.0, 3.0], np.float32))
    assert found.dtype == np.float32
    assert found.tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
