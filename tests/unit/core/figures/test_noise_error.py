"""Figures of the noise-prediction error by noise level."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.figures import noise_error
from core.figures.figure_data import CannotDrawError, FigureData
from core.figures.style import house_style
from core.statistics.noise_error_bins import BINS, NoiseErrorBins, multiples_of_best
from tests.support.evaluated_runs import make_run_grid, read_figure_data
from tests.support.fake_runs import add_heldout_noise_errors, fake_noise_error


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> FigureData:
    root: Path = tmp_path_factory.mktemp("runs")
    make_run_grid(root, seeds=(0, 1), images=False)
    return read_figure_data(root)


def test_runs_of_several_seeds_are_pooled_by_their_images() -> None:
    few, many = fake_noise_error(1), replace(fake_noise_error(5), images=(0, *[192] * (BINS - 1)))
    pooled = NoiseErrorBins.pooled([few, many])
    assert pooled.images == (0, *[256] * (BINS - 1))
    assert pooled.error[8] == pytest.approx(few.error[8] / 4 + 3 * many.error[8] / 4)
    assert pooled.log_snr[8] == pytest.approx(few.log_snr[8])
    assert np.isnan(pooled.errors_by_bin()[0])


def test_the_best_epoch_of_a_level_is_one_and_others_are_multiples_of_it() -> None:
    multiples = multiples_of_best([fake_noise_error(1), fake_noise_error(2)])
    assert multiples.shape == (2, BINS)
    assert np.isnan(multiples[:, 0]).all()
    np.testing.assert_array_equal(multiples[1, 1:], 1.0)
    assert multiples[0, 8] == pytest.approx(fake_noise_error(1).error[8] / fake_noise_error(2).error[8])


def test_a_line_is_the_last_epoch_and_a_heatmap_has_a_panel_for_each_schedule(data: FigureData) -> None:
    with house_style():
        curves, caption = noise_error.draw_curves(data)
        epochs, _ = noise_error.draw_epochs(data)
    lines = curves.axes[0].get_lines()
    assert len(lines) == 2
    np.testing.assert_allclose(lines[0].get_xdata(), fake_noise_error(3).curve()[0])
    np.testing.assert_allclose(lines[0].get_ydata(), fake_noise_error(3).curve()[1], rtol=1e-5)
    assert "after 3 epochs; 2 seeds each" in caption
    assert [axis.get_title() for axis in epochs.axes[:2]] == ["linear", "$x^{10}$"]
    assert len(epochs.axes[0].collections) == 3


def test_a_heatmap_is_of_held_out_images_once_all_runs_have_their_errors(tmp_path: Path) -> None:
    runs = make_run_grid(tmp_path, images=False)
    captions = []
    for run in runs:
        add_heldout_noise_errors(run.metrics_file, (1, 3))  # epoch 2 has no sheet of samples
        data = read_figure_data(tmp_path)
        with house_style():
            figure, caption = noise_error.draw_epochs(data)
        captions.append("averaged weights on held-out images" in caption)
        assert len(figure.axes[0].collections) == 3
    assert captions == [*[False] * (len(runs) - 1), True]
    (member,) = data.series[0].members[:1]
    held = noise_error.bins_by_epoch([member], heldout=True)
    assert held[1] == held[2] != held[3]
    assert sum(held[1].images) == 10 * (BINS - 1)


def test_runs_of_older_versions_are_left_out_for_a_reason(tmp_path: Path) -> None:
    (run,) = make_run_grid(tmp_path, names=("linear",), images=False)
    text = run.metrics_file.read_text()
    run.metrics_file.write_text(text.replace('"noise":', '"other":'))
    with pytest.raises(CannotDrawError, match="older versions did not"):
        noise_error.draw_curves(read_figure_data(tmp_path))
