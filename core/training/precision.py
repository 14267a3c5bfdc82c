"""Support and speed of bfloat16 on a device."""

import functools
import time
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import conv2d

_MIN_SPEEDUP: Final = 1.15
"""Minimum speedup of convolutions in bfloat16 that pays for casting their inputs."""
_ROUNDS: Final = 50


def has_bf16(device: torch.device) -> bool:
    """Return whether the device has instructions for bfloat16."""
    if device.type == "cuda":
        with torch.cuda.device(device):  # torch asks the current GPU, which may be another one
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())


def bf16_is_fast(device: torch.device) -> bool:
    """Return whether training on the device is faster in bfloat16 than in float32; measured on a CPU."""
    return has_bf16(device) and (device.type != "cpu" or bf16_speedup() >= _MIN_SPEEDUP)


@functools.cache
def bf16_speedup() -> float:
    """Measure the speedup of a convolution and its gradients in bfloat16 over float32 on this CPU.

    It is measured because instructions for bfloat16 make some CPUs twice as fast and others slower. Both types
    alternate and the shortest time of each counts, so other load hardly matters. No random numbers are drawn.
    """
    convolve = {dtype: _convolution(dtype) for dtype in (torch.float32, torch.bfloat16)}
    # The first call of each warms up.
    seconds = {dtype: [work() for _ in range(2)][1:] for dtype, work in convolve.items()}
    for _ in range(_ROUNDS):
        for dtype, work in convolve.items():
            seconds[dtype].append(work())
    return min(seconds[torch.float32]) / min(seconds[torch.bfloat16])


def _convolution(dtype: torch.dtype) -> Callable[[], float]:
    """Return a function that times one of the lean network's convolutions, forward and backward, in seconds."""

    def full(*shape: int) -> Tensor:
        return torch.full(shape, 0.5, dtype=dtype).to(memory_format=torch.channels_last).requires_grad_()

    x, kernel = full(16, 32, 16, 16), full(32, 32, 3, 3)

    def work() -> float:
        start = time.perf_counter()
        with torch.enable_grad():
            y = conv2d(x, kernel, padding=1)
            torch.autograd.grad(y, (x, kernel), torch.ones_like(y))
        return time.perf_counter() - start

    return work
