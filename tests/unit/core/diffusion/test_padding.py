"""Padding inside the networks: any size of images, and the loss and the samples keep it."""

import pytest
import torch

from core.diffusion.models.padding import crop_padding, pad_to_multiple
from core.diffusion.models.registry import build_network


@pytest.mark.parametrize("sides", [(28, 28), (31, 17), (1, 8), (100, 50)])
def test_the_crop_undoes_the_padding(sides: tuple[int, int]) -> None:
    x = torch.randn((2, 3, *sides), generator=torch.Generator().manual_seed(0))
    padded = pad_to_multiple(x, 8)
    assert all(0 <= new - old < 8 and new % 8 == 0 for new, old in zip(padded.shape[-2:], sides, strict=True))
    assert padded.count_nonzero() == x.count_nonzero()
    assert torch.equal(crop_padding(padded, *sides), x)


def test_images_of_a_multiple_are_not_copied() -> None:
    x = torch.zeros(1, 1, 32, 16)
    assert pad_to_multiple(x, 8) is x


@pytest.mark.parametrize("preset", ["lean", "thesis"])
@pytest.mark.parametrize("side", [1, 28, 31])
def test_a_network_pads_its_input_and_crops_its_output(preset: str, side: int) -> None:
    network = build_network(preset, channels=3, width=16).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():  # the lean network begins at zero
        parameter.data = 0.05 * torch.randn(parameter.shape, generator=generator)
    x = torch.randn((2, 3, side, side), generator=generator)
    t = torch.tensor([0, 5])
    output = network(x, t)
    assert output.shape == x.shape
    by_hand = crop_padding(network(pad_to_multiple(x, network.divisor), t), side, side)
    assert torch.equal(output, by_hand)
    assert output.abs().sum() > 0
