"""`evaluation.json`: saving, replacing, and reading of damaged files."""

import fcntl
import json
import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import UserError
from core.runs import METRICS, Evaluation, RunDirectory, add_evaluation, latest_evaluation, read_evaluations
from core.runs import results as results_module
from core.runs.metric_definitions import GROUPS, better_direction
from core.runs.results import FILE_NAME, FORMAT_VERSION
from core.statistics.estimate import Estimate


def evaluation(**changes: Any) -> Evaluation:
    made = Evaluation(
        created="2026-11-24T10:00:00+00:00",
        epoch=3,
        step=120,
        dataset="high",
        count=500,
        heldout=2000,
        sampler="ddim",
        steps=50,
        seed=0,
        metrics={"pass_rate": Estimate(0.5, 0.4, 0.6)},
    )
    return msgspec.structs.replace(made, **changes)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    folder = tmp_path / "some-run"
    folder.mkdir()
    return RunDirectory(folder)


@contextmanager
def locked(run: RunDirectory) -> Iterator[None]:
    """Hold the lock as another process that is saving its evaluation of the run."""
    with (run.path / ".evaluation.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_every_metric_is_in_exactly_one_group():
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(METRICS)
    assert grouped[0] == next(iter(METRICS)) == "balanced_pass_rate"


def test_every_metric_has_a_short_title_of_its_own_and_a_sentence():
    titles = [metric.title for metric in METRICS.values()]
    assert len(set(titles)) == len(titles)
    assert all(0 < len(title) <= 14 for title in titles)
    assert all(metric.text.endswith(".") for metric in METRICS.values())


def test_a_run_that_was_never_evaluated_has_no_evaluations(run):
    assert read_evaluations(run) == []
    assert latest_evaluation(run) is None


def test_a_saved_evaluation_is_read_back(run):
    curves = {"reconstruction_psnr": [30.0, None], "reconstruction_psnr.x": [1.0, 2.0]}
    made = evaluation(curves=curves, real={"pass_rate": Estimate(0.95, 0.93, 0.97)}, clip="none", eta=0.5)
    assert add_evaluation(run, made) == made
    assert read_evaluations(run) == [made]
    assert json.loads((run.path / FILE_NAME).read_text())[0]["metrics"]["pass_rate"]["low"] == 0.4


@pytest.mark.parametrize(("old", "now"), [(True, "static"), (False, "none")])
def test_boolean_clipping_of_older_evaluations_is_read_as_a_name(run, old, now):
    add_evaluation(run, evaluation(clip=now))
    path = run.path / FILE_NAME
    kept = [{**one, "clip": old} for one in json.loads(path.read_text())]
    for one in kept:
        del one["spacing"]
    path.write_text(json.dumps(kept))
    assert read_evaluations(run) == [evaluation(clip=now)]


def test_numbers_that_are_not_finite_come_back_as_none(run):
    add_evaluation(
        run, evaluation(metrics={"mmd": Estimate(math.nan, -math.inf, 1.0)}, curves={"a": [math.nan]})
    )
    kept = latest_evaluation(run)
    assert kept is not None
    assert kept.metrics["mmd"] == Estimate(None, None, 1.0)
    assert kept.curves["a"] == [None]


@pytest.mark.parametrize(
    "change",
    [
        {"step": 160},
        {"dataset": "low"},
        {"count": 100},
        {"heldout": 100},
        {"sampler": "ddpm"},
        {"steps": 25},
        {"eta": 1.0},
        {"clip": "none"},
        {"clip": "dynamic"},
        {"spacing": "karras"},
        {"seed": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_evaluation_with_other_settings_is_added(run, change):
    add_evaluation(run, evaluation())
    add_evaluation(run, evaluation(**change))
    assert read_evaluations(run) == [evaluation(), evaluation(**change)]


def test_equal_settings_replace_the_metrics_and_keep_those_not_measured_again(run):
    first = evaluation(
        metrics={"pass_rate": Estimate(0.5), "haze": Estimate(0.1)},
        real={"haze": Estimate(0.0)},
        curves={"a": [1.0]},
    )
    add_evaluation(run, first)
    add_evaluation(run, evaluation(seed=1))
    again = evaluation(
        created="2026-11-25T10:00:00+00:00", metrics={"pass_rate": Estimate(0.6)}, curves={"b": [2.0]}
    )
    kept = add_evaluation(run, again)
    assert kept == latest_evaluation(run)
    assert kept.created == "2026-11-25T10:00:00+00:00"
    assert kept.metrics == {"pass_rate": Estimate(0.6), "haze": Estimate(0.1)}
    assert kept.real == {"haze": Estimate(0.0)}
    assert kept.curves == {"a": [1.0], "b": [2.0]}
    assert [one.seed for one in read_evaluations(run)] == [1, 0]


def test_runs_evaluated_alike_have_the_same_protocol_whatever_their_seed_and_step():
    assert evaluation().protocol == evaluation(seed=4, step=9, dataset="low").protocol
    assert evaluation(sampler="ddpm", eta=0.5).protocol == evaluation(sampler="ddpm").protocol
    assert evaluation().protocol != evaluation(steps=10).protocol


def test_the_oldest_are_dropped_before_the_file_becomes_too_large_to_read(run, monkeypatch):
    one = len(msgspec.json.encode(evaluation()))
    monkeypatch.setattr(results_module, "SIZE_LIMIT", 3 * one + 50)
    for seed in range(6):
        add_evaluation(run, evaluation(seed=seed))
    assert [kept.seed for kept in read_evaluations(run)] == [3, 4, 5]
    assert (run.path / FILE_NAME).stat().st_size <= 3 * one + 50


def test_saving_waits_for_another_process_that_is_saving(run):
    done: list[Evaluation] = []
    thread = threading.Thread(target=lambda: done.append(add_evaluation(run, evaluation(), wait=60.0)))
    with locked(run):
        thread.start()
        assert not (run.path / FILE_NAME).exists()
    thread.join(60.0)
    assert done == [evaluation()]
    assert read_evaluations(run) == [evaluation()]


def test_a_lock_that_stays_taken_is_one_line(run):
    with locked(run), pytest.raises(UserError, match="some-run: another process is saving"):
        add_evaluation(run, evaluation(), wait=0.0)
    assert read_evaluations(run) == []


def test_a_removed_run_does_not_come_back_as_one_file(run):
    run.path.rmdir()
    with pytest.raises(UserError, match="cannot be saved there"):
        add_evaluation(run, evaluation())
    assert not run.path.exists()


def test_a_run_removed_while_its_evaluation_is_saved_stays_removed(run, monkeypatch):
    def remove(_: RunDirectory) -> list[Evaluation]:
        os.rename(run.path, run.path.with_name(".trash"))
        return []

    monkeypatch.setattr(results_module, "read_evaluations", remove)
    with pytest.raises(UserError, match="removed meanwhile"):
        add_evaluation(run, evaluation())
    assert not run.path.exists()


def test_a_lock_that_is_a_link_is_not_followed(run, tmp_path):
    (run.path / ".evaluation.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="cannot be saved there"):
        add_evaluation(run, evaluation())
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an evaluation"),
        (b"{}", "not an evaluation"),
        (b"[{}]", "not an evaluation"),
        (b"\xff\xfe[]", "not an evaluation"),
        (b"[" * 100_000, "not an evaluation"),
        (b'[{"format_version": "new"}]', "not an evaluation"),
        (b'[{"format_version": 2, "metrics": "of a kind that we do not know"}]', "newer ddpm-tui"),
    ],
)
def test_a_damaged_file_is_one_line_and_is_not_written_over(run, content, message):
    (run.path / FILE_NAME).write_bytes(content)
    for act in (read_evaluations, lambda run: add_evaluation(run, evaluation())):
        with pytest.raises(UserError, match=message) as caught:
            act(run)
        assert str(run.path / FILE_NAME) in str(caught.value)
    assert (run.path / FILE_NAME).read_bytes() == content


def test_a_file_that_is_too_large_is_not_read(run):
    with (run.path / FILE_NAME).open("wb") as file:
        file.truncate(results_module.SIZE_LIMIT + 1)
    with pytest.raises(UserError, match="too large"):
        read_evaluations(run)


def test_a_pipe_in_place_of_the_file_is_not_waited_for(run):
    os.mkfifo(run.path / FILE_NAME)
    with pytest.raises(UserError, match="no file"):
        read_evaluations(run)


def test_names_from_the_file_cannot_move_a_terminals_cursor(run):
    add_evaluation(run, evaluation(dataset="hi\x1b[2Jgh", sampler="dd\x07im\n"))
    kept = latest_evaluation(run)
    assert kept is not None
    assert (kept.dataset, kept.sampler) == ("high", "ddim ")


def test_a_file_of_this_version_with_keys_that_we_do_not_know_is_read(run):
    table = msgspec.to_builtins(evaluation()) | {"weather": "rain"}
    (run.path / FILE_NAME).write_text(json.dumps([table]))
    assert read_evaluations(run) == [evaluation()]
    assert table["format_version"] == FORMAT_VERSION


def is_read_or_explained(run: RunDirectory) -> bool:
    try:
        return all(isinstance(one, Evaluation) for one in read_evaluations(run))
    except UserError as error:
        return FILE_NAME in str(error)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*Evaluation.__struct_fields__, "value", "low"]), inner, max_size=6)
    ),
    max_leaves=20,
)


@given(table=JSON)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
def test_whatever_json_is_there_is_read_or_explained(run, table):
    (run.path / FILE_NAME).write_text(json.dumps(table))
    assert is_read_or_explained(run)


@given(place=st.integers(0, 400), byte=st.integers(0, 255))
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
def test_one_wrong_byte_anywhere_is_read_or_explained(run, place, byte):
    data = bytearray(msgspec.json.encode([evaluation(curves={"a": [1.0, None]})]))
    data[place % len(data)] = byte
    (run.path / FILE_NAME).write_bytes(data)
    assert is_read_or_explained(run)


def test_density_of_pixels_is_better_for_triangles_only_and_that_of_features_for_nothing():
    assert better_direction("density", ["density", "area_ks"]) == "higher"
    assert better_direction("density", ["density", "kid"]) is None
    assert better_direction("coverage", []) is None
    assert better_direction("kid", ["kid"]) == "lower"
    assert better_direction("feature_density", ["kid"]) is None
    assert better_direction("heldout", []) is None
