"""In which precision a training runs where that is left to it, and in which it goes on."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from core.config import DataConfig, ModelConfig, RunConfig, ScheduleConfig, TrainConfig
from core.config.trained_with import TrainedWith
from core.data import ImageSet
from core.data.recipe import DataRecipe
from core.runs import RunDirectory
from core.training import precision
from core.training.loop import Trainer
from core.training.precision import bf16_is_fast, bf16_speedup

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _without_cached_measurement() -> Iterator[None]:
    bf16_speedup.cache_clear()
    yield
    bf16_speedup.cache_clear()


def measures(monkeypatch: pytest.MonkeyPatch, *, fp32: list[float], bf16: list[float]) -> None:
    """A CPU with instructions for bfloat16, whose convolutions take these seconds, in turns."""
    times = {torch.float32: itertools.cycle(fp32), torch.bfloat16: itertools.cycle(bf16)}

    def convolution(dtype: torch.dtype, kind: str) -> Callable[[], float]:
        return lambda: next(times[dtype])

    monkeypatch.setattr(precision, "_convolution", convolution)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)


def trainer(wanted: str) -> Trainer:
    pixels = np.full((8, 1, 16, 16), 128, np.uint8)
    recipe = DataRecipe(name="grey", kind="folder", size=16)
    config = RunConfig(
        data=DataConfig(heldout=1),
        schedule=ScheduleConfig(timesteps=20),
        model=ModelConfig(preset="lean", width=16),
        train=TrainConfig(epochs=2, batch_size=8, precision=wanted),  # type: ignore[arg-type]
    )
    return Trainer(config, ImageSet("grey", pixels, pixels[:1], recipe, Path(), None, None), CPU)


def test_the_shortest_times_are_compared_but_for_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    measures(monkeypatch, fp32=[0.1, 9.0, 2.0, 5.0], bf16=[0.1, 4.0, 1.0, 3.0])
    monkeypatch.setattr(precision, "_ROUNDS", 2)
    assert bf16_speedup() == 2.0
    assert bf16_is_fast(CPU)


def test_instructions_that_make_it_slower_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    measures(monkeypatch, fp32=[2.0], bf16=[2.1])
    assert not bf16_is_fast(CPU)
    assert not trainer("auto").bf16
    assert trainer("bf16").bf16


def test_without_instructions_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    measures(monkeypatch, fp32=[2.0], bf16=[1.0])
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert not bf16_is_fast(CPU)
    assert bf16_speedup.cache_info().misses == 0


def test_what_is_measured_takes_time_and_no_random_numbers() -> None:
    before = torch.get_rng_state()
    work = precision._convolution(torch.float32)
    assert all(0.0 < work() < 10.0 for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("first", "then"), [(1.0, 4.0), (4.0, 1.0)])
def test_a_training_goes_on_in_its_precision_however_it_is_measured_then(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, first: float, then: float
) -> None:
    measures(monkeypatch, fp32=[2.0], bf16=[first])
    begun = trainer("auto")
    assert begun.bf16 == (first < 2.0)
    list(begun.reports(lambda: begun.step >= 1))
    position = begun.position(elapsed=0.0, metrics_offset=0)
    assert position.precision == ("bf16" if begun.bf16 else "fp32")
    bf16_speedup.cache_clear()
    measures(monkeypatch, fp32=[2.0], bf16=[then])
    resumed = trainer("auto")
    assert resumed.bf16 != begun.bf16
    resumed.restore(begun.state_dict(), position, RunDirectory(tmp_path))
    assert resumed.bf16 == begun.bf16
    from_a_gpu = msgspec.structs.replace(position, trained_with=TrainedWith(device="cuda"))
    moved = trainer("auto")
    moved.restore(begun.state_dict(), from_a_gpu, RunDirectory(tmp_path))
    assert moved.bf16 != begun.bf16  # what was fast on a GPU is not what is fast here
    asked = trainer("fp32")
    asked.restore(begun.state_dict(), position, RunDirectory(tmp_path))
    assert not asked.bf16
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    elsewhere = trainer("auto")
    elsewhere.restore(begun.state_dict(), position, RunDirectory(tmp_path))
    assert not elsewhere.bf16


def test_the_gpu_that_trains_is_asked_and_not_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    current = [0]

    @contextlib.contextmanager
    def on(device: torch.device) -> Iterator[None]:
        before, current[0] = current[0], device.index
        yield
        current[0] = before

    monkeypatch.setattr(torch.cuda, "device", on)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *, including_emulation: current[0] == 1)
    assert [bf16_is_fast(torch.device(f"cuda:{number}")) for number in (0, 1)] == [False, True]
    assert current == [0]


@pytest.mark.parametrize(
    ("wanted", "fast", "capability", "expected"),
    [
        ("auto", True, (9, 0), "bf16"),
        ("auto", False, (9, 0), "fp32"),
        ("bf16", False, (7, 5), "bf16"),
        ("fp32", True, (9, 0), "fp32"),
        ("tf32", True, (8, 0), "tf32"),
        ("tf32", True, (7, 5), "fp32"),
    ],
)
def test_on_cuda_each_word_is_what_it_says_if_the_gpu_has_it(
    monkeypatch: pytest.MonkeyPatch, wanted: str, fast: bool, capability: tuple[int, int], expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.version, "hip", None)
    assert precision.resolve_precision(wanted, torch.device("cuda:0"), bf16_is_fast=fast) == expected


@pytest.mark.parametrize(("word", "tf32"), [("fp32", False), ("", False), ("tf32", True), ("bf16", True)])
def test_only_tf32_and_bf16_round_float32_in_convolutions_on_cuda(word: str, tf32: bool) -> None:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark
    try:
        for opposite in (True, False):
            cudnn.allow_tf32 = matmul.allow_tf32 = opposite
            precision.set_up_device(CPU, word)
            assert cudnn.allow_tf32 == opposite
            precision.set_up_device(torch.device("cuda"), word)
            assert (cudnn.enabled, cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark) == (
                True,
                tf32,
                False,
                True,
            )
            assert cudnn.conv.fp32_precision == ("tf32" if tf32 else "none")  # type: ignore[attr-defined]
    finally:
        cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark = before


def test_tf32_on_a_cpu_is_recorded_as_the_fp32_that_it_is() -> None:
    made = trainer("tf32")
    assert made.precision == made.position(elapsed=0.0, metrics_offset=0).precision == "fp32"


@pytest.mark.parametrize(
    ("bf16", "newer", "expected"), [(1.0, True, "bf16"), (3.0, True, "fp32"), (1.0, False, "fp32")]
)
def test_apple_gpus_are_measured_if_macos_has_bfloat16(
    monkeypatch: pytest.MonkeyPatch, bf16: float, newer: bool, expected: str
) -> None:
    measures(monkeypatch, fp32=[2.0], bf16=[bf16])
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda *_: newer)
    mps = torch.device("mps")
    assert precision.resolve_precision("auto", mps, bf16_is_fast=bf16_is_fast(mps)) == expected
