"""Figures of true against predicted noise, from the checkpoint of a run that was trained here."""

from pathlib import Path

import numpy as np
import pytest

from core.errors import EXIT_OK
from core.figures import noise_error, predicted_noise
from core.figures.figure_data import CannotDrawError
from core.figures.style import house_style
from tests.support.evaluated_runs import make_run_grid, read_figure_data
from tests.support.tiny_runs import make_tiny_set, new_tiny_run, train_here


def test_a_trained_run_gives_its_errors_by_epoch_and_its_noise_by_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DDPM_DATA", str(tmp_path))
    make_tiny_set(tmp_path)
    run = new_tiny_run(tmp_path, every=9)
    assert train_here(run) == EXIT_OK
    data = read_figure_data(tmp_path / "runs")
    bins = noise_error.bins_by_epoch(data.members)
    assert [(epoch, sum(one.images)) for epoch, one in bins.items()] == [(1, 16), (2, 16), (3, 16)]
    # The network predicts the noise itself, so the mean over all bins is the mean loss of the batches.
    for record, one in zip(data.members[0].epochs, bins.values(), strict=True):
        assert np.dot(one.error, one.images) / 16 == pytest.approx(record.mean, rel=1e-4)
    noise = predicted_noise.PredictedNoise(data, "tiny")
    (row,) = noise.histograms.values()
    assert [one is None for one in row] == [False, False, True, True]
    with house_style():
        scatter, caption = predicted_noise.draw_scatter(data, noise)
        distributions, _ = predicted_noise.draw_distributions(data, noise)
    assert "4 held-out images with the same noise, after 3 epochs" in caption
    for figure in (scatter, distributions):
        texts = [axis.texts[-1].get_text() for axis in figure.axes[2:]]
        assert texts == ["not visited", "not visited"]


def test_without_a_checkpoint_or_images_there_is_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DDPM_DATA", str(tmp_path / "none"))
    (run,) = make_run_grid(tmp_path / "runs", names=("linear",), images=False)
    data = read_figure_data(tmp_path / "runs")
    with pytest.raises(CannotDrawError, match="make them with core data make"):
        predicted_noise.PredictedNoise(data, "high")
    run.checkpoint.unlink()
    with pytest.raises(CannotDrawError, match="no run on these data has a checkpoint yet"):
        predicted_noise.PredictedNoise(data, "high")
