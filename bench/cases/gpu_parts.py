"""Parts of the GPU benchmark, in the order in which they are worth seeing; each runs in a process of its own."""

import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import torch

from bench.cases.gpu_checks import run_checks
from bench.cases.gpu_record import Part, Recorder
from bench.harness.bare_step import WARM_UP_STEPS, BareStep, capture_step, repeated
from bench.harness.interleaved import Work, ratios
from bench.harness.pacing import Pacer
from bench.harness.report import make_row
from bench.harness.workloads import (
    endless_config,
    noise_set,
    recipe_config,
    with_settings,
    work_from_steps,
    work_from_trainer,
)
from bench.harness.yardsticks import (
    REFERENCE_SIZES,
    convolution_operations,
    convolutions,
    copies,
    gflop_work,
    matrix_products,
    profile_operators,
    step_flops,
)
from core.config import RunConfig
from core.errors import UserError
from core.launch.subprocess_env import WORKER_MODULE, child_environment, module_command, worker_environment
from core.recipes import load_recipe
from core.runs.directory import RunDirectory
from core.runs.metrics import MetricsTail
from core.runs.status import State
from core.training.loop import Trainer

PROFILE_STEPS: Final = 20
_EPOCH_BATCHES: Final = 16
_COPY_BYTES: Final = {"cpu": 1 << 26, "other": 1 << 30}
_PROFILE_ROWS: Final = 15
_TINY_DATA: Final = "count = 64\nheldout = 16\nsize = 16\nstorage = 'array'\n"


def doctor(record: Recorder, networks: tuple[str, ...], device: str) -> None:
    """Versions, the GPU, and a convolution with its gradient; then `core doctor --deep` if it can run here."""
    where = torch.device(device)
    record.note(f"torch {torch.__version__}, CUDA {torch.version.cuda}, HIP {torch.version.hip}")
    record.note(f"cuDNN {_cudnn_version()}, enabled {torch.backends.cudnn.enabled}")
    if where.type == "cuda":
        with record.attempt("properties of the GPU"):
            found = torch.cuda.get_device_properties(where)
            record.note(
                f"{found.name}, {found.total_memory / 2**30:.1f} GiB, compute {found.major}.{found.minor}, "
                f"{found.multi_processor_count} multiprocessors"
            )
        with record.attempt("nvidia-smi"):
            query = "--query-gpu=index,name,driver_version,mig.mode.current,power.limit"
            record.note(_output_of(["nvidia-smi", query, "--format=csv,noheader"], timeout=15))
    for dtype in (torch.float32, torch.bfloat16):
        with record.attempt(f"a convolution and its gradient in {dtype}"):
            x = torch.ones((2, 8, 16, 16), device=where, dtype=dtype, requires_grad=True)
            kernel = torch.ones((8, 8, 3, 3), device=where, dtype=dtype, requires_grad=True)
            total = torch.nn.functional.conv2d(x, kernel, padding=1).float().sum()
            gradients = torch.autograd.grad(total, (x, kernel))
            expected = 2 * 8 * 8 * (3 * 16 - 2) ** 2  # pixels under the kernel, without the border
            record.add(
                make_row(
                    f"sum of a convolution, {dtype}", "of what it must be", [float(total.detach()) / expected]
                )
            )
            if not all(bool(torch.isfinite(gradient).all()) for gradient in gradients):
                record.fail(f"gradients in {dtype}", "are not finite")
    with record.attempt("core doctor --deep"):
        if not _has_click():
            record.note("core doctor is left out: it needs click")
        else:
            command = module_command("core", "doctor", "--deep", "--json")
            answer = json.loads(_output_of(command, timeout=record.seconds_left, may_fail=True))
            record.note(f"uses {answer['uses']}, torch {answer['torch']}")
            record.note(f"problems: {'; '.join(answer['problems']) or 'none'}")


def checks(record: Recorder, networks: tuple[str, ...], device: str) -> None:
    """All comparisons with float64 on the CPU, of each network."""
    for network in networks:
        for check in run_checks(network, torch.device(device)):
            note = (
                f"{'agrees' if check.passed else 'DIFFERS'}, "
                f"the CPU's {check.reference:.2g}, limit {check.limit:.2g}"
            )
            name = f"{network}: {check.name}"
            record.add(make_row(name, "relative error", [check.error], note))
            if not check.passed:
                record.fail(name, note)


def steps(record: Recorder, networks: tuple[str, ...], device: str) -> None:
    """The trainer's step and a bare one, each as a CUDA graph and without, of each network and precision."""
    where, share = torch.device(device), 1 / (2 * len(networks))
    budget = 0.8 * record.seconds_left
    for network in networks:
        for bf16 in (True, False):
            name = f"{network}, {'bf16' if bf16 else 'fp32'}"
            works: dict[str, Work] = {}
            with record.attempt(f"{name}: the trainer's step"):
                trainer = _trainer(network, where, bf16=bf16)
                works[f"{name}: the trainer's step"] = work_from_trainer(trainer)
                if trainer.captured:
                    eager = _trainer(network, where, bf16=bf16)
                    eager.captured = None
                    works[f"{name}: the trainer's step, not captured"] = work_from_trainer(eager)
            with record.attempt(f"{name}: a bare step"):
                bare = BareStep(network, where, bf16=bf16)
                works[f"{name}: a bare step"] = work_from_steps(repeated(bare, bare.batch), where)
            if where.type != "cuda":
                record.note(f"{name}: the captured step is left out: CUDA graphs need a CUDA device")
            else:
                with record.attempt(f"{name}: the captured step"):
                    record.note(f"{name}: {_captured_agrees(network, where, bf16=bf16)}")
                    captured = BareStep(network, where, bf16=bf16)
                    replay = capture_step(captured, where)
                    works[f"{name}: the captured step"] = work_from_steps(
                        repeated(replay, captured.batch), where
                    )
            if works:
                rates = record.race(works, budget * share, "images/s")
                for captured_name, eager_name, label in (
                    ("the trainer's step", "the trainer's step, not captured", "trainer: captured / not"),
                    ("the captured step", "a bare step", "captured / bare"),
                ):
                    faster = ratios(rates, f"{name}: {captured_name}", f"{name}: {eager_name}")
                    if faster:
                        record.add(make_row(f"{name}: {label}", "times", faster))


def cudnn_benchmark(record: Recorder, networks: tuple[str, ...], device: str) -> None:
    """The bare step with cuDNN's choice of algorithms by heuristics, and by measurement."""
    where, budget = torch.device(device), 0.8 * record.seconds_left
    for network in networks:
        works = {}
        for benchmark in (False, True):
            name = f"{network}, cudnn.benchmark {'on' if benchmark else 'off'}"
            with record.attempt(name):
                step = BareStep(network, where, bf16=True)
                work = work_from_steps(repeated(step, step.batch), where)
                works[name] = _with_benchmark(work, on=benchmark)
        if works:
            record.race(works, budget / len(networks), "images/s")


def yardsticks(record: Recorder, networks: tuple[str, ...], device: str) -> None:
    """Large matrix products, convolutions and copies, and the work of a step of each network."""
    where = torch.device(device)
    size = REFERENCE_SIZES.get(where.type, REFERENCE_SIZES["other"])
    works: dict[str, Work] = {}
    for name, dtype, tf32 in (
        ("bf16", torch.bfloat16, False),
        ("tf32", torch.float32, True),
        ("fp32", torch.float32, False),
    ):
        if tf32 and where.type != "cuda":
            continue
        products, maps = matrix_products(size.n, dtype, where), convolutions(size, dtype, where)
        works[f"matrix product, {name}"] = _with_tf32(gflop_work(products, 2 * size.n**3, where), on=tf32)
        works[f"3x3 convolution, {name}"] = _with_tf32(
            gflop_work(maps, convolution_operations(size), where), on=tf32
        )
    record.race(works, 0.5 * record.seconds_left, "TFLOP/s", 1e-3)
    count = _COPY_BYTES.get(where.type, _COPY_BYTES["other"])
    copy = work_from_steps(copies(count, where), where)
    record.race({"copy within memory, read and written": lambda: copy() * 2 * count}, 3.0, "GB/s", 1e-9)
    for network in networks:
        with record.attempt(f"{network}: work of a step"):
            trainer = _trainer(network, where, bf16=False)
            batch = trainer.config.train.batch_size
            operations = step_flops(trainer, batch) / 1e9
            record.add(make_row(f"{network}: work of a step, batch {batch}", "GFLOP", [operations]))


def profiles(record: Recorder, networks: tuple[str, ...], device: str) -> None:
    """Kernels of a GPU, or operators of a CPU, in `PROFILE_STEPS` bare steps of each network."""
    where = torch.device(device)
    for network in networks:
        with record.attempt(f"{network}: profile"):
            step = BareStep(network, where, bf16=True)
            count = PROFILE_STEPS if where.type == "cuda" else 2
            run = _run_steps(step, where)
            run(WARM_UP_STEPS if where.type == "cuda" else 1)
            start = time.perf_counter()
            run(count)
            wall = time.perf_counter() - start
            times = profile_operators(functools.partial(run, count), where)
            total = sum(one.microseconds for one in times)
            record.add(
                make_row(f"{network}: a step", "ms", [1000 * wall / count], "without the profiler"),
                make_row(f"{network}: the device is busy", "ms a step", [total / 1000 / count]),
                make_row(f"{network}: launches", "a step", [sum(one.calls for one in times) / count]),
                *(
                    make_row(
                        f"{network}: {one.name[:80]}",
                        "share of time",
                        [one.microseconds / (total or 1.0)],
                        f"{one.calls / count:g} a step",
                    )
                    for one in times[:_PROFILE_ROWS]
                ),
            )


def train(record: Recorder, networks: tuple[str, ...], device: str) -> None:
    """Three epochs of the recipe `thesis` under its first schedule, by a worker as `core train` starts it."""
    config = load_recipe("thesis", ["train.epochs=3"]).configs[0]
    with tempfile.TemporaryDirectory() as root:
        run = RunDirectory.create(Path(root), config, group="bench")
        record.note("by the worker itself, without the queue: core train thesis --set train.epochs=3")
        start = time.perf_counter()
        _run_worker(run, device, record, "train")
        tail = MetricsTail(run.metrics_file)
        tail.poll()
        record.add(make_row("from start to end", "s", [time.perf_counter() - start], run.read_status().state))
        for epoch in tail.epochs:
            note = f"loss {epoch.mean:.4f}, held-out {epoch.heldout:.4f}"
            record.add(make_row(f"epoch {epoch.epoch}", "images/s", [epoch.images_per_second], note))


def resume(record: Recorder, networks: tuple[str, ...], device: str) -> None:
    """An epoch of `quick` on the CPU, and another one on the device from the checkpoint of the first."""
    from core.launch.control import resume as queue_again

    with tempfile.TemporaryDirectory() as folder, _variable("DDPM_DATA", str(Path(folder) / "data")):
        data = Path(folder) / "tiny.toml"
        data.write_text(_TINY_DATA, encoding="utf-8")
        config = with_settings(recipe_config("lean"), data={"dataset": str(data)}, train={"epochs": 1})
        run = RunDirectory.create(Path(folder) / "runs", config, group="bench")
        for epochs, where in ((1, "cpu"), (2, device)):
            if epochs > 1:
                record.note(queue_again(run, epochs=epochs))
            start = time.perf_counter()
            _run_worker(run, where, record, f"epoch {epochs} on {where}")
            status = run.read_status()
            seconds = time.perf_counter() - start
            record.add(
                make_row(f"epoch {epochs} on {where}", "s", [seconds], f"{status.state}, {status.error}")
            )
            if status.state is not State.FINISHED:
                return


PARTS: Final[dict[str, Part]] = {
    "doctor": doctor,
    "checks": checks,
    "steps": steps,
    "cudnn": cudnn_benchmark,
    "yardsticks": yardsticks,
    "profile": profiles,
    "train": train,
    "resume": resume,
}
"""The parts by name, the essential ones first."""


def _trainer(network: str, device: torch.device, *, bf16: bool) -> Trainer:
    recipe = recipe_config(network)
    batch = recipe.train.batch_size
    config: RunConfig = with_settings(
        endless_config(recipe, batch=batch), train={"precision": "bf16" if bf16 else "fp32"}
    )
    return Trainer(config, noise_set(batch * _EPOCH_BATCHES, 32), device)


def _captured_agrees(network: str, device: torch.device, *, bf16: bool) -> str:
    """Compare the losses of eager and captured steps from the same weights."""
    eager, captured = (BareStep(network, device, bf16=bf16) for _ in range(2))
    captured.trainer.model.load_state_dict(eager.trainer.model.state_dict())
    replay = capture_step(captured, device)
    for _ in range(WARM_UP_STEPS + 2):
        eager()
    for _ in range(2):
        replay()
    losses = float(eager.loss), float(captured.loss)
    return f"losses after {WARM_UP_STEPS + 2} steps, eager and captured: {losses[0]:.6g} and {losses[1]:.6g}"


def _with_benchmark(work: Work, *, on: bool) -> Work:
    def inside() -> float:
        with torch.backends.cudnn.flags(enabled=True, benchmark=on):
            return work()

    return inside


def _with_tf32(work: Work, *, on: bool) -> Work:
    def inside() -> float:
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = on
        try:
            with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=on):
                return work()
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before

    return inside


def _run_steps(step: Callable[[], object], device: torch.device) -> Callable[[int], None]:
    """A function that runs a number of steps, and waits for the device."""

    def run(count: int) -> None:
        pacer = Pacer(device)
        for _ in range(count):
            step()
            pacer.step()
        pacer.drain()

    return run


@contextlib.contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """Set an environment variable in the block, for this process and those that it starts."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def _run_worker(run: RunDirectory, device: str, record: Recorder, name: str) -> None:
    """Train a queued run to its end; record the error if it does not get there in the time of the part."""
    threads = torch.get_num_threads()
    command = module_command(WORKER_MODULE, str(run.path), "--device", device, "--threads", str(threads))
    done = subprocess.run(
        command,
        env=worker_environment(threads),
        stdout=sys.stderr,
        timeout=max(1.0, record.seconds_left),
        check=False,
    )
    if done.returncode:
        record.fail(name, run.read_status().error or f"the worker ended with {done.returncode}; see above")


def _output_of(command: list[str], *, timeout: float, may_fail: bool = False) -> str:
    done = subprocess.run(
        command, env=child_environment(), capture_output=True, text=True, timeout=timeout, check=False
    )
    if done.returncode and not may_fail:
        raise UserError(f"{command[0]}: ended with {done.returncode}: {done.stderr.strip()[-200:]}")
    return done.stdout.strip()


def _cudnn_version() -> int | None:
    found: int | None = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return found


def _has_click() -> bool:
    try:
        import click  # noqa: F401
        import psutil  # noqa: F401
    except ImportError:
        return False
    return True


def report_settings(networks: tuple[str, ...], device: str) -> dict[str, Any]:
    """Settings, hardware and versions that are kept with each part."""
    where = torch.device(device)
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else where.type
    return {
        "networks": list(networks),
        "device": device,
        "name": name,
        "torch": str(torch.__version__),
        "cuda": torch.version.cuda,
        "cudnn": _cudnn_version(),
        "python": sys.version.split()[0],
        "threads": torch.get_num_threads(),
    }
