"""Curve of the noise prediction error: between and beyond its points."""

import numpy as np
import pytest

from core.statistics.noise_error import Array, NoiseErrorCurve


def test_the_curve_of_a_gaussian_is_met_between_and_beyond_its_points() -> None:
    def error(log_snr: Array) -> Array:  # of data with a variance of 1
        return np.exp(log_snr) / (1 + np.exp(log_snr))

    points = np.linspace(-8, 8, 65)
    curve = NoiseErrorCurve(points, error(points), error(points), error(points))
    between = np.array([-12.0, -7.9, -0.1, 0.1, 3.3, 12.0])
    assert curve.at(between) == pytest.approx(error(between), rel=4e-3)
