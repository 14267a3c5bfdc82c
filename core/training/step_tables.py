"""Values of an epoch's training steps as tensors on the device, for steps that are captured.

A captured step repeats its Python values. So all that changes from step to step is in tables on the device, and a
counter that every step increments selects among them: the images' indices and symmetries, the learning rate, the
average's weight, and the slot of the loss.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from core.data.augmentation import Augment
from core.training.augmentation import symmetry_indices, symmetry_parts


class StepTables:
    """Values of an epoch's steps on the device, and the counter that selects those of the next step.

    Args:
        images: training images, uint8 [N, C, H, W], on the device.
        batch_size: images of a batch; the last one of an epoch may be smaller.
        augment: symmetries of the images, see `core.training.augmentation`.
    """

    def __init__(self, images: Tensor, batch_size: int, augment: Augment) -> None:
        count, self._shape, device = len(images), images.shape[1:], images.device
        batches = math.ceil(count / batch_size)
        self._count, self._pixels = count, images.flatten(2)
        self._order = torch.zeros(batches, batch_size, dtype=torch.int64, device=device)
        self._rates, self._ema_weights, self._losses = torch.zeros(3, batches, device=device).unbind()
        self._counter = torch.zeros(2, 1, dtype=torch.int64, device=device)
        self._batch, self._step = self._counter.unbind()  # views, so that one kernel increments both
        self._symmetries = symmetry_indices(augment, images.shape[-1]).to(device)
        sizes = {min(batch_size, count), count - (batches - 1) * batch_size}
        self._parts = {size: symmetry_parts(augment, size).to(device) for size in sizes}
        self.rate = torch.zeros((), device=device)
        """Learning rate of the step, for the optimizers' parameter groups."""

    def start(
        self, order: Tensor, rates: Sequence[float], ema_weights: Sequence[float], *, batch: int, step: int
    ) -> None:
        """Fill the tables with the values of an epoch, whose next step is `batch`.

        Args:
            order: permutation of the images, int64 [N].
            rates: learning rate of each batch.
            ema_weights: weight of the parameters in the moving average after each batch.
            batch: batches of this epoch that are done.
            step: steps of the training that are done.
        """
        self._order.view(-1)[: self._count] = order
        self._rates.copy_(torch.tensor(rates))
        self._ema_weights.copy_(torch.tensor(ema_weights))
        self._counter.copy_(torch.tensor([[batch], [step]]))

    def images(self, count: int) -> Tensor:
        """Gather the step's images, augmented, uint8 [count, C, H, W]."""
        indices = self._order.index_select(0, self._batch)[0, :count]
        pixels = self._pixels.index_select(0, indices)
        if len(self._symmetries) > 1:
            numbers = (self._parts[count] + self._step) % len(self._symmetries)
            sources = self._symmetries.index_select(0, numbers)
            pixels = pixels.gather(2, sources[:, None].expand_as(pixels))
        return pixels.view(count, *self._shape)

    def update_rate(self) -> None:
        """Set `rate` to that of the step."""
        self.rate.copy_(self._rates.index_select(0, self._batch)[0])

    def ema_weight(self) -> Tensor:
        """Return the weight of the parameters in the moving average after the step, float32 []."""
        return self._ema_weights.index_select(0, self._batch)[0]

    def finish_step(self, loss: Tensor) -> None:
        """Store the step's loss and go on to the next step."""
        self._losses.index_copy_(0, self._batch, loss.reshape(1))
        self._counter.add_(1)

    def loss(self, batch: int) -> Tensor:
        """Return the loss of a batch, float32 []: a view that the batch's step writes."""
        return self._losses[batch]
