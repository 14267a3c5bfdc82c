"""Sample quality of a trained run against the number of network calls, for each sampler.

All configurations start from the same noise. Their batches are interleaved, so images per second are comparable too.
"""

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple, cast

import click
import numpy as np
import torch
from numpy.typing import NDArray

from bench.harness.environment import OtherLoad, describe_machine
from bench.harness.interleaved import Spread, turn_order
from bench.harness.options import device_option, seconds_option, threads_option
from bench.harness.report import Row, log_progress, make_row, report_result, row_from_spread
from bench.harness.workloads import set_threads, synchronise
from core.config import SamplingOverrides
from core.data import load_dataset
from core.errors import UserError
from core.evaluation.evaluator import Evaluator
from core.evaluation.sampling import BATCH, draw_samples, to_unit
from core.runs import RunStore
from core.sampling_names import CLIPS, SAMPLERS_WITH_ETA, SPACINGS, Clip, Spacing
from core.statistics.estimate import Estimate
from core.training.checkpoint import LoadedModel, load_model

SAMPLERS: Final = (
    ("ddpm", 0.0),
    ("ddim", 0.0),
    ("ddim", 1.0),
    ("dpm++", 0.0),
    ("dpm++", 1.0),
    ("unipc", 0.0),
    ("churn", 2.0),
)
"""Name and eta; ddpm and unipc have none."""
CALLS: Final = "1,2,4,8,10,20,50,250,T"
HEADLINE: Final = "balanced_pass_rate"
METRICS: Final = {HEADLINE: "share", "area_distance": "", "mmd": ""}
GOOD_ENOUGH: Final = 0.95
"""Share of the best pass rate that counts as good enough."""
_GROUPS: Final = ("shape", "distribution")


class SamplingConfig(NamedTuple):
    """One sampler with its options."""

    sampler: str
    eta: float
    calls: int
    spacing: Spacing = "uniform"
    clip: Clip = "static"

    @property
    def name(self) -> str:
        """The name in tables."""
        eta = f" eta {self.eta:g}" if self.sampler in SAMPLERS_WITH_ETA else ""
        spacing = f" {self.spacing}" if self.spacing != "uniform" else ""
        clip = f" clip {self.clip}" if self.clip != "static" else ""
        return f"{self.sampler}{eta}{spacing}{clip}, {self.calls} calls"

    @property
    def overrides(self) -> SamplingOverrides:
        """The options as `core sample` takes them."""
        eta = self.eta if self.sampler in SAMPLERS_WITH_ETA else None
        return SamplingOverrides(
            sampler=self.sampler, steps=self.calls, eta=eta, spacing=self.spacing, clip=self.clip
        )


@click.command("sampling")
@click.argument("run", default="latest", metavar="[RUN]")
@click.option("--runs", type=click.Path(path_type=Path), default="runs", show_default=True, metavar="DIR")
@click.option(
    "--count",
    type=click.IntRange(2),
    default=4 * BATCH,
    show_default=True,
    metavar="N",
    help="Images each.",
)
@click.option("--calls", default=CALLS, show_default=True, metavar="N,...", help="Network calls; T is all.")
@click.option("--samplers", default="ddpm,ddim,dpm++,unipc,churn", show_default=True, metavar="NAME,...")
@click.option("--spacings", metavar="NAME,...", help="Timestep spacings; the run's own unless given.")
@click.option("--clips", metavar="NAME,...", help="Ways to clip; the run's own unless given.")
@seconds_option(120)
@device_option
@threads_option
def command(
    run: str,
    runs: Path,
    count: int,
    calls: str,
    samplers: str,
    spacings: str | None,
    clips: str | None,
    seconds: float,
    device: str,
    threads: int | None,
) -> None:
    """Quality of a run's samples against network calls, and images per second.

    Chains too long for --seconds are left out and named. Evaluation comes on top of that time.
    """
    machine = describe_machine()
    used = set_threads(threads, machine.cores)
    found = RunStore(runs).find(run)
    loaded = load_model(found, device)
    images = load_dataset(loaded.config.data.dataset)
    own = loaded.config.sample
    wanted = sampling_configs(
        samplers, calls, loaded.diffusion.timesteps, spacings=spacings or own.spacing, clips=clips or own.clip
    )
    with OtherLoad() as others:
        kept, left_out = within_budget(wanted, seconds, count, seconds_per_call(loaded))
        drawn, rates = sample_interleaved(loaded, kept, count)
    evaluator = Evaluator(images)
    rows = [make_row(f"{config.name}: speed", "pictures/s", rates[config]) for config in kept]
    evaluated = {}
    for config in kept:
        log_progress(f"evaluating {config.name}")
        evaluated[config], _ = evaluator.evaluate(drawn[config], _GROUPS)
    real = evaluator.evaluate_real(count, _GROUPS)
    for name, unit in METRICS.items():
        rows += [
            estimate_row(f"{config.name}: {name}", unit, evaluated[config].get(name), count)
            for config in kept
        ]
        rows.append(estimate_row(f"real pictures: {name}", unit, real.get(name), count))
    notes = [
        "For quality, the two numbers beside the value are its 95% interval, and n is the number of evaluated images."
    ]
    passed = {config: value for config in kept if (value := evaluated[config][HEADLINE].value) is not None}
    if enough := fewest_calls(passed):
        notes.append(
            f"The fewest calls that pass at least {GOOD_ENOUGH:.0%} as often as the best: {enough.name}."
        )
    if left_out:
        names = ", ".join(config.name for config in left_out)
        notes.append(f"Left out, because they would take longer than --seconds {seconds:g}: {names}.")
    report_result(
        "sampling",
        rows,
        machine=machine,
        others=others.share,
        settings={
            "run": found.id,
            "schedule": loaded.config.schedule.name,
            "step": loaded.position.step,
            "count": count,
            "device": device,
            "threads": used,
        },
        notes=notes,
        variant=found.id,
    )


def sampling_configs(
    samplers: str, calls: str, timesteps: int, *, spacings: str = "uniform", clips: str = "static"
) -> list[SamplingConfig]:
    """The requested configurations, cheapest first. Numbers of calls above T become T, where spacings are equal.

    Raises:
        UserError: an unknown sampler, spacing or clipping, or an invalid number of calls.
    """
    names = _parse_names("--samplers", samplers, dict.fromkeys(name for name, _ in SAMPLERS))
    spaced, clipped = _parse_names("--spacings", spacings, SPACINGS), _parse_names("--clips", clips, CLIPS)
    numbers = set()
    for text in (part.strip() for part in calls.split(",")):
        if text != "T" and not (text.isascii() and text.isdecimal() and int(text)):
            raise UserError(f"--calls {text}: expected numbers of at least 1, or T, such as 4,10,T")
        numbers.add(timesteps if text == "T" else min(int(text), timesteps))
    return [
        SamplingConfig(name, eta, number, cast(Spacing, spacing), cast(Clip, clip))
        for number in sorted(numbers)
        for name, eta in SAMPLERS
        if name in names
        for spacing in (spaced if number < timesteps else spaced[:1])
        for clip in clipped
    ]


def _parse_names(option: str, text: str, known: Iterable[str]) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in known]:
        raise UserError(f"{option} {unknown[0]}: expected some of {', '.join(known)}")
    return names


def within_budget(
    wanted: list[SamplingConfig], seconds: float, count: int, seconds_of_a_call: float
) -> tuple[list[SamplingConfig], list[SamplingConfig]]:
    """Split configurations into those that fit into the time together, and the others; the first always fits.

    Args:
        wanted: cheapest first.
        seconds: time for all.
        count: images of each.
        seconds_of_a_call: time of a network call for one image.
    """
    spent = 0.0
    for index, config in enumerate(wanted):
        spent += config.calls * count * seconds_of_a_call
        if spent > seconds and index:
            return wanted[:index], wanted[index:]
    return wanted, []


def fewest_calls(passed: dict[SamplingConfig, float]) -> SamplingConfig | None:
    """The configuration with the fewest calls that is nearly as good as the best; None if nothing passes.

    Args:
        passed: the pass rate of each configuration, cheapest first.
    """
    best = max(passed.values(), default=0.0)
    return next((config for config, rate in passed.items() if best > 0 and rate >= GOOD_ENOUGH * best), None)


def seconds_per_call(loaded: LoadedModel) -> float:
    """Seconds of a network call per image of a batch: the fastest of a few, after a warm-up call."""
    device = loaded.device
    xt = torch.zeros((BATCH, *loaded.shape), device=device)
    t = torch.zeros(BATCH, dtype=torch.int64, device=device)
    times = []
    with torch.no_grad():
        for _ in range(4):
            start = time.perf_counter()
            loaded.model(xt, t)
            synchronise(device)
            times.append(time.perf_counter() - start)
    return min(times[1:]) / BATCH


def sample_interleaved(
    loaded: LoadedModel, chosen: list[SamplingConfig], count: int
) -> tuple[dict[SamplingConfig, NDArray[np.float32]], dict[SamplingConfig, list[float]]]:
    """Images [count, C, H, W] in [0, 1] of each configuration, and images per second of each batch.

    The batches of all configurations start from the same noise.
    """
    drawn: dict[SamplingConfig, list[NDArray[np.float32]]] = {config: [] for config in chosen}
    rates: dict[SamplingConfig, list[float]] = {config: [] for config in chosen}
    sizes = [min(BATCH, count - start) for start in range(0, count, BATCH)]
    for number, size in enumerate(sizes):
        # The order differs between batches, so that no configuration always follows the same one.
        order = turn_order([str(index) for index in range(len(chosen))], number)
        for config in (chosen[int(index)] for index in order):
            configured = replace(loaded, config=config.overrides.apply_to(loaded.config))
            start = time.perf_counter()
            images = draw_samples(configured, size, seed=number)
            rates[config].append(size / (time.perf_counter() - start))
            drawn[config].append(to_unit(images))
        log_progress(f"batch {number + 1} of {len(sizes)}")
    return {config: np.concatenate(parts) for config, parts in drawn.items()}, rates


def estimate_row(name: str, unit: str, estimate: Estimate | None, count: int) -> Row:
    """A row of a metric; NaN if it could not be measured."""
    nan = float("nan")
    numbers = (
        (nan, nan, nan)
        if estimate is None
        else tuple(nan if value is None else value for value in (estimate.value, estimate.low, estimate.high))
    )
    return row_from_spread(name, unit, Spread(count, *numbers))
