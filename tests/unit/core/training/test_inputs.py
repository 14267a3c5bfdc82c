"""Inputs of a run: its images, betas and settings stay those that it started with, or it is refused."""

import contextlib
import io
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from core.cli.main import run as run_command
from core.config import (
    DataConfig,
    DiffusionConfig,
    ModelConfig,
    RunConfig,
    SampleConfig,
    ScheduleConfig,
    TrainConfig,
)
from core.data import load_dataset
from core.errors import EXIT_OK, EXIT_RUN_FAILED, UserError
from core.launch import control
from core.launch.queue import enqueue
from core.runs import MetricsTail, RunDirectory, State, Status
from core.training.checkpoint import load_model, read_checkpoint, save_checkpoint
from core.training.distributed import SingleProcess
from core.training.worker import run_main
from tests.support.fake_images import make_images


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in an empty folder with a data folder of its own, and restore the handlers that a worker sets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DDPM_DATA", str(tmp_path / "data"))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(threads)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def config_of(dataset: str, **sections: Any) -> RunConfig:
    train = {"epochs": 2, "batch_size": 8, "cooldown": 0.5} | sections.pop("train", {})
    schedule = {"timesteps": 10} | sections.pop("schedule", {})
    return RunConfig(
        data=DataConfig(dataset=dataset, **sections.pop("data", {})),
        schedule=ScheduleConfig(**schedule),
        diffusion=DiffusionConfig(prediction_type="v_prediction"),
        model=ModelConfig(preset="lean", width=16),
        train=TrainConfig(**train),
        sample=SampleConfig(count=1, sampler="ddim", steps=1, reverse_count=1, reverse_states=2),
        **sections,
    )


def queue(*configs: RunConfig) -> list[RunDirectory]:
    return enqueue(Path("runs"), configs, group="g")


def train(run: RunDirectory) -> Status:
    """Train a queued run in this process, and return its last status."""
    with contextlib.redirect_stderr(io.StringIO()):
        code = run_main(run, SingleProcess(), 1, [])
    status = run.read_status()
    assert code == (EXIT_RUN_FAILED if status.error else EXIT_OK)
    return status


def trained(config: RunConfig) -> RunDirectory:
    (run,) = queue(config)
    assert train(run).state is State.FINISHED
    return run


def edit(run: RunDirectory, section: str, **changes: Any) -> None:
    """Edit the run.toml as a user would."""
    file = run.read()
    edited = msgspec.structs.replace(getattr(file.config, section), **changes)
    run.write_run_file(
        msgspec.structs.replace(file, config=msgspec.structs.replace(file.config, **{section: edited}))
    )


def queue_again(run: RunDirectory, **changes: Any) -> None:
    """Put a run back into the queue as older versions did, without any check."""
    edit(run, "train", epochs=4)
    run.write_status(
        msgspec.structs.replace(run.read_status(), state=State.QUEUED, epochs=4, error="", **changes)
    )


def forget_record(run: RunDirectory) -> None:
    """Make a run and its checkpoint as older versions wrote them."""
    tensors, position = read_checkpoint(run)
    save_checkpoint(run, tensors, msgspec.structs.replace(position, trained_with=None))
    run.previous_checkpoint.unlink()
    run.write_status(msgspec.structs.replace(run.read_status(), trained_with=None))


def test_a_run_keeps_counts_shape_notes_and_fingerprint_of_its_images(home: Path) -> None:
    images = make_images(home / "images", range(30))
    (images / "notes.txt").write_text("no image")
    run = trained(config_of(str(images)))
    made = load_dataset(str(images))
    kept = run.read_status().trained_with
    assert kept is not None
    assert (kept.fingerprint, kept.train, kept.heldout) == (
        made.fingerprint,
        len(made.train),
        len(made.heldout),
    )
    assert (kept.channels, kept.size, kept.train + kept.heldout) == (1, 16, 30)
    assert kept.notes == made.notes
    assert kept.notes[0] == "1 of 31 files were skipped: 1 not an image"
    assert read_checkpoint(run)[1].trained_with == kept


def test_images_deleted_between_two_parts_of_a_training_change_nothing_while_the_made_set_is_there(
    home: Path,
) -> None:
    images = make_images(home / "images", range(40))
    first, second = (trained(config_of(str(images))) for _ in range(2))
    control.resume(first, epochs=4)
    assert train(first).state is State.FINISHED
    for number in range(10, 40):
        (images / f"{number:03}.png").unlink()
    control.resume(second, epochs=4)
    status = train(second)
    assert (status.state, status.step, status.steps) == (State.FINISHED, 20, 20)
    expected, found = read_checkpoint(first)[0], read_checkpoint(second)[0]
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


@pytest.mark.parametrize("change", ["moved", "recipe", "colour"])
def test_a_run_goes_on_with_its_made_set_whatever_became_of_its_source(home: Path, change: str) -> None:
    images = make_images(home / "images", range(20))
    recipe = home / "mine.toml"
    recipe.write_text('kind = "folder"\npath = "images"\nsize = 16\n')
    run = trained(config_of(str(recipe)))
    before = run.read_status().trained_with
    if change == "moved":
        images.rename(home / "elsewhere")
        recipe.unlink()
    elif change == "recipe":
        recipe.write_text('kind = "folder"\npath = "images"\nsize = 8\n')
    else:
        make_images(images, range(20, 21), colour=True)
    control.resume(run, epochs=3)
    status = train(run)
    assert (status.state, status.epoch, status.trained_with) == (State.FINISHED, 3, before)


def test_another_data_set_in_the_run_file_is_refused_unless_it_has_the_same_images(home: Path) -> None:
    images, others = make_images(home / "images", range(20)), make_images(home / "others", range(50, 70))
    run = trained(config_of(str(images)))
    for dataset, epoch, error in ((others, 2, "data.dataset"), (images.rename(home / "elsewhere"), 3, "")):
        edit(run, "data", dataset=str(dataset))
        control.resume(run, epochs=3)
        status = train(run)
        assert (status.state, status.epoch) == (State.FINISHED, epoch)
        assert error in status.error


def test_a_run_whose_images_are_gone_is_refused_with_both_counts_and_stays_finished(home: Path) -> None:
    images = make_images(home / "images", range(40))
    run = trained(config_of(str(images)))
    before = run.read(), run.read_status()
    shutil.rmtree(home / "data")
    for number in range(10, 40):
        (images / f"{number:03}.png").unlink()
    with pytest.raises(
        UserError, match=r"38 training images and 2 held-out.*now it has 10 files.*runs clone"
    ):
        control.resume(run, epochs=4)
    assert (run.read(), run.read_status()) == before


def test_a_set_that_changed_too_little_to_be_seen_before_is_refused_by_the_worker(home: Path) -> None:
    images = make_images(home / "images", range(40))
    run = trained(config_of(str(images)))
    weights = run.checkpoint.read_bytes()
    shutil.rmtree(home / "data")
    make_images(images, range(40, 50))
    control.resume(run, epochs=4)
    status = train(run)
    assert (status.state, status.epoch, status.epochs) == (State.FINISHED, 2, 2)
    assert "38 training images and 2 held-out ones" in status.error
    assert "now it has 4" in status.error
    assert run.read().config.train.epochs == 2
    assert run.checkpoint.read_bytes() == weights
    for number in range(40, 50):
        (images / f"{number:03}.png").unlink()
    control.resume(run, epochs=4)
    status = train(run)
    assert (status.state, status.epoch, status.error) == (State.FINISHED, 4, "")


def test_the_same_images_copied_back_from_a_backup_are_the_same_set(home: Path) -> None:
    images = make_images(home / "images", range(20))
    run = trained(config_of(str(images)))
    for file in images.iterdir():
        os.utime(file, (1, 1))
    shutil.rmtree(home / "data")
    control.resume(run, epochs=3)
    assert train(run).state is State.FINISHED


def test_a_run_that_never_trained_may_begin_with_other_images(home: Path) -> None:
    images = make_images(home / "images", range(20))
    run = trained(config_of(str(images)))
    shutil.rmtree(run.checkpoint.parent)
    shutil.rmtree(home / "data")
    make_images(images, range(20, 30))
    queue_again(run, finished_epochs=0)
    status = train(run)
    assert status.state is State.FINISHED
    assert status.trained_with is not None
    assert status.trained_with.train + status.trained_with.heldout == 30


def test_checkpoints_of_older_versions_are_refused_if_their_steps_do_not_fit_the_images(home: Path) -> None:
    images = make_images(home / "images", range(40))
    run = trained(config_of(str(images)))
    forget_record(run)
    for number in range(10, 40):
        (images / f"{number:03}.png").unlink()
    queue_again(run, finished_epochs=2)
    status = train(run)
    assert (status.state, status.epoch, status.epochs) == (State.FINISHED, 2, 2)
    assert "5 steps an epoch" in status.error
    assert "9 training images and 1 held-out one" in status.error
    make_images(images, range(10, 40))
    control.resume(run, epochs=4)
    assert train(run).state is State.FINISHED


@pytest.mark.parametrize(
    ("section", "changes", "words"),
    [
        ("train", {"batch_size": 4}, "train.batch_size = 4.* trained with 8"),
        ("train", {"seed": 7}, "train.seed = 7.* trained with 0"),
        ("schedule", {"name": "cosine"}, "schedule.name = cosine.* trained with linear"),
        ("diffusion", {"prediction_type": "epsilon"}, "prediction_type = epsilon.* v_prediction"),
        ("data", {"count": 9}, "data.count = 9.* trained with none"),
    ],
)
def test_settings_that_a_checkpoint_depends_on_cannot_be_edited_between(
    home: Path, section: str, changes: dict[str, Any], words: str
) -> None:
    run = trained(config_of(str(make_images(home / "images", range(20)))))
    edit(run, section, **changes)
    with pytest.raises(UserError, match=words):
        control.resume(run, epochs=4)
    assert run.read_status().state is State.FINISHED
    queue_again(run)
    status = train(run)
    assert status.state is State.FINISHED
    assert "was trained with" in status.error


def test_a_lower_learning_rate_can_be_set_between(home: Path) -> None:
    run = trained(config_of(str(make_images(home / "images", range(20)))))
    edit(run, "train", learning_rate=1e-5)
    control.resume(run, epochs=3)
    assert train(run).state is State.FINISHED


def test_a_run_that_failed_after_it_went_on_is_failed(home: Path) -> None:
    run = trained(config_of(str(make_images(home / "images", range(20)))))
    edit(run, "train", learning_rate=1e6)
    control.resume(run, epochs=4)
    run.samples.joinpath("epoch-0003.png").mkdir()
    assert train(run).state is State.FAILED


def test_betas_that_changed_on_disk_are_refused_in_training_and_sampling(home: Path) -> None:
    betas = home / "betas.txt"
    betas.write_text("\n".join(["0.1"] * 10))
    images = make_images(home / "images", range(20))
    run = trained(config_of(str(images), schedule={"name": "custom", "file": str(betas)}))
    load_model(run)
    betas.write_text("\n".join(["0.2"] * 10))
    with pytest.raises(UserError, match="other betas than its checkpoint"):
        control.resume(run, epochs=4)
    with pytest.raises(UserError, match="other betas than its checkpoint"):
        load_model(run)


def test_epochs_below_those_trained_are_refused_and_no_step_is_beyond_the_last(home: Path) -> None:
    run = trained(config_of(str(make_images(home / "images", range(20)))))
    edit(run, "train", epochs=1)
    run.write_status(msgspec.structs.replace(run.read_status(), state=State.QUEUED))
    status = train(run)
    assert "has trained 2 epochs, but run.toml says train.epochs = 1" in status.error
    assert status.step <= status.steps


def test_all_runs_of_a_group_are_trained_on_the_same_images(home: Path) -> None:
    images = make_images(home / "images", range(20))
    first, second, third = queue(
        config_of(str(images)), config_of(str(images)), config_of(str(images), data={"count": 5})
    )
    train(first)
    make_images(images, range(20, 30))
    train(second)
    train(third)
    records = [run.read_status().trained_with for run in (first, second, third)]
    assert len({record.fingerprint for record in records if record is not None}) == 1
    assert [record.train for record in records if record is not None][2] == 5
    (other,) = enqueue(Path("runs"), [config_of(str(images))], group="other")
    record = train(other).trained_with
    assert record is not None
    assert record.train + record.heldout == 30


def test_another_version_of_pytorch_or_device_is_said_in_the_log(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(config_of(str(make_images(home / "images", range(20)))))
    tensors, position = read_checkpoint(run)
    assert position.trained_with is not None
    before = msgspec.structs.replace(position.trained_with, torch="1.0", device="cuda")
    save_checkpoint(run, tensors, msgspec.structs.replace(position, trained_with=before))
    control.resume(run, epochs=3)
    assert train(run).state is State.FINISHED
    log = capsys.readouterr().out
    assert f"PyTorch 1.0 before, PyTorch {torch.__version__} now: what follows may differ" in log
    assert "cuda before, cpu now: what follows is not bit for bit the same" in log


def test_a_run_of_a_group_whose_images_are_gone_is_refused_rather_than_compared_with_others(
    home: Path,
) -> None:
    images = make_images(home / "images", range(20))
    first, second = queue(config_of(str(images)), config_of(str(images)))
    train(first)
    make_images(images, range(20, 30))
    shutil.rmtree(home / "data")
    status = train(second)
    assert status.state is State.FAILED
    assert "training images" in status.error
    assert "now it has" in status.error


def test_the_learning_rate_is_logged_as_zero_or_more(home: Path) -> None:
    run = trained(config_of(str(make_images(home / "images", range(20)))))
    tail = MetricsTail(run.metrics_file)
    tail.poll()
    assert all(record.learning_rate >= 0 for record in tail.epochs)


@pytest.mark.parametrize(("count", "batch_size"), [(2, 8), (3, 1), (10, 8)])
def test_the_thesis_network_trains_on_small_images_where_the_last_batch_is_one_image(
    home: Path, count: int, batch_size: int
) -> None:
    make_images(home / "images", range(count))
    (home / "mine.toml").write_text('kind = "folder"\npath = "images"\nsize = 16\n')
    config = config_of("mine.toml", train={"epochs": 1, "batch_size": batch_size})
    config = msgspec.structs.replace(config, model=ModelConfig(preset="thesis", width=1))
    assert trained(config).read_status().step >= 1


def test_a_run_is_evaluated_on_the_images_that_it_was_trained_on_or_not_at_all(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = make_images(home / "images", range(40))
    run = trained(config_of(str(images)))
    assert (record := run.read_status().trained_with) is not None
    for number in range(5, 40):
        (images / f"{number:03}.png").unlink()
    command = ["evaluate", run.id, "--count", "4", "--only", "distribution", "--device", "cpu", "--json"]
    capsys.readouterr()
    assert run_command(command) == 0
    assert json.loads(capsys.readouterr().out)[0]["heldout"] == record.heldout
    shutil.rmtree(home / "data")
    assert run_command(command) == 2
    assert f"the training began with {record.train} training images" in capsys.readouterr().err


def test_a_refused_resume_keeps_the_seconds_that_a_run_was_trained(home: Path) -> None:
    images = make_images(home / "images", range(20))
    run = trained(config_of(str(images)))
    seconds = run.read_status().elapsed
    assert seconds > 0.0
    shutil.rmtree(home / "data")
    make_images(images, range(100, 101)).joinpath("100.png").rename(images / "000.png")
    control.resume(run, epochs=3)
    status = train(run)
    assert "that differ" in status.error
    assert status.elapsed == seconds
