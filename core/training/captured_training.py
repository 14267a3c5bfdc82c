"""A training's steps as functions of tensors on the device, so that they can be captured.

A captured step repeats its Python values. So all that changes from step to step is in tables on the device, and a
counter that every step increments selects among them: the images' indices and symmetries, the learning rate, the
average's weight, and the slot of the record.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.data.augmentation import Augment
from core.training.augmentation import scale, symmetry_indices, symmetry_parts
from core.training.captured_step import Capture, CapturedNetwork, CapturedSteps, CaptureError
from core.training.noise_error import SUMS

if TYPE_CHECKING:
    from core.training.loop import Trainer


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
        self._rates, self._ema_weights = torch.zeros(2, batches, device=device).unbind()
        self._records = torch.zeros(batches, 1 + SUMS, device=device)
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

    def indices(self, count: int) -> Tensor:
        """Return the indices of the step's images, int64 [count]."""
        return self._order.index_select(0, self._batch)[0, :count]

    def images(self, count: int) -> Tensor:
        """Gather the step's images, augmented, uint8 [count, C, H, W]."""
        indices = self.indices(count)
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

    def finish_step(self, record: Tensor) -> None:
        """Store the step's record and go on to the next step."""
        self._records.index_copy_(0, self._batch, record[None])
        self._counter.add_(1)

    def record(self, batch: int) -> Tensor:
        """Return the record of a batch, float32 [1 + SUMS]: a view that the batch's step writes."""
        return self._records[batch]


class CapturedTraining:
    """The steps of a trainer, captured.

    Args:
        trainer: a trainer in one process, which seeds each step.
        capture: recorder of its device.
    """

    def __init__(self, trainer: "Trainer", capture: Capture) -> None:
        self._trainer = trainer
        self._tables = StepTables(trainer.images, trainer.config.train.batch_size, trainer.augment)
        self._steps = CapturedSteps(self._step, capture)
        self.network = CapturedNetwork(trainer.model, capture)
        """The trainer's network for `Trainer.eval_mode`."""

    def start_epoch(self, order: Tensor) -> None:
        """Write the values of the epoch's steps to the device, and let the optimizers read their rate there.

        Args:
            order: permutation of the images, int64 [N].
        """
        trainer = self._trainer
        ahead = range(-trainer.batch, trainer.batches_per_epoch - trainer.batch)
        ema, done = trainer.ema, trainer.step + 1
        self._tables.start(
            order,
            rates=[trainer.learning_rate(number) for number in ahead],
            ema_weights=[ema.parameter_weight(done + number) if ema else 0.0 for number in ahead],
            batch=trainer.batch,
            step=trainer.step,
        )
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"], group["capturable"] = self._tables.rate, True

    def train_step(self) -> Tensor:
        """Update the weights once; return the batch's record, float32 [1 + SUMS], which stays on the device."""
        trainer = self._trainer
        size = trainer.config.train.batch_size
        trainer.seed_step()
        count = min(size, len(trainer.images) - trainer.batch * size)
        try:
            self._steps.run(count, trainer.generator)
        except CaptureError as error:
            print(f"training steps are not captured as CUDA graphs, so they may be slower: {error}")
            trainer.generator = torch.Generator(
                trainer.device
            )  # because the other one may still be in the capture
            trainer.seed_step()
            self._steps.run(count, trainer.generator)
        return self._tables.record(trainer.batch)

    def reset(self) -> None:
        """Forget the captured steps, because the trainer was restored."""
        self._steps.reset()

    def _step(self, count: int) -> None:
        """Do the next step of the tables, of `count` images; nothing here may depend on another Python value."""
        trainer, tables = self._trainer, self._tables
        x0 = scale(tables.images(count))
        t = trainer.timestep_sampler.sample(count, trainer.generator)
        eps = torch.randn(x0.shape, generator=trainer.generator, device=trainer.device)
        labels = trainer.labels
        drawn = labels.draw(tables.indices(count), trainer.generator) if labels else None
        tables.update_rate()
        record = trainer.update(x0, t, eps, labels=drawn)
        if trainer.ema:
            trainer.ema.update_by(tables.ema_weight())
        tables.finish_step(record)
