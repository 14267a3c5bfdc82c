"""Training on labels, and guided samples: nothing changes without labels, and with them all is exact."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from torch.testing import assert_close

from core.cli.between import draw_between, label_between
from core.cli.labels import labels_asked_for
from core.config import (
    DataConfig,
    DiffusionConfig,
    ModelConfig,
    RunConfig,
    SampleConfig,
    ScheduleConfig,
    TrainConfig,
)
from core.config.consistency import check_consistent
from core.data import DataRecipe, ImageSet, load_dataset
from core.diffusion.gaussian import GaussianDiffusion
from core.diffusion.guidance import Guided, label_predictor
from core.diffusion.models.registry import build_network
from core.diffusion.samplers.base import SamplerOptions
from core.diffusion.samplers.registry import SAMPLERS, sample
from core.errors import UserError
from core.evaluation.sampling import draw_samples, labels_in_proportion
from core.imaging import read_sheet
from core.imaging.sheet_classes import sheet_classes
from core.runs import RunDirectory, RunFile
from core.schedules import make_schedule
from core.training.captured_training import CapturedTraining
from core.training.checkpoint import load_model, save_checkpoint
from core.training.inputs import check_inputs, record_inputs
from core.training.loop import StepsReport, Trainer
from core.training.sample_sheets import write_epoch_sheets
from tests.support.recorded_steps import RecordedCapture

CPU = torch.device("cpu")
DIFFUSION = GaussianDiffusion(make_schedule("cosine", timesteps=50), prediction_type="v_prediction")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    recipe = DataRecipe(name="kinds", labels="angles", size=16, count=40, heldout=10)
    return load_dataset(recipe, data_dir=tmp_path_factory.mktemp("data"), labels=True)


def config_of(*, labels: bool = True, **train: object) -> RunConfig:
    settings = {
        "epochs": 1,
        "batch_size": 8,
        "optimizer": "muon",
        "augment": "dihedral",
        "label_dropout": 0.5,
    } | train
    return RunConfig(
        recipe="tiny",
        data=DataConfig(dataset="kinds", heldout=10, labels=labels),
        schedule=ScheduleConfig(timesteps=20),
        diffusion=DiffusionConfig(prediction_type="v_prediction"),
        model=ModelConfig(preset="lean", width=16),
        train=TrainConfig(**settings),  # type: ignore[arg-type]
        sample=SampleConfig(
            count=4, sampler="ddim", steps=2, reverse_count=2, reverse_states=2, guidance=1.0 + labels
        ),
    )


def trainer_of(config: RunConfig, images: ImageSet) -> Trainer:
    torch.set_num_threads(1)
    return Trainer(config, images, CPU)


def losses_of(trainer: Trainer) -> list[float]:
    return [loss for report in trainer.reports() if isinstance(report, StepsReport) for loss in report.losses]


@pytest.mark.parametrize("preset", ["thesis", "lean"])
def test_a_network_with_classes_has_the_weights_of_one_without_and_an_embedding(preset: str) -> None:
    width = 16 if preset == "lean" else 2
    torch.manual_seed(0)
    plain = build_network(preset, channels=1, width=width)
    torch.manual_seed(0)
    labelled = build_network(preset, channels=1, width=width, classes=3).eval()
    extra = set(labelled.state_dict()) - set(plain.state_dict())
    assert extra == {"label_embedding.table.weight"}
    for name, value in plain.state_dict().items():
        assert_close(labelled.state_dict()[name], value, rtol=0, atol=0)
    if preset == "lean":  # whose output starts at zero
        for parameter in labelled.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    x, t = torch.randn(4, 1, 16, 16), torch.arange(4)
    by_class = labelled(x, t, torch.tensor([0, 1, 2, 3]))
    assert_close(by_class[3:], labelled(x[3:], t[3:]))  # 3 is "no label"
    assert not torch.allclose(by_class[:1], labelled(x[:1], t[:1], torch.tensor([1])))


def test_training_without_labels_draws_as_before_and_with_labels_the_same_noise(images: ImageSet) -> None:
    unlabelled = replace(images, train_labels=None, heldout_labels=None, classes=())
    plain = trainer_of(config_of(labels=False), unlabelled)
    ignoring = trainer_of(config_of(labels=False), images)
    assert losses_of(plain) == losses_of(ignoring)
    assert plain.model.state_dict().keys() == ignoring.model.state_dict().keys()
    labelled, other = trainer_of(config_of(), images), trainer_of(config_of(labels=False), images)
    order = labelled._epoch_order()
    for ours, theirs in zip(labelled._next_batch(order), other._next_batch(order), strict=True):
        assert_close(ours, theirs, rtol=0, atol=0)
    with pytest.raises(UserError, match="has no labels"):
        trainer_of(config_of(), unlabelled)


def test_labels_follow_their_images_and_are_left_out_as_often_as_asked(images: ImageSet) -> None:
    labels = trainer_of(config_of(label_dropout=0.25), images).labels
    assert labels is not None
    assert images.train_labels is not None
    indices = torch.randint(0, 40, (4000,), generator=torch.Generator().manual_seed(0))
    drawn = labels.draw(indices, torch.Generator().manual_seed(1))
    kept = drawn != 3
    assert_close(drawn[kept], torch.from_numpy(images.train_labels)[indices][kept])
    assert abs(float((~kept).float().mean()) - 0.25) < 0.03


def test_labelled_training_resumed_in_an_epoch_is_the_uninterrupted_one_bit_for_bit(
    images: ImageSet, tmp_path: Path
) -> None:
    config = config_of()
    straight = trainer_of(config, images)
    whole = losses_of(straight)
    first = trainer_of(config, images)
    list(first.reports(stop=lambda: first.step == 2))
    position = first.position(elapsed=0.0, metrics_offset=0)
    second = trainer_of(config, images)
    second.restore(first.state_dict(), position, RunDirectory(tmp_path))
    assert first.epoch_losses + losses_of(second) == whole
    for name, value in straight.state_dict().items():
        assert_close(second.state_dict()[name], value, rtol=0, atol=0)


def test_captured_steps_train_on_the_same_labels(images: ImageSet) -> None:
    plain, captured = trainer_of(config_of(), images), trainer_of(config_of(), images)
    captured.captured = CapturedTraining(captured, RecordedCapture())
    assert_close(losses_of(captured), losses_of(plain))


def test_a_checkpoint_and_its_sheet_know_the_classes_and_other_labels_are_refused(
    images: ImageSet, tmp_path: Path
) -> None:
    config = config_of()
    trainer = trainer_of(config, images)
    list(trainer.reports())
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    run.write_run_file(RunFile(id="run", created="2026-01-01T00:00:00+00:00", group="", config=config))
    write_epoch_sheets(run, trainer, lambda: False)
    sheet = read_sheet(run.samples / "epoch-0001.png")
    assert sheet_classes(sheet.meta) == ("acute", "right", "obtuse")
    assert sheet.columns == 3
    before = record_inputs(config, images, "cpu")
    assert before.classes == ("acute", "right", "obtuse")
    assert before.settings["data.labels"] is True
    position = msgspec.structs.replace(trainer.position(elapsed=0.0, metrics_offset=0), trained_with=before)
    check_inputs(run, config, position, before)
    save_checkpoint(run, trainer.state_dict(), position)
    loaded = load_model(run)
    assert loaded.classes == ("acute", "right", "obtuse")
    drawn = draw_samples(loaded, 3, labels=np.array([0, 1, 2]))
    assert not np.array_equal(drawn, draw_samples(loaded, 3, labels=np.array([2, 1, 0])))
    weak = draw_samples(loaded, 3, weak=loaded)  # guided by itself: no guidance
    assert_close(weak, draw_samples(loaded, 3), rtol=1e-3, atol=1e-3)
    strips = [draw_between(loaded, ("1", "2"), 2, labels=np.array([k, k])) for k in (0, 1)]
    assert not np.array_equal(*strips)
    with pytest.raises(UserError, match="expected one class"):
        label_between("right,acute", np.array([1, 0]), None)
    with pytest.raises(UserError, match="give --label too"):
        label_between(None, np.array([0, 1]), 2.0)
    assert labels_asked_for("right, acute", loaded, 3, run="run").tolist() == [1, 0, 1]  # type: ignore[union-attr]
    with pytest.raises(UserError, match="did you mean right"):
        labels_asked_for("rigt", loaded, 3, run="run")
    swapped = record_inputs(config, replace(images, classes=("right", "acute", "obtuse")), "cpu")
    with pytest.raises(UserError, match="labels of kinds differ now"):
        check_inputs(run, config, position, swapped)


def test_samples_are_asked_for_in_the_proportions_of_the_data() -> None:
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    asked = labels_in_proportion(labels, 50, seed=0)
    assert np.bincount(asked).tolist() == [30, 15, 5]
    assert np.flatnonzero(asked == 2).tolist() != [45, 46, 47, 48, 49]


def test_guidance_of_1_is_the_network_with_labels_and_0_the_one_without() -> None:
    torch.manual_seed(0)
    network = build_network("lean", channels=1, width=16, classes=3).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    x, t, labels = torch.randn(3, 1, 8, 8), torch.full((3,), 20), torch.tensor([0, 1, 2])
    with torch.no_grad():
        c, u = network(x, t, labels), network(x, t)
        assert_close(label_predictor(network, DIFFUSION, labels)(x, t), c)
        assert_close(label_predictor(network, DIFFUSION, labels, guidance=0.0)(x, t), u)
        guided = label_predictor(network, DIFFUSION, labels, guidance=3.0)(x, t)
        eps, eps_c, eps_u = (DIFFUSION.predict_eps(output, x, t) for output in (guided, c, u))
        assert_close(eps, eps_u + 3.0 * (eps_c - eps_u), rtol=1e-4, atol=1e-5)
        log_snr = float(DIFFUSION.schedule.log_snr[20])
        outside = label_predictor(network, DIFFUSION, labels, guidance=3.0, interval=(log_snr + 0.1, 99.0))
        assert_close(outside(x, t), c)
        assert label_predictor(network, DIFFUSION, None, guidance=3.0) is network


@pytest.mark.parametrize("name", ["ddim", "dpm++", "unipc"])
def test_every_sampler_takes_a_guided_predictor_and_finds_the_guided_point(name: str) -> None:
    """Predictors that know their image: the guided one knows weak + w (good - weak), whatever the sampler."""

    def knows(value: float):  # type: ignore[no-untyped-def]
        def predict(xt: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            alpha_t, sigma_t = DIFFUSION.alpha_sigma(int(t[0]))
            return (alpha_t * xt - value) / sigma_t  # v of x0 = value

        return predict

    assert name in SAMPLERS
    guided = Guided(knows(0.3), knows(0.1), 2.0, DIFFUSION)
    noise = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    options = SamplerOptions(steps=5, clip="none")
    final = sample(name, guided, DIFFUSION, noise, options, generator=torch.Generator())
    assert_close(final, torch.full_like(noise, 0.5), atol=1e-3, rtol=0)


def test_guidance_that_cannot_be_is_refused_before_the_run_is_queued() -> None:
    config = config_of()
    check_consistent(config)
    no_labels = msgspec.structs.replace(config, data=DataConfig())
    with pytest.raises(UserError, match="needs data"):
        check_consistent(no_labels)
    never_left_out = msgspec.structs.replace(config, train=TrainConfig(label_dropout=0.0))
    with pytest.raises(UserError, match="label_dropout above 0"):
        check_consistent(never_left_out)
    turned = msgspec.structs.replace(config, sample=SampleConfig(guidance_interval=(2.0, -2.0)))
    with pytest.raises(UserError, match="the lower log SNR first"):
        check_consistent(turned)
