"""Labels of training images, of which some are left out, so that the network can also predict without a label.

Reference: Ho & Salimans 2022, Alg. 1, with p_uncond = `train.label_dropout`.
"""

from typing import Self

import torch
from torch import Tensor

from core.config.schema import RunConfig
from core.data import ImageSet
from core.errors import UserError


class TrainingLabels:
    """Labels of the training and held-out images on a device.

    Args:
        train: int64 [N].
        heldout: int64 [M].
        classes: K; the label K stands for "no label".
        dropout: probability of leaving a label out.
    """

    def __init__(self, train: Tensor, heldout: Tensor, classes: int, dropout: float) -> None:
        self.train, self.heldout, self.classes, self.dropout = train, heldout, classes, dropout

    @classmethod
    def from_images(cls, config: RunConfig, images: ImageSet, device: torch.device) -> Self | None:
        """Return the labels that a run is trained with; None without `data.labels`.

        Raises:
            UserError: the images have no labels.
        """
        if not config.data.labels:
            return None
        if images.train_labels is None or images.heldout_labels is None:
            raise UserError(f"{images.name}: data.labels = true, but the data set has no labels")
        labels = (images.train_labels, images.heldout_labels[: config.data.heldout])
        train, heldout = (torch.from_numpy(part.copy()).to(device) for part in labels)
        return cls(train, heldout, len(images.classes), config.train.label_dropout)

    def draw(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Return the labels of training images, int64 [B], each left out with probability `dropout`.

        Args:
            indices: of the images, int64 [B].
            generator: draws one number for each image.
        """
        labels = self.train.index_select(0, indices)
        left_out = torch.rand(labels.shape, generator=generator, device=labels.device) < self.dropout
        return labels.masked_fill(left_out, self.classes)
