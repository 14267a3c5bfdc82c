"""Augmentation of batches by symmetries."""

import pytest
import torch

from core.data.augmentation import Augment
from core.training.augmentation import augment

IMAGE = torch.arange(6.0).reshape(1, 1, 2, 3)[..., :2] ** 2


def seen(batch: torch.Tensor) -> set[tuple[float, ...]]:
    return {tuple(image.flatten().tolist()) for image in batch}


@pytest.mark.parametrize(("kind", "count"), [("none", 1), ("flips", 2), ("dihedral", 8)])
def test_a_batch_shows_all_symmetries_and_each_image_takes_all_of_them_in_turn(
    kind: Augment, count: int
) -> None:
    batch = IMAGE.expand(16, -1, -1, -1)
    steps = [augment(batch, kind, step) for step in range(count)]
    assert all(step.shape == batch.shape for step in steps)
    assert all(len(seen(step)) == count for step in steps)
    assert all(len(seen(torch.stack([step[index] for step in steps]))) == count for index in range(16))
    rotated = torch.rot90(IMAGE, 1, (2, 3))
    assert (tuple(rotated.flatten().tolist()) in seen(steps[0])) == (kind == "dihedral")


def test_a_batch_smaller_than_the_group_is_augmented_too() -> None:
    turned = torch.cat([augment(IMAGE, "dihedral", step) for step in range(8)])
    assert turned.shape == (8, 1, 2, 2)
    assert len(seen(turned)) == 8
