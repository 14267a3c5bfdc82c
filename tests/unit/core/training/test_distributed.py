"""One run in several processes: shards, collectives, and two real processes over gloo on a CPU, without a GPU."""

import itertools
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import psutil
import pytest
import torch
from torch import nn

from core.data import load_dataset
from core.diffusion.models.registry import build_network
from core.errors import UserError
from core.runs import MetricsTail, RunStore
from core.training.distributed import ProcessGroup, SingleProcess, init_distributed
from core.training.loop import EpochReport, StepsReport, Trainer
from core.training.shared_batch_norm import SharedBatchNorm
from tests.support import ROOT
from tests.support.queueing import cleaned, wait_for

RECIPE = """
data = {dataset = "tiny", count = 15, heldout = 4}
schedule.timesteps = 10
model = {preset = "thesis", width = 2}
train = {epochs = 1, batch_size = 8, learning_rate = 1e-4}
sample = {count = 2, sampler = "ddim", steps = 2, reverse_count = 1, reverse_states = 2}
"""


def one_of(size: int, rank: int = 0) -> SingleProcess:
    """Return one process of several, without a connection to the others."""
    process_group = ProcessGroup.__new__(ProcessGroup)
    SingleProcess.__init__(process_group)
    process_group.rank, process_group.world_size, process_group._copies = rank, size, 1
    return process_group


def commands_about(path: Path) -> list[str]:
    found = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    return [command for command in found if str(path) in command]


def test_a_run_in_two_processes_is_the_one_in_a_single_process_whatever_happens() -> None:
    """Undisturbed, stopped, orphaned, killed or failed, and then resumed: see tests/faults/together.py."""
    command = [sys.executable, "-m", "tests.faults", "--only", "^two processes", "--times", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-2].split() == ["all", "5", "5", "0"]


def test_core_train_has_torchrun_start_processes_that_train_the_thesis_network_as_one_does(
    core, tmp_path: Path
) -> None:
    (tmp_path / "tiny.toml").write_text(
        'name = "tiny"\ncount = 15\nheldout = 4\nsize = 16\nstorage = "array"\n'
    )
    (tmp_path / "recipe.toml").write_text(RECIPE)
    environment = {"DDPM_DATA": str(tmp_path), "WORLD_SIZE": "7"}  # of a job that this one is no part of
    with cleaned(tmp_path) as root:
        done = core("train", "recipe.toml", "--device", "cpu+cpu", env=environment, timeout=600)
        (run,) = RunStore(root).runs()
        wait_for(lambda: not commands_about(run.path), "the end of all processes")
    assert done.returncode == 0, done.stderr + run.log.read_text()
    status = run.read_status()
    assert (status.device, status.step) == ("cpu+cpu", 2)
    tail = MetricsTail(run.metrics_file)
    tail.poll()
    assert (len(tail.losses), len(tail.epochs)) == (2, 1)
    alone = Trainer(run.read().config, load_dataset("tiny", data_dir=tmp_path, count=15), torch.device("cpu"))
    *steps, end = alone.reports()
    losses = [loss for report in steps if isinstance(report, StepsReport) for loss in report.losses]
    assert isinstance(end, EpochReport)
    assert tail.losses.tolist() == pytest.approx(losses, rel=1e-4)
    assert tail.epochs[0].heldout == pytest.approx(end.heldout, rel=1e-4)


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_shards_cover_the_batch_and_their_weights_sum_to_one(size: int) -> None:
    for count in range(1, 20):
        shards = [(one_of(size, rank) if size > 1 else SingleProcess()).shard(count) for rank in range(size)]
        images = [list(range(count))[shard.images] for shard in shards]
        if count >= size:
            assert list(itertools.chain(*images)) == list(range(count))
            assert max(map(len, images)) - min(map(len, images)) <= 1
        else:
            assert images == [list(range(count))] * size
        for shard, mine in zip(shards, images, strict=True):
            whole = count if count >= size else count * size
            assert shard.weight == pytest.approx(float(Fraction(len(mine), whole)))
        assert sum(shard.weight for shard in shards) == pytest.approx(1)


def test_batch_norm_is_shared_with_the_same_tensors_under_the_same_names() -> None:
    network = build_network("thesis", channels=1, width=2)
    before = network.state_dict()
    process_group = one_of(2)
    shared = process_group.sync_batchnorm(network)
    assert list(shared.state_dict()) == list(before)
    assert all(shared.state_dict()[name].data_ptr() == value.data_ptr() for name, value in before.items())
    norms = [part for part in shared.modules() if isinstance(part, nn.BatchNorm2d)]
    assert {type(norm) for norm in norms} == {SharedBatchNorm}
    process_group.shard(1)
    assert {norm._copies() for norm in norms if isinstance(norm, SharedBatchNorm)} == {2}
    process_group.shard(5)
    assert {norm._copies() for norm in norms if isinstance(norm, SharedBatchNorm)} == {1}
    lean = build_network("lean", channels=1, width=16)
    assert one_of(2).sync_batchnorm(lean) is lean


def test_the_collectives_of_a_single_process_are_the_identity() -> None:
    network = nn.Linear(1, 1)
    with init_distributed("cpu") as process_group:
        assert (
            process_group.rank,
            process_group.world_size,
            process_group.devices,
            process_group.device,
        ) == (0, 1, "cpu", torch.device("cpu"))
        assert process_group.sync_batchnorm(network) is process_group.wrap_ddp(network) is network
        assert process_group.all_reduce_max(0, 3) == [0, 3]
        assert process_group.flush([torch.tensor([1.5]), torch.tensor([2.5])]).tolist() == [[1.5], [2.5]]
    assert not torch.distributed.is_initialized()


def test_only_errors_of_gloo_and_nccl_count_as_a_lost_process(monkeypatch: pytest.MonkeyPatch) -> None:
    process_group = one_of(2)
    store = torch.distributed.HashStore()
    monkeypatch.setattr(process_group, "_store", store, raising=False)
    lost = RuntimeError("[/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:36257.")
    assert process_group.peer_error(lost).startswith("one of its 2 processes was killed or crashed")
    store.set("last words", "process 1 of 2: out of memory")
    assert process_group.peer_error(lost) == "process 1 of 2: out of memory"
    assert (
        process_group.peer_error(torch.distributed.DistBackendError("NCCL error"))
        == "process 1 of 2: out of memory"
    )
    assert (
        process_group.peer_error(UserError("/igloo: cannot be read"))
        == process_group.peer_error(RuntimeError("a shape"))
        == ""
    )
    assert SingleProcess().peer_error(lost) == ""


@pytest.mark.parametrize(
    ("device", "environment", "words"),
    [
        ("cpu+cpu", {}, r"--device cpu\+cpu: expected as many devices.*processes, and that is 1; torchrun"),
        (
            "cpu+cpu+cpu",
            {"WORLD_SIZE": "2"},
            "as many devices, joined by [+], as there are processes, and that is 2",
        ),
        ("mps", {"WORLD_SIZE": "2"}, "--device mps: expected as many devices"),
        ("cuda:0+cuda:0", {"WORLD_SIZE": "2"}, "expected 2 different GPUs, and torch sees"),
        ("cuda:7+cpu", {"WORLD_SIZE": "2"}, "expected 2 different GPUs, and torch sees"),
        ("cpu", {"WORLD_SIZE": "2"}, "do not find each other .*RANK.*; start them by torchrun"),
        ("cpu", {"WORLD_SIZE": "2", "LOCAL_RANK": ""}, "do not find each other .*; start them by torchrun"),
        ("cpu", {"WORLD_SIZE": "two"}, "do not find each other .*; start them by torchrun"),
    ],
)
def test_processes_without_a_device_each_or_without_each_other_are_a_users_error(
    monkeypatch: pytest.MonkeyPatch, device: str, environment: dict[str, str], words: str
) -> None:
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    if environment:
        environment = {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"} | environment
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=words) as error, init_distributed(device):
        pass
    assert "\n" not in str(error.value)
