"""Training images that are mapped instead of copied: the same training, also after a resume."""

from pathlib import Path

import numpy as np
import pytest
import torch

from core.files.mapped import release_pages
from core.launch import control
from core.runs import RunDirectory
from core.training import device_images
from core.training.checkpoint import read_checkpoint
from core.training.device_images import DeviceImages
from tests.support.tiny_runs import new_tiny_run, train_here


def _trained_and_resumed() -> RunDirectory:
    run = new_tiny_run(Path("copied" if device_images.MAX_COPIED else "mapped"), every=9, epochs=1)
    assert train_here(run) == 0
    control.resume(run, epochs=2)
    assert train_here(run) == 0
    return run


def test_a_mapped_set_trains_and_resumes_bit_for_bit_like_a_copied_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    copied, _ = read_checkpoint(_trained_and_resumed())
    released: list[int] = []

    def release(images: np.ndarray) -> None:
        released.append(len(images))
        release_pages(images)

    monkeypatch.setattr(device_images, "MAX_COPIED", 0)
    monkeypatch.setattr(device_images, "_RELEASED_AT", 0)
    monkeypatch.setattr(device_images, "release_pages", release)
    mapped, _ = read_checkpoint(_trained_and_resumed())
    assert released == [16] * 4  # after each step of both parts
    assert mapped.keys() == copied.keys()
    assert all(torch.equal(value, mapped[name]) for name, value in copied.items())


def test_only_a_set_beyond_the_threshold_on_a_cpu_is_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.arange(24, dtype=np.uint8).reshape(6, 1, 2, 2)
    for most, is_view in ((24, False), (23, True)):
        monkeypatch.setattr(device_images, "MAX_COPIED", most)
        batches = DeviceImages(images, torch.device("cpu"))
        assert (batches.tensor.data_ptr() == images.ctypes.data) is is_view
        assert torch.equal(batches.batch(torch.tensor([5, 0])), torch.from_numpy(images[[5, 0]]))
