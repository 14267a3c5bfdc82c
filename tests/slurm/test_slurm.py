"""A real Slurm of two nodes: a grid to its end, the reason why a run waits, and a cancel. The worker trains nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.cli.main import run as core
from core.runs import RunDirectory, RunStore, State
from tests.slurm.cluster import Cluster, installed, running_cluster, wait_for

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(installed() is None, reason="no Slurm here; tests/slurm/install.sh unpacks one"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture
def root(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr("core.launch.engines.slurm.WORKER_MODULE", "tests.support.fake_worker")
    return tmp_path / "runs"


def train(root: Path, behaviour: str, seeds: int, *options: str) -> list[RunDirectory]:
    grid = root.parent / f"{behaviour}.toml"
    grid.write_text(f'recipe = "{behaviour}"\nextends = "quick"\n')
    seed_list = f"train.seed={list(range(seeds))}"
    words = ["train", str(grid), "--set", seed_list, "--set", "schedule.name=linear"]
    assert core([*words, "--runs", str(root), "--launch", "slurm", *options]) == 0
    return RunStore(root).runs()


def states(runs: list[RunDirectory]) -> list[State]:
    return [RunStore(run.path.parent).info(run).state for run in runs]


def test_a_grid_longer_than_an_array_trains_to_its_end(
    root: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = train(root, "quick", 15)
    assert len(runs) == 15
    assert "15 runs submitted" in capsys.readouterr().err
    wait_for(lambda: set(states(runs)) == {State.FINISHED}, "the grid", 40)
    jobs = [run.read_status().job for run in runs]
    assert len(set(jobs)) == 15
    assert len({job.partition("_")[0] for job in jobs}) == 2, "MaxArraySize is 11 here"
    assert all(len((run.path / "lives").read_text().splitlines()) == 1 for run in runs)


def test_waiting_runs_say_why_and_a_stop_cancels_them_and_ends_those_that_train(
    root: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = train(root, "patient", 6)
    wait_for(lambda: states(runs).count(State.RUNNING) == 4, "four that train")
    capsys.readouterr()
    assert core(["runs", "list", "--runs", str(root)]) == 0
    listed = capsys.readouterr().out
    job = next(run for run in runs if run.read_status().state is State.QUEUED).read_status().job
    assert any(f"queued (slurm {job}: {reason})" in listed for reason in ("Resources", "Priority")), listed
    assert core(["runs", "stop", "--all", "--runs", str(root)]) == 0
    assert set(states(runs)) == {State.STOPPED}
    wait_for(lambda: not cluster.call("squeue", "-h"), "an empty queue", 20)
