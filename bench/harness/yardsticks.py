"""Yardsticks of a device: large matrix products, convolutions and copies; the work of a step; a profile of training."""

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from bench.harness.interleaved import Work
from bench.harness.workloads import work_from_steps
from core.training.loop import Trainer

DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16}


class ReferenceSize(NamedTuple):
    """Sizes of the reference operations: an n x n matrix, and images [batch, channels, size, size]."""

    n: int
    batch: int
    channels: int
    size: int


REFERENCE_SIZES: Final = {"cpu": ReferenceSize(2048, 32, 128, 32), "other": ReferenceSize(8192, 128, 256, 64)}


class OperatorTime(NamedTuple):
    """Time that an operator or kernel took by itself, in microseconds, and its number of calls."""

    name: str
    microseconds: float
    calls: int


def step_flops(trainer: Trainer, batch: int) -> int:
    """Floating-point operations of the network, forward and backward, for a batch; a multiply-add counts as two.

    Reference: `torch.utils.flop_counter`, which counts convolutions, matrix products and attention.
    """
    shape = (batch, trainer.channels, trainer.size, trainer.size)
    xt = torch.zeros(shape, device=trainer.device)
    t = torch.zeros(batch, dtype=torch.int64, device=trainer.device)
    # A copy, so that neither the gradients nor the BatchNorm statistics of the trained network change. Attention is
    # counted as plain matrix products, because the counter does not know the fused kernel of a CPU.
    model = copy.deepcopy(trainer.model)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(xt, t).sum().backward()
    return int(counter.get_total_flops())


def matrix_products(n: int, dtype: torch.dtype, device: torch.device) -> Iterator[int]:
    """Products of two n x n matrices, one after the other."""
    generator = torch.Generator(device).manual_seed(0)
    a, b = (torch.randn((n, n), generator=generator, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    while True:
        torch.mm(a, b, out=out)
        yield 1


def convolutions(size: ReferenceSize, dtype: torch.dtype, device: torch.device) -> Iterator[int]:
    """3x3 convolutions with as many output as input channels, in channels_last memory, forward only."""
    generator = torch.Generator(device).manual_seed(0)

    def draw(*shape: int) -> Tensor:
        drawn = torch.randn(shape, generator=generator, device=device)
        return drawn.to(dtype).to(memory_format=torch.channels_last)

    x = draw(size.batch, size.channels, size.size, size.size)
    kernel = draw(size.channels, size.channels, 3, 3)
    while True:
        with torch.no_grad():
            nn.functional.conv2d(x, kernel, padding=1)
        yield 1


def copies(count: int, device: torch.device) -> Iterator[int]:
    """Copies of `count` bytes within the device's memory, one after the other."""
    source = torch.zeros(count, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    while True:
        target.copy_(source)
        yield 1


def convolution_operations(size: ReferenceSize) -> int:
    """Floating-point operations of one of `convolutions`."""
    return 2 * size.batch * size.size**2 * size.channels**2 * 9


def gflop_work(steps: Iterator[int], operations: int, device: torch.device) -> Work:
    """Repeated operations as work in GFLOP."""
    work = work_from_steps(steps, device)
    return lambda: work() * operations / 1e9


def profile_operators(work: Callable[[], object], device: torch.device) -> list[OperatorTime]:
    """Profile some work, and return the operators of a CPU or the kernels of a GPU, the longest first."""
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as profiler:
        work()
    return operator_times(profiler.key_averages(), on_gpu=on_gpu)


def operator_times(events: Iterable[Any], *, on_gpu: bool) -> list[OperatorTime]:
    """The time of each operator or kernel, the longest first.

    On a GPU, torch lists the time of a kernel twice: as the kernel, and as that of the operator that launched it. Only
    kernels count, and no ranges of annotations, which contain kernels.

    Args:
        events: the averages of a profile.
        on_gpu: True counts the device's kernels, False the operators on the host without those that they call.
    """
    found = []
    for event in events:
        on_host = event.device_type.name == "CPU"
        is_range = not on_host and getattr(event, "is_user_annotation", False)
        if on_host is not on_gpu and not is_range:
            spent = event.self_device_time_total if on_gpu else event.self_cpu_time_total
            found.append(OperatorTime(event.key, float(spent), int(event.count)))
    return sorted(found, key=lambda one: -one.microseconds)
