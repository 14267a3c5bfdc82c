"""Captured training steps, with recorded calls of torch in place of CUDA graphs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from core.config import (
    DataConfig,
    DiffusionConfig,
    ModelConfig,
    RunConfig,
    ScheduleConfig,
    TrainConfig,
)
from core.data import ImageSet, load_dataset
from core.data.augmentation import Augment
from core.diffusion.samplers.base import SamplerOptions
from core.diffusion.samplers.registry import sample
from core.runs import RunDirectory
from core.training import captured_step, loop
from core.training.augmentation import augment
from core.training.captured_step import (
    CapturedNetwork,
)
from core.training.captured_training import CapturedTraining, StepTables
from core.training.loop import StepsReport, Trainer
from core.training.noise_error import SUMS
from core.training.sample_sheets import write_epoch_sheets
from tests.support.recorded_steps import RecordedCapture

GENERATOR = torch.Generator()


def config_of(preset: str = "lean", **train: object) -> RunConfig:
    settings = {
        "epochs": 4,
        "batch_size": 16,
        "optimizer": "adamw",
        "ema_decay": 0.9,
        "warmup_steps": 5,
        "cooldown": 0.4,
        "stratified_timesteps": True,
        "augment": "dihedral",
    } | train
    return RunConfig(
        recipe="tiny",
        data=DataConfig(dataset="array", count=40, heldout=4),
        schedule=ScheduleConfig(timesteps=20),
        diffusion=DiffusionConfig(prediction_type="v_prediction"),
        model=ModelConfig(preset=preset, width=16 if preset == "lean" else 2),  # type: ignore[arg-type]
        train=TrainConfig(**settings),  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """Forty images of 16x16: batches of 16, 16 and 8."""
    torch.set_num_threads(1)
    large = load_dataset("array", data_dir=tmp_path_factory.mktemp("data"), count=40)
    return replace(large, train=large.train[:, :, ::2, ::2], heldout=large.heldout[:, :, ::2, ::2])


def captured(config: RunConfig, images: ImageSet, capture: RecordedCapture) -> Trainer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "find_capture", lambda *_: capture)
        return Trainer(config, images, torch.device("cpu"))


def losses_of(trainer: Trainer, stop: Callable[[], bool] = lambda: False) -> list[float]:
    return [
        loss for report in trainer.reports(stop) if isinstance(report, StepsReport) for loss in report.losses
    ]


def assert_replays_are_the_steps(config: RunConfig, images: ImageSet) -> tuple[Trainer, list[float]]:
    """Compare replays with the same steps without captures, bit for bit; return the latter's trainer and losses."""
    capture, warm_ups = RecordedCapture(), RecordedCapture()
    trainer, uncaptured = captured(config, images, capture), captured(config, images, warm_ups)
    losses = losses_of(trainer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(captured_step, "_WARM_UP", 1000)
        assert losses == losses_of(uncaptured), "losses"
    assert capture.log.count("replay") == 6  # of 8 steps of 16 images and 4 of 8, after three of each
    assert set(warm_ups.log) == {"warm up"}
    state = uncaptured.state_dict()
    for name, value in trainer.state_dict().items():
        assert torch.equal(value, state[name]), name
    return uncaptured, losses


CASES: list[tuple[str, dict[str, object]]] = [
    ("lean", {}),
    ("lean", {"optimizer": "muon", "loss_weight": "min_snr", "noise_levels": "cosine"}),
    ("lean", {"optimizer": "adam", "stratified_timesteps": False, "augment": "flips", "ema_decay": 0.0}),
    ("lean", {"precision": "bf16", "noise_levels": "log_normal", "loss_weight": "sigmoid"}),
    ("thesis", {"optimizer": "adam"}),
    ("thesis", {"optimizer": "muon", "augment": "none"}),
]


@pytest.mark.parametrize(("preset", "settings"), CASES)
def test_replayed_steps_are_those_of_the_cpu(
    images: ImageSet, preset: str, settings: dict[str, object]
) -> None:
    config = config_of(preset, **settings)
    steps, losses = assert_replays_are_the_steps(config, images)
    today = Trainer(config, images, torch.device("cpu"))
    # The rates of one are float32, of the other float64, and networks with BatchNorm magnify every difference.
    rtol, atol = (1e-3, 1e-4) if (preset, steps.precision) == ("lean", "fp32") else (0.1, 5e-3)
    assert_close(torch.tensor(losses_of(today)), torch.tensor(losses), rtol=rtol, atol=atol)
    state = today.state_dict()
    for name, value in steps.state_dict().items():
        if name.startswith("optimizer") and rtol == 0.1:
            continue
        assert_close(value, state[name], rtol=rtol, atol=atol, msg=lambda text, name=name: f"{name}: {text}")


def rate_of_python(self: CapturedTraining) -> None:
    for optimizer in self._trainer.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = self._trainer.learning_rate()


def weight_of_python(self: CapturedTraining) -> None:
    ema, step = self._trainer.ema, self._trainer.step + 1
    assert ema is not None
    ema.update_by = lambda _: ema.update(step)  # type: ignore[method-assign]


def batch_of_python(self: CapturedTraining) -> None:
    self._tables._batch = torch.tensor([self._trainer.batch])


def symmetry_of_python(self: CapturedTraining) -> None:
    self._tables._step = torch.tensor([self._trainer.step])


@pytest.mark.parametrize(
    ("fault", "optimizer"),
    [
        (rate_of_python, "adamw"),
        (rate_of_python, "muon"),
        (weight_of_python, "adamw"),
        (batch_of_python, "adamw"),
        (symmetry_of_python, "adamw"),
    ],
)
def test_a_value_of_python_that_changes_by_step_is_found_out(
    images: ImageSet,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[CapturedTraining], None],
    optimizer: str,
) -> None:
    right = CapturedTraining._step

    def step(self: CapturedTraining, count: int) -> None:
        fault(self)
        right(self, count)

    monkeypatch.setattr(CapturedTraining, "_step", step)
    with pytest.raises(AssertionError):
        assert_replays_are_the_steps(config_of(optimizer=optimizer), images)


@pytest.mark.parametrize("kind", ["none", "flips", "dihedral"])
def test_images_are_gathered_with_the_symmetries_of_the_eager_step(kind: Augment) -> None:
    pixels = torch.randint(256, (11, 3, 4, 4), dtype=torch.uint8)
    tables = StepTables(pixels, 4, kind)
    order = torch.randperm(11)
    tables.start(order, [0.0] * 3, [0.0] * 3, batch=1, step=12)
    for batch, step in ((1, 12), (2, 13)):
        expected = augment(pixels[order[4 * batch : 4 * batch + 4]], kind, step)
        assert torch.equal(tables.images(len(expected)), expected)
        tables.finish_step(torch.full((1 + SUMS,), float(step)))
    assert [float(tables.record(batch)[0]) for batch in (1, 2)] == [12.0, 13.0]


def test_a_captured_training_goes_on_bit_for_bit_from_the_middle_of_an_epoch(
    images: ImageSet, tmp_path: Path
) -> None:
    config = config_of(optimizer="muon", epochs=5)
    whole = captured(config, images, RecordedCapture())
    expected = losses_of(whole)
    first = captured(config, images, RecordedCapture())
    losses = losses_of(first, lambda: first.step >= 7)
    assert (first.step, first.epoch, first.batch) == (7, 2, 1)
    tensors = {name: value.clone() for name, value in first.state_dict().items()}
    capture = RecordedCapture()
    second = captured(config, images, capture)
    second.restore(tensors, first.position(elapsed=0.0, metrics_offset=0), RunDirectory(tmp_path))
    assert losses + losses_of(second) == expected
    assert "replay" in capture.log
    for name, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_a_trainer_that_is_restored_is_captured_again(images: ImageSet, tmp_path: Path) -> None:
    config = config_of()
    capture = RecordedCapture()
    trainer = captured(config, images, capture)
    start = {name: value.clone() for name, value in trainer.state_dict().items()}
    position = trainer.position(elapsed=0.0, metrics_offset=0)
    losses = losses_of(trainer)
    done = {name: value.clone() for name, value in trainer.state_dict().items()}
    fresh = captured(config, images, RecordedCapture())
    losses_of(fresh, lambda: fresh.step >= 1)
    zeros = {name: torch.zeros_like(done[name]) for name in done if name.startswith("optimizer.")}
    trainer.restore(start | zeros, position, RunDirectory(tmp_path))
    assert losses_of(trainer) == losses
    assert capture.log.count("capture") == 4


def test_a_training_of_an_older_version_is_not_captured(images: ImageSet, tmp_path: Path) -> None:
    config = config_of()
    older = Trainer(config, images, torch.device("cpu"))
    older._seeding = "stream"
    capture = RecordedCapture()
    trainer = captured(config, images, capture)
    trainer.restore(older.state_dict(), older.position(elapsed=0.0, metrics_offset=0), RunDirectory(tmp_path))
    assert losses_of(trainer) == losses_of(older)
    assert capture.log == []


def test_a_step_that_cannot_be_captured_is_done_without_a_graph_and_the_log_says_why(
    images: ImageSet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = StepTables.update_rate

    def reading(self: StepTables) -> None:
        right(self)
        self.rate.item()

    monkeypatch.setattr(StepTables, "update_rate", reading)
    config, capture = config_of(), RecordedCapture()
    trainer = captured(config, images, capture)
    losses = losses_of(trainer)
    assert (capture.log.count("capture"), capture.log.count("replay")) == (1, 0)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("operation not permitted when stream is capturing: a value was read on the CPU")
    monkeypatch.undo()
    expected = losses_of(Trainer(config, images, torch.device("cpu")))
    assert_close(torch.tensor(losses), torch.tensor(expected), rtol=1e-3, atol=1e-4)


def test_a_captured_network_samples_bit_for_bit_as_without_a_graph_while_the_weights_change(
    images: ImageSet,
) -> None:
    capture = RecordedCapture()
    trainer = captured(config_of(epochs=3), images, capture)
    network = CapturedNetwork(trainer.model, capture)
    for report in trainer.reports():
        if isinstance(report, StepsReport):
            continue
        capture.log.clear()
        with trainer.eval_mode():
            samples = [
                sample(
                    "ddim",
                    model,
                    trainer.diffusion,
                    torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(report.epoch)),
                    SamplerOptions(steps=4),
                    generator=GENERATOR,
                )
                for model in (trainer.model, network)
            ]
        assert torch.equal(*samples)
        begin = ["warm up", "capture"] if report.epoch == 1 else []
        assert capture.log == [*begin, *["replay"] * 4]


def test_sheets_of_samples_are_drawn_by_the_captured_network(images: ImageSet, tmp_path: Path) -> None:
    capture = RecordedCapture()
    trainer = captured(config_of(epochs=1), images, capture)
    losses_of(trainer)
    sheets = []
    for name in ("with", "without"):
        capture.log.clear()
        run = RunDirectory.create(tmp_path / name, trainer.config, group="g")
        write_epoch_sheets(run, trainer, lambda: False)
        sheets.append((run.samples / "epoch-0001.png").read_bytes())
        assert capture.log.count("replay") == (20 if name == "with" else 0)
        trainer.captured = None
    assert sheets[0] == sheets[1]


def test_a_network_that_cannot_be_captured_is_called_without_a_graph_and_the_log_says_why_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def reading(xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return xt * float(t[0].item())

    capture = RecordedCapture()
    network = CapturedNetwork(reading, capture)
    for value in (2, 3):
        result = network(torch.ones(2, 1, 4, 4), torch.full((2,), value))
        assert torch.equal(result, torch.full((2, 1, 4, 4), float(value)))
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("a value was read on the CPU")
    assert capture.log == ["warm up", "capture"]
