"""The lean network: levels by the size of the images, and an end that treats every pixel alike."""

import pytest
import torch
from torch import Tensor, nn

from core.config import RunConfig
from core.config.load import decode
from core.diffusion.models import lean_unet
from core.diffusion.models.lean_unet import LeanUNet, lean_plan
from core.training.checkpoint import make_diffusion
from core.training.network import build_run_network

T = torch.tensor([7])


def network(size: int | None = None, *, seamless: bool = False, channels: int = 1) -> LeanUNet:
    torch.manual_seed(0)
    made = LeanUNet(channels, 16, size=size, seamless=seamless).eval()
    generator = torch.Generator().manual_seed(1)
    for parameter in made.parameters():  # it begins at zero
        parameter.data = 0.05 * torch.randn(parameter.shape, generator=generator)
    return made


def noise(side: int, channels: int = 1) -> Tensor:
    return torch.randn((1, channels, side, side), generator=torch.Generator().manual_seed(side))


@pytest.mark.parametrize("side", [28, 32, 64])
def test_up_to_64_pixels_a_network_by_size_is_the_fixed_one_bit_for_bit(side: int) -> None:
    fixed, by_size = network(), network(side)
    assert fixed.state_dict().keys() == by_size.state_dict().keys()
    with torch.inference_mode():
        assert torch.equal(fixed(noise(side), T), by_size(noise(side), T))


@pytest.mark.parametrize(("side", "coarsest"), [(72, 9), (95, 12), (96, 6), (100, 7), (128, 8), (192, 6)])
def test_no_map_of_more_than_256_positions_is_attended_and_large_images_have_more_levels(
    side: int, coarsest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    positions: list[int] = []

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        positions.append(query.shape[2])
        return value

    monkeypatch.setattr(lean_unet, "_attend", attend)
    with torch.inference_mode():
        assert network(side)(noise(side), T).shape == (1, 1, side, side)
    assert max(positions) <= 256
    assert min(positions) == coarsest**2


def test_levels_are_added_at_96_pixels_and_at_each_doubling() -> None:
    assert [lean_plan(side).added for side in (95, 96, 191, 192, 384)] == [0, 1, 1, 2, 3]
    assert lean_plan(None) == lean_plan(32) == lean_plan(64)


def test_the_end_of_a_seamless_network_treats_every_pixel_alike() -> None:
    seamless, x = network(32, seamless=True, channels=3), noise(32, 3)
    for parameter in seamless.head.parameters():
        parameter.data.zero_()
    with torch.inference_mode():
        output, shifted = (seamless(image, T) for image in (x, x.roll(1, dims=-1)))
    assert torch.allclose(output.roll(1, dims=-1)[..., 2:-2], shifted[..., 2:-2], atol=1e-6)
    assert output.std() > 0.01


def test_a_run_that_was_stored_without_a_layout_keeps_the_network_that_it_was_trained_with() -> None:
    stored = decode({"model": {"preset": "lean", "width": 16}}, RunConfig, source="run.toml")
    laid_out = decode(
        {"model": {"preset": "lean", "width": 16, "layout": "by_size", "seamless": True}},
        RunConfig,
        source="run.toml",
    )
    weights = LeanUNet(3, 16).state_dict()
    old, new = (build_run_network(one, make_diffusion(one), (3, 128, 128)) for one in (stored, laid_out))
    assert old.state_dict().keys() == weights.keys()
    assert sum(isinstance(part, nn.Conv2d) for part in new.modules()) > sum(
        isinstance(part, nn.Conv2d) for part in old.modules()
    )
