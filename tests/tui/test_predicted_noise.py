"""True against predicted noise of the selected run, in the view of noise levels."""

from pathlib import Path

import numpy as np

from core.runs.predicted_noise import CELLS, NoiseTable, PredictedNoise, write_predicted_noise
from tests.support.fake_groups import five_runs
from tests.support.tui_pilot import dashboard
from tui.screens.compare.screen import CompareScreen
from tui.widgets.charts.predicted_noise_chart import ONLY_TRUE, PERFECT, distribution_pixels, joint_pixels


def narrow() -> np.ndarray:
    """A prediction of 0, whatever the noise is."""
    table = np.zeros((CELLS, CELLS), dtype=np.int64)
    table[8:24, CELLS // 2] = 100
    return table


def test_true_noise_is_to_the_right_predicted_noise_upwards_and_the_diagonal_is_grey() -> None:
    pixels = joint_pixels(narrow(), CELLS)
    lit = pixels.astype(int).sum(axis=2) > sum(PERFECT)
    rows, columns = np.nonzero(lit)
    assert set(rows) == {CELLS // 2 - 1}
    assert (columns.min(), columns.max()) == (8, 23)
    assert tuple(pixels[-1, 0]) == tuple(pixels[0, -1]) == PERFECT
    assert not pixels[0, 0].any()
    assert joint_pixels(narrow(), CELLS - 1).shape == (CELLS // 2, CELLS // 2, 3)


def test_the_wider_distribution_is_alone_at_the_sides() -> None:
    pixels = distribution_pixels(narrow(), CELLS, 64)
    assert tuple(pixels[-1, 8]) == tuple(pixels[-1, 23]) == ONLY_TRUE
    assert not pixels[:, :8].any()
    assert pixels[0, CELLS // 2].any()  # all predictions are in one cell


async def test_a_key_shows_what_an_evaluation_left_with_the_selected_run(tmp_path: Path) -> None:
    five_runs(tmp_path)
    visited = NoiseTable(wanted=2.0, log_snr=2.1, error=0.25, counts=narrow().ravel().tolist())
    found = PredictedNoise(
        epoch=3, step=30, images=32, limit=4.0, levels=[visited] * 3 + [NoiseTable(wanted=-6.0)]
    )
    async with dashboard(tmp_path, (80, 24)) as driven:
        await driven.press("c")
        await driven.until(lambda: isinstance(driven.app.screen, CompareScreen) and driven.app.screen.runs)
        await driven.press("p")
        screen = driven.app.screen
        assert isinstance(screen, CompareScreen)
        assert screen.view == "levels"
        await driven.until(lambda: "no evaluation has kept the predicted noise yet" in driven.text())
        write_predicted_noise(screen.runs[0].run, found)
        await driven.until(lambda: "m 0.25" in driven.text())
        assert "not visited" in driven.text()
        assert "1 linear" in driven.text()
        await driven.press("b")
        await driven.until(lambda: "m 0.25" not in driven.text())
        await driven.press("p")
        await driven.until(lambda: "error by epoch" in driven.text())
