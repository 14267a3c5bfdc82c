"""The progress of an evaluation is in the run's folder, wherever the evaluation was started from."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.cli.evaluation_session import EvaluationSession
from core.cli.main import run as run_command
from core.config import DataConfig, ModelConfig, RunConfig, SampleConfig, ScheduleConfig
from core.data import load_dataset
from core.diffusion.models.registry import build_network
from core.errors import UserError
from core.launch import jobs
from core.launch.devices import Device, Plan
from core.launch.jobs import start_evaluation
from core.runs import Evaluation, RunDirectory, read_evaluations
from core.runs.process import ProcessIdentity
from core.runs.progress import (
    LOG_NAME,
    EvaluationProgress,
    read_evaluation_progress,
    reporting_evaluation,
    write_evaluation_progress,
)
from core.statistics.estimate import Estimate
from core.training.checkpoint import Position, save_checkpoint
from tests.support.fake_runs import DEAD_PROCESS, make_run

CPU = Plan((Device("cpu", "cpu", "", 1 << 34),), cores=1)
ME = ProcessIdentity.current()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data folder with the recipe `small_number`, made; and an empty folder to be in."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "small.toml").write_text("count = 60\nheldout = 30\nsize = 16\ncanvas = 64\nantialias = true\n")
    monkeypatch.setenv("DDPM_DATA", str(folder))
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.chdir(tmp_path)
    load_dataset("small", data_dir=folder)


def trained_run(root: Path, seed: int = 0, *, checkpoint: bool = True) -> RunDirectory:
    """A run of random weights."""
    config = RunConfig(
        data=DataConfig(dataset="small", count=60),
        schedule=ScheduleConfig(timesteps=6),
        model=ModelConfig(preset="lean", width=16),
        sample=SampleConfig(sampler="ddim", steps=2),
    )
    run = make_run(root, config=config, run_id=f"run-{seed}", epochs=1, steps_per_epoch=2, images=False)
    run.checkpoint.unlink()
    if checkpoint:
        torch.manual_seed(seed)
        network = build_network("lean", channels=1, width=16)
        position = Position(
            epoch=1, batch=0, step=2, losses=[], elapsed=0.2, metrics_offset=0, channels=1, size=16
        )
        tensors = {f"model.{name}": value for name, value in network.state_dict().items()}
        save_checkpoint(run, tensors, position)
    return run


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_a_run_without_an_evaluation_has_no_progress(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert read_evaluation_progress(run) is None
    (run.path / "evaluating.json").write_text("[[[")
    assert read_evaluation_progress(run) is None


def test_during_an_evaluation_the_run_has_its_process_and_progress(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with reporting_evaluation(run) as say:
        assert read_evaluation_progress(run) == EvaluationProgress(identity=ME, doing="getting ready")
        until(lambda: say("sampling", 3, 10) or read_evaluation_progress(run) == evaluated(3))
    assert read_evaluation_progress(run) is None


def evaluated(done: int) -> EvaluationProgress:
    return EvaluationProgress(identity=ME, doing="sampling", done=done, total=10)


def test_an_error_is_kept_only_for_an_evaluation_that_was_announced(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with pytest.raises(UserError), reporting_evaluation(run):
        raise UserError("no such\ndata")
    assert read_evaluation_progress(run) is None
    write_evaluation_progress(run, EvaluationProgress(identity=ME))
    with pytest.raises(UserError), reporting_evaluation(run):
        raise UserError("no such\ndata")
    assert read_evaluation_progress(run) == EvaluationProgress(identity=ME, error="no such data")
    with pytest.raises(KeyboardInterrupt), reporting_evaluation(run):
        raise KeyboardInterrupt
    assert read_evaluation_progress(run) is None


def test_a_process_that_is_gone_has_failed_and_its_words_are_made_harmless(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    write_evaluation_progress(run, EvaluationProgress(identity=DEAD_PROCESS, doing="samp\x1b[31mling"))
    found = read_evaluation_progress(run)
    assert found is not None
    assert found.doing == "sampling"
    assert "its process is gone" in found.error


def test_the_progress_of_another_process_is_not_removed(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with reporting_evaluation(run):
        write_evaluation_progress(run, EvaluationProgress(identity=DEAD_PROCESS))
    found = read_evaluation_progress(run)
    assert found is not None
    assert found.identity == DEAD_PROCESS


def test_a_run_that_was_removed_meanwhile_stays_removed(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.run_file.unlink()
    with reporting_evaluation(run) as say:
        say("sampling", 1, 2)
    assert not (run.path / "evaluating.json").exists()


@pytest.mark.usefixtures("data")
def test_core_evaluate_reports_its_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trained_run(tmp_path / "runs")
    seen: list[str] = []

    def remember(where: RunDirectory, what: EvaluationProgress) -> None:
        assert where.id == run.id
        seen.append(what.doing)

    monkeypatch.setattr("core.runs.progress.write_evaluation_progress", remember)
    monkeypatch.setattr("core.runs.progress._WRITE_INTERVAL", 0.0)
    assert run_command(["evaluate", "latest", "--count", "8"]) == 0
    assert seen[0] == "getting ready"
    assert {"sampling", "fitting samples", "likelihood", "reconstruction"} <= set(seen)
    assert read_evaluation_progress(run) is None


@pytest.mark.usefixtures("data")
def test_one_process_evaluates_all_runs_as_one_was_evaluated_and_says_which_it_could_not(
    tmp_path: Path,
) -> None:
    root = tmp_path / "runs"
    runs = [trained_run(root, 0), trained_run(root, 1, checkpoint=False)]
    like = Evaluation(
        created="2026-11-24T12:00:00+00:00",
        dataset="small",
        count=8,
        heldout=20,
        sampler="ddim",
        steps=3,
        eta=0.25,
        spacing="karras",
        clip="dynamic",
        metrics={"pass_rate": Estimate(0.5)},
    )
    assert start_evaluation(runs, CPU, like=like) == 2
    assert [read_evaluation_progress(run) is not None for run in runs] == [True, True]
    assert start_evaluation(runs, CPU) == 0
    until(lambda: read_evaluations(runs[0]) and read_evaluation_progress(runs[0]) is None)
    (kept,) = read_evaluations(runs[0])
    assert kept.protocol == like.protocol
    until(lambda: (found := read_evaluation_progress(runs[1])) is not None and found.error)
    failed = read_evaluation_progress(runs[1])
    assert failed is not None
    assert "has no checkpoint yet" in failed.error
    assert "has no checkpoint yet" in (runs[0].path / LOG_NAME).read_text()
    until(lambda: all(process.poll() is not None for process in jobs._processes))


def test_a_run_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run.path / LOG_NAME).mkdir()
    with pytest.raises(UserError, match=r"cannot be evaluated from here \(Is a directory\)"):
        start_evaluation([run], CPU)
    assert read_evaluation_progress(run) is None


def test_starting_it_imports_neither_torch_nor_scipy() -> None:
    program = "import core.launch.jobs, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"torch", "scipy"} & set(done.stdout.split())


def test_a_mistake_in_an_option_is_said_once_for_all_runs(tmp_path, monkeypatch, capsys):
    for number in range(2):
        make_run(tmp_path, run_id=f"run-{number}", images=False)

    def refuse(*arguments: object, **options: object) -> Evaluation:
        raise UserError("--levels-of nope: no such schedule")

    monkeypatch.setattr(EvaluationSession, "evaluate_run", refuse)
    assert run_command(["evaluate", "--all", "--runs", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("nope") == 1
