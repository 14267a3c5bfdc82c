"""The GPU benchmark, whose logic runs on a CPU too."""

import math
import subprocess
import sys

import pytest
import torch

from bench.cases import gpu
from core.errors import UserError
from tests.support import ROOT

NAMES = ["forward, fp32", "forward, bf16", "loss", "gradients", "step of the optimizer"]


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


def test_what_is_no_device_is_refused():
    with pytest.raises(UserError, match="--device gpu: expected cuda, cuda:N, mps or cpu"):
        gpu.parse_device("gpu")
    assert gpu.parse_device("cpu") == torch.device("cpu")


def test_a_cpu_agrees_with_itself_within_rounding():
    checks = list(gpu.run_checks("lean", torch.device("cpu"), batch=2, size=16))
    assert [check.name for check in checks] == NAMES + [f"sampler {name}" for name in gpu.SAMPLERS]
    assert [check.name for check in checks if not check.passed] == []
    # No result was compared with itself, because single precision leaves an error.
    assert all(check.error > 0 for check in checks)


def test_a_device_that_computes_something_else_is_found_out(monkeypatch):
    right = torch.nn.functional.silu
    monkeypatch.setattr(
        torch.nn.functional,
        "silu",
        lambda x, **options: right(x, **options) * (1.01 if x.dtype == torch.float32 else 1.0),
    )
    checks = list(gpu.run_checks("lean", torch.device("cpu"), batch=2, size=16))
    assert "forward, fp32" in [check.name for check in checks if not check.passed]


def test_errors_are_relative_and_nan_never_passes():
    one = torch.tensor([3.0, 4.0])
    assert gpu.relative_error([one], [one * 2]) == pytest.approx(0.5)
    assert math.isnan(gpu.relative_error([one * math.nan], [one]))
    assert not gpu.Check("x", math.nan, 1.0).passed
    assert [row.note for row in gpu.result_rows([gpu.Check("x", 2.0, 1.0)])] == ["DIFFERS, limit 1"]


def test_the_benchmarks_share_the_time():
    found = gpu.benchmark_commands("thesis", "cuda", 100)
    assert [arguments[0] for arguments in found] == list(gpu.TIME_SHARES)
    assert sum(float(arguments[arguments.index("--seconds") + 1]) for arguments in found) <= 100
    assert all({"thesis", "cuda"} <= set(arguments) for arguments in found)
