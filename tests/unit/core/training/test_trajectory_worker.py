"""Trajectories from noise to image: computed, stored with their run, and read one state at a time without torch."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from core.config import (
    DataConfig,
    DiffusionConfig,
    ModelConfig,
    RunConfig,
    SampleConfig,
    ScheduleConfig,
    TrainConfig,
)
from core.data import ImageSet
from core.data.recipe import DataRecipe
from core.diffusion.samplers.base import SamplerOptions
from core.diffusion.samplers.ddim import sample_ddim
from core.errors import UserError
from core.imaging import read_sheet
from core.launch.devices import Device, Plan
from core.launch.jobs import start_trajectories
from core.runs import RunDirectory
from core.runs.process import ProcessIdentity, boot_id, host_name
from core.runs.trajectory import (
    Progress,
    Trajectory,
    TrajectorySpec,
    clear_trajectory_progress,
    read_trajectory_progress,
    state_timesteps,
    write_trajectory_progress,
)
from core.sampling_names import SPACINGS
from core.training.checkpoint import load_model, make_diffusion, save_checkpoint
from core.training.loop import Trainer
from core.training.sample_sheets import write_epoch_sheets
from core.training.trajectory_worker import compute_trajectory, main

CPU = Plan((Device("cpu", "cpu", "", 1 << 34),), cores=1)


@pytest.fixture
def trained(tmp_path: Path) -> Callable[..., RunDirectory]:
    """``trained(sampler=, steps=, eta=, channels=)``: a run of one epoch, with its strip and checkpoint."""

    def make(
        *, sampler: Any = "ddim", steps: int | None = 4, eta: float = 1.0, channels: int = 1
    ) -> RunDirectory:
        config = RunConfig(
            data=DataConfig(dataset="array", heldout=4),
            schedule=ScheduleConfig(timesteps=12),
            diffusion=DiffusionConfig(prediction_type="v_prediction"),
            model=ModelConfig(width=16),
            train=TrainConfig(epochs=1, batch_size=4, ema_decay=0.5),
            sample=SampleConfig(
                count=3, sampler=sampler, steps=steps, eta=eta, reverse_count=2, reverse_states=5
            ),
        )
        torch.set_num_threads(1)
        pixels = np.random.default_rng(0).integers(0, 256, (12, channels, 16, 16), dtype=np.uint8)
        trainer = Trainer(
            config,
            ImageSet("made", pixels[:8], pixels[8:], DataRecipe(name="made"), tmp_path, None, None),
            torch.device("cpu"),
        )
        list(trainer.reports())
        run = RunDirectory.create(tmp_path / "runs", config, group="g")
        write_epoch_sheets(run, trainer, lambda: False)
        save_checkpoint(run, trainer.state_dict(), trainer.position(elapsed=0.0, metrics_offset=0))
        return run

    return make


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("sampler", "steps", "eta"),
    [
        ("ddim", 4, 1.0),
        ("ddim", 4, 0.0),
        ("ddpm", None, 0.0),
        ("dpm++", 4, 0.0),
        ("unipc", 4, 0.0),
        ("churn", 4, 1.0),
    ],
)
def test_a_trajectory_like_the_run_s_own_ends_in_the_run_s_own_images(
    trained: Callable[..., RunDirectory], sampler: str, steps: int | None, eta: float, channels: int
) -> None:
    run = trained(sampler=sampler, steps=steps, eta=eta, channels=channels)
    spec = TrajectorySpec(sampler, steps or 12)
    compute_trajectory(run, load_model(run), spec)
    kept = Trajectory(spec.path(run))
    assert kept.epoch == 1
    assert list(kept.timesteps) == state_timesteps(run.read().config, spec.steps)
    assert kept.shape == (2, 16, 16) + (3,) * (channels == 3)
    strip = read_sheet(run.reverse / "epoch-0001.png")
    states = strip.images.reshape(2, strip.columns, *kept.shape[1:])
    shown = np.linspace(0, spec.steps, strip.columns).round().astype(int)
    for column, index in enumerate(shown):
        # Batches of other sizes may round the last bit of a float another way.
        difference = kept.xt(index).astype(int) - states[:, column]
        assert np.abs(difference).max() <= 1, index
    sheet = read_sheet(run.samples / "epoch-0001.png").images
    assert np.abs(kept.xt(spec.steps).astype(int) - sheet[:2]).max() <= 1
    assert np.array_equal(kept.x0(spec.steps), kept.xt(spec.steps))


def test_the_first_image_predicted_is_what_one_step_makes(trained: Callable[..., RunDirectory]) -> None:
    run = trained(eta=0.0)
    loaded = load_model(run)
    calls: list[int] = []
    for steps in (1, 12):
        compute_trajectory(run, loaded, TrajectorySpec("ddim", steps), calls.append)
    one, all_of_them = (Trajectory(TrajectorySpec("ddim", steps).path(run)) for steps in (1, 12))
    assert calls == [*range(2), *range(13)]
    assert np.array_equal(one.xt(0), all_of_them.xt(0))
    assert np.array_equal(one.xt(1), one.x0(0))
    assert np.array_equal(one.x0(0), all_of_them.x0(0))
    assert not np.array_equal(all_of_them.x0(0), all_of_them.x0(11))


@pytest.mark.parametrize(
    ("timesteps", "steps"), [(1, 1), (12, 12), (12, 5), (300, 7), (1000, 999), (1000, 300)]
)
def test_the_timesteps_are_those_that_samplers_visit(timesteps: int, steps: int) -> None:
    for spacing in SPACINGS:
        config = RunConfig(
            schedule=ScheduleConfig(timesteps=timesteps), sample=SampleConfig(spacing=spacing, steps=steps)
        )
        diffusion = make_diffusion(config)
        noise = torch.zeros(1, 1, 2, 2)
        spec = sample_ddim(
            lambda xt, t: xt,
            diffusion,
            noise,
            SamplerOptions(steps=steps, spacing=spacing),
            generator=torch.Generator(),
        )
        expected = [state.timestep + 1 for state in spec]
        assert state_timesteps(config) == state_timesteps(config, steps) == expected


def write(path: Path, shape: tuple[int, ...] = (3, 2, 4, 4), **notes: str) -> None:
    path.parent.mkdir(exist_ok=True)
    values = np.arange(np.prod(shape), dtype=np.int64).astype(np.uint8).reshape(shape)
    meta = {"epoch": "7", "timesteps": "[20, 10, 0]"} | notes
    save_file({"xt": values, "x0": values[::-1].copy()}, path, metadata=meta)


def test_states_are_those_that_safetensors_reads(tmp_path: Path) -> None:
    path = tmp_path / "ddim-2.safetensors"
    write(path)
    kept, whole = Trajectory(path), load_file(path)
    assert (kept.epoch, kept.timesteps, kept.shape) == (7, (20, 10, 0), (2, 4, 4))
    for index in range(3):
        assert np.array_equal(kept.xt(index), whole["xt"][index])
        assert np.array_equal(kept.x0(index), whole["x0"][index])
    with pytest.raises(IndexError):
        kept.xt(3)
    os.replace(tmp_path / "ddim-2.safetensors", tmp_path / "gone")
    (tmp_path / "gone").unlink()
    assert np.array_equal(kept.xt(2), whole["xt"][2])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\xff" * 100),
        lambda path: path.write_bytes((2).to_bytes(8, "little") + b"{}"),
        lambda path: path.write_bytes((2).to_bytes(8, "little") + b"[]"),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: write(path, timesteps="[20, 10]"),
        lambda path: write(path, timesteps="[]"),
        lambda path: write(path, timesteps="20"),
        lambda path: write(path, timesteps="[1e999, 10, 0]"),
        lambda path: write(path, timesteps="[" * 5000),
        lambda path: write(path, epoch="x"),
        lambda path: write(path, shape=(3, 2, 4)),
        lambda path: write(path, shape=(3, 2, 4, 4, 2)),
        lambda path: write(path, shape=(3, 0, 4, 4)),
        lambda path: save_file({"xt": np.zeros((3, 2, 4, 4), np.uint8)}, path, metadata={"epoch": "1"}),
        lambda path: save_file(
            {name: np.zeros((3, 2, 4, 4), np.float32) for name in ("xt", "x0")},
            path,
            metadata={"epoch": "1", "timesteps": "[2, 1, 0]"},
        ),
    ],
)
def test_a_damaged_file_is_said_to_be_one(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    path = tmp_path / "ddim-2.safetensors"
    write(path)
    spoil(path)
    with pytest.raises(UserError, match=r"ddim-2\.safetensors: not a trajectory; delete it"):
        Trajectory(path)


def test_a_header_that_promises_more_than_the_file_holds_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "ddim-2.safetensors"
    shape = [3, 1 << 20, 1 << 20, 1 << 20]
    header = {name: {"dtype": "U8", "shape": shape, "data_offsets": [0, 1]} for name in ("xt", "x0")} | {
        "__metadata__": {"epoch": "1", "timesteps": "[2, 1, 0]"}
    }
    data = json.dumps(header).encode()
    path.write_bytes(len(data).to_bytes(8, "little") + data)
    with pytest.raises(UserError, match="not a trajectory"):
        Trajectory(path)


def test_one_that_is_cut_off_while_it_is_looked_at_is_said_to_be_damaged(tmp_path: Path) -> None:
    path = tmp_path / "ddim-2.safetensors"
    write(path)
    kept = Trajectory(path)
    os.truncate(path, path.stat().st_size - 40)
    with pytest.raises(UserError, match="not a trajectory"):
        (kept.xt(2), kept.x0(2))
    assert kept.xt(0).shape == (2, 4, 4)


def test_progress_is_told_while_its_process_lives(tmp_path: Path) -> None:
    run, spec = RunDirectory.create(tmp_path, RunConfig(), group="g"), TrajectorySpec("ddpm", 1000)
    assert read_trajectory_progress(run, spec) is None
    me = ProcessIdentity.current()
    write_trajectory_progress(run, spec, Progress(identity=me, done=3, total=1000))
    assert read_trajectory_progress(run, spec) == Progress(identity=me, done=3, total=1000)
    assert read_trajectory_progress(run, TrajectorySpec("ddpm", 999)) is None
    write_trajectory_progress(run, spec, Progress(identity=me, total=1000, error="no\x1b[1m way"))
    progress = read_trajectory_progress(run, spec)
    assert progress is not None
    assert "\x1b" not in progress.error
    dead = ProcessIdentity(host_name(), 2**22 + 1, 1.0, boot_id())
    write_trajectory_progress(run, spec, Progress(identity=dead, done=3, total=1000))
    progress = read_trajectory_progress(run, spec)
    assert progress is not None
    assert progress.error == "its process is gone"
    spec.progress_path(run).write_text("{")
    assert read_trajectory_progress(run, spec) is None
    clear_trajectory_progress(run, spec)
    clear_trajectory_progress(run, spec)
    assert not spec.progress_path(run).exists()


def test_a_removed_run_is_not_recreated(
    trained: Callable[..., RunDirectory], capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained()
    loaded = load_model(run)
    run.path.rename(run.path.with_name(".trash"))
    with pytest.raises(UserError, match="was removed meanwhile"):
        compute_trajectory(run, loaded, TrajectorySpec("ddim", 2))
    assert main([str(run.path), "--sampler", "ddim", "--steps", "2"]) == 2
    assert not run.path.exists()
    assert "UserError" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sampler", "steps", "reason"),
    [("ddim", 13, "expected from 1 to 12 sampling steps"), ("euler", 2, "unknown sampler 'euler'")],
)
def test_the_reason_of_a_failure_is_in_the_progress_file(
    trained: Callable[..., RunDirectory], sampler: str, steps: int, reason: str
) -> None:
    run = trained()
    assert main([str(run.path), "--sampler", sampler, "--steps", str(steps)]) == 2
    progress = read_trajectory_progress(run, TrajectorySpec(sampler, steps))
    assert progress is not None
    assert reason in progress.error
    assert not TrajectorySpec(sampler, steps).path(run).exists()


def test_one_process_computes_them_for_all_runs_and_says_which_it_could_not(
    trained: Callable[..., RunDirectory], tmp_path: Path
) -> None:
    spec = TrajectorySpec("ddpm", 3)
    untrained = RunDirectory.create(tmp_path / "runs", RunConfig(), group="g")
    runs = [untrained, trained()]
    assert start_trajectories(runs, spec, CPU) == 2
    assert all(read_trajectory_progress(run, spec) is not None for run in runs)
    assert start_trajectories(runs, spec, CPU) == 0
    deadline = time.monotonic() + 120
    while (progress := read_trajectory_progress(runs[1], spec)) is not None:
        assert not progress.error, progress
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    assert Trajectory(spec.path(runs[1])).timesteps == (12, 8, 4, 0)
    failed = read_trajectory_progress(untrained, spec)
    assert failed is not None
    assert "has no checkpoint yet" in failed.error
    assert "has no checkpoint yet" in (untrained.path / "trajectories" / "worker.log").read_text()


def test_looking_at_one_imports_neither_torch_nor_safetensors() -> None:
    program = "import core.runs.trajectory, core.launch.jobs, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"torch", "safetensors"} & set(done.stdout.split())
