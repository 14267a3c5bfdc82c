"""Budgets of steps and minutes: the schedule ends with them, whatever the training is resumed from."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from core.config import TrainConfig
from core.errors import UserError
from core.launch import control
from core.runs import MetricsTail, RunDirectory, State
from core.training.budget import Budget
from core.training.checkpoint import read_checkpoint
from core.training.distributed import SingleProcess
from core.training.loop import StepsReport, Trainer
from tests.support.tiny_runs import new_tiny_run, train_here


def simulate(train: TrainConfig, batches: int, seconds_a_step: float, epoch_seconds: float = 0.0) -> Budget:
    """Train with a clock of our own: each step and each end of an epoch takes its time, and every step is flushed."""
    budget, now = Budget(train, batches), [0.0]
    budget.elapsed = lambda: now[0]
    step = 0
    while step < budget.total_steps:
        now[0] += 30.0 if step == 0 else seconds_a_step  # the first step compiles
        step += 1
        budget.plan(step, (step - 1) // batches, SingleProcess())
        now[0] += epoch_seconds if step % batches == 0 else 0.0
    assert step == budget.total_steps
    return budget


def test_the_learning_rate_reaches_zero_with_the_smaller_of_both_limits() -> None:
    train = TrainConfig(epochs=10, learning_rate=1.0, warmup_steps=4, cooldown=0.5)
    for most, total in ((0, 100), (40, 40), (1000, 100)):
        budget = Budget(msgspec.structs.replace(train, max_steps=most), 10)
        assert (budget.total_steps, budget.final_epoch) == (total, -(-total // 10))
        assert budget.learning_rate(0) == 0.25
        assert budget.learning_rate(total // 2) == 1.0
        assert budget.learning_rate(total - 1) == pytest.approx(2 / total)
        assert budget.learning_rate(total) == 0.0
        assert budget.binding == ("train.max_steps = 40" if total == 40 else "")


@pytest.mark.parametrize("epoch_seconds", [0.0, 20.0])
def test_minutes_are_used_to_within_two_hundredths_in_spite_of_compilation_and_samples(
    epoch_seconds: float,
) -> None:
    train = TrainConfig(epochs=10_000, max_minutes=60, warmup_steps=50, cooldown=0.3)
    budget = simulate(train, 100, 0.5, epoch_seconds)
    assert budget.elapsed() == pytest.approx(3600, rel=0.02)
    assert budget.binding == "train.max_minutes = 60"
    assert budget.learning_rate(budget.total_steps - 1) < 0.01 * train.learning_rate


def test_a_plan_does_not_wait_for_an_epoch_that_takes_all_the_time_and_never_exceeds_the_epochs() -> None:
    long_epochs = TrainConfig(epochs=10, max_minutes=60)
    budget = simulate(long_epochs, 100_000, 0.5)
    assert budget.elapsed() == pytest.approx(3600, rel=0.01)
    assert budget.final_epoch == 1
    few = simulate(TrainConfig(epochs=2, max_minutes=60), 100, 0.5)
    assert (few.total_steps, few.binding) == (200, "")


def test_while_nothing_is_planned_progress_is_extrapolated() -> None:
    budget = Budget(TrainConfig(epochs=1000, max_minutes=10), 100)
    budget.elapsed = lambda: 30.0
    assert budget.expected_steps(0) == 100_000
    assert budget.expected_steps(25) == 500
    budget.restore(700, 10.0)
    assert (budget.expected_steps(25), budget.planned_minutes) == (700, 10.0)
    budget.restore(700, 5.0)  # planned for other minutes
    assert (budget.total_steps, budget.planned_minutes) == (100_000, 0.0)


def test_a_run_ends_in_the_middle_of_an_epoch_and_goes_on_from_there_as_if_it_had_not(home: Path) -> None:
    calm, short = new_tiny_run(home, epochs=2), new_tiny_run(home, epochs=2, max_steps=3)
    assert train_here(calm) == 0
    assert train_here(short) == 0
    status = short.read_status()
    assert (status.state, status.epoch, status.epochs, status.step, status.steps) == (
        State.FINISHED, 2, 2, 3, 3,
    )  # fmt: skip
    assert (status.ended_by, status.ending) == ("train.max_steps = 3", "train.max_steps = 3 is reached")
    assert [epoch for epoch, _ in short.sample_sheets()] == [0, 1, 2]
    with pytest.raises(UserError, match=r"train.max_steps = 3 is reached; raise that in .*or set it to 0"):
        control.resume(short, epochs=9)
    set_train(short, max_steps=0)
    control.resume(short)
    assert train_here(short) == 0
    assert short.read_status().ended_by == ""
    assert losses(short) == losses(calm)
    mine, other = read_checkpoint(short)[0], read_checkpoint(calm)[0]
    assert all(torch.equal(mine[name], other[name]) for name in other)


def test_a_plan_is_kept_in_the_checkpoint_so_that_a_resumed_training_equals_the_uninterrupted_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.data import load_dataset

    run = new_tiny_run(home, epochs=1000, max_minutes=1.0, cooldown=0.5)
    config, images = run.read().config, load_dataset("tiny", data_dir=home, workers=1)
    monkeypatch.setattr("core.training.distributed.FLUSH_SECONDS", 0.0)

    def trainer() -> Trainer:
        one = Trainer(config, images, torch.device("cpu"))
        one.budget.elapsed = lambda: 5.0 * one.step  # twelve steps a minute
        return one

    whole = trainer()
    straight = [loss for r in whole.reports() if isinstance(r, StepsReport) for loss in r.losses]
    assert len(straight) == whole.total_steps == 12
    first = trainer()
    list(first.reports(lambda: first.step >= 7))
    position = first.position(elapsed=35.0, metrics_offset=0)
    assert (position.planned_steps, position.planned_minutes) == (12, 1.0)
    tensors = {name: value.clone() for name, value in first.state_dict().items()}
    second = trainer()
    second.budget.elapsed = lambda: 50.0 * second.step  # ten times slower
    second.restore(tensors, position, RunDirectory(home))
    rest = [loss for r in second.reports() if isinstance(r, StepsReport) for loss in r.losses]
    assert rest == straight[7:]
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in whole.state_dict().items())


def set_train(run: RunDirectory, **changes: Any) -> None:
    file = run.read()
    train = msgspec.structs.replace(file.config.train, **changes)
    run.write_run_file(
        msgspec.structs.replace(file, config=msgspec.structs.replace(file.config, train=train))
    )


def losses(run: RunDirectory) -> tuple[list[float], list[float]]:
    tail = MetricsTail(run.metrics_file)
    tail.poll()
    return tail.losses.tolist(), [record.heldout for record in tail.epochs]
