"""The means of torch.compile on each kind of device, and a training that lacks them."""

import importlib.util
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import torch

from core.config import DataConfig, ModelConfig, RunConfig, ScheduleConfig, TrainConfig
from core.data import ImageSet
from core.data.recipe import DataRecipe
from core.training import loop
from core.training.compiler import compile_problem
from core.training.loop import StepsReport, Trainer


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that is the whole PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("CC", "CXX"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def install(folder: Path, name: str) -> None:
    (folder / name).write_text("")
    (folder / name).chmod(0o755)


def trainer(*, compile: bool) -> Trainer:
    pixels = np.full((8, 1, 16, 16), 128, np.uint8)
    recipe = DataRecipe(name="grey", kind="folder", size=16)
    config = RunConfig(
        data=DataConfig(heldout=1),
        schedule=ScheduleConfig(timesteps=20),
        model=ModelConfig(preset="lean", width=16),
        train=TrainConfig(epochs=1, batch_size=8, precision="fp32", compile=compile),
    )
    images = ImageSet("grey", pixels, pixels[:1], recipe, Path(), None, None)
    return Trainer(config, images, torch.device("cpu"))


def test_cuda_needs_a_c_compiler_triton_and_the_headers_of_python(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert compile_problem("cuda") == "no C compiler ($CC, gcc or clang) was found"
    install(programs, "gcc")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert compile_problem("cuda") == "triton is not installed"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(programs))
    assert compile_problem("cuda") == f"Python's headers are not installed ({programs}/Python.h is missing)"
    install(programs, "Python.h")
    assert compile_problem("cuda") == ""
    monkeypatch.setenv("CC", "no-such-compiler")
    assert compile_problem("cuda") == "no C compiler ($CC, gcc or clang) was found"


def test_the_cpu_needs_a_cpp_compiler_and_metal_none(programs: Path) -> None:
    assert compile_problem("cpu") == "no C++ compiler ($CXX, g++ or clang++) was found"
    assert compile_problem("mps") == ""
    install(programs, "g++")
    assert compile_problem("cpu") == ""


def test_on_cuda_without_a_compiler_the_training_is_the_plain_one_and_has_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "compile_problem", lambda _: compile_problem("cuda"))
    monkeypatch.setattr(torch, "compile", lambda *_, **__: pytest.fail("it was compiled"))
    compiled, plain = trainer(compile=True), trainer(compile=False)
    assert compiled.compile_problem == "no C compiler ($CC, gcc or clang) was found"
    assert plain.compile_problem == ""
    losses = [
        [report.losses for report in one.reports() if isinstance(report, StepsReport)]
        for one in (compiled, plain)
    ]
    assert losses[0] == losses[1]
