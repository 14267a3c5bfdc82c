"""Cells of crossings, kept with their runs, and their figure."""

import pytest

from core.figures import load_figure_data
from core.figures.cross import draw_cross
from core.figures.figure_data import CannotDrawError
from core.runs import RunStore
from core.runs.cross import FILE_NAME, CrossCell, add_cross_cell, read_cross_cells
from core.statistics.estimate import Estimate
from tests.support.fake_runs import make_run


def cell(schedule: str, value: float, **changes: object) -> CrossCell:
    fields = {"levels": (-3.0, 1.0), "calls": 2, "beyond": 0, "step": 5, "sampler": "ddim", "count": 4}
    metrics = {"balanced_pass_rate": Estimate(value), "area_distance": Estimate(1 - value)}
    return CrossCell(schedule=schedule, heldout=9, seed=0, metrics=metrics, **{**fields, **changes})


@pytest.fixture
def runs(tmp_path):
    for name in ("linear", "x^2"):
        make_run(tmp_path, name, images=False)
    return RunStore(tmp_path).runs()


def test_a_cell_replaces_one_with_the_same_settings_and_a_damaged_file_is_empty(runs):
    for kept in (cell("linear", 0.5), cell("x^2", 0.6, levels=(0.0,)), cell("linear", 0.7)):
        add_cross_cell(runs[0], kept)
    assert [(one.schedule, one.metrics["balanced_pass_rate"].value) for one in read_cross_cells(runs[0])] == [
        ("x^2", 0.6),
        ("linear", 0.7),
    ]
    (runs[0].path / FILE_NAME).write_text("[{")
    assert read_cross_cells(runs[0]) == read_cross_cells(runs[1]) == []


def test_the_figure_has_a_cell_for_each_network_and_schedule_and_marks_levels_beyond_the_training(runs):
    infos = RunStore(runs[0].path.parent).infos()
    with pytest.raises(CannotDrawError, match="core evaluate --cross"):
        draw_cross(load_figure_data(infos))
    for row, run in enumerate(runs):
        for column, name in enumerate(("linear", "x^2")):
            add_cross_cell(
                run, cell(name, 0.2 + 0.1 * (2 * row + column), levels=(column * 1.0,), beyond=row)
            )
    figure, caption = draw_cross(load_figure_data(infos))
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert [text.rstrip("0.*") for text in texts] == ["2", "3", "4", "5"]
    assert [text.endswith("*") for text in texts] == [False, False, True, True]
    assert len(figure.axes) == 2
    assert "4 samples a cell" in caption
