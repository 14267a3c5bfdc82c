"""Time to quality: what samples are worth after so many seconds of training, ours beside others.

Ours is a training of the recipe that is as long as the time allows, from beginning to cool-down, once for each seed and
time. Others have no end that they cool down to: one training each, looked at as the times pass. Looking takes no time
from anybody. All judge by the balanced pass rate and the distance of areas of `core evaluate`.

One trains after another on all cores; or, with ``--a-core-each``, as many at once as there are cores.
"""

import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

import click
import numpy as np
import torch
from numpy.typing import NDArray

from bench.baselines import training_loops
from bench.baselines.checkpointed_training import THEIRS, checkpoints
from bench.baselines.checkpointed_training import Settings as Looked
from bench.harness.environment import OtherLoad, describe
from bench.harness.options import device_option, threads_option
from bench.harness.report import Row, finish, row, say
from bench.harness.timed_training import Settings, train_for
from bench.harness.workloads import recipe_of, set_threads, with_settings
from core.config import RunConfig
from core.data import ImageSet, load_dataset
from core.diffusion.models.registry import build_network
from core.errors import UserError
from core.evaluation.evaluator import Evaluator
from core.evaluation.sampling import draw_samples_from, to_unit
from core.training.checkpoint import make_diffusion

OURS: Final = "ours"
METRICS: Final = {"balanced_pass_rate": "share", "area_distance": ""}

Outcome = tuple[str, float, NDArray[np.float32]]
"""Whose, after how long; the seconds that it really trained; its pictures in [0, 1]."""


@click.command("quality")
@click.option("--times", default="300", show_default=True, metavar="S,...", help="Seconds of training.")
@click.option("--their-times", metavar="S,...", help="The same, of others; as ours unless given.")
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, metavar="N", help="Of ours.")
@click.option(
    "--count", type=click.IntRange(50), default=1000, show_default=True, metavar="N", help="Pictures judged."
)
@click.option(
    "--only",
    multiple=True,
    type=click.Choice((OURS, *THEIRS)),
    help="One of them; several times for several.",
)
@click.option("--dataset", default="high", show_default=True, metavar="NAME")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Keeps the weights of ours there, for what else is to be known of them.",
)
@click.option(
    "--a-core-each", is_flag=True, help="Trains with one thread, as many at once as there are cores."
)
@device_option
@threads_option
def command(
    times: str,
    their_times: str | None,
    seeds: int,
    count: int,
    only: tuple[str, ...],
    dataset: str,
    keep: Path | None,
    a_core_each: bool,
    device: str,
    threads: int | None,
) -> None:
    """Balanced pass rate after so many seconds of training, ours beside others."""
    machine, where = describe(training_loops.PACKAGES), torch.device(device.split("+")[0])
    used = set_threads(1 if a_core_each else threads, machine.cores)
    budgets = seconds_of(times)
    chosen = only or (OURS, *THEIRS)
    if set(chosen) & set(THEIRS):
        training_loops.require_peers(where)
    images = load_dataset(dataset)
    evaluator = Evaluator(images)
    with OtherLoad() as others, tempfile.TemporaryDirectory() as scratch:
        # The longest first, so that no core waits long for the last of them.
        jobs: list[Callable[[], list[Outcome]]] = [
            partial(
                theirs,
                Looked(
                    name=name,
                    dataset=dataset,
                    times=seconds_of(their_times or times, "--their-times" if their_times else "--times"),
                    count=count,
                    device=device,
                    threads=used,
                    out=tempfile.mkdtemp(dir=scratch),
                ),
            )
            for name in chosen
            if name != OURS
        ]
        if OURS in chosen:
            jobs += [
                partial(ours, trained_with(dataset, seed), seconds, count, images, device, used, keep)
                for seconds in reversed(budgets)
                for seed in range(seeds)
            ]
        with ThreadPoolExecutor(machine.cores if a_core_each else 1) as pool:
            outcomes = [one for job in pool.map(lambda job: job(), jobs) for one in job]
    found: dict[str, list[tuple[float, NDArray[np.float32]]]] = {}
    for key, passed, drawn in outcomes:
        found.setdefault(key, []).append((passed, drawn))
    finish(
        "quality",
        rows_of(found, evaluator),
        machine=machine,
        others=others.share,
        settings={
            "dataset": dataset,
            "times": times,
            "their times": their_times or times,
            "count": count,
            "device": device,
            "threads": used,
            "at once": machine.cores if a_core_each else 1,
        },
        notes=[
            f"real pictures: balanced_pass_rate {evaluator.evaluate_real(count, ('shape',))['balanced_pass_rate'].value:.3f}"
        ],
        variant="-".join(
            filter(None, (dataset, "" if where.type == "cpu" else where.type, "a-core-each" * a_core_each))
        ),
    )


def trained_with(dataset: str, seed: int) -> RunConfig:
    """The recipe of the lean network, on a data set, from a seed."""
    return with_settings(recipe_of("lean"), data={"dataset": dataset}, train={"seed": seed})


def seconds_of(times: str, option: str = "--times") -> list[float]:
    """The times that were asked for by an option, shortest first.

    Raises:
        UserError: something that is no time.
    """
    try:
        found = sorted({float(part) for part in times.split(",")})
    except ValueError:
        found = []
    if not found or not all(0 < seconds < 1e6 for seconds in found):
        raise UserError(f"{option} {times}: expected seconds above 0, such as 300,900")
    return found


def ours(
    recipe: RunConfig,
    seconds: float,
    count: int,
    images: ImageSet,
    device: str,
    threads: int,
    keep: Path | None = None,
) -> list[Outcome]:
    """A training of the recipe, made to last as long as it may.

    Args:
        recipe: with the data set and the seed of the training.
        seconds: of training.
        count: pictures to draw.
        pictures: the data set.
        device: one, or several joined by ``+``; the first draws.
        threads: of all processes together.
        keep: a folder for the weights, as `torch.save` writes them.
    """
    recipe = recipe.resolved()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(config=recipe, seconds=seconds, device=device, threads=threads, out=folder)
        outcome, weights = train_for(settings)
        where = torch.device(device.split("+")[0])
        model = build_network(recipe.model.preset, channels=images.channels, width=recipe.model.width)
        model.load_state_dict(torch.load(weights, map_location="cpu"))
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(weights, keep / f"{recipe.train.seed}-{seconds:g}.pt")
    model = model.to(device=where, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    diffusion = make_diffusion(recipe).to(where)
    passed, epochs = outcome.seconds, outcome.epochs
    say(f"{OURS}, seed {recipe.train.seed}: {epochs} epochs in {passed:.0f} of {seconds:g} s")
    shape = (count, images.channels, images.size, images.size)
    drawn = to_unit(
        draw_samples_from(model, diffusion, recipe.sample, shape, device=where, seed=recipe.train.seed)
    )
    return [(f"{OURS}, {seconds:g} s", passed, drawn)]


def theirs(settings: Looked) -> list[Outcome]:
    """One of others, after each of the times."""
    return [
        (f"{settings.name}, {look.seconds:g} s", look.trained, look.drawn) for look in checkpoints(settings)
    ]


def rows_of(found: dict[str, list[tuple[float, NDArray[np.float32]]]], evaluator: Evaluator) -> list[Row]:
    """Each metric of each, over its seeds, and the seconds that it took."""
    rows = []
    for name, trainings in found.items():
        evaluated = []
        for number, (_, drawn) in enumerate(trainings):
            say(f"judging {name}, {number + 1} of {len(trainings)}")
            evaluated.append(evaluator.evaluate(drawn, ("shape",))[0])
        for metric, unit in METRICS.items():
            values = [one[metric].value for one in evaluated]
            rows.append(row(f"{name}: {metric}", unit, [float("nan") if v is None else v for v in values]))
        rows.append(row(f"{name}: took", "s", [passed for passed, _ in trainings]))
    return rows
