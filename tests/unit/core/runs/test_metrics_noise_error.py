"""Noise errors of epochs in the file of metrics."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from core.runs.metrics import MetricsTail, MetricsWriter
from core.statistics.noise_error_bins import BINS, NoiseErrorBins
from tests.unit.core.runs.test_metrics import record


def test_the_noise_error_of_an_epoch_is_read_back_and_other_bins_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    images, error = (0, *range(1, BINS)), (0.0, *(0.5**index for index in range(1, BINS)))
    log_snr = (0.0, *(index - 8.0 for index in range(1, BINS)))
    bins = NoiseErrorBins(images, log_snr, error)
    heldout = NoiseErrorBins((0, *[10] * (BINS - 1)), log_snr, error)
    line = json.dumps({"k": "e", "e": 3, "s": 9, "t": 1, "noise": {"n": [1], "x": [0.5], "m": [None]}})
    with MetricsWriter(path) as writer:
        writer.append_epoch(
            msgspec.structs.replace(record(1, 5), noise_error=bins, heldout_noise_error=heldout)
        )
        writer.append_epoch(record(2, 7))
    with path.open("a") as file:
        file.write(line + "\n")
    tail = MetricsTail(path, epochs_only=True)
    tail.poll()
    first, second, third = (record.noise_error for record in tail.epochs)
    assert (second, third, tail.damaged) == (None, None, 0)
    assert first is not None
    written = tail.epochs[0].heldout_noise_error
    assert written is not None
    assert (written.images, written.log_snr, written.error) == (heldout.images, log_snr, first.error)
    assert [record.heldout_noise_error for record in tail.epochs[1:]] == [None, None]
    assert (first.images, first.log_snr) == (images, log_snr)
    assert first.error == pytest.approx(error, rel=1e-5)
    assert np.isnan(first.errors_by_bin()[0])
    assert len(first.curve()[0]) == BINS - 1
