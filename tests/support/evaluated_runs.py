"""Fake trained and evaluated runs, for the tests of figures and reports."""

import io
import itertools
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np

from core.config import RunConfig
from core.figures import DrawnFigure, MissingFigure, draw_all, load_figure_data, quality, style
from core.runs import Evaluation, RunDirectory, RunStore, add_evaluation
from core.statistics.estimate import Estimate
from tests.support.fake_runs import CREATED, TRIANGLE_METRICS, make_run


def evaluation(seed: int = 0, *, level: float = 0.9, **changes: object) -> Evaluation:
    """Make an evaluation with every metric and curve; a higher `level` is better."""
    rng = np.random.default_rng(seed)
    metrics = {}
    for name, metric in TRIANGLE_METRICS.items():
        value = (level if metric.better != "lower" else 1 - level) + rng.normal(0, 0.002)
        metrics[name] = Estimate(value, value - 0.01, value + 0.01)
    x = [1.0, 10.0, 100.0, 1000.0]
    names = [
        name
        for page in (quality.TIMESTEPS, quality.DECILES, quality.RECONSTRUCTION)
        for name, *_ in page.curves
    ]
    curves: dict[str, list[float | None]] = {name: [level, 0.5, None, 0.1] for name in names}
    fields = {
        "created": "2026-11-24T12:00:00+00:00",
        "epoch": 10,
        "step": 400,
        "dataset": "high",
        "count": 1000,
        "heldout": 1000,
        "sampler": "ddim",
        "steps": 50,
        "eta": 1.0,
        "metrics": metrics,
        "real": {"coverage": Estimate(0.96, 0.95, 0.97), "residual": Estimate(0.02)},
        "curves": curves | {f"{name}.x": x for name in names},
    }
    return Evaluation(**{**fields, **changes})  # type: ignore[arg-type]  # the fields above


def make_run_grid(
    root: Path, *, datasets=("high",), names=("linear", "x^10"), seeds=(0,), evaluated=False, **each
):
    """Make a run for each cell of a grid."""
    runs = []
    for dataset, name, seed in itertools.product(datasets, names, seeds):
        delay = timedelta(milliseconds=len(runs))
        each.setdefault("epochs", 3)
        runs.append(
            make_run(root, dataset=dataset, schedule=name, seed=seed, created=CREATED + delay, **each)
        )
        if evaluated:
            add_evaluation(
                runs[-1], evaluation(len(runs), level=0.4 if name == "x^10" else 0.9, dataset=dataset)
            )
    return runs


def make_configured_run(root: Path, run_id: str, **sections: msgspec.Struct) -> RunDirectory:
    """Make a finished run with the given sections of its configuration."""
    return make_run(root, config=RunConfig(**sections), run_id=run_id, epochs=2)


def read_figure_data(root: Path):
    return load_figure_data(RunStore(root).infos())


def draw_figures(root: Path, **options) -> dict[str, DrawnFigure | MissingFigure]:
    return {one.key: one for one in draw_all(read_figure_data(root), **options)}


def missing_reasons(found: dict[str, DrawnFigure | MissingFigure]) -> dict[str, str]:
    return {key: one.reason for key, one in found.items() if isinstance(one, MissingFigure)}


def figure_bytes(figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    style.write(figure, buffer, kind, title="A title", caption="What to say.")
    return buffer.getvalue()
