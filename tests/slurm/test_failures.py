"""Whatever ends a job in a real Slurm costs the run nothing: its last weights are those of an undisturbed training."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from core.cli.main import run as core
from core.runs import RunDirectory, RunStore, State
from core.training.checkpoint import read_checkpoint
from tests.slurm.cluster import Cluster, installed, running_cluster, wait_for
from tests.support.tiny_runs import make_tiny_set, new_tiny_run, train_here

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.slow,
    pytest.mark.skipif(installed() is None, reason="no Slurm here; tests/slurm/install.sh unpacks one"),
]

ENDLESS = 1_000_000
RECIPE = """
recipe = "tiny"
data = {dataset = "tiny", count = 16, heldout = 4}
schedule = {timesteps = 10}
model = {preset = "lean", width = 16}
train = {epochs = 1000000, batch_size = 8, checkpoint_seconds = 5.0}
sample = {every = 1000000, count = 1, sampler = "ddim", steps = 1, reverse_every = 1000000, reverse_count = 1}
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture
def home(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in {**cluster.environment, "DDPM_DATA": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    make_tiny_set(tmp_path)
    return tmp_path


def submit(home: Path, *settings: str) -> RunDirectory:
    (home / "tiny-run.toml").write_text(RECIPE)
    words = [word for one in settings for word in ("--set", f"launch.slurm.{one}")]
    assert core(["train", str(home / "tiny-run.toml"), "--launch", "slurm", *words]) == 0
    return RunStore(home / "runs").runs()[-1]


def state(run: RunDirectory) -> State:
    return RunStore(run.path.parent).info(run).state


def wait_for_attempt(cluster: Cluster, run: RunDirectory, attempt: int, seconds: float = 150) -> None:
    """Wait until an attempt trains, which has requeued jobs start at once."""

    def trains() -> bool:
        cluster.start_requeued()
        status = run.read_status()
        return status.attempt >= attempt and status.state is State.RUNNING

    wait_for(trains, f"attempt {attempt} of {run.id}", seconds)


def finish(cluster: Cluster, run: RunDirectory) -> None:
    """Have a run that waits for its next attempt end soon after, and compare it with an undisturbed one."""
    file = run.read()
    epochs = run.read_status().epoch + 3
    config = msgspec.structs.replace(
        file.config, train=msgspec.structs.replace(file.config.train, epochs=epochs)
    )
    run.write_run_file(msgspec.structs.replace(file, config=config))

    def finished() -> bool:
        cluster.start_requeued()
        return state(run) is State.FINISHED

    wait_for(finished, f"the end of {run.id}", 150)
    whole = new_tiny_run(run.path.parent.parent / "whole", every=ENDLESS)
    whole.write_run_file(msgspec.structs.replace(whole.read(), config=config))
    assert train_here(whole) == 0
    (first, position), (second, other) = read_checkpoint(whole), read_checkpoint(run)
    assert (position.epoch, position.step) == (other.epoch, other.step) == (epochs, 2 * epochs)
    assert first.keys() == second.keys()
    assert all(first[name].equal(second[name]) for name in first), "not bit for bit"


def test_three_time_limits_cost_nothing(home: Path, cluster: Cluster) -> None:
    run = submit(home, "timeout_min=1", "signal_delay_s=40")
    epochs = []
    for attempt in (1, 2, 3):
        wait_for_attempt(cluster, run, attempt)
        wait_for(lambda: state(run) is State.QUEUED, f"time limit {attempt}", 150)
        status = run.read_status()
        assert "SIGTERM" in status.message
        assert run.log.read_text().count("ended by SIGTERM after a checkpoint; queued again") == attempt
        epochs.append(status.epoch)
    assert 0 < epochs[0] < epochs[1] < epochs[2], epochs
    print(f"three time limits, after epochs {epochs}")
    finish(cluster, run)
    assert run.read_status().attempt >= 4


def test_a_preemption_costs_nothing(home: Path, cluster: Cluster) -> None:
    run = submit(home, "partition='low'")
    wait_for_attempt(cluster, run, 1)
    wait_for(lambda: run.read_status().epoch > 2, "three epochs")
    urgent = (
        "sbatch",
        "--partition=high",
        "--nodes=2",
        "--exclusive",
        "--output=/dev/null",
        "--wrap=sleep 3",
    )
    started = time.monotonic()
    cluster.call(*urgent)
    wait_for(lambda: state(run) is State.QUEUED, "the preemption")
    print(f"preempted after {time.monotonic() - started:.1f} s at epoch {run.read_status().epoch}")
    finish(cluster, run)
    assert run.read_status().attempt == 2


def test_the_death_of_a_node_costs_nothing(home: Path, cluster: Cluster) -> None:
    run = submit(home)
    wait_for_attempt(cluster, run, 1)
    wait_for(run.checkpoint.exists, "a checkpoint")
    wait_for(lambda: run.read_status().epoch > 2, "three epochs")
    node = cluster.call("squeue", "-h", "-t", "RUNNING", "-o", "%N")
    started = time.monotonic()
    cluster.kill_node(node)
    wait_for(lambda: state(run) is State.CRASHED, "the crash", 20)
    wait_for(lambda: not cluster.call("squeue", "-h", "-t", "RUNNING"), "Slurm to see it", 120)
    print(f"requeued {time.monotonic() - started:.0f} s after the death of {node}")
    cluster.start_node(node)
    finish(cluster, run)
    assert run.read_status().attempt == 2
