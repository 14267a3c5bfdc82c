"""Training and sampling on GPUs that are not there: devices, waits, dtypes and numbers of launches."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from core.config import (
    DataConfig,
    DiffusionConfig,
    ModelConfig,
    RunConfig,
    SampleConfig,
    ScheduleConfig,
    TrainConfig,
)
from core.data import ImageSet
from core.data.recipe import DataRecipe
from core.diffusion import variational_bound
from core.diffusion.models import lean_unet, thesis_unet
from core.diffusion.samplers.base import SamplerOptions
from core.diffusion.samplers.registry import SAMPLERS, sample
from core.evaluation.metrics.denoising import denoise
from core.sampling_names import Clip
from core.training import captured_step
from core.training.checkpoint import LoadedModel, Position, make_diffusion
from core.training.loop import Trainer
from core.training.precision import memory_format
from tests.support.fake_device import DeviceFault, FakeProcess, Guard, fake_device

KINDS = ["cuda", "mps"]
BUDGETS = {("cuda", "bf16"): 910, ("mps", "fp32"): 860}
"""Launches of a step of the lean network: operators as they reach the dispatcher. In bfloat16 each weight is cast once
and no layer norm is. On mps the only step counted is the first, which makes the optimizers' states."""


def config(preset: str, precision: str, epochs: int = 1) -> RunConfig:
    return RunConfig(
        data=DataConfig(heldout=2),
        schedule=ScheduleConfig(timesteps=20),
        diffusion=DiffusionConfig(prediction_type="v_prediction"),
        model=ModelConfig(preset=preset, width=16 if preset == "lean" else 2),  # type: ignore[arg-type]
        train=TrainConfig(
            epochs=epochs,
            batch_size=8,
            optimizer="muon" if preset == "lean" else "adam",
            ema_decay=0.9,
            augment="dihedral",
            noise_levels="cosine",
            stratified_timesteps=True,
            loss_weight="min_snr",
            precision=precision,  # type: ignore[arg-type]
        ),
        sample=SampleConfig(count=2, steps=2),
    )


def stand_in(xt: Tensor, t: Tensor) -> Tensor:
    return torch.tanh(xt) * (1 + t.view(-1, 1, 1, 1))


def loaded(training: Trainer) -> LoadedModel:
    position = Position(
        epoch=0, batch=0, step=0, losses=[], elapsed=0.0, metrics_offset=0, channels=1, size=16
    )
    return LoadedModel(training.model, training.diffusion, training.config, position)


def trainer(kind: str, preset: str, precision: str, epochs: int = 1, images: int = 15) -> Trainer:
    pixels = np.full((images, 1, 16, 16), 128, np.uint8)
    data = ImageSet(
        "grey", pixels, pixels[:2], DataRecipe(name="grey", kind="folder", size=16), Path(), None, None
    )
    process = FakeProcess(f"{kind}:0")
    return Trainer(config(preset, precision, epochs), data, torch.device(kind, 0), process)


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thesis network of two levels in place of all, which has every kind of block."""
    monkeypatch.setattr(thesis_unet, "THESIS_WIDTHS", thesis_unet.THESIS_WIDTHS[:3])


# Every two of kind, network and precision meet. Each operator takes a millisecond, which makes cases dear.
@pytest.mark.parametrize(
    ("kind", "preset", "precision"),
    [
        ("cuda", "lean", "bf16"),
        ("cuda", "thesis", "fp32"),
        ("mps", "lean", "fp32"),
        ("mps", "thesis", "bf16"),
    ],
)
def test_both_networks_train_and_denoise_on_the_device_without_waiting_for_it(
    monkeypatch: pytest.MonkeyPatch, shallow: None, kind: str, preset: str, precision: str
) -> None:
    with fake_device(kind) as guard:
        training = trainer(kind, preset, precision, images=15 if kind == "cuda" else 7)
        launches = count_launches(training, guard)
        list(training.reports())  # on cuda two steps, the second of fewer images, and the held-out loss
        assert training.step == len(launches) == (2 if kind == "cuda" else 1)
        assert training.precision == precision
        if preset == "lean":
            assert launches[-1] <= BUDGETS[kind, precision]
        with training.eval_mode():
            images = torch.randn(2, 1, 16, 16, device=f"{kind}:0")
            *_, last = denoise(loaded(training), images, 19, generator=torch.Generator(f"{kind}:0"))
        assert last.index == 2
        assert last.xt.device.type == kind
        if (kind, preset) == ("cuda", "lean"):  # too many launches are found out: each layer norm in float32
            right = lean_unet._normalise
            monkeypatch.setattr(lean_unet, "_normalise", lambda x: right(x.float()).to(x.dtype))
            training.batch = 0
            training._train_step(training._epoch_order())
            assert launches[-1] > BUDGETS[kind, precision]


def count_launches(training: Trainer, guard: Guard) -> list[int]:
    """Return a list to which each training step will append its number of launches."""
    train_step, launches = training._train_step, list[int]()

    def counted(order: Tensor) -> Tensor:
        before = guard.launches
        loss = train_step(order)
        launches.append(guard.launches - before)
        return loss

    training._train_step = counted  # type: ignore[method-assign]
    return launches


def test_without_captures_training_does_not_wait_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DDPM_CAPTURE", "off")
    with fake_device("cuda"):
        training = trainer("cuda", "lean", "bf16")
        list(training.reports())
        assert (training.step, training.captured) == (2, None)


@pytest.mark.parametrize(("preset", "precision"), [("lean", "bf16"), ("thesis", "fp32")])
def test_a_captured_step_copies_nothing_from_the_cpu_and_waits_for_nothing(
    monkeypatch: pytest.MonkeyPatch, preset: str, precision: str
) -> None:
    monkeypatch.setattr(captured_step, "_WARM_UP", 1)
    with fake_device("cuda"):
        training = trainer("cuda", preset, precision, epochs=2)
        list(training.reports())
        assert training.captured is not None
        assert sorted(training.captured._steps._graphs) == [7, 8]  # one for each size of batch


def test_a_copy_from_the_cpu_in_a_captured_step_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured_step, "_WARM_UP", 1)
    right = torch.nn.functional.silu
    monkeypatch.setattr(
        torch.nn.functional, "silu", lambda x, inplace=False: right(x + torch.ones(1).to(x.device))
    )
    with fake_device("cuda"):
        training = trainer("cuda", "lean", "fp32", epochs=2)
        with pytest.raises(DeviceFault, match="copies from the CPU"):
            list(training.reports())
        assert training.step == 2  # the warm-up may copy


@pytest.mark.parametrize("clip", ["static", "dynamic"])
@pytest.mark.parametrize("kind", KINDS)
def test_all_samplers_run_on_the_device_without_waiting_for_it(kind: str, clip: Clip) -> None:
    with fake_device(kind):
        noise, diffusion = torch.randn(2, 1, 8, 8, device=f"{kind}:0"), make_diffusion(config("lean", "fp32"))
        options = SamplerOptions(steps=3, eta=1.0, clip=clip)
        for name in SAMPLERS:
            images = sample(name, stand_in, diffusion, noise, options, generator=torch.Generator(f"{kind}:0"))
            assert images.device.type == kind


@pytest.mark.parametrize("kind", KINDS)
def test_the_bound_waits_for_the_device_as_often_for_many_terms_as_for_one(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    fetches = []
    for terms in (1, 6):
        timesteps = torch.from_numpy(np.tile(np.arange(1, 1 + terms), (2, 1)))
        diffusion = make_diffusion(config("lean", "fp32"))
        lines = variational_bound._kl_lines(
            diffusion, timesteps
        )  # needs numbers, which are real on the CPU only
        monkeypatch.setattr(variational_bound, "_kl_lines", lambda *_, lines=lines: lines)
        with fake_device(kind) as guard, guard.fetching():
            found = variational_bound.bound_terms(
                stand_in,
                diffusion,
                torch.randn(2, 1, 8, 8, device=f"{kind}:0"),
                timesteps,
                generator=torch.Generator(f"{kind}:0"),
            )
        assert found.l_t.shape == (2, terms)
        fetches.append(guard.fetches)
    assert fetches[0] == fetches[1] < 8


def test_the_weights_are_checked_by_one_wait_for_all() -> None:
    with fake_device("cuda") as guard:
        training = trainer("cuda", "lean", "fp32")
        before = guard.launches
        with pytest.raises(DeviceFault, match=r"_local_scalar_dense.*: needs values"):
            training.weights_are_finite()
        # All norms at once, then few operators on their stack, up to the only number that is fetched.
        assert guard.launches - before < 12


def fault_cpu_tensor(x: Tensor) -> Tensor:
    return x + torch.ones(x.shape)


def fault_item(x: Tensor) -> Tensor:
    return x * x.mean().item()


def fault_copy(x: Tensor) -> Tensor:
    return x * float(x.mean().cpu() > 0)


def fault_float64(x: Tensor) -> Tensor:
    return (x.double() * 2).float()


def fault_nonzero(x: Tensor) -> Tensor:
    return x + x.nonzero().sum()


def fault_mask(x: Tensor) -> Tensor:
    return x + x[x > 0].sum()


def fault_generator(x: Tensor) -> Tensor:
    return x + torch.randn(x.shape, generator=torch.Generator(), device=x.device)


FAULTS = [
    (fault_cpu_tensor, "tensors of .* and of another device"),
    (fault_item, "waits for"),
    (fault_copy, "copies to the CPU"),
    (fault_float64, "makes float64"),
    (fault_nonzero, "waits for them"),
    (fault_mask, "waits for them"),
    (fault_generator, "a generator of cpu cannot draw on"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_with_a_fault_is_found_out(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    right, seen = torch.nn.functional.silu, list[str]()
    with fake_device(kind):
        training = trainer(kind, "lean", "fp32")
        order = training._epoch_order()
        for fault, words in FAULTS:
            if fault is fault_float64 and kind == "cuda":
                continue  # which cuda has
            faulty = lambda x, inplace=False, fault=fault: right(fault(x))  # noqa: E731
            monkeypatch.setattr(torch.nn.functional, "silu", faulty)
            with pytest.raises(DeviceFault, match=words):
                training._train_step(order)
            seen.append(words)
    assert len(seen) == len(FAULTS) - (kind == "cuda")


def test_float64_is_no_fault_on_cuda() -> None:
    with fake_device("cuda"):
        assert fault_float64(torch.ones(2, device="cuda:0")).dtype == torch.float32


def test_channels_last_batch_norm_is_found_out_on_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.training.loop.memory_format", lambda _: torch.channels_last)
    with fake_device("mps"):
        training = trainer("mps", "thesis", "fp32")
        with pytest.raises(DeviceFault, match="channels_last, in which BatchNorm is wrong on mps"):
            training._train_step(training._epoch_order())


def test_weights_are_in_channels_last_on_cuda_and_optimizers_are_fused_everywhere() -> None:
    for kind in KINDS:
        with fake_device(kind):
            training = trainer(kind, "thesis", "auto")
            kernels = [p for p in training.model.parameters() if p.ndim == 4 and min(p.shape[1:]) > 1]
            assert all(p.is_contiguous(memory_format=memory_format(p.device)) for p in kernels)
            assert all(group["fused"] for one in training.optimizers for group in one.param_groups)
            assert training.precision == "bf16"
    assert memory_format(torch.device("cuda")) is torch.channels_last
    assert memory_format(torch.device("mps")) is torch.contiguous_format
