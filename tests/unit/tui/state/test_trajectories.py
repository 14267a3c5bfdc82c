"""Ways from noise to picture: those that a training kept, and those that were computed since."""

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
from tests.support.tui_fixtures import NOW, fake_run, states, strip, three, trajectory
from tui.screens.denoise.model import DenoiseModel
from tui.state.reader import RunsReader
from tui.state.snapshot import RunSnapshot
from tui.state.trajectories import TrajectoryCache, step_choices


def runs_of(root: Path) -> tuple[RunSnapshot, ...]:
    reader = RunsReader(root, now=lambda: NOW)
    snapshot = reader.poll()
    while snapshot is not None and snapshot.unread:  # on a busy machine a poll ends before it has read all
        snapshot = reader.poll()
    assert snapshot is not None
    return snapshot.runs


def column(denoising: DenoiseModel, run: RunSnapshot) -> tuple[str, str, Any]:
    """Title, note or what is said instead, and pictures of a run's first column."""
    first = denoising.beside(run, "r", "red", compute_key="enter")[0]
    return first.title, first.note or first.empty, first.images


def test_a_strip_is_taken_apart_into_states_with_their_timesteps(tmp_path: Path) -> None:
    three(tmp_path)
    run = runs_of(tmp_path)[0]
    kept = TrajectoryCache().kept(run, None)
    assert kept is not None
    assert kept.epoch == 4
    assert kept.timesteps == (1000, 889, 778, 667, 556, 444, 333, 222, 111, 0)
    assert np.array_equal(np.stack([kept.xt(index) for index in range(10)]), states(10))
    assert kept.x0(3) is None
    assert TrajectoryCache().kept(run, 3).epoch == 2  # type: ignore[union-attr]  # it is there
    assert TrajectoryCache().kept(run, 1) is None


def test_timesteps_are_those_of_the_sampling_steps(tmp_path: Path) -> None:
    run = fake_run(tmp_path, "linear", state=State.STOPPED, epoch=2)
    file = run.read()
    sample = msgspec.structs.replace(file.config.sample, steps=4, sampler="ddim")
    run.write_run_file(
        msgspec.structs.replace(file, config=msgspec.structs.replace(file.config, sample=sample))
    )
    strip(run, 2, count=5)
    kept = TrajectoryCache().kept(runs_of(tmp_path)[0], None)
    assert kept is not None
    assert list(kept.timesteps) == state_timesteps(RunConfig(), 4)
    strip(run, 2, count=6)
    assert TrajectoryCache().kept(runs_of(tmp_path)[0], None) is None


@pytest.mark.parametrize("columns", [1, 3, 7])
def test_a_sheet_that_is_no_strip_is_none(tmp_path: Path, columns: int) -> None:
    run = fake_run(tmp_path, "linear", state=State.STOPPED, epoch=2)
    run.reverse.mkdir()
    write_sheet(run.reverse / "epoch-0002.png", np.zeros((10, 8, 8), np.uint8), columns=columns)
    assert TrajectoryCache().kept(runs_of(tmp_path)[0], None) is None


def test_what_was_computed_is_found_anew_when_its_file_changes(tmp_path: Path) -> None:
    directory = three(tmp_path)[0]
    run, ways, spec = runs_of(tmp_path)[0], TrajectoryCache(), TrajectorySpec("ddim", 4)
    assert ways.computed(run, spec) is None
    trajectory(directory, spec, epoch=3)
    found = ways.computed(run, spec)
    assert found is not None
    assert ways.computed(run, spec) is found
    first = ways.image(found, 2)
    assert first is ways.image(found, 2)
    assert first is not ways.image(found, 2, predicted=True)
    trajectory(directory, spec, epoch=4)
    again = ways.computed(run, spec)
    assert again is not None
    assert (found.epoch, again.epoch) == (3, 4)
    spec.path(directory).write_bytes(b"nonsense")
    assert ways.computed(run, spec) is None
    spec.path(directory).unlink()
    assert ways.computed(run, spec) is None


def test_strips_cut_out_one_noise_and_hold_to_the_last_where_there_are_fewer(tmp_path: Path) -> None:
    directory, spec = three(tmp_path)[0], TrajectorySpec("ddim", 4)
    trajectory(directory, spec, epoch=4)
    ways, run = TrajectoryCache(), runs_of(tmp_path)[0]
    way = ways.computed(run, spec)
    assert way is not None
    both = ways.strip_image(way, 1, 2, both=True)
    assert both is not None
    assert np.array_equal(both, np.stack([way.xt(1)[2], way.x0(1)[2]]))
    alone = ways.strip_image(way, 1, 99, both=False)
    assert alone is not None
    assert np.array_equal(alone, way.xt(1)[-1:])
    kept = ways.kept(run, None)
    assert kept is not None
    of_strip = ways.strip_image(kept, 1, 2, both=True)
    assert of_strip is not None
    assert len(of_strip) == 1


def test_each_reason_for_having_nothing_to_show_is_said(tmp_path: Path) -> None:
    directories = three(tmp_path)
    spec = TrajectorySpec("ddpm", 50)
    live = fake_run(tmp_path, "x^2", epoch=1, place=8)
    runs = runs_of(tmp_path)
    kept, computed = DenoiseModel(epoch=1), DenoiseModel(sampler="ddpm", steps=50)
    assert column(kept, runs[0]) == ("r", "nothing that early", None)
    assert column(DenoiseModel(), runs[3])[1] == "its first strip comes with epoch 10"
    assert column(computed, runs[0])[1] == "enter computes it"
    assert column(computed, runs[3])[1] == "has no checkpoint yet"
    assert column(DenoiseModel(sampler="ddpm", steps=2000), runs[0])[1] == "has only 1000 timesteps"
    me = ProcessIdentity.current()
    for done, error, said in ((0, "", "about to be computed"), (20, "", "computing: 40%"), (0, "no", "no")):
        write_trajectory_progress(
            directories[0], spec, Progress(identity=me, done=done, total=50, error=error)
        )
        assert column(computed, runs[0])[1] == said
    live.log.unlink()


def test_numbers_of_steps_are_those_that_all_runs_can_take(tmp_path: Path) -> None:
    three(tmp_path)
    runs = runs_of(tmp_path)
    assert step_choices(runs) == [None, 1, 2, 5, 10, 20, 50, 100, 250, 500, 1000]
    assert step_choices([]) == [None, 1]
