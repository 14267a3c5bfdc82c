"""BatchNorm over several processes, which are threads here, against one process with the whole batch."""

import copy
import threading
from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.testing import assert_close

from core.diffusion.models.registry import build_network
from core.diffusion.models.thesis_unet import BatchNorm
from core.training.shared_batch_norm import SharedBatchNorm, share_batch_norm


@pytest.fixture
def in_processes(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Tensor]]:
    """Run a function of the rank in two threads whose all_reduce is a sum over both."""
    barrier, parts = threading.Barrier(2, timeout=60.0), dict[int, Tensor]()
    rank = threading.local()

    def all_reduce(tensor: Tensor) -> None:
        parts[rank.number] = tensor.clone()
        barrier.wait()
        tensor.copy_(parts[0] + parts[1])
        barrier.wait()

    def run(work: Callable[[int], Tensor]) -> list[Tensor]:
        found: dict[int, Tensor] = {}

        def one(number: int) -> None:
            rank.number = number
            found[number] = work(number)

        threads = [threading.Thread(target=one, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [found[0], found[1]]

    monkeypatch.setattr(dist, "all_reduce", all_reduce)
    return run


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_thesis_network_in_two_processes_has_the_outputs_gradients_and_statistics_of_one(
    in_processes: Callable[..., list[Tensor]],
) -> None:
    torch.manual_seed(0)
    whole = build_network("thesis", channels=1, width=2).double()
    networks = [share_batch_norm(copy.deepcopy(whole), lambda: 1) for _ in range(2)]
    x, t, target = normal(5, 1, 16, 16), torch.arange(5) * 100, normal(5, 1, 16, 16, seed=1)
    expected = whole(x, t)
    (expected - target).square().mean().backward()
    shards = [slice(0, 2), slice(2, 5)]

    def train(rank: int) -> Tensor:
        shard = shards[rank]
        output: Tensor = networks[rank](x[shard], t[shard])
        ((output - target[shard]).square().sum() / x.numel()).backward()
        return output.detach()

    assert_close(torch.cat(in_processes(train)), expected.detach())
    for name, p in whole.named_parameters():
        parts = [dict(network.named_parameters())[name].grad for network in networks]
        assert p.grad is not None
        assert_close(parts[0] + parts[1], p.grad, msg=lambda text, name=name: f"{name}: {text}")
    for network in networks:
        assert_close(dict(network.named_buffers()), dict(whole.named_buffers()))
        network.eval()
        with torch.no_grad():
            assert_close(network(x, t), whole.eval()(x, t))


@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (1, 3, 1, 1)])
def test_a_batch_of_fewer_images_than_processes_counts_each_image_once(
    in_processes: Callable[..., list[Tensor]], shape: tuple[int, ...]
) -> None:
    whole = BatchNorm(3).double()
    layers = [SharedBatchNorm(copy.deepcopy(whole), lambda: 2) for _ in range(2)]
    x = normal(*shape)
    expected = whole(x)
    for found in in_processes(lambda rank: layers[rank](x).detach()):
        assert_close(found, expected.detach())
    for layer in layers:
        assert_close(layer.running_mean, whole.running_mean)
        assert_close(layer.running_var, whole.running_var)


def test_statistics_of_bfloat16_are_summed_in_float32(in_processes: Callable[..., list[Tensor]]) -> None:
    layers = [SharedBatchNorm(nn.BatchNorm2d(2)) for _ in range(2)]
    x = (normal(64, 2, 8, 8) + 3).bfloat16()

    def train(rank: int) -> Tensor:
        mine = x[32 * rank : 32 * rank + 32].clone().requires_grad_()
        layers[rank](mine).float().square().sum().backward()
        assert mine.grad is not None
        assert mine.grad.dtype == torch.bfloat16
        return layers[rank](mine).detach()

    found = torch.cat(in_processes(train)).float()
    assert_close(found.mean((0, 2, 3)), torch.zeros(2), rtol=0, atol=1e-3)
    assert_close(found.std((0, 2, 3)), torch.ones(2), rtol=0, atol=1e-2)
