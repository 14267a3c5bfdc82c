"""The end of a training that a scheduler asks for, and what a worker does with a run that is not its own."""

import os
import signal
from pathlib import Path

import msgspec
import pytest

from core.errors import EXIT_NOT_STARTED, EXIT_OK, EXIT_REQUEUE
from core.runs import RunDirectory, State
from core.training.checkpoint import read_checkpoint
from core.training.distributed import SingleProcess
from core.training.worker import Worker, run_main
from tests.support.tiny_runs import make_tiny_set, new_tiny_run


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("requeue")
    make_tiny_set(folder)
    return folder


@pytest.fixture(autouse=True)
def _data(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DDPM_DATA", str(home))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        monkeypatch.setattr(signal, "signal", _keep(number))


def _keep(_: int) -> object:
    """Leave the handlers of the test's process alone: signals are handed to the worker by name."""
    return lambda number, handler: None


def train(run: RunDirectory, *signals: signal.Signals, requeue: bool = True, **claim: object) -> int:
    return run_main(run, SingleProcess(), 1, list(signals), unfinished=requeue, **claim)


def set_state(run: RunDirectory, state: State, **changes: object) -> None:
    run.write_status(msgspec.structs.replace(run.read_status(), state=state, **changes))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_a_run_that_its_scheduler_ends_is_queued_again_with_its_checkpoint_and_the_reason(
    home: Path, number: signal.Signals
) -> None:
    run = new_tiny_run(home)
    set_state(run, State.QUEUED, engine="slurm")
    assert train(run, number, job="4711_12") == EXIT_REQUEUE
    status = run.read_status()
    assert (status.state, status.engine, status.job, status.pid, status.attempt) == (
        State.QUEUED,
        "slurm",
        "4711_12",
        0,
        1,
    )
    assert number.name in status.message
    assert run.checkpoint.exists()
    assert train(run) == EXIT_OK
    status = run.read_status()
    assert (status.state, status.epoch, status.attempt, status.message) == (State.FINISHED, 3, 2, "")


def test_requeued_trainings_end_with_the_weights_of_an_undisturbed_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, torn = new_tiny_run(home), new_tiny_run(home)
    assert train(whole) == EXIT_OK
    steps = Worker._on_steps

    def one_step(worker: Worker, *arguments: object) -> None:
        steps(worker, *arguments)
        worker.request_stop(signal.SIGUSR1)

    with monkeypatch.context() as patch:
        patch.setattr(Worker, "_on_steps", one_step)
        codes = [train(torn) for _ in range(3)]
    assert EXIT_REQUEUE in codes
    assert train(torn) == EXIT_OK
    (first, _), (second, _) = read_checkpoint(whole), read_checkpoint(torn)
    assert all(first[name].equal(second[name]) for name in first)


def test_sigterm_without_the_option_stops_as_the_user_does(home: Path) -> None:
    run = new_tiny_run(home)
    assert train(run, signal.SIGTERM, requeue=False) == EXIT_OK
    assert run.read_status().state is State.STOPPED


def test_a_users_stop_outweighs_the_schedulers(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = new_tiny_run(home)
    load = Worker._load_images
    monkeypatch.setattr(Worker, "_load_images", lambda worker: (worker.run.request_stop(), load(worker))[1])
    assert train(run, signal.SIGTERM) == EXIT_OK
    assert run.read_status().state is State.STOPPED
    assert train(run) == EXIT_NOT_STARTED, "a run that its user stopped was started again"


def test_a_stop_of_a_run_that_waits_for_its_next_attempt_is_kept(home: Path) -> None:
    run = new_tiny_run(home)
    run.request_stop()
    assert train(run) == EXIT_NOT_STARTED
    assert run.read_status().state is State.STOPPED


@pytest.mark.parametrize("state", [State.FAILED, State.RUNNING, State.STOPPING])
def test_the_option_goes_on_with_failed_and_crashed_runs_and_others_wait_for_resume(
    home: Path, state: State
) -> None:
    run = new_tiny_run(home, epochs=1)
    set_state(run, state, host="gone", pid=1)
    assert train(run, requeue=False) == EXIT_NOT_STARTED
    assert train(run) == EXIT_OK
    assert run.read_status().state is State.FINISHED
    assert train(run) == EXIT_OK, "a finished run has nothing left, and its scheduler is content"
    assert train(run, requeue=False) == EXIT_NOT_STARTED


def test_a_worker_of_a_run_that_another_process_holds_does_not_end_with_0(home: Path) -> None:
    run = new_tiny_run(home)
    with run.lock():
        assert train(run, wait=0.0) == EXIT_NOT_STARTED
    assert run.read_status().state is State.QUEUED


def test_a_worker_whose_run_was_taken_over_writes_nothing_more(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_tiny_run(home)
    taken: dict[Path, bytes] = {}
    on_epoch = Worker._on_epoch

    def lose_the_run(worker: Worker, report: object, trainer: object, metrics: object) -> None:
        if not taken:
            set_state(run, State.RUNNING, attempt=2, host="other", pid=os.getpid())
            taken.update(contents(run))
            worker._fence._checked = 0.0
        on_epoch(worker, report, trainer, metrics)

    monkeypatch.setattr(Worker, "_on_epoch", lose_the_run)
    assert train(run) == EXIT_NOT_STARTED
    assert contents(run) == taken


def contents(run: RunDirectory) -> dict[Path, bytes]:
    files = (path for path in run.path.rglob("*") if path.is_file() and path.name != ".reserve")
    return {path: path.read_bytes() for path in files}
