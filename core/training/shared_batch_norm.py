"""BatchNorm over the whole batch of several processes, on any backend and without waiting for a device.

Torch's own SyncBatchNorm runs on GPUs only, and waits for the device in each layer. Here sums, sums of squares and
counts are added over the processes by one all-reduce in the forward pass, and two sums in the backward pass.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional


class SharedBatchNorm(nn.BatchNorm2d):
    """BatchNorm whose statistics in training are those of the images of all processes.

    Parameters and buffers are those of the layer that it replaces.

    Args:
        layer: the layer to replace, with running statistics and weights.
        copies: returns the number of processes that compute the same images, which is 1 unless a batch has fewer images
            than there are processes.
    """

    def __init__(self, layer: nn.BatchNorm2d, copies: Callable[[], int] = lambda: 1) -> None:
        super().__init__(layer.num_features, layer.eps, layer.momentum, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.running_mean, self.running_var = layer.running_mean, layer.running_var
        self.num_batches_tracked = layer.num_batches_tracked
        self.train(layer.training)
        self._copies = copies

    def forward(self, x: Tensor) -> Tensor:
        """Normalize [N, C, H, W], this process's share of the batch, over all but the channels."""
        assert self.running_mean is not None
        assert self.running_var is not None
        copies = self._copies()
        # All processes have the same single value a channel, whose variance would be zero.
        is_single_value = copies > 1 and x.numel() == x.shape[1]
        if not self.training or is_single_value:
            return functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        y: Tensor
        y, mean, var, count = _Normalize.apply(x, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        count = count / copies
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var * (count / (count - 1)), self.momentum)
        return y


class _Normalize(torch.autograd.Function):
    """Normalization by the statistics of all processes: x, weight, bias, eps -> y, mean, var, count."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        dtype = weight.dtype  # statistics of bfloat16 are summed in float32
        channels = x.shape[1]
        sums = torch.cat(
            [
                x.sum((0, 2, 3), dtype=dtype),
                x.to(dtype).square().sum((0, 2, 3)),
                torch.full((1,), x.numel() // channels, dtype=dtype, device=x.device),
            ]
        )
        dist.all_reduce(sums)
        count = sums[-1:]
        mean, squares = (sums[:-1] / count).view(2, channels).unbind()
        var = (squares - mean.square()).clamp_min(0.0)
        y = functional.batch_norm(x, mean, var, weight, bias, eps=eps)
        ctx.save_for_backward(x, weight, mean, (var + eps).rsqrt(), count)
        ctx.mark_non_differentiable(mean, var, count)
        return y, mean, var, count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, inverse_std, count = ctx.saved_tensors
        dy = gradients[0].to(weight.dtype)
        shape = (1, -1, 1, 1)
        normal = (x.to(weight.dtype) - mean.view(shape)) * inverse_std.view(shape)
        sums = torch.stack([dy.sum((0, 2, 3)), (dy * normal).sum((0, 2, 3))])
        d_bias, d_weight = sums.clone().unbind()  # of this process: DistributedDataParallel averages them
        dist.all_reduce(sums)
        d_mean, d_std = (sums / count).unbind()
        dx = (weight * inverse_std).view(shape) * (dy - d_mean.view(shape) - normal * d_std.view(shape))
        return dx.to(x.dtype), d_weight, d_bias, None


def share_batch_norm(model: nn.Module, copies: Callable[[], int]) -> nn.Module:
    """Replace each BatchNorm of a network, in place, and return the network; tensors and their names stay.

    Args:
        model: the network; not itself a BatchNorm.
        copies: see `SharedBatchNorm`.
    """
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, SharedBatchNorm(child, copies))
    return model
