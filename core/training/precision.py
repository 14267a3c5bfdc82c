"""Arithmetic of a training on its device: bfloat16, TF32 or exact float32, and how fast bfloat16 is."""

import functools
import time
from collections.abc import Callable
from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn.functional import conv2d

Precision = Literal["fp32", "tf32", "bf16"]

_MIN_SPEEDUP: Final = 1.15
"""Minimum speedup of convolutions in bfloat16 that pays for casting their inputs."""
_ROUNDS: Final = 50
_MACOS_WITH_BF16: Final = (14, 0)
_TF32_CAPABILITY: Final = (8, 0)


def has_bf16(device: torch.device) -> bool:
    """Return whether the device has instructions for bfloat16."""
    if device.type == "cuda":
        with torch.cuda.device(device):  # torch asks the current GPU, which may be another one
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "mps":
        return bool(torch.backends.mps.is_macos_or_newer(*_MACOS_WITH_BF16))
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())


def has_tf32(device: torch.device) -> bool:
    """Return whether the device has TF32, as NVIDIA's GPUs have from the A100 on."""
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device) >= _TF32_CAPABILITY


def bf16_is_fast(device: torch.device) -> bool:
    """Return whether training on the device is faster in bfloat16 than in float32; measured on a CPU and on MPS."""
    return has_bf16(device) and (device.type == "cuda" or bf16_speedup(device.type) >= _MIN_SPEEDUP)


def resolve_precision(wanted: str, device: torch.device, *, bf16_is_fast: bool) -> Precision:
    """Return the precision in which a training with the setting `train.precision` runs on a device.

    Args:
        wanted: ``auto``, ``fp32``, ``tf32`` or ``bf16``.
        device: of the training.
        bf16_is_fast: on the devices of all processes of the training; decides ``auto``.

    Returns:
        ``bf16`` or ``fp32`` for ``auto``; ``fp32`` for ``tf32`` on a device without it.
    """
    if wanted == "bf16" or (wanted == "auto" and bf16_is_fast):
        return "bf16"
    return "tf32" if wanted == "tf32" and has_tf32(device) else "fp32"


def set_up_device(device: torch.device, precision: str) -> None:
    """Set this process's options of cuDNN; without effect on other devices than CUDA.

    Convolutions in float32 are exact for ``fp32`` and for an unknown precision, but PyTorch's own default is TF32. For
    ``tf32`` and ``bf16`` they use TF32 (for ``bf16`` where autocast leaves float32: held-out loss and samples). Matrix
    products are always exact, because the Gram matrices of Muon diverge otherwise. The fastest algorithm of each
    convolution is measured at its first call.
    """
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = precision in ("tf32", "bf16")
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.benchmark = True


def memory_format(device: torch.device) -> torch.memory_format:
    """Return the memory format in which the device convolves fastest, or correctly.

    It is channels_last on a CPU and on CUDA. On MPS the gradient of BatchNorm in channels_last crashed or was wrong in
    several versions of PyTorch (issue 175189).
    """
    return torch.channels_last if device.type in ("cpu", "cuda") else torch.contiguous_format


def has_fused_optimizers(device: torch.device) -> bool:
    """Return whether Adam on the device can update a parameter with one kernel."""
    try:
        torch.optim.Adam([torch.zeros(1, device=device)], fused=True)
    except RuntimeError:
        return False
    return True


@functools.cache
def bf16_speedup(kind: str = "cpu") -> float:
    """Measure the speedup of a convolution and its gradients in bfloat16 over float32 on ``cpu`` or ``mps``.

    It is measured because instructions for bfloat16 make some CPUs twice as fast and others slower. Both types
    alternate and the shortest time of each counts, so other load hardly matters. No random numbers are drawn.
    """
    convolve = {dtype: _convolution(dtype, kind) for dtype in (torch.float32, torch.bfloat16)}
    # The first call of each warms up.
    seconds = {dtype: [work() for _ in range(2)][1:] for dtype, work in convolve.items()}
    for _ in range(_ROUNDS):
        for dtype, work in convolve.items():
            seconds[dtype].append(work())
    return min(seconds[torch.float32]) / min(seconds[torch.bfloat16])


def _convolution(dtype: torch.dtype, kind: str = "cpu") -> Callable[[], float]:
    """Return a function that times one of the lean network's convolutions, forward and backward, in seconds."""
    layout = memory_format(torch.device(kind))

    def full(*shape: int) -> Tensor:
        return torch.full(shape, 0.5, dtype=dtype, device=kind).to(memory_format=layout).requires_grad_()

    x, kernel = full(16, 32, 16, 16), full(32, 32, 3, 3)

    def work() -> float:
        start = time.perf_counter()
        with torch.enable_grad():
            y = conv2d(x, kernel, padding=1)
            torch.autograd.grad(y, (x, kernel), torch.ones_like(y))
        if kind == "mps":
            torch.mps.synchronize()
        return time.perf_counter() - start

    return work
