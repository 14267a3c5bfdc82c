"""Draws of every sampler against a fixture."""

import pytest
import torch
from safetensors.torch import load_file

from tests.support.sampler_cases import CASES, FIXTURE, draw


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpm++", "unipc", "churn"])
def test_draws_are_those_of_the_fixture(sampler):
    images = load_file(FIXTURE)["images"]
    assert len(images) == len(CASES)
    for case, expected in zip(CASES, images, strict=True):
        if case.sampler == sampler:
            # Not bit for bit, because CPUs differ in how they round sines and exponentials.
            torch.testing.assert_close(
                draw(case), expected, rtol=1e-6, atol=1e-6, msg=lambda text, case=case: f"{case}\n{text}"
            )
