"""A metric against a setting, pooled over seeds."""

import itertools
from datetime import timedelta
from pathlib import Path

import pytest

from core.comparison.grouping import Member, read_members
from core.comparison.pooling import pool
from core.comparison.sweep import MAX_LINES, sweep, swept_metrics, swept_settings
from core.config import RunConfig, apply_overrides, decode
from core.errors import UserError
from core.runs import RunStore
from core.statistics.estimate import Estimate
from tests.support.fake_runs import CREATED, make_run, write_evaluation

RATE = "train.learning_rate"


def _level(index: int, seed: int) -> float:
    return 0.3 + 0.05 * index + 0.02 * seed


def grid(root: Path, *settings: str, seeds: tuple[int, ...] = (0, 1)) -> list[Member]:
    """Make an evaluated run for each setting and seed; the metrics' level is that of the setting's index."""
    for number, ((index, text), seed) in enumerate(itertools.product(enumerate(settings), seeds)):
        table = apply_overrides({}, [*text.split(), f"train.seed={seed}", "train.epochs=1"])
        config = decode(table, RunConfig, source="test")
        created = CREATED + timedelta(seconds=number)
        run = make_run(root, config=config, run_id=f"r{number:03}", images=False, created=created)
        write_evaluation(run, _level(index, seed), dataset=config.data.dataset)
    return read_members(RunStore(root).infos())[0]


def test_a_point_is_the_mean_over_seeds_with_the_interval_of_all_points_together(tmp_path: Path) -> None:
    members = grid(tmp_path, *(f"{RATE}={rate}" for rate in (0.01, 0.0001, 0.001)), seeds=(0, 1, 2))
    found = sweep(members, RATE, "pass_rate")
    assert (found.setting, found.numeric, found.log, found.notes) == (RATE, True, True, ())
    [line] = found.lines
    assert [point.value for point in line.points] == [0.0001, 0.001, 0.01]
    expected = pool(
        [
            [Estimate(_level(i, s), _level(i, s) - 0.02, _level(i, s) + 0.02) for s in (0, 1, 2)]
            for i in (1, 2, 0)
        ],
        share=True,
    )
    for point, score in zip(line.points, expected, strict=True):
        assert score is not None
        assert (point.runs, point.seeds) == (3, (0, 1, 2))
        assert point.score.estimate.value == pytest.approx(score.estimate.value)
        assert point.score.estimate.low == pytest.approx(score.estimate.low)
        assert point.score.df == score.df == 6


def test_schedules_are_in_the_order_of_the_numbers_in_their_names(tmp_path: Path) -> None:
    names = ("x^10", "x^2", "linear", "x^1.5", "cosine")
    members = grid(tmp_path, *(f"schedule.name={name}" for name in names), seeds=(0,))
    [line] = sweep(members, "schedule", "pass_rate").lines
    assert [point.value for point in line.points] == ["cosine", "linear", "x^1.5", "x^2", "x^10"]


def test_the_only_setting_that_differs_is_taken_and_several_are_the_users_choice(tmp_path: Path) -> None:
    members = grid(tmp_path, f"{RATE}=0.001", f"{RATE}=0.002", "schedule.name=cosine")
    assert swept_settings(members) == [RATE, "schedule.name"]
    assert sweep(members[:4]).setting == sweep(members[:4], "auto").setting == RATE
    assert sweep(members).setting == RATE  # the only numeric one
    with pytest.raises(UserError, match=r"nothing to sweep"):
        sweep(members[:2])
    with pytest.raises(UserError, match=r"did you mean train\.learning_rate"):
        sweep(members, "train.learning_rat")
    with pytest.raises(UserError, match=r"is the same in all these runs; settings that differ: train"):
        sweep(members, "train.epochs")
    with pytest.raises(UserError, match=r"no such metric"):
        sweep(members, RATE, "pas_rate")
    with pytest.raises(UserError, match=r"no runs to compare"):
        sweep([])


def test_runs_that_differ_in_another_setting_are_lines_but_what_follows_from_the_swept_one_is_not(
    tmp_path: Path,
) -> None:
    cells = [f"{RATE}={rate} schedule.name={name}" for rate in (1e-3, 2e-3) for name in ("linear", "cosine")]
    members = grid(tmp_path / "a", *cells)
    found = sweep(members, RATE)
    assert [line.label for line in found.lines] == ["linear", "cosine"]
    assert [[point.text for point in line.points] for line in found.lines] == [["0.001", "0.002"]] * 2
    assert not found.log  # a ratio of 2
    linked = grid(tmp_path / "b", f"{RATE}=0.001 train.batch_size=32", f"{RATE}=0.002 train.batch_size=64")
    assert [line.label for line in sweep(linked, RATE).lines] == [""]


def test_categories_are_points_in_the_order_of_their_names_and_have_no_logarithmic_axis(
    tmp_path: Path,
) -> None:
    found = sweep(grid(tmp_path, "schedule.name=x^2", "schedule.name=cosine"), "schedule")
    assert (found.numeric, found.log) == (False, False)
    assert [text for _, text in found.values] == ["cosine", "x^2"]


def test_more_lines_than_can_be_told_apart_are_pooled_and_a_note_names_the_setting(tmp_path: Path) -> None:
    sizes = range(8, 8 * (MAX_LINES + 2), 8)
    members = grid(
        tmp_path, *(f"{RATE}={rate} train.batch_size={size}" for rate in (1e-3, 1e-2) for size in sizes)
    )
    found = sweep(members, RATE)
    assert [point.runs for line in found.lines for point in line.points] == [2 * len(sizes)] * 2
    assert found.notes == ("pooled over train.batch_size too, not only over seeds",)


def test_runs_without_the_number_are_counted_and_one_run_a_value_is_no_evidence(tmp_path: Path) -> None:
    members = grid(tmp_path, f"{RATE}=0.001", f"{RATE}=0.002", seeds=(0,))
    make_run(tmp_path, epochs=1, run_id="r999", images=False)
    more = read_members(RunStore(tmp_path).infos())[0]
    assert "1 of 3 runs have no pass_rate yet" in sweep(more, RATE, "pass_rate").notes
    assert "one run for each value" in sweep(members, RATE).notes[-1]
    names = swept_metrics(members)
    assert names[0] == "balanced_pass_rate"
    assert names[-2:] == ["heldout", "loss"]
