"""The thesis's network: its size to the parameter, its wiring, its time embedding."""

import math

import pytest
import torch
from torch.nn import functional

from core.diffusion.models.thesis_unet import (
    THESIS_WIDTHS,
    TIME_SINUSOIDS,
    BatchNorm,
    Convolution,
    SinusoidalEmbedding,
    ThesisUNet,
    doubling_widths,
)

TINY = (2, 3, 4)


def tiny(channels=1, seed=0):
    torch.manual_seed(seed)
    return ThesisUNet(channels, TINY).eval()


def test_it_has_the_thesis_number_of_parameters():
    with torch.device("meta"):
        network = ThesisUNet()
    assert sum(p.numel() for p in network.parameters()) == 62_713_025


def test_only_stem_and_head_grow_with_the_channels():
    with torch.device("meta"):
        counts = [sum(p.numel() for p in ThesisUNet(channels).parameters()) for channels in (1, 3)]
    assert counts[1] - counts[0] == 2 * (9 * 64) + 2 * (64 + 1)


@pytest.mark.parametrize("shape", [(1, 1, 4, 4), (2, 3, 8, 12), (3, 2, 32, 32)])
def test_the_output_has_the_shape_of_the_images(shape):
    x = torch.zeros(shape)
    assert tiny(shape[1])(x, torch.zeros(shape[0], dtype=torch.int64)).shape == shape


def test_the_wiring_is_the_one_of_the_printed_code():
    network = tiny(channels=2)
    weights = {name: value + 0.01 for name, value in network.state_dict().items()}
    network.load_state_dict(weights)
    x = torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    t = torch.tensor([0, 7, 250])

    angles = t[:, None] * torch.tensor([math.exp(-k * math.log(10000) / 63) for k in range(64)])
    time = torch.cat((torch.sin(angles), torch.cos(angles)), dim=1)

    def w(name):
        return weights[f"{name}.weight"], weights[f"{name}.bias"]

    def norm(h, name):
        return functional.batch_norm(
            h, weights[f"{name}.running_mean"], weights[f"{name}.running_var"], *w(name), training=False
        )

    def block(h, name):
        h = norm(functional.conv2d(h, *w(f"{name}.conv1"), padding=1).relu(), f"{name}.norm1")
        h = h + functional.linear(time, *w(f"{name}.time")).relu()[:, :, None, None]
        return norm(functional.conv2d(h, *w(f"{name}.conv2"), padding=1).relu(), f"{name}.norm2")

    h0 = functional.conv2d(x, *w("stem"), padding=1)
    h1 = functional.conv2d(block(h0, "downs.0"), *w("downs.0.resample"), stride=2, padding=1)
    h2 = functional.conv2d(block(h1, "downs.1"), *w("downs.1.resample"), stride=2, padding=1)
    u = block(torch.cat((h2, h2), dim=1), "ups.0")
    u = functional.conv_transpose2d(u, *w("ups.0.resample"), stride=2, padding=1)
    u = block(torch.cat((u, h1), dim=1), "ups.1")
    u = functional.conv_transpose2d(u, *w("ups.1.resample"), stride=2, padding=1)
    torch.testing.assert_close(network(x, t), functional.conv2d(u, *w("head")))


@pytest.mark.parametrize("size", [2, 4, 8])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (4, 2, 1), (1, 1, 0)])
def test_a_convolution_to_a_tiny_map_is_torch_s_and_so_are_its_gradients(size, kernel, stride, padding):
    generator = torch.Generator().manual_seed(0)
    ours = Convolution(6, 5, kernel, stride=stride, padding=padding).double()
    theirs = torch.nn.Conv2d(6, 5, kernel, stride=stride, padding=padding).double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn((3, 6, size, size), generator=generator, dtype=torch.float64)
    mine, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    found, expected = ours(mine), theirs(other)
    torch.testing.assert_close(found, expected)
    gradient = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    found.backward(gradient)
    expected.backward(gradient)
    for one, another in ((mine, other), (ours.weight, theirs.weight), (ours.bias, theirs.bias)):
        torch.testing.assert_close(one.grad, another.grad)


def test_the_embedding_is_sines_then_cosines_and_is_not_saved():
    embedded = SinusoidalEmbedding(TIME_SINUSOIDS)(torch.tensor([0, 3]))
    assert embedded.shape == (2, 128)
    torch.testing.assert_close(embedded[0], torch.cat((torch.zeros(64), torch.ones(64))))
    assert embedded[1, 0].item() == pytest.approx(math.sin(3))
    assert embedded[1, 63].item() == pytest.approx(math.sin(3e-4), rel=1e-5)
    assert embedded[1, 64].item() == pytest.approx(math.cos(3))
    assert not any("frequencies" in name for name in tiny().state_dict())


def test_every_parameter_takes_part():
    network = tiny().train()
    output = network(torch.randn(2, 1, 8, 8), torch.tensor([1, 5]))
    output.square().mean().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_the_widths_double_from_the_finest_level():
    assert doubling_widths(64) == THESIS_WIDTHS
    assert doubling_widths(4) == (4, 8, 16, 32, 64)


def test_a_batch_of_one_image_with_one_value_a_channel_can_be_trained_on():
    torch.manual_seed(0)
    network = ThesisUNet(widths=doubling_widths(1)).train()
    for count in (2, 1):
        output = network(torch.randn(count, 1, 16, 16), torch.arange(count))
        output.square().mean().backward()
        assert output.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_a_single_value_a_channel_is_normalized_by_the_running_statistics_and_leaves_them():
    norm = BatchNorm(3).train()
    norm(torch.randn(8, 3, 2, 2) * 2 + 1)
    x = torch.randn(1, 3, 1, 1)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    found = norm(x)
    torch.testing.assert_close(found, norm.eval()(x))
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())
    plain = torch.nn.BatchNorm2d(3).train()
    many = torch.randn(2, 3, 1, 1)
    torch.testing.assert_close(BatchNorm(3).train()(many), plain(many), rtol=0, atol=0)
