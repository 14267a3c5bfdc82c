"""Evaluations on the compare screen, and the key that starts them."""

from pathlib import Path
from typing import Any

import pytest

from core.comparison.compare import compare as side_by_side
from core.comparison.grouping import read_members
from core.runs import METRICS, ProcessIdentity, RunStore
from core.runs.progress import EvaluationProgress, write_evaluation_progress
from core.runs.status import State
from core.statistics.estimate import Estimate
from tests.support.fake_groups import comparison, evaluated
from tests.support.fake_runs import DEAD_PROCESS, NOW, dashboard_run, write_evaluation
from tests.support.tui_pilot import dashboard, make_app
from tests.tui.test_compare import compare, compared
from tui.screens.compare.evaluation_table import EvaluatedRun, evaluation_table, metric_names
from tui.settings.series_colors import series_style
from tui.state.evaluations import Evaluations
from tui.state.reader import RunsReader
from tui.state.snapshot import RunSnapshot

ME = ProcessIdentity.current()


def read(root: Path) -> tuple[RunSnapshot, ...]:
    snapshot = RunsReader(root, now=lambda: NOW).poll()
    assert snapshot is not None
    return snapshot.runs


def columns_of(runs: tuple[RunSnapshot, ...], evaluations: Evaluations) -> list[EvaluatedRun]:
    known = evaluations.by_run(runs)
    return [
        EvaluatedRun(run.id, run.label, series_style(place), known[run.id]) for place, run in enumerate(runs)
    ]


def table(root: Path, width: int = 120, **options: Any) -> list[str]:
    runs, evaluations = read(root), Evaluations()
    evaluations.refresh(runs)
    found = evaluations.comparison(runs)
    assert found is not None
    return evaluation_table(
        columns_of(runs, evaluations), found, metric_names(found), width, **options
    ).plain.splitlines()


def test_the_marks_are_those_of_core_compare(tmp_path: Path) -> None:
    evaluated(tmp_path)
    rule = side_by_side(read_members(RunStore(tmp_path).infos())[0])
    lines = table(tmp_path)
    order = [row.label for row in rule.rows]
    assert rule.best("high", "balanced_pass_rate") == ["linear", "sine"]
    assert rule.best("high", "reconstruction_psnr") == []
    told = {line.split("  ")[0].strip(" ↑↓%"): line for line in lines[2:]}
    for name in metric_names(rule):
        line = told[METRICS[name].title]
        assert line.count("*") == len(rule.best("high", name))
        cells = line[19:].split(" ±")
        for place, label in enumerate(order[:4]):
            assert ("*" in cells[place + 1]) == (label in rule.best("high", name))


def test_a_difference_that_may_be_noise_marks_no_run(tmp_path: Path) -> None:
    runs = comparison(tmp_path, "finished", clean=True)
    for run, level in zip(runs, (0.90, 0.91, 0.92, 0.90, 0.91), strict=True):
        write_evaluation(run, level, half=0.1)
    assert not any("*" in line for line in table(tmp_path))


def test_values_have_their_intervals_and_real_images_stand_beside(tmp_path: Path) -> None:
    evaluated(tmp_path)
    lines = table(tmp_path)
    assert lines[0].split() == [
        "1",
        "linear",
        "2",
        "sine",
        "3",
        "x^1.5",
        "4",
        "x^2",
        "5",
        "x^10",
        "real",
        "data",
    ]
    assert lines[1].split() == ["evaluated", "epoch", "40", "40", "40", "40", "–"]
    coverage = next(line for line in lines if "coverage" in line)
    assert "94.0 ±2.0*" in coverage
    assert coverage.split()[-3:] == ["–", "96.0", "±1.0"]


def test_long_numbers_keep_their_intervals_where_there_is_room(tmp_path: Path) -> None:
    runs = comparison(tmp_path, "finished", clean=True)
    for place, run in enumerate(runs):
        value = 2.8e-5 + 1e-7 * place
        write_evaluation(run, 0.9, metrics={"prior_bits": Estimate(value, value - 2e-8, value + 2e-8)})
    wide, narrow = table(tmp_path, 160)[2], table(tmp_path, 80)[2]
    assert wide.count("±") == 5
    assert "1e-6" in narrow
    assert len(narrow) <= 80


@pytest.mark.parametrize("width", [30, 40, 60, 79, 80, 120, 200])
def test_the_table_fits_into_any_width_and_says_how_many_runs_have_no_room(
    tmp_path: Path, width: int
) -> None:
    evaluated(tmp_path)
    for first in (0, 2, 9):
        lines = table(tmp_path, width, first=first)
        assert max(map(len, lines)) <= max(width, 31)
        assert ("more" in lines[0]) == (width < 79 or first > 0), lines[0]


def test_files_are_read_again_only_when_they_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directories = evaluated(tmp_path)
    runs, evaluations = read(tmp_path), Evaluations()
    assert evaluations.refresh(runs)
    first = evaluations.comparison(runs)
    assert not evaluations.refresh(runs)
    assert evaluations.comparison(runs) is first
    write_evaluation(directories[4], 0.5)
    assert evaluations.refresh(runs)
    assert evaluations.comparison(runs) is not first
    assert evaluations.by_run(runs)[runs[4].id].evaluation is not None


def test_an_evaluation_that_cannot_be_read_is_a_problem_and_no_traceback(tmp_path: Path) -> None:
    directories = evaluated(tmp_path)
    (directories[1].path / "evaluation.json").write_text("{")
    runs, evaluations = read(tmp_path), Evaluations()
    evaluations.refresh(runs)
    found = evaluations.by_run(runs)[runs[1].id]
    assert "not an evaluation" in found.problem
    assert found.evaluation is None


def test_missing_are_runs_not_evaluated_out_of_date_or_of_another_protocol(
    tmp_path: Path,
) -> None:
    directories = evaluated(tmp_path)
    for directory in directories:
        directory.checkpoint.parent.mkdir(exist_ok=True)
        directory.checkpoint.touch()
    write_evaluation(directories[0], 0.9, epoch=30, step=1, created="2026-11-24T13:00:00+00:00")
    runs, evaluations = read(tmp_path), Evaluations()
    evaluations.refresh(runs)
    ((wanted, like),) = evaluations.missing(runs)
    assert [run.label for run in wanted] == ["linear", "x^10"]
    assert like is not None
    assert (like.count, like.sampler, like.steps) == (500, "ddim", 50)
    write_evaluation_progress(
        directories[0], EvaluationProgress(identity=ME, doing="sampling", done=1, total=4)
    )
    write_evaluation(directories[4], 0.9, count=70, created="2026-11-24T14:00:00+00:00")
    evaluations.refresh(runs)
    ((wanted, like),) = evaluations.missing(runs)
    assert [run.label for run in wanted] == ["sine", "x^1.5", "x^2"]
    assert like is not None
    assert like.count == 70


def test_runs_without_a_checkpoint_cannot_be_evaluated(tmp_path: Path) -> None:
    dashboard_run(tmp_path, "linear", epoch=2)
    runs, evaluations = read(tmp_path), Evaluations()
    evaluations.refresh(runs)
    assert evaluations.missing(runs) == [([], None)]
    assert evaluations.comparison(runs) is None


async def test_numbers_say_what_runs_were_evaluated_by_and_which_are_best(tmp_path: Path) -> None:
    evaluated(tmp_path)
    async with dashboard(tmp_path, (160, 50)) as driven:
        screen = await compare(driven)
        assert screen.view == "all"
        assert "94.0 ±2.0*" in driven.text()
        assert "PSNR" not in driven.text()
        await driven.press("3")
        text = driven.text()
        assert "PSNR" in text
        assert "500 samples, ddim in 50 steps" in text
        assert "only several seeds show" in text


async def test_columns_of_evaluated_runs_are_scrolled_by_keys(tmp_path: Path) -> None:
    evaluated(tmp_path)
    async with dashboard(tmp_path, (80, 24)) as driven:
        await compare(driven)
        await driven.press("3", "full_stop", "full_stop")
        heads = next(line for line in driven.text().splitlines() if "2 more" in line)
        assert heads.split() == ["2", "more", "3", "x^1.5", "4", "x^2", "5", "x^10"]
        await driven.press("comma", "comma", "comma")
        assert " more " not in driven.text()


async def test_two_runs_that_were_not_evaluated_are_called_both(tmp_path: Path) -> None:
    for directory in comparison(tmp_path, "finished", clean=True):
        directory.checkpoint.parent.mkdir()
        directory.checkpoint.touch()
    async with dashboard(tmp_path, (160, 50)) as driven:
        await driven.press("space", "down", "space")
        await compare(driven)
        assert "not evaluated yet: ⏎ evaluates both runs, alongside training" in driven.text()


async def test_enter_evaluates_missing_runs_and_the_metrics_appear(tmp_path: Path) -> None:
    directories = comparison(tmp_path, "finished", clean=True)
    for directory in directories[:2]:
        directory.checkpoint.parent.mkdir()
        directory.checkpoint.touch()
    async with dashboard(tmp_path, (160, 50)) as driven:
        await compare(driven)
        await driven.press("3")
        assert "not evaluated yet: ⏎ evaluates all 5 runs" in driven.text()
        await driven.press("enter")
        await driven.until(lambda: driven.control.evaluated)
        assert driven.control.evaluated == [(["linear", "sine"], None)]
        write_evaluation_progress(
            directories[0], EvaluationProgress(identity=ME, doing="sampling", done=20, total=50)
        )
        write_evaluation_progress(directories[1], EvaluationProgress(identity=ME))
        await driven.until(lambda: "evaluating:  1 sampling 40%  2 waits" in driven.text())
        write_evaluation(directories[0], 0.9)
        (directories[0].path / "evaluating.json").unlink()
        await driven.until(lambda: "90.0 ±2.0" in driven.text())
        assert "waits" in driven.text()
        write_evaluation_progress(directories[1], EvaluationProgress(identity=DEAD_PROCESS))
        await driven.until(lambda: "2 sine: its process is gone" in driven.text())
        await driven.press("enter")
        await driven.until(lambda: len(driven.control.evaluated) == 2)
        labels, like = driven.control.evaluated[1]
        assert labels == ["sine"]
        assert like is not None
        assert like.count == 500


async def test_enter_notifies_where_there_is_nothing_to_evaluate(tmp_path: Path) -> None:
    dashboard_run(tmp_path, "linear", state=State.STOPPED, epoch=4)
    async with dashboard(tmp_path, (80, 24)) as driven:
        await compare(driven)
        await driven.press("3", "enter")
        assert any("no run has a checkpoint yet" in message for message in driven.notifications())
        (run,) = read(tmp_path)
        write_evaluation(run.run, 0.9)
        await driven.until(lambda: "90.0 ±2.0" in driven.text())
        await driven.press("enter")
        assert any("all runs are evaluated" in message for message in driven.notifications())
    assert driven.control.evaluated == []


@pytest.fixture
def _truecolor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")


@pytest.mark.usefixtures("_truecolor")
@pytest.mark.parametrize(
    ("size", "keys"), [((80, 24), ("3",)), ((120, 36), ("3",)), ((160, 50), ())], ids=str
)
def test_evaluated_runs_look_as_they_did(
    snap_compare: Any, tmp_path: Path, size: tuple[int, int], keys: tuple[str, ...]
) -> None:
    evaluated(tmp_path)
    assert snap_compare(make_app(tmp_path), terminal_size=size, run_before=compared(*keys))
