"""Quality on any images: a score that is passed in, sheets of samples, and the recipe for images."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.cases import quality_images
from bench.harness.workloads import noise_set
from core.imaging.sheet import read_sheet


def score(samples: NDArray[Any], real: NDArray[Any]) -> SimpleNamespace:
    return SimpleNamespace(value=abs(samples.mean() - real.mean() / 255 * (1 if samples.max() <= 1 else 255)))


def test_each_training_has_a_row_of_its_score_over_the_seeds_and_a_sheet(tmp_path: Path) -> None:
    images = noise_set(20, 8, channels=3)
    grey = np.full((70, 3, 8, 8), 0.5, np.float32)
    found = {"ours, 5 s": [(5.0, grey), (5.5, grey * 0)], "diffusers, own net, 5 s": [(5.1, grey)]}
    rows = quality_images.image_rows(found, images, score)
    assert [row.name for row in rows] == [
        "ours, 5 s: kernel distance",
        "ours, 5 s: took",
        "diffusers, own net, 5 s: kernel distance",
        "diffusers, own net, 5 s: took",
    ]
    assert rows[0].values[1] > 0.3 > rows[0].values[0]
    files = quality_images.write_samples(found, tmp_path / "sheets")
    assert [file.name for file in files] == [
        "ours-5-s-0.png",
        "ours-5-s-1.png",
        "diffusers-own-net-5-s-0.png",
    ]
    assert len(read_sheet(files[0]).images) == 64
    assert "real training images" in quality_images.real_note(images, score)


def test_only_the_time_limits_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DDPM_DATA", str(tmp_path / "sets"))
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).integers(0, 256, (60, 32, 32), dtype=np.uint8))
    config = quality_images.images_config(str(tmp_path / "noise.npy"), 3)
    assert (config.train.seed, config.train.max_steps, config.train.max_minutes) == (3, 0, 0)
    assert (config.recipe, config.model.layout) == ("images", "by_size")
