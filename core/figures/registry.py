"""All figures in the thesis's order, and then those that it lacks: each drawn, or left out for a reason."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from core.errors import UserError
from core.figures import losses, progress, quality, reverse, samples, schedules
from core.figures.errors import CannotDrawError
from core.figures.figure_data import DATASET_ORDER, FigureData, Series
from core.figures.style import house_style

NOISY_DATASET: str = "low"
"""The data of figure 5.3: pictures with grey dots round their edges."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """A figure: the stem of its file, its title, what to say under it."""

    key: str
    title: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class Missing:
    """A figure that these runs cannot give, and why."""

    key: str
    title: str
    reason: str


@dataclass(frozen=True, eq=False)
class _FigurePlan:
    key: str
    title: str
    draw: Callable[[], tuple[Figure, str] | tuple[Figure, str, str]]
    """Gives figure and caption; or figure, title and caption, where the title depends on the runs."""


def draw_all(data: FigureData, image: Path | None = None) -> Iterator[Drawn | Missing]:
    """Draw one figure after the other.

    Args:
        data: the runs.
        picture: a person's own, for figure 5.2.

    Raises:
        UserError: `picture` cannot be used.
    """
    schedules.check_image(image)
    for plan in _figure_plans(data, image):
        try:
            with house_style():
                figure, *words = plan.draw()
        except (CannotDrawError, UserError) as error:
            yield Missing(plan.key, plan.title, str(error))
            continue
        title, caption = words if len(words) == 2 else (plan.title, words[0])
        yield Drawn(plan.key, title, caption, figure)


def _figure_plans(data: FigureData, image: Path | None) -> Iterator[_FigurePlan]:
    yield _FigurePlan("5.1-schedules", "The noise schedules", partial(_betas, data))
    yield _FigurePlan("5.2-noising", "A picture noised step by step", partial(_noising, data, image))
    yield _FigurePlan("5.3-reverse-noisy", "A reverse process learnt on noisy data", partial(_noisy, data))
    for number, dataset in zip((1, 3, 5), DATASET_ORDER, strict=True):
        yield from _image_plans(
            data, dataset, f"6.{number}-reverse-{dataset}", f"6.{number + 1}-samples-{dataset}"
        )
    taken: set[str] = set()
    for dataset in data.datasets:
        if dataset not in DATASET_ORDER:
            name = _file_stem(data.titles[dataset], taken)
            yield from _image_plans(data, dataset, f"reverse-{name}", f"samples-{name}")
    yield _FigurePlan("6.7-losses", "Loss per epoch", partial(losses.draw_losses, data))
    yield _FigurePlan("6.8-long", "The linear schedule carried on", partial(losses.draw_long, data))
    for family in quality.metric_families():
        yield _FigurePlan(family.key, family.title, partial(quality.draw_family, data, family))
    for key, title, page in (
        ("deciles", "Pass rate and share of samples by area", quality.DECILES),
        ("timesteps", "Loss and bound by timestep", quality.TIMESTEPS),
        (
            "reconstruction-timesteps",
            "Reconstruction of held-out pictures by timestep",
            quality.RECONSTRUCTION,
        ),
    ):
        yield _FigurePlan(key, title, partial(quality.draw_curves, data, page))
    yield _FigurePlan("epochs", "Quality over the epochs", partial(progress.draw_progress, data))


def _image_plans(data: FigureData, dataset: str, reverse_key: str, samples_key: str) -> Iterator[_FigurePlan]:
    title = data.titles.get(dataset, dataset)

    def series() -> list[Series]:
        if not (found := data.on(dataset)):
            raise CannotDrawError(f"none of these runs learnt {title}")
        return found

    yield _FigurePlan(reverse_key, f"Reverse process, {title}", lambda: reverse.draw_strips(series()))
    yield _FigurePlan(
        samples_key, f"Five results from five starts, {title}", lambda: samples.draw_samples(series())
    )


def _betas(data: FigureData) -> tuple[Figure, str]:
    named = schedules.schedules_with_thesis(data)
    return schedules.draw_betas(
        named
    ), f"Left: beta_t; right: the power that is left. {schedules.terminal_values_text(named)}."


def _noising(data: FigureData, image: Path | None) -> tuple[Figure, str]:
    pixels, words = schedules.image_to_noise(data, image)
    named = schedules.schedules_with_thesis(data)
    return schedules.draw_noising(named, pixels), f"x_t of {words}, with the same noise in all rows."


def _noisy(data: FigureData) -> tuple[Figure, str]:
    if not (found := data.on(NOISY_DATASET)):
        raise CannotDrawError(f"none of these runs learnt {NOISY_DATASET}")
    linear = [one for one in found if one.first.config.schedule.name == "linear"]
    one = (linear or found)[0]
    figure, caption = reverse.draw_strip(one)
    return figure, f"Data {NOISY_DATASET}, schedule {one.label}. {caption}"


def _file_stem(title: str, taken: set[str]) -> str:
    """A name fit for a file, different from all those taken."""
    stem = re.sub(r"[^A-Za-z0-9.]+", "-", title).strip("-.")[:40] or "set"
    name, number = stem, 2
    while name.lower() in taken:
        name, number = f"{stem}-{number}", number + 1
    taken.add(name.lower())
    return name
