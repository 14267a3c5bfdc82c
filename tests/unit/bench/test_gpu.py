"""The GPU benchmark, whose logic runs on a CPU too."""

import contextlib
import json
import subprocess
import sys
import time
from types import SimpleNamespace

import msgspec
import pytest
import torch

from bench.cases import gpu, gpu_parts
from bench.cases.gpu_record import PartResult, Recorder, read_result
from bench.harness import bare_step
from bench.harness.bare_step import WARM_UP_STEPS, BareStep, capture_step
from bench.harness.report import make_row
from bench.harness.workloads import recipe_config, with_settings
from bench.harness.yardsticks import operator_times, profile_operators
from core.errors import UserError
from tests.support import ROOT

CPU = torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has what must be missing")
def test_without_a_gpu_it_says_so_in_one_line():
    done = subprocess.run(
        [sys.executable, "-m", "bench", "gpu"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "error: --device cuda: torch finds none on this machine; --device cpu tries the checks there"
    ]


def test_what_is_no_device_or_no_part_is_refused():
    with pytest.raises(UserError, match="--device gpu: expected cuda, cuda:N, mps or cpu"):
        gpu.check_device("gpu")
    assert gpu.check_device("cpu") == "cpu"
    with pytest.raises(UserError, match="--only sped: expected some of doctor, checks, steps"):
        gpu.main(["--device", "cpu", "--only", "sped"])


def test_a_bare_step_trains_and_can_be_repeated():
    step = BareStep("lean", CPU, bf16=False, batch=16, size=8)
    losses = []
    for _ in range(4):
        step()
        losses.append(float(step.loss))
    assert losses[-1] < losses[0]
    assert next(bare_step.repeated(step, 16)) == 16
    with pytest.raises(UserError, match="a step on cpu cannot be captured: expected a CUDA device"):
        capture_step(step, CPU)


def test_a_step_is_captured_after_a_warm_up_on_a_side_stream(monkeypatch):
    events = []

    class Stream:
        def wait_stream(self, other):
            events.append("wait")

    class Graph:
        def replay(self):
            events.append("replay")

    @contextlib.contextmanager
    def inside(name):
        events.append(f"enter {name}")
        yield
        events.append(f"leave {name}")

    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: inside("side"))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph: inside("graph"))
    replay = capture_step(lambda: events.append("step"), torch.device("cuda"))
    replay()
    assert events == [
        *("wait", "enter side", *["step"] * WARM_UP_STEPS, "leave side", "wait"),
        *("enter graph", "step", "leave graph", "replay"),
    ]


def event(key, kind, device_time, cpu_time, count, **more):
    return SimpleNamespace(
        key=key,
        device_type=SimpleNamespace(name=kind),
        self_device_time_total=device_time,
        self_cpu_time_total=cpu_time,
        count=count,
        **more,
    )


def test_a_profile_counts_each_kernel_once():
    events = [
        event("aten::mm", "CPU", 60.0, 5.0, 3),  # the time of the kernel that it launched
        event("gemm", "CUDA", 60.0, 0.0, 3),
        event("relu", "CUDA", 40.0, 0.0, 2),
        event("Optimizer.step", "CUDA", 100.0, 0.0, 1, is_user_annotation=True),
    ]
    assert operator_times(events, on_gpu=True) == [("gemm", 60.0, 3), ("relu", 40.0, 2)]
    assert operator_times(events, on_gpu=False) == [("aten::mm", 5.0, 3)]


def test_operators_of_a_cpu_are_profiled():
    x = torch.ones(64, 64)
    found = {one.name: one for one in profile_operators(lambda: [x @ x for _ in range(3)], CPU)}
    assert found["aten::mm"].calls == 3
    assert found["aten::mm"].microseconds > 0


def test_the_plan_begins_with_the_essential_and_fits_its_limit():
    parts = gpu.plan_parts(gpu.NETWORKS)
    assert [part.label for part in parts][:10] == [
        *("doctor", "checks-lean", "checks-thesis", "steps-lean", "steps-thesis"),
        *("cudnn", "yardsticks", "profile", "train", "resume"),
    ]
    assert {part.name for part in parts if not part.needs} == set(gpu_parts.PARTS)
    assert sum(part.seconds for part in parts if not part.needs) <= gpu.LIMIT
    assert len({part.label for part in parts}) == len(parts)
    assert [part.label for part in gpu.plan_parts(["thesis"], checks_only=True)] == ["checks-thesis"]
    for part in parts:
        words = gpu.part_command(part, "cuda", 20, ROOT)
        assert {"cuda", *part.networks} <= set(words)
        assert ("bench.cases.gpu" in words) is not bool(part.needs)


def test_no_part_starts_after_the_limit_and_what_is_left_out_is_said(tmp_path, capsys):
    now, given = [0.0], []

    def run(command, seconds):
        given.append((command[command.index("--label") + 1], seconds))
        now[0] += seconds
        return None if len(given) == 2 else 0

    parts = [gpu.PlannedPart(name, ("lean", "thesis"), 30) for name in ("a", "b", "c", "d")]
    parts.insert(0, gpu.PlannedPart("limit", ("lean",), 30, ("click",)))
    results = gpu.run_plan(
        parts,
        device="cpu",
        limit=70,
        results=tmp_path,
        clock=lambda: now[0],
        run=run,
        missing=lambda name: True,
    )
    assert given == [("a", 30), ("b", 30), ("c", 8.0)]
    assert [one.state for one in results] == ["left out", "running", "cut off", "running", "left out"]
    assert results[0].notes == ("it needs click",)
    assert results[-1].notes == ("the 70 s are over",)
    assert now[0] <= 70
    for one in results:
        assert read_result(tmp_path / f"gpu-{one.part}.json", one.part) == one
    assert "left out: it needs click" in capsys.readouterr().out


def test_benchmarks_at_the_end_share_the_time_that_is_left(tmp_path):
    now, given = [0.0], []

    def run(command, seconds):
        given.append(seconds)
        now[0] += 20.0
        return 0

    parts = [gpu.PlannedPart("a", ("lean",), 30)]
    parts += [gpu.PlannedPart(name, ("lean",), 25, ("click",)) for name in ("limit", "scaling")]
    gpu.run_plan(
        parts,
        device="cpu",
        limit=220,
        results=tmp_path,
        clock=lambda: now[0],
        run=run,
        missing=lambda name: False,
    )
    assert given == [30, 100, 178]


def test_a_part_that_crashes_is_named_with_what_it_measured_and_the_rest_goes_on(tmp_path):
    def run(command, seconds):
        label = command[command.index("--label") + 1]
        record = Recorder(label, tmp_path / f"gpu-{label}.json", seconds, {})
        record.add(make_row("speed", "images/s", [1.0]))
        if label == "a":
            return -11
        record.close()
        return 0

    parts = [gpu.PlannedPart(name, ("lean", "thesis"), 30) for name in ("a", "b")]
    found = gpu.run_plan(parts, device="cpu", limit=480, results=tmp_path, run=run)
    assert [one.state for one in found] == ["failed", "done"]
    assert [len(one.rows) for one in found] == [1, 1]
    lines = list(gpu.summary_lines(found))
    assert any("it ended with -11; see above" in line for line in lines)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_keeps_what_was_measured_and_leaves_out_the_rest(tmp_path, capsys, interruption):
    def run(command, seconds):
        label = command[command.index("--label") + 1]
        record = Recorder(label, tmp_path / f"gpu-{label}.json", seconds, {})
        record.add(make_row("speed", "images/s", [1.0]))
        raise interruption

    parts = [gpu.PlannedPart(name, ("lean", "thesis"), 30) for name in ("a", "b", "c")]
    found = gpu.run_plan(parts, device="cpu", limit=480, results=tmp_path, run=run)
    assert [one.state for one in found] == ["cut off", "left out", "left out"]
    assert [row.name for row in read_result(tmp_path / "gpu-a.json", "a").rows] == ["speed"]
    assert "left out: interrupted before" in capsys.readouterr().out


def test_a_part_that_hangs_is_ended_with_its_own_processes(tmp_path):
    program = "import subprocess, time\nsubprocess.Popen(['sleep', '60'])\ntime.sleep(60)"
    start = time.monotonic()
    assert gpu.run_command([sys.executable, "-S", "-c", program], 0.5, tmp_path) is None
    assert time.monotonic() - start < 30
    assert gpu.run_command([sys.executable, "-S", "-c", "raise SystemExit(3)"], 30, tmp_path) == 3


def test_each_line_of_a_part_is_on_disk_as_soon_as_it_is_there(tmp_path):
    path = tmp_path / "new" / "gpu-x.json"
    record = Recorder("x", path, 10, {"device": "cpu"})
    assert read_result(path, "x").state == "running"
    record.add(make_row("a", "images/s", [1.0, 2.0]))
    assert [row.name for row in read_result(path, "x").rows] == ["a"]
    with record.attempt("b"):
        raise ValueError("no\nmemory")
    record.race({"good": lambda: 1.0, "bad": lambda: 1 // 0}, 0.01, "images/s")
    record.race({"bad": lambda: 1 // 0}, 0.01, "images/s")
    on_disk = []
    slow = {"slow": lambda: on_disk.append(len(read_result(path, "x").rows)) or time.sleep(0.3) or 1.0}
    record.race(slow, 0.01, "images/s")
    assert (on_disk[0], on_disk[-1]) == (2, 3)  # before the last round is done
    kept = read_result(path, "x")
    assert kept.failures["b"] == "ValueError: no memory"
    assert "ZeroDivisionError" in kept.failures["bad"]
    assert [row.name for row in kept.rows] == ["a", "good", "slow"]
    assert record.close().state == "failed"
    assert json.loads(path.read_text())["settings"] == {"device": "cpu"}
    assert read_result(tmp_path / "none.json", "y") == PartResult(part="y")


def test_settings_of_a_part_can_be_stored():
    assert msgspec.json.encode(gpu_parts.report_settings(("lean",), "cpu"))


@pytest.mark.slow
def test_a_run_is_trained_and_goes_on_from_its_checkpoint(tmp_path):
    record = Recorder("resume", tmp_path / "resume.json", 120, {})
    gpu_parts.resume(record, ("lean",), "cpu")
    assert [row.note for row in record.result.rows] == ["finished, ", "finished, "]
    assert record.close().state == "done"


def test_a_run_that_fails_is_named_with_its_error(tmp_path, monkeypatch):
    data = tmp_path / "tiny.toml"
    data.write_text("count = 16\nheldout = 4\nsize = 16\nstorage = 'array'\n")
    monkeypatch.setenv("DDPM_DATA", str(tmp_path / "data"))
    config = with_settings(recipe_config("lean"), data={"dataset": str(data)})
    monkeypatch.setattr(gpu_parts, "load_recipe", lambda name, overrides: SimpleNamespace(configs=[config]))
    record = Recorder("train", tmp_path / "train.json", 120, {})
    gpu_parts.train(record, ("lean",), "cuda:99")
    assert record.close().state == "failed"
    assert record.result.failures["train"]
    assert [row.name for row in record.result.rows] == ["from start to end"]


_ONLY_THE_ESSENTIAL = """
import importlib.machinery, importlib.metadata, sys

ALLOWED = {"torch", "torchgen", "functorch", "numpy", "scipy", "safetensors", "PIL", "msgspec", "tomli", "tomli_w",
           # of torch and of this checkout
           "typing_extensions", "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "fsspec", "filelock", "triton",
           "nvidia", "core", "bench"}
FORBIDDEN = {"click", "psutil", "textual", *importlib.metadata.packages_distributions()} - ALLOWED

class Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in FORBIDDEN and not name.endswith("__mypyc"):  # a part of tomli
            return None
        return super().find_spec(name, path, target)

sys.meta_path[:] = [importlib.machinery.BuiltinImporter, importlib.machinery.FrozenImporter, Finder]
import runpy, torch
import core.training.worker, core.launch.control
from bench.cases import gpu, gpu_checks, gpu_parts
for name in ("click", "psutil", "rich", "textual", "tomlkit", "platformdirs", "cv2", "matplotlib"):
    assert name not in sys.modules, name
assert not gpu_parts._has_click()
parts = gpu.plan_parts(gpu.NETWORKS)
assert {part.name for part in parts if not part.needs} == set(gpu_parts.PARTS)
for network in gpu.NETWORKS:
    print(len(gpu_checks.check_names(network)))
checks = list(gpu_checks.run_checks("lean", torch.device("cpu"), batch=2, size=8))
assert all(check.passed for check in checks), checks
sys.argv = ["bench", "gpu", "--help"]
runpy.run_module("bench", run_name="__main__")
"""


def test_it_needs_nothing_but_torch_and_what_a_folder_of_wheels_brings():
    done = subprocess.run(
        [sys.executable, "-c", _ONLY_THE_ESSENTIAL],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == ["12", "12"]
    assert "usage: python -m bench gpu" in done.stdout
