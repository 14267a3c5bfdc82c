"""Networks of centred images, against the process on the centred images themselves."""

import pytest
import torch

from core.diffusion.models.centred import CentredNetwork, starting_state
from core.diffusion.samplers.base import SamplerOptions
from core.diffusion.samplers.registry import SAMPLERS, sample
from tests.support.networks import Network, process

CENTRE = torch.linspace(-0.9, 0.4, 4).view(1, 2, 2)


def network(xt, t):
    return torch.tanh(0.7 * xt.flip(-1)) + 0.01 * t.view(-1, 1, 1, 1)


@pytest.mark.parametrize("prediction_type", ["epsilon", "sample", "v_prediction"])
def test_the_loss_is_that_of_the_network_on_centred_images(prediction_type):
    diffusion = process(prediction_type=prediction_type)
    generator = torch.Generator().manual_seed(0)
    x0, eps = torch.rand((2, 5, 1, 2, 2), generator=generator, dtype=torch.float64)
    t = torch.tensor([0, 3, 7, 12, 19])
    centred = CentredNetwork(Network(network), diffusion, CENTRE)
    z0 = x0 - CENTRE
    expected = diffusion.loss(network(diffusion.q_sample(z0, t, eps), t), z0, eps, t)
    found = diffusion.loss(centred(diffusion.q_sample(x0, t, eps), t), x0, eps, t)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_samples_are_those_of_the_centred_process_plus_the_centre(name):
    diffusion = process(prediction_type="v_prediction")
    options = SamplerOptions(steps=6, clip="none", eta=1.0)
    noise = torch.randn((3, 1, 2, 2), generator=torch.Generator().manual_seed(1))
    centred = CentredNetwork(Network(network), diffusion, CENTRE)
    last = diffusion.timesteps - 1
    drawn = [  # with the same noise
        sample(
            name,
            model,
            diffusion,
            starting_state(model, noise, last),
            options,
            generator=torch.Generator().manual_seed(2),
        )
        for model in (centred, Network(network))
        for start in [starting_state(model, noise, last)]
    ]
    torch.testing.assert_close(drawn[0], drawn[1] + CENTRE, rtol=1e-4, atol=1e-5)
    assert starting_state(Network(network), noise, last) is noise
