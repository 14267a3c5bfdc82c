"""Checks of a device against float64 on the CPU."""

import contextlib
import math

import pytest
import torch

from bench.cases import gpu_checks, gpu_parts

CPU = torch.device("cpu")
SMALL = {"lean": {"batch": 2, "size": 16}, "thesis": {"batch": 4, "size": 16, "width": 4}}


@pytest.mark.parametrize("network", ["lean", "thesis"])
def test_a_cpu_agrees_with_itself_on_every_line(network):
    checks = list(gpu_checks.run_checks(network, CPU, **SMALL[network]))
    assert [check.name for check in checks] == gpu_checks.check_names(network)
    assert [check for check in checks if not check.passed] == []
    # No result was compared with itself, because single precision leaves an error.
    assert all(0 < check.error < check.limit < 1.5 for check in checks)


def test_the_checks_use_the_convolutions_that_train_without_tf32(monkeypatch):
    seen = []
    forward = gpu_checks.Replica.output

    def output(self, *arguments, **options):
        seen.append((torch.backends.cudnn.enabled, torch.backends.cudnn.allow_tf32))
        return forward(self, *arguments, **options)

    monkeypatch.setattr(gpu_checks.Replica, "output", output)
    list(gpu_checks.run_checks("lean", CPU, **SMALL["lean"]))
    assert set(seen) == {(True, False)}
    with torch.backends.cudnn.flags(enabled=False):
        monkeypatch.setattr(torch.backends.cudnn, "flags", lambda **options: contextlib.nullcontext())
        with pytest.raises(RuntimeError, match="cuDNN is disabled"), gpu_checks.exact_arithmetic():
            pass


def off_by(function, share):
    """A method whose result is off by a share of itself, on the checked replica only."""

    def changed(self, *arguments, **options):
        found = function(self, *arguments, **options)
        if self.index != 2:
            return found
        if isinstance(found, tuple):
            return found[0], [value * (1 + share) for value in found[1]]
        return [value * (1 + share) for value in found] if isinstance(found, list) else found * (1 + share)

    return changed


@pytest.mark.parametrize("network", ["lean", "thesis"])
@pytest.mark.parametrize(
    ("method", "share", "name"),
    [
        ("output", 0.002, "forward, fp32"),
        ("output", 0.1, "forward, bf16"),
        ("loss_and_gradients", 0.02, "gradients, eval"),
        ("updates", 0.2, "updates of "),
    ],
)
def test_a_device_that_computes_something_else_is_found_out(monkeypatch, network, method, share, name):
    replicas = []
    build = gpu_checks.Replica.__init__

    def counted(self, *arguments, **options):
        self.index = len(replicas)  # the third one is on the device
        replicas.append(self)
        build(self, *arguments, **options)

    monkeypatch.setattr(gpu_checks.Replica, "__init__", counted)
    monkeypatch.setattr(gpu_checks.Replica, method, off_by(getattr(gpu_checks.Replica, method), share))
    checks = gpu_checks.run_checks(network, CPU, **SMALL[network])
    assert [check.name for check in checks if check.name.startswith(name) and not check.passed]


def test_a_sampler_that_computes_something_else_is_found_out(monkeypatch):
    calls = []
    right = gpu_checks.sample

    def sample(name, model, *arguments, **options):
        calls.append(name)
        found = right(name, model, *arguments, **options)
        return found * 1.001 if len(calls) % 3 == 0 else found

    monkeypatch.setattr(gpu_checks, "sample", sample)
    checks = list(gpu_checks._sampler_checks(CPU, gpu_parts._trainer("lean", CPU, bf16=False).diffusion, 8))
    assert len(checks) == len(gpu_checks.SAMPLERS)
    assert not any(check.passed for check in checks)


def test_errors_are_relative_to_those_of_the_cpu_and_nan_never_passes():
    one = torch.tensor([3.0, 4.0])
    assert gpu_checks.relative_error([one, one], [one * 2, one * 2]) == pytest.approx(0.5)
    assert math.isnan(gpu_checks.relative_error([one * math.nan], [one]))
    assert gpu_checks.make_check("x", 0.05, [0.001, 0.006]).passed
    assert not gpu_checks.make_check("x", 0.05, [0.001, 0.004]).passed
    assert gpu_checks.make_check("x", 9e-5, [0.0]).passed
    assert not gpu_checks.make_check("x", 1e-3, [1e-7]).passed  # the error of TF32
    for error, reference in ((math.nan, 0.1), (0.1, math.nan), (0.1, 0.5)):
        assert not gpu_checks.make_check("x", error, [0.0, reference]).passed
