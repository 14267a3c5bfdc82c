"""Time to quality: sample quality after a given time of training, ours beside peers'.

Ours is a training of the recipe that fills the time, from the start to the cool-down, once for each seed and time.
Peers have no cool-down, so each trains once and is sampled at each of the times. Sampling is not training time.
The metrics are the balanced pass rate and the area distance of `core evaluate`. Of other images than triangles, which
``--data`` names, it is the kernel distance on features of images, with a sheet of each one's samples.

Trainings run one after another on all cores, or with ``--a-core-each`` as many at once as there are cores.
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
from bench.baselines.checkpointed_training import IMAGE_PIPELINES, PEER_PIPELINES, train_with_checkpoints
from bench.baselines.checkpointed_training import CheckpointedSettings as Looked
from bench.cases.quality_images import image_rows, images_config, real_note, write_samples
from bench.harness.environment import OtherLoad, describe_machine
from bench.harness.options import dataset_option, device_option, threads_option
from bench.harness.report import Row, log_progress, make_row, report_result
from bench.harness.timed_training import TimedSettings, train_for_seconds
from bench.harness.workloads import recipe_config, set_threads, with_settings
from core.config import RunConfig
from core.data import ImageSet, load_dataset
from core.errors import UserError
from core.evaluation.evaluator import Evaluator
from core.evaluation.features import score as kernel_score
from core.evaluation.sampling import draw_samples_from, to_unit
from core.training.checkpoint import make_diffusion
from core.training.network import build_run_network
from core.training.precision import memory_format

OURS: Final = "ours"
METRICS: Final = {"balanced_pass_rate": "share", "area_distance": ""}

Outcome = tuple[str, float, NDArray[np.float32]]
"""Name with the time asked for; the seconds trained; the samples in [0, 1]."""


@click.command("quality")
@click.option("--times", default="300", show_default=True, metavar="S,...", help="Seconds of training.")
@click.option("--their-times", metavar="S,...", help="The same, of others; as ours unless given.")
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, metavar="N", help="Of ours.")
@click.option(
    "--count", type=click.IntRange(50), default=1000, show_default=True, metavar="N", help="Evaluated images."
)
@click.option(
    "--only",
    multiple=True,
    type=click.Choice((OURS, *IMAGE_PIPELINES)),
    help="One of them; several times for several.",
)
@dataset_option
@click.option(
    "--data",
    metavar="PATH",
    help="Images of yours, or a data recipe, in place of --dataset: ours with recipe images, a kernel distance.",
)
@click.option(
    "--sheets",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("quality-sheets"),
    show_default=True,
    metavar="FOLDER",
    help="With --data: a sheet of each one's samples.",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Save the weights of ours in this folder.",
)
@click.option(
    "--a-core-each", is_flag=True, help="Train with one thread each, as many at once as there are cores."
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
    data: str | None,
    sheets: Path,
    keep: Path | None,
    a_core_each: bool,
    device: str,
    threads: int | None,
) -> None:
    """Quality of samples after a given time of training, ours against other libraries."""
    machine, where = describe_machine(training_loops.PACKAGES), torch.device(device.split("+")[0])
    used = set_threads(1 if a_core_each else threads, machine.cores)
    budgets = parse_times(times)
    chosen = only or (OURS, *(PEER_PIPELINES if data is None else IMAGE_PIPELINES))
    dataset = data or dataset
    if set(chosen) & set(IMAGE_PIPELINES):
        training_loops.require_peers(where)
    images = load_dataset(dataset)
    configure = training_config if data is None else images_config
    with OtherLoad() as others, tempfile.TemporaryDirectory() as scratch:
        # The longest first, so that no core idles for long at the end.
        jobs: list[Callable[[], list[Outcome]]] = [
            partial(
                train_peer,
                Looked(
                    name=name,
                    dataset=dataset,
                    times=parse_times(their_times or times, "--their-times" if their_times else "--times"),
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
                partial(train_ours, configure(dataset, seed), seconds, count, images, device, used, keep)
                for seconds in reversed(budgets)
                for seed in range(seeds)
            ]
        with ThreadPoolExecutor(machine.cores if a_core_each else 1) as pool:
            outcomes = [one for job in pool.map(lambda job: job(), jobs) for one in job]
    found: dict[str, list[tuple[float, NDArray[np.float32]]]] = {}
    for key, seconds, samples in outcomes:
        found.setdefault(key, []).append((seconds, samples))
    if data is None:
        evaluator = Evaluator(images)
        rows = result_rows(found, evaluator)
        real_rate = evaluator.evaluate_real(count, ("shape",))["balanced_pass_rate"].value
        real = f"real pictures: balanced_pass_rate {real_rate:.3f}"
    else:
        write_samples(found, sheets)
        rows, real = image_rows(found, images, kernel_score), real_note(images, kernel_score)
    report_result(
        "quality",
        rows,
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
        notes=[real],
        variant="-".join(
            filter(
                None, (images.name, "" if where.type == "cpu" else where.type, "a-core-each" * a_core_each)
            )
        ),
    )


def training_config(dataset: str, seed: int) -> RunConfig:
    """The recipe of the lean network with this data set and seed."""
    return with_settings(recipe_config("lean"), data={"dataset": dataset}, train={"seed": seed})


def parse_times(times: str, option: str = "--times") -> list[float]:
    """Parse the times of an option, shortest first.

    Raises:
        UserError: the text contains anything but times.
    """
    try:
        found = sorted({float(part) for part in times.split(",")})
    except ValueError:
        found = []
    if not found or not all(0 < seconds < 1e6 for seconds in found):
        raise UserError(f"{option} {times}: expected seconds above 0, such as 300,900")
    return found


def train_ours(
    recipe: RunConfig,
    seconds: float,
    count: int,
    images: ImageSet,
    device: str,
    threads: int,
    keep: Path | None = None,
) -> list[Outcome]:
    """Train the recipe for as many epochs as fit into the time, and sample.

    Args:
        recipe: with the data set and the seed of the training.
        seconds: of training.
        count: number of samples.
        images: the data set.
        device: one, or several joined by ``+``; the first one samples.
        threads: of all processes together.
        keep: a folder for the weights, as `torch.save` writes them.
    """
    recipe = recipe.resolved()
    with tempfile.TemporaryDirectory() as folder:
        settings = TimedSettings(config=recipe, seconds=seconds, device=device, threads=threads, out=folder)
        outcome, weights = train_for_seconds(settings)
        where = torch.device(device.split("+")[0])
        diffusion = make_diffusion(recipe)
        model = build_run_network(recipe, diffusion, (images.channels, images.size, images.size))
        model.load_state_dict(torch.load(weights, map_location="cpu"))
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(weights, keep / f"{recipe.train.seed}-{seconds:g}.pt")
    model = model.to(device=where, memory_format=memory_format(where)).eval()  # type: ignore[call-overload]
    diffusion = diffusion.to(where)
    passed, epochs = outcome.seconds, outcome.epochs
    log_progress(f"{OURS}, seed {recipe.train.seed}: {epochs} epochs in {passed:.0f} of {seconds:g} s")
    shape = (count, images.channels, images.size, images.size)
    drawn = to_unit(
        draw_samples_from(model, diffusion, recipe.sample, shape, device=where, seed=recipe.train.seed)
    )
    return [(f"{OURS}, {seconds:g} s", passed, drawn)]


def train_peer(settings: Looked) -> list[Outcome]:
    """Train one of the peers, with an outcome for each of the times."""
    return [
        (f"{settings.name}, {checkpoint.seconds:g} s", checkpoint.trained, checkpoint.images)
        for checkpoint in train_with_checkpoints(settings)
    ]


def result_rows(found: dict[str, list[tuple[float, NDArray[np.float32]]]], evaluator: Evaluator) -> list[Row]:
    """Rows of each metric over the seeds, and of the seconds that the training took."""
    rows = []
    for name, trainings in found.items():
        evaluated = []
        for number, (_, drawn) in enumerate(trainings):
            log_progress(f"evaluating {name}, {number + 1} of {len(trainings)}")
            evaluated.append(evaluator.evaluate(drawn, ("shape",))[0])
        for metric, unit in METRICS.items():
            values = [one[metric].value for one in evaluated]
            rows.append(
                make_row(f"{name}: {metric}", unit, [float("nan") if v is None else v for v in values])
            )
        rows.append(make_row(f"{name}: took", "s", [passed for passed, _ in trainings]))
    return rows
