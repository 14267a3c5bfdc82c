"""Class embedding: a vector for each class, and one for "no label", added to the time embedding of a network.

A network that is trained with some labels left out predicts with and without a label, which classifier-free guidance
needs. Letters: N images, K classes, E numbers of an embedding.

Reference: Ho & Salimans 2022, "Classifier-Free Diffusion Guidance".
"""

import torch
from torch import Tensor, nn


class LabelEmbedding(nn.Module):
    """Embedding of classes 0..K-1, and of "no label", which is K.

    Args:
        classes: K.
        dim: E.
    """

    def __init__(self, classes: int, dim: int) -> None:
        super().__init__()
        self.table = nn.Embedding(classes + 1, dim)

    @property
    def no_label(self) -> int:
        """Index of "no label"."""
        return self.table.num_embeddings - 1

    def forward(self, embedding: Tensor, labels: Tensor | None) -> Tensor:
        """Add the vectors of labels, int64 [N], to an embedding [N, E]; None stands for N times "no label"."""
        if labels is None:
            labels = torch.full((len(embedding),), self.no_label, device=embedding.device)
        total: Tensor = embedding + self.table(labels)
        return total
