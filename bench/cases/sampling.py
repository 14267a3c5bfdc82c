"""What samples of a trained run are worth after how many calls of the network, for each sampler.

All draw from the same noises, a batch of one after a batch of the other, so that pictures a second compare as well.
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

from bench.harness.environment import OtherLoad, describe
from bench.harness.interleaved import Spread, turn_of
from bench.harness.options import device_option, seconds_option, threads_option
from bench.harness.report import Row, finish, of_spread, row, say
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
NEARLY: Final = 0.95
"""The share of the best that counts as good enough."""
_GROUPS: Final = ("shape", "distribution")


class SamplingConfig(NamedTuple):
    """One way of drawing pictures."""

    sampler: str
    eta: float
    calls: int
    spacing: Spacing = "uniform"
    clip: Clip = "static"

    @property
    def name(self) -> str:
        """For a table."""
        eta = f" eta {self.eta:g}" if self.sampler in SAMPLERS_WITH_ETA else ""
        spacing = f" {self.spacing}" if self.spacing != "uniform" else ""
        clip = f" clip {self.clip}" if self.clip != "static" else ""
        return f"{self.sampler}{eta}{spacing}{clip}, {self.calls} calls"

    @property
    def overrides(self) -> SamplingOverrides:
        """As `core sample` would be asked for it."""
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
    help="Pictures each.",
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
    """Quality of a run's samples against network calls, and pictures a second.

    Chains too long for --seconds are left out, and are named. Judging comes on top of that time.
    """
    machine = describe()
    used = set_threads(threads, machine.cores)
    found = RunStore(runs).find(run)
    loaded = load_model(found, device)
    images = load_dataset(loaded.config.data.dataset)
    own = loaded.config.sample
    wanted = sampling_configs(
        samplers, calls, loaded.diffusion.timesteps, spacings=spacings or own.spacing, clips=clips or own.clip
    )
    with OtherLoad() as others:
        kept, left_out = affordable(wanted, seconds, count, seconds_of_a_call(loaded))
        drawn, rates = draw_in_turns(loaded, kept, count)
    evaluator = Evaluator(images)
    rows = [row(f"{way.name}: speed", "pictures/s", rates[way]) for way in kept]
    evaluated = {}
    for way in kept:
        say(f"judging {way.name}")
        evaluated[way], _ = evaluator.evaluate(drawn[way], _GROUPS)
    real = evaluator.evaluate_real(count, _GROUPS)
    for name, unit in METRICS.items():
        rows += [of_estimate(f"{way.name}: {name}", unit, evaluated[way].get(name), count) for way in kept]
        rows.append(of_estimate(f"real pictures: {name}", unit, real.get(name), count))
    notes = [
        "Of quality, the two numbers beside the value are its 95% interval, and n is the pictures judged."
    ]
    passed = {way: value for way in kept if (value := evaluated[way][HEADLINE].value) is not None}
    if enough := fewest_calls(passed):
        notes.append(f"The fewest calls that pass at least {NEARLY:.0%} as often as the best: {enough.name}.")
    if left_out:
        names = ", ".join(way.name for way in left_out)
        notes.append(f"Left out, because they would take longer than --seconds {seconds:g}: {names}.")
    finish(
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
    """What was asked for, cheapest first; numbers of calls above T are T, where spacings do not differ.

    Raises:
        UserError: an unknown sampler, spacing or clipping, or something that is no number of calls.
    """
    names = _names("--samplers", samplers, dict.fromkeys(name for name, _ in SAMPLERS))
    spaced, clipped = _names("--spacings", spacings, SPACINGS), _names("--clips", clips, CLIPS)
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


def _names(option: str, text: str, known: Iterable[str]) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in known]:
        raise UserError(f"{option} {unknown[0]}: expected some of {', '.join(known)}")
    return names


def affordable(
    wanted: list[SamplingConfig], seconds: float, count: int, seconds_of_a_call: float
) -> tuple[list[SamplingConfig], list[SamplingConfig]]:
    """Those ways, in their order, that can all be drawn in the time, and those that cannot; one is always drawn.

    Args:
        wanted: cheapest first.
        seconds: for all.
        count: pictures of each.
        seconds_of_a_call: time that the network takes for one picture.
    """
    spent = 0.0
    for index, way in enumerate(wanted):
        spent += way.calls * count * seconds_of_a_call
        if spent > seconds and index:
            return wanted[:index], wanted[index:]
    return wanted, []


def fewest_calls(passed: dict[SamplingConfig, float]) -> SamplingConfig | None:
    """The way of the fewest calls that is nearly as good as the best; None where nothing passes at all.

    Args:
        passed: the pass rate of each way, cheapest first.
    """
    best = max(passed.values(), default=0.0)
    return next((way for way, rate in passed.items() if best > 0 and rate >= NEARLY * best), None)


def seconds_of_a_call(loaded: LoadedModel) -> float:
    """What a call of the network takes for each picture of a batch: the fastest of a few, after one to warm up."""
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


def draw_in_turns(
    loaded: LoadedModel, chosen: list[SamplingConfig], count: int
) -> tuple[dict[SamplingConfig, NDArray[np.float32]], dict[SamplingConfig, list[float]]]:
    """Pictures [count, C, H, W] in [0, 1] of each way, and how many a second in each batch.

    A batch of each way begins with the same noises.
    """
    drawn: dict[SamplingConfig, list[NDArray[np.float32]]] = {way: [] for way in chosen}
    rates: dict[SamplingConfig, list[float]] = {way: [] for way in chosen}
    sizes = [min(BATCH, count - start) for start in range(0, count, BATCH)]
    for number, size in enumerate(sizes):
        # Orders differ between batches, so that no way always follows the same one.
        order = turn_of([str(index) for index in range(len(chosen))], number)
        for way in (chosen[int(index)] for index in order):
            as_asked = replace(loaded, config=way.overrides.apply_to(loaded.config))
            start = time.perf_counter()
            made = draw_samples(as_asked, size, seed=number)
            rates[way].append(size / (time.perf_counter() - start))
            drawn[way].append(to_unit(made))
        say(f"batch {number + 1} of {len(sizes)}")
    return {way: np.concatenate(parts) for way, parts in drawn.items()}, rates


def of_estimate(name: str, unit: str, estimate: Estimate | None, count: int) -> Row:
    """A metric as a line; NaN where it could not be measured."""
    nan = float("nan")
    numbers = (
        (nan, nan, nan)
        if estimate is None
        else tuple(nan if value is None else value for value in (estimate.value, estimate.low, estimate.high))
    )
    return of_spread(name, unit, Spread(count, *numbers))
