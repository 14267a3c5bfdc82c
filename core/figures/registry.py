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

NOISY: str = "low"
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
class _Plan:
    key: str
    title: str
    draw: Callable[[], tuple[Figure, str] | tuple[Figure, str, str]]
    """Gives figure and caption; or figure, title and caption, where the title depends on the runs."""


def draw_all(material: FigureData, image: Path | None = None) -> Iterator[Drawn | Missing]:
    """Draw one figure after the other.

    Args:
        material: the runs.
        picture: a person's own, for figure 5.2.

    Raises:
        UserError: `picture` cannot be used.
    """
    schedules.check_image(image)
    for plan in _plans(material, image):
        try:
            with house_style():
                figure, *words = plan.draw()
        except (CannotDrawError, UserError) as error:
            yield Missing(plan.key, plan.title, str(error))
            continue
        title, caption = words if len(words) == 2 else (plan.title, words[0])
        yield Drawn(plan.key, title, caption, figure)


def _plans(material: FigureData, image: Path | None) -> Iterator[_Plan]:
    yield _Plan("5.1-schedules", "The noise schedules", partial(_betas, material))
    yield _Plan("5.2-noising", "A picture noised step by step", partial(_noising, material, image))
    yield _Plan("5.3-reverse-noisy", "A reverse process learnt on noisy data", partial(_noisy, material))
    for number, dataset in zip((1, 3, 5), DATASET_ORDER, strict=True):
        yield from _images(
            material, dataset, f"6.{number}-reverse-{dataset}", f"6.{number + 1}-samples-{dataset}"
        )
    taken: set[str] = set()
    for dataset in material.datasets:
        if dataset not in DATASET_ORDER:
            name = _slug(material.titles[dataset], taken)
            yield from _images(material, dataset, f"reverse-{name}", f"samples-{name}")
    yield _Plan("6.7-losses", "Loss per epoch", partial(losses.draw_losses, material))
    yield _Plan("6.8-long", "The linear schedule carried on", partial(losses.draw_long, material))
    for family in quality.families():
        yield _Plan(family.key, family.title, partial(quality.draw_family, material, family))
    for key, title, page in (
        ("deciles", "Pass rate and share of samples by area", quality.DECILES),
        ("timesteps", "Loss and bound by timestep", quality.TIMESTEPS),
        (
            "reconstruction-timesteps",
            "Reconstruction of held-out pictures by timestep",
            quality.RECONSTRUCTION,
        ),
    ):
        yield _Plan(key, title, partial(quality.draw_curves, material, page))
    yield _Plan("epochs", "Quality over the epochs", partial(progress.draw_progress, material))


def _images(material: FigureData, dataset: str, reverse_key: str, samples_key: str) -> Iterator[_Plan]:
    title = material.titles.get(dataset, dataset)

    def series() -> list[Series]:
        if not (found := material.of(dataset)):
            raise CannotDrawError(f"none of these runs learnt {title}")
        return found

    yield _Plan(reverse_key, f"Reverse process, {title}", lambda: reverse.draw_strips(series()))
    yield _Plan(
        samples_key, f"Five results from five starts, {title}", lambda: samples.draw_samples(series())
    )


def _betas(material: FigureData) -> tuple[Figure, str]:
    named = schedules.all_schedules(material)
    return schedules.draw_betas(
        named
    ), f"Left: beta_t; right: the power that is left. {schedules.left_over(named)}."


def _noising(material: FigureData, image: Path | None) -> tuple[Figure, str]:
    pixels, words = schedules.image_to_noise(material, image)
    named = schedules.all_schedules(material)
    return schedules.draw_noising(named, pixels), f"x_t of {words}, with the same noise in all rows."


def _noisy(material: FigureData) -> tuple[Figure, str]:
    if not (found := material.of(NOISY)):
        raise CannotDrawError(f"none of these runs learnt {NOISY}")
    linear = [one for one in found if one.first.config.schedule.name == "linear"]
    one = (linear or found)[0]
    figure, caption = reverse.draw_starts(one)
    return figure, f"Data {NOISY}, schedule {one.label}. {caption}"


def _slug(title: str, taken: set[str]) -> str:
    """A name fit for a file, different from all those taken."""
    stem = re.sub(r"[^A-Za-z0-9.]+", "-", title).strip("-.")[:40] or "set"
    name, number = stem, 2
    while name.lower() in taken:
        name, number = f"{stem}-{number}", number + 1
    taken.add(name.lower())
    return name
