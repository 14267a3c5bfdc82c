"""A real Ray of two nodes, one of which is killed. Skipped where the extra `ray` is not installed."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file

from core.config.launch import LaunchConfig, RayConfig
from core.launch.engines.registry import open_engine
from core.launch.engines.start import stop
from core.runs import RunDirectory, RunStore, State
from tests.support.tiny_runs import make_tiny_set, new_tiny_run, train_here

pytest.importorskip("ray", reason="the extra ray is not installed")


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A cluster whose head trains nothing."""
    from ray.cluster_utils import Cluster

    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield started
    started.shutdown()


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 180.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        time.sleep(0.1)


def state(run: RunDirectory) -> State:
    return RunStore(run.path.parent).info(run).state


@pytest.mark.filterwarnings("ignore")  # of Ray itself
def test_runs_of_a_node_that_is_killed_go_on_at_another_one_and_a_stop_ends_them(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DDPM_DATA", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    make_tiny_set(tmp_path)
    options: dict[str, Any] = {"every": 10_000, "checkpoint_seconds": 1}
    first_node = cluster.add_node(num_cpus=2)
    short = new_tiny_run(tmp_path, epochs=100, **options)
    endless = new_tiny_run(tmp_path, epochs=1_000_000, **options)
    runs = [short, endless]
    for run in runs:
        run.write_status(msgspec.structs.replace(run.read_status(), engine="ray"))
    config = LaunchConfig(engine="ray", ray=RayConfig(address=cluster.address))
    engine = open_engine(short.path.parent, config)
    jobs = engine.submit(runs)
    wait_for(lambda: all(run.read_status().epoch >= 3 for run in runs), "two runs that train")
    assert [run.read_status().job for run in runs] == jobs
    cluster.add_node(num_cpus=2)
    cluster.remove_node(first_node, allow_graceful=False)
    wait_for(lambda: all(run.read_status().attempt > 1 for run in runs), "both at the other node")
    wait_for(lambda: endless.read_status().state is State.RUNNING, "the endless run")
    stop([endless])
    wait_for(lambda: state(endless) is State.STOPPED, "its stop")
    wait_for(lambda: state(short) is State.FINISHED, "the short run")
    wait_for(lambda: not engine.states(jobs), "no jobs")
    undisturbed = new_tiny_run(tmp_path, epochs=100, **options)
    assert train_here(undisturbed) == 0
    here, there = load_file(undisturbed.checkpoint), load_file(short.checkpoint)
    for name in here:
        np.testing.assert_array_equal(there[name], here[name], err_msg=name)
