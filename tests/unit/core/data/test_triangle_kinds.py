"""Kinds of triangles: drawn equally often, apart from each other, and found again in their images."""

from pathlib import Path

import numpy as np

from core.data import find_data_recipe, load_dataset
from core.data.preview import first_images
from core.data.triangle_kinds import KINDS, classify_kinds, draw_kinds, largest_angles
from core.data.triangles import HELDOUT, TRAIN
from core.evaluation.by_class import label_accuracy
from core.evaluation.triangle_fit.fit import fit_triangles


def test_the_largest_angle_of_known_triangles() -> None:
    corners = np.array(
        [[[0, 0], [3, 0], [0, 4]], [[0, 0], [1, 0], [0.5, 3**0.5 / 2]], [[0, 0], [4, 0], [2, 0.1]]]
    )
    np.testing.assert_allclose(largest_angles(corners), [90, 60, 180 - 2 * np.degrees(np.arctan(0.05))])
    assert classify_kinds(corners).tolist() == [1, 0, 2]
    assert classify_kinds(np.full((1, 3, 2), np.nan)).tolist() == [-1]


def test_kinds_are_equally_often_apart_and_a_prefix_of_more() -> None:
    corners, kinds = draw_kinds(6000, seed=0, split=TRAIN)
    assert np.abs(np.bincount(kinds) / 6000 - 1 / 3).max() < 0.02
    off = largest_angles(corners) - 90
    assert off[kinds == 0].max() <= -15
    assert np.abs(off[kinds == 1]).max() <= 5
    assert off[kinds == 2].min() >= 15
    fewer = draw_kinds(50, seed=0, split=TRAIN)
    np.testing.assert_array_equal(fewer[0], corners[:50])
    np.testing.assert_array_equal(fewer[1], kinds[:50])
    assert not np.array_equal(draw_kinds(50, seed=0, split=HELDOUT)[0], corners[:50])


def test_the_fit_finds_the_kind_of_images_of_the_set_and_a_preview_shows_them(tmp_path: Path) -> None:
    made = load_dataset("kinds", data_dir=tmp_path, count=60, heldout=4, labels=True)
    assert made.classes == KINDS
    assert made.train_labels is not None
    np.testing.assert_array_equal(first_images(find_data_recipe("kinds"), 5, heldout=False), made.train[:5])
    fits = fit_triangles(made.train[:12].astype(np.float32) / 255)
    accuracy = label_accuracy(fits, made.train_labels[:12], KINDS)["label_accuracy"]
    assert accuracy.value == 1.0
    assert label_accuracy(fits, (made.train_labels[:12] + 1) % 3, KINDS)["label_accuracy"].value == 0.0
    assert label_accuracy(fits, made.train_labels[:12], ("cat", "dog")) == {}
