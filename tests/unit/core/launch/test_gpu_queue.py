"""Runs that share GPUs or fill one, in the order of the queue, and the environment of all that compute there."""

import os
from pathlib import Path

import pytest

from core.cli.options import prepare_torch
from core.config import ModelConfig, RunConfig
from core.launch.devices import Device, Plan
from core.launch.queue import enqueue
from core.launch.runner import _plan_for
from core.launch.subprocess_env import child_environment, worker_environment
from core.runs import RunInfo, RunStore

GPUS = tuple(Device(f"cuda:{number}", "cuda", "a GPU", 80 << 30) for number in range(2))
PLAN = Plan(GPUS, 16)


def infos(root: Path, presets: str) -> list[RunInfo]:
    """Queued runs: t of the thesis's network, l of the lean one."""
    names = {"t": "thesis", "l": "lean"}
    configs = [RunConfig(model=ModelConfig(preset=names[letter])) for letter in presets]  # type: ignore[arg-type]
    enqueue(root, configs, group="g")
    return list(RunStore(root).infos())


@pytest.mark.parametrize(
    ("ready", "training", "capacity", "count"),
    [
        ("lllll", "", 8, 5),
        ("ttttt", "", 2, 5),
        ("tll", "", 2, 3),
        ("lltl", "", 8, 2),
        ("lll", "t", 2, 3),
        ("tl", "ll", 2, 2),
        ("", "t", 2, 0),
    ],
)
def test_a_run_that_fills_a_gpu_has_it_to_itself_and_keeps_its_turn(
    tmp_path: Path, ready: str, training: str, capacity: int, count: int
) -> None:
    found = infos(tmp_path, training + ready)
    plan, may_start = _plan_for(PLAN, found[len(training) :], found[: len(training)])
    assert (plan.capacity, len(may_start)) == (capacity, count)
    assert may_start == found[len(training) :][:count]


def test_on_the_cpu_or_with_slots_asked_for_all_networks_are_alike(tmp_path: Path) -> None:
    found = infos(tmp_path, "ltl")
    for plan in (Plan(GPUS, 16, slots=6), Plan((Device("cpu", "cpu", "a CPU", 8 << 30),), 4)):
        assert _plan_for(plan, found, found) == (plan, found)


def test_all_processes_count_gpus_in_the_order_of_nvidia_smi(monkeypatch: pytest.MonkeyPatch) -> None:
    for visible in (None, "GPU-3e1a", "1,0"):
        monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        for environment in (child_environment(), worker_environment(1, processes=2)):
            assert environment["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
            assert environment.get("CUDA_VISIBLE_DEVICES") == visible


def test_the_commands_that_import_torch_themselves_count_so_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUDA_DEVICE_ORDER", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "")  # so that what is set now ends with this test
        monkeypatch.delenv(name)
    monkeypatch.setattr(
        "core.cli.options.note_library_messages", lambda: None
    )  # which would outlive this test
    prepare_torch("cpu")
    assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    prepare_torch("cpu")
    assert child_environment()["CUDA_DEVICE_ORDER"] == "FASTEST_FIRST"
