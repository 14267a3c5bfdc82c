"""The check of a GPU by a convolution, on a CPU in its place, and torch's words about those that cannot compute."""

import json

import pytest
import torch

from core.training import gpu_check
from core.training.gpu_check import main, problem_of_device, problem_of_torch

CPU = torch.device("cpu")


def fail(error: Exception) -> object:
    def call(*_: object, **__: object) -> None:
        raise error

    return call


def test_a_device_that_computes_has_no_problem() -> None:
    assert problem_of_device(CPU) == ""


def test_a_device_that_computes_wrong_results_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    right = gpu_check.conv2d
    monkeypatch.setattr(gpu_check, "conv2d", lambda *given, **named: right(*given, **named) * 2)
    assert problem_of_device(CPU) == "a convolution gave wrong results ([144.0, 144.0, 256.0])"


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (
            RuntimeError(
                "CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors"
            ),
            "CUDA error: no kernel image is available for execution on the device (the GPU is sm_52, torch is built "
            "for sm_75, sm_90)",
        ),
        (torch.OutOfMemoryError("CUDA out of memory"), ""),
    ],
)
def test_the_error_of_a_device_is_named_with_what_torch_is_built_for(
    monkeypatch: pytest.MonkeyPatch, error: Exception, problem: str
) -> None:
    monkeypatch.setattr(gpu_check, "conv2d", fail(error))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (5, 2))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_90"])
    assert problem_of_device(CPU) == problem


def test_a_driver_that_is_too_old_is_named_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver"
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "init", fail(RuntimeError(words)))
    assert problem_of_torch() == "The NVIDIA driver on your system is too old (found version 11040)"


def test_the_process_writes_a_line_for_torch_and_one_for_each_device(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", "6.4")
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(gpu_check, "problem_of_device", lambda device: "" if device.index else "broken")
    assert main() == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"problem": "", "count": 2},
        {"device": 0, "problem": "broken"},
        {"device": 1, "problem": ""},
    ]
    monkeypatch.setattr(torch.version, "hip", None)
    assert problem_of_torch() == f"torch {torch.__version__} is built for CPUs only"
