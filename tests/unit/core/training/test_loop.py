"""The training: its mathematics' edges, its exact continuation, and the worker as a real process."""

import math
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pytest
import torch
from torch.testing import assert_close

from core.config import (
    DataConfig,
    DiffusionConfig,
    ModelConfig,
    RunConfig,
    SampleConfig,
    ScheduleConfig,
    TrainConfig,
)
from core.data import DataRecipe, ImageSet, load_dataset
from core.diffusion.models.lean_unet import LeanUNet
from core.diffusion.models.registry import build_network
from core.errors import UserError
from core.imaging import read_sheet
from core.runs import MetricsTail, RunDirectory, State, effective_state
from core.training.checkpoint import load_model, read_checkpoint
from core.training.compiler import compile_options
from core.training.distributed import SingleProcess
from core.training.ema import Ema
from core.training.loop import EpochReport, NonFiniteLossError, StepsReport, Trainer
from core.training.worker import Worker
from tests.support.queueing import worker_command


def tiny(**train: object) -> RunConfig:
    settings = {
        "epochs": 2,
        "batch_size": 8,
        "optimizer": "muon",
        "ema_decay": 0.9,
        "warmup_steps": 3,
    } | train
    return RunConfig(
        recipe="tiny",
        data=DataConfig(dataset="array", count=40, heldout=10),
        schedule=ScheduleConfig(timesteps=20),
        diffusion=DiffusionConfig(prediction_type="v_prediction"),
        model=ModelConfig(preset="lean", width=16),
        train=TrainConfig(**settings),  # type: ignore[arg-type]
        sample=SampleConfig(count=3, sampler="ddim", steps=2, reverse_count=2, reverse_states=3),
    )


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return load_dataset("array", data_dir=tmp_path_factory.mktemp("data"), count=40)


def trainer_of(config: RunConfig, images: ImageSet) -> Trainer:
    torch.set_num_threads(1)
    return Trainer(config, images, torch.device("cpu"))


@pytest.mark.parametrize("size", [32, 28])
def test_training_continued_from_any_step_is_the_uninterrupted_one_bit_for_bit(
    size: int, images: ImageSet, tmp_path: Path
) -> None:
    config = tiny()
    if size != images.size:  # padded by the network
        recipe = DataRecipe(name="padded", size=size, count=40, heldout=20)
        images = load_dataset(recipe, data_dir=tmp_path / "data")
    whole = trainer_of(config, images)
    straight = list(whole.reports())
    for broken_after in (1, 4, 5, 7):
        first = trainer_of(config, images)
        losses = [
            loss
            for report in first.reports(lambda first=first, n=broken_after: first.step >= n)
            if isinstance(report, StepsReport)
            for loss in report.losses
        ]
        assert first.step == broken_after
        position = first.position(elapsed=0.0, metrics_offset=0)
        tensors = {name: value.clone() for name, value in first.state_dict().items()}
        second = trainer_of(config, images)
        second.restore(tensors, position, RunDirectory(tmp_path))
        reports = list(second.reports())
        losses += [loss for r in reports if isinstance(r, StepsReport) for loss in r.losses]
        assert losses == [loss for r in straight if isinstance(r, StepsReport) for loss in r.losses]
        assert reports[-1] == straight[-1]
        for name, value in whole.state_dict().items():
            assert torch.equal(value, second.state_dict()[name]), name


def test_an_epoch_reports_mean_minimum_and_maximum_of_its_batches(images: ImageSet) -> None:
    reports = list(trainer_of(tiny(epochs=1), images).reports())
    losses = [loss for r in reports if isinstance(r, StepsReport) for loss in r.losses]
    end = reports[-1]
    assert isinstance(end, EpochReport)
    assert len(losses) == end.step == 5
    assert (end.min, end.max) == (min(losses), max(losses))
    assert end.mean == pytest.approx(sum(losses) / 5)
    assert math.isfinite(end.heldout)


def test_the_heldout_loss_leaves_batch_norm_and_generator_alone(images: ImageSet) -> None:
    config = msgspec.structs.replace(
        tiny(optimizer="adam", ema_decay=0.0), model=ModelConfig(preset="thesis", width=2)
    )
    trainer = trainer_of(config, images)
    before = {name: value.clone() for name, value in trainer.state_dict().items()}
    generator = trainer.generator.get_state()
    assert trainer.heldout_loss() == trainer.heldout_loss()
    assert all(torch.equal(value, before[name]) for name, value in trainer.state_dict().items())
    assert torch.equal(trainer.generator.get_state(), generator)
    assert trainer.model.training


@pytest.mark.parametrize("levels", ["uniform", "cosine"])
def test_the_heldout_loss_of_an_untrained_network_is_that_of_the_training_images(
    images: ImageSet, levels: str
) -> None:
    """For grey images v is noise alone, scaled by its share at each level, so other levels would give another loss."""
    grey = np.full_like(images.train, 128)
    images = replace(images, train=grey, heldout=grey)
    config = tiny(batch_size=1000, noise_levels=levels, stratified_timesteps=True)
    config = msgspec.structs.replace(config, schedule=ScheduleConfig(timesteps=1000))
    trainer = trainer_of(config, images)
    before = trainer.heldout_loss()
    (first, *_) = trainer.reports(lambda: trainer.step == 1)
    assert isinstance(first, StepsReport)
    assert before == pytest.approx(first.losses[0], rel=0.05)


def test_a_batch_larger_than_the_set_is_one_batch_of_all(images: ImageSet) -> None:
    trainer = trainer_of(tiny(epochs=1, batch_size=1000), images)
    list(trainer.reports())
    assert trainer.step == 1


@pytest.mark.filterwarnings("ignore:.*overflow.*")
def test_a_loss_that_is_not_finite_stops_the_training_and_names_the_step(images: ImageSet) -> None:
    trainer = trainer_of(tiny(), images)
    with torch.no_grad():
        next(trainer.model.parameters()).fill_(math.nan)
    with pytest.raises(NonFiniteLossError, match=r"became nan at step 1; a lower train\.learning_rate"):
        list(trainer.reports())
    assert not trainer.weights_are_finite()


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_one_weight_that_is_not_finite_is_found_and_large_ones_are_finite(
    images: ImageSet, value: float
) -> None:
    trainer = trainer_of(tiny(), images)
    *_, last = trainer.model.parameters()
    with torch.no_grad():
        last.fill_(3e38)
        assert trainer.weights_are_finite()
        last.view(-1)[-1] = value
    assert not trainer.weights_are_finite()


def test_on_a_gpu_a_compiled_step_is_a_cuda_graph_that_is_told_of_each_step(
    images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert compile_options("cuda")["mode"] == "reduce-overhead"
    assert compile_options("cpu") == {}
    begun: list[int] = []
    trainer = trainer_of(tiny(epochs=1), images)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: begun.append(trainer.step))
    trainer._cuda_graphs = True  # as it would on a GPU
    list(trainer.reports())
    assert begun == list(range(5))


def test_the_learning_rate_warms_up_stays_and_cools_down_to_almost_nothing(images: ImageSet) -> None:
    trainer = trainer_of(tiny(epochs=4, warmup_steps=4, cooldown=0.5, learning_rate=1.0), images)
    rates = []
    for step in range(20):
        trainer.step = step
        rates.append(trainer.learning_rate())
    assert_close(rates[:5], [0.25, 0.5, 0.75, 1.0, 1.0])
    assert_close(rates[10:], [1.0, *(1 - k / 10 for k in range(1, 10))])


def test_the_mean_of_weights_is_applied_inside_the_context_only() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(layer.weight, 1.0)
    ema = Ema(layer, decay=0.5)
    torch.nn.init.constant_(layer.weight, 3.0)
    ema.update(1000)
    with ema.applied():
        assert layer.weight.item() == 2.0
    assert layer.weight.item() == 3.0
    assert ema.weights["weight"].item() == 2.0


@pytest.mark.parametrize(("channels", "size"), [(1, 32), (3, 16), (1, 64)])
def test_the_lean_network_takes_any_channels(channels: int, size: int) -> None:
    x = torch.randn((2, channels, size, size), generator=torch.Generator().manual_seed(0))
    model = LeanUNet(channels, 16)
    assert model(x, torch.tensor([0, 5])).shape == x.shape
    model(x, torch.tensor([0, 5])).sum().backward()
    with pytest.raises(UserError, match="multiple of 16"):
        LeanUNet(1, 20)


@pytest.mark.parametrize("preset", ["thesis", "lean"])
def test_a_run_writes_out_the_width_that_its_network_has_by_default(
    preset: Literal["thesis", "lean"],
) -> None:
    width = RunConfig(model=ModelConfig(preset=preset)).resolved().model.width
    with torch.device("meta"):
        own, named = (build_network(preset, channels=1, width=w).state_dict() for w in (None, width))
    assert {name: value.shape for name, value in own.items()} == {
        name: value.shape for name, value in named.items()
    }


def test_the_lean_networks_prediction_depends_on_image_and_timestep(images: ImageSet) -> None:
    trainer = trainer_of(tiny(epochs=1), images)
    list(trainer.reports())
    x = torch.randn((1, 1, 32, 32), generator=torch.Generator().manual_seed(0))
    with trainer.eval_mode():
        here, there = trainer.model(x, torch.tensor([1])), trainer.model(x, torch.tensor([19]))
        assert not torch.allclose(here, there)
        assert not torch.allclose(here, trainer.model(-x, torch.tensor([1])))


def test_what_came_too_soon_for_a_heartbeat_is_said_by_the_next(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "runs", tiny(), group="g")
    with run.claim(device="cpu", threads=1) as status:
        worker = Worker(run, status, SingleProcess())
        worker._heartbeat(step=1)
        worker._heartbeat(step=2)
        assert run.read_status().step == 1
        time.sleep(0.6)
        worker._heartbeat()
        assert run.read_status().step == 2


def start_worker(run: RunDirectory, data: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "DDPM_DATA": str(data)}
    return subprocess.Popen(worker_command(run), env=environment, stdin=subprocess.DEVNULL)


def wait_until(condition: object, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def requeue(run: RunDirectory) -> None:
    with run.lock(wait=5.0):
        run.write_status(msgspec.structs.replace(run.read_status(), state=State.QUEUED))


def test_a_worker_killed_and_resumed_ends_with_the_weights_and_metrics_of_an_undisturbed_one(
    tmp_path: Path,
) -> None:
    config = tiny(epochs=3, checkpoint_seconds=0.01)
    calm = RunDirectory.create(tmp_path / "runs", config, group="g")
    assert start_worker(calm, tmp_path).wait(120) == 0
    broken = RunDirectory.create(tmp_path / "runs", config, group="g")
    victim = start_worker(broken, tmp_path)
    wait_until(broken.checkpoint.exists)
    victim.kill()
    victim.wait()
    status = broken.read_status()
    if status.state is not State.FINISHED:  # it may have been quicker than the kill
        assert effective_state(status, now=time.time()) is State.CRASHED
        requeue(broken)
        assert start_worker(broken, tmp_path).wait(120) == 0
    expected, position = read_checkpoint(calm)
    found, again = read_checkpoint(broken)
    assert (position.epoch, position.step) == (again.epoch, again.step) == (3, 15)
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    tails = [MetricsTail(run.metrics_file) for run in (calm, broken)]
    assert all(tail.poll() for tail in tails)
    assert tails[1].steps.tolist() == list(range(1, 16))
    assert np.array_equal(tails[0].losses, tails[1].losses)
    assert [record.epoch for record in tails[1].epochs] == [1, 2, 3]


def test_a_finished_run_has_every_documented_file_and_samples_from_the_same_noises(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "runs", tiny(epochs=1), group="g")
    assert start_worker(run, tmp_path).wait(120) == 0
    status = run.read_status()
    assert (status.state, status.epoch, status.epochs, status.step, status.steps) == (
        State.FINISHED,
        1,
        1,
        5,
        5,
    )
    assert status.trained_with is not None
    assert status.trained_with.precision == "fp32"
    assert [epoch for epoch, _ in run.sample_sheets()] == [0, 1]
    assert [epoch for epoch, _ in run.reverse_strips()] == [1]
    assert read_sheet(run.sample_sheets()[1][1]).images.shape == (3, 32, 32)
    assert read_sheet(run.reverse_strips()[0][1]).images.shape == (6, 32, 32)
    loaded = load_model(run)
    assert loaded.shape == (1, 32, 32)
    assert not loaded.model.training


def test_sigterm_writes_a_checkpoint_and_stops(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "runs", tiny(epochs=100_000, checkpoint_seconds=1e6), group="g")
    worker = start_worker(run, tmp_path)
    wait_until(lambda: run.read_status().state is State.RUNNING and run.read_status().epoch > 0)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    assert run.read_status().state is State.STOPPED
    _, position = read_checkpoint(run)
    tail = MetricsTail(run.metrics_file)
    tail.poll()
    assert position.step == tail.steps[-1] == run.read_status().step


def test_a_run_that_cannot_go_on_says_why_and_ends_with_three(tmp_path: Path) -> None:
    config = msgspec.structs.replace(tiny(), data=DataConfig(dataset="nowhere"))
    run = RunDirectory.create(tmp_path / "runs", config, group="g")
    assert start_worker(run, tmp_path).wait(60) == 3
    status = run.read_status()
    assert status.state is State.FAILED
    assert "nowhere" in status.error
    with pytest.raises(UserError, match="has no checkpoint yet"):
        load_model(run)


def test_a_checkpoint_of_another_network_or_a_damaged_one_is_one_clear_line(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "runs", tiny(epochs=1), group="g")
    assert start_worker(run, tmp_path).wait(120) == 0
    file = run.read()
    other = msgspec.structs.replace(file.config, model=ModelConfig(preset="lean", width=32))
    run.write_run_file(msgspec.structs.replace(file, config=other))
    with pytest.raises(UserError, match="the weights of another network"):
        load_model(run)
    run.checkpoint.write_bytes(run.checkpoint.read_bytes()[:1000])
    with pytest.raises(UserError, match="not a checkpoint that can be read"):
        load_model(run)


def first_losses(images: ImageSet, config: RunConfig, count: int = 3) -> list[float]:
    losses: list[float] = []
    trainer = Trainer(config, images, torch.device("cpu"))
    for report in trainer.reports(lambda: trainer.step >= count):
        losses += report.losses if isinstance(report, StepsReport) else []
    return losses


def test_without_a_compiler_a_training_that_asks_for_one_is_the_plain_one(
    images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert first_losses(images, tiny(compile=True)) == first_losses(images, tiny())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the compiler's own
def test_a_compiled_training_learns_the_same(images: ImageSet) -> None:
    assert_close(first_losses(images, tiny(compile=True)), first_losses(images, tiny()), rtol=1e-3, atol=0)
