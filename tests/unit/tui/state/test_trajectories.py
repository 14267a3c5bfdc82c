"""Trajectories: strips saved during training, and trajectories computed later."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from core.config import RunConfig
from core.imaging.sheet import write_sheet
from core.runs.process import ProcessIdentity
from core.runs.status import State
from core.runs.trajectory import Progress, TrajectorySpec, state_timesteps, write_trajectory_progress
from tests.support.fake_groups import three_runs
from tests.support.fake_images import states, write_strip
from tests.support.fake_runs import NOW, dashboard_run, write_trajectory
from tui.screens.denoise.model import DenoiseModel
from tui.state.reader import RunsReader
from tui.state.snapshot import RunSnapshot
from tui.state.trajectories import TrajectoryCache, next_steps


def runs_of(root: Path) -> tuple[RunSnapshot, ...]:
    reader = RunsReader(root, now=lambda: NOW)
    snapshot = reader.poll()
    while snapshot is not None and snapshot.unread:  # on a busy machine a poll ends before it has read all
        snapshot = reader.poll()
    assert snapshot is not None
    return snapshot.runs


def column(denoising: DenoiseModel, run: RunSnapshot) -> tuple[str, str, Any]:
    """Title, note or replacement text, and images of a run's first column."""
    first = denoising.columns(run, "r", "red", compute_key="enter")[0]
    return first.title, first.note or first.empty, first.images


def test_a_strip_is_split_into_states_with_their_timesteps(tmp_path: Path) -> None:
    three_runs(tmp_path)
    run = runs_of(tmp_path)[0]
    saved = TrajectoryCache().saved_strip(run, None)
    assert saved is not None
    assert saved.epoch == 4
    assert saved.timesteps == (1000, 889, 778, 667, 556, 444, 333, 222, 111, 0)
    assert np.array_equal(np.stack([saved.xt(index) for index in range(10)]), states(10))
    assert saved.x0(3) is None
    assert TrajectoryCache().saved_strip(run, 3).epoch == 2  # type: ignore[union-attr]  # it is there
    assert TrajectoryCache().saved_strip(run, 1) is None


def test_timesteps_are_those_of_the_sampling_steps(tmp_path: Path) -> None:
    run = dashboard_run(tmp_path, "linear", state=State.STOPPED, epoch=2)
    file = run.read()
    sample = msgspec.structs.replace(file.config.sample, steps=4, sampler="ddim")
    run.write_run_file(
        msgspec.structs.replace(file, config=msgspec.structs.replace(file.config, sample=sample))
    )
    write_strip(run, 2, count=5)
    saved = TrajectoryCache().saved_strip(runs_of(tmp_path)[0], None)
    assert saved is not None
    assert list(saved.timesteps) == state_timesteps(RunConfig(), 4)
    write_strip(run, 2, count=6)
    assert TrajectoryCache().saved_strip(runs_of(tmp_path)[0], None) is None


@pytest.mark.parametrize("columns", [1, 3, 7])
def test_a_sheet_that_is_no_strip_is_none(tmp_path: Path, columns: int) -> None:
    run = dashboard_run(tmp_path, "linear", state=State.STOPPED, epoch=2)
    run.reverse.mkdir()
    write_sheet(run.reverse / "epoch-0002.png", np.zeros((10, 8, 8), np.uint8), columns=columns)
    assert TrajectoryCache().saved_strip(runs_of(tmp_path)[0], None) is None


def test_a_trajectory_is_reread_when_its_file_changes(tmp_path: Path) -> None:
    directory = three_runs(tmp_path)[0]
    run, cache, spec = runs_of(tmp_path)[0], TrajectoryCache(), TrajectorySpec("ddim", 4)
    assert cache.trajectory(run, spec) is None
    write_trajectory(directory, spec, epoch=3)
    found = cache.trajectory(run, spec)
    assert found is not None
    assert cache.trajectory(run, spec) is found
    first = cache.image(found, 2)
    assert first is cache.image(found, 2)
    assert first is not cache.image(found, 2, predicted=True)
    write_trajectory(directory, spec, epoch=4)
    again = cache.trajectory(run, spec)
    assert again is not None
    assert (found.epoch, again.epoch) == (3, 4)
    spec.path(directory).write_bytes(b"nonsense")
    assert cache.trajectory(run, spec) is None
    spec.path(directory).unlink()
    assert cache.trajectory(run, spec) is None


def test_a_strip_image_shows_one_starting_noise_or_the_last_if_there_are_fewer(tmp_path: Path) -> None:
    directory, spec = three_runs(tmp_path)[0], TrajectorySpec("ddim", 4)
    write_trajectory(directory, spec, epoch=4)
    cache, run = TrajectoryCache(), runs_of(tmp_path)[0]
    computed = cache.trajectory(run, spec)
    assert computed is not None
    with_x0 = cache.strip_image(computed, 1, 2, with_x0=True)
    assert with_x0 is not None
    assert np.array_equal(with_x0, np.stack([computed.xt(1)[2], computed.x0(1)[2]]))
    alone = cache.strip_image(computed, 1, 99, with_x0=False)
    assert alone is not None
    assert np.array_equal(alone, computed.xt(1)[-1:])
    saved = cache.saved_strip(run, None)
    assert saved is not None
    without_x0 = cache.strip_image(saved, 1, 2, with_x0=True)
    assert without_x0 is not None
    assert len(without_x0) == 1


def test_each_reason_for_a_missing_trajectory_has_a_message(tmp_path: Path) -> None:
    directories = three_runs(tmp_path)
    spec = TrajectorySpec("ddpm", 50)
    live = dashboard_run(tmp_path, "x^2", epoch=1, index=8)
    runs = runs_of(tmp_path)
    saved, computed = DenoiseModel(epoch=1), DenoiseModel(sampler="ddpm", steps=50)
    assert column(saved, runs[0]) == ("r", "no strip that early", None)
    assert column(DenoiseModel(), runs[3])[1] == "its first strip comes with epoch 10"
    assert column(computed, runs[0])[1] == "enter computes it"
    assert column(computed, runs[3])[1] == "has no checkpoint yet"
    assert column(DenoiseModel(sampler="ddpm", steps=2000), runs[0])[1] == "has only 1000 timesteps"
    me = ProcessIdentity.current()
    for done, error, text in ((0, "", "about to be computed"), (20, "", "computing: 40%"), (0, "no", "no")):
        write_trajectory_progress(
            directories[0], spec, Progress(identity=me, done=done, total=50, error=error)
        )
        assert column(computed, runs[0])[1] == text
    live.log.unlink()


def test_more_steps_are_more_and_fewer_are_fewer(tmp_path: Path) -> None:
    three_runs(tmp_path)
    runs = runs_of(tmp_path)
    assert next_steps(runs, "ddpm", None, 1) is None  # their own number is the largest
    assert next_steps(runs, "ddpm", None, -1) == 500
    assert next_steps(runs, "ddpm", 500, 1) is None
    quick = [with_steps(run, 10) for run in runs]
    upward, downward = [], []
    for found, more in ((upward, 1), (downward, -1)):
        steps = None
        for _ in range(9):
            steps = next_steps(quick, "churn", steps, more)
            found.append(steps)
    assert upward == [20, 50, 100, 250, 500, 1000, 1000, 1000, 1000]
    assert downward == [5, 2, 1, 1, 1, 1, 1, 1, 1]
    assert next_steps(quick, "churn", 5, 1) is None
    mixed = [with_steps(runs[0], 10), with_steps(runs[1], 30)]
    assert next_steps(mixed, "churn", None, 1) == 50
    assert next_steps(mixed, "churn", None, -1) == 5
    assert next_steps([with_steps(runs[0], 30)], "churn", 20, 1) is None


def with_steps(run: RunSnapshot, steps: int) -> RunSnapshot:
    """The run with another number of sampling steps of its own."""
    config = run.file.config
    sample = msgspec.structs.replace(config.sample, steps=steps)
    return replace(
        run, file=msgspec.structs.replace(run.file, config=msgspec.structs.replace(config, sample=sample))
    )
