"""All figures, first in the thesis's order and then the others: each drawn, or left out for a reason."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from matplotlib.figure import Figure

from core.errors import UserError
from core.figures import (
    causes,
    cross,
    losses,
    nearest,
    noise_error,
    predicted_noise,
    progress,
    quality,
    reverse,
    samples,
    schedules,
)
from core.figures.figure_data import DATASET_ORDER, CannotDrawError, FigureData, Series
from core.figures.images import Pixels, default_image, load_user_image
from core.figures.style import house_style

NOISY_DATASET: str = "low"
"""The data of figure 5.3: images with grey dots along their edges."""


@dataclass(frozen=True, eq=False)
class DrawnFigure:
    """A drawn figure; `key` is the stem of its file name."""

    key: str
    title: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class MissingFigure:
    """A figure that cannot be drawn from these runs, and the reason."""

    key: str
    title: str
    reason: str


@dataclass(frozen=True, eq=False)
class _FigurePlan:
    key: str
    title: str
    draw: Callable[[], tuple[Figure, str] | tuple[Figure, str, str]]
    """Returns figure and caption; or figure, title and caption, if the title depends on the runs."""


def draw_all(data: FigureData, image: Path | None = None) -> Iterator[DrawnFigure | MissingFigure]:
    """Draw one figure after the other.

    Args:
        data: the runs.
        image: the user's image for figure 5.2.

    Raises:
        UserError: `image` cannot be read; raised before anything is drawn.
    """
    pixels = load_user_image(image) if image is not None else None
    for plan in _figure_plans(data, pixels):
        try:
            with house_style():
                figure, *texts = plan.draw()
        except (CannotDrawError, UserError) as error:
            yield MissingFigure(plan.key, plan.title, str(error))
            continue
        title, caption = texts if len(texts) == 2 else (plan.title, texts[0])
        yield DrawnFigure(plan.key, title, caption, figure)


def _figure_plans(data: FigureData, image: Pixels | None) -> Iterator[_FigurePlan]:
    yield _FigurePlan("5.1-schedules", "The noise schedules", partial(_betas, data))
    yield _FigurePlan("5.2-noising", "An image noised step by step", partial(_noising, data, image))
    yield _FigurePlan(
        "5.3-reverse-noisy", "Reverse process of a run trained on noisy data", partial(_noisy, data)
    )
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
    yield _FigurePlan("6.8-long", "The linear schedule trained for longer", partial(losses.draw_long, data))
    for family in quality.metric_families():
        yield _FigurePlan(family.key, family.title, partial(quality.draw_family, data, family))
    for key, title, page in (
        ("deciles", "Pass rate and share of samples by area", quality.DECILES),
        ("timesteps", "Loss and bound by timestep", quality.TIMESTEPS),
        (
            "reconstruction-timesteps",
            "Reconstruction of held-out images by timestep",
            quality.RECONSTRUCTION,
        ),
    ):
        yield _FigurePlan(key, title, partial(quality.draw_curves, data, page))
    yield _FigurePlan("causes", "Causes of what samples miss", partial(causes.draw_causes, data))
    yield _FigurePlan("cross", "Training schedule by sampling schedule", partial(cross.draw_cross, data))
    yield _FigurePlan("epochs", "Quality over the epochs", partial(progress.draw_progress, data))
    yield _FigurePlan(
        "noise-error", "Noise-prediction error by noise level", partial(noise_error.draw_curves, data)
    )
    yield _FigurePlan(
        "noise-error-epochs",
        "Noise-prediction error by noise level and epoch",
        partial(noise_error.draw_epochs, data),
    )
    taken.clear()
    for dataset in data.datasets:
        yield from _noise_plans(data, dataset, _file_stem(data.titles[dataset], taken))


def _image_plans(data: FigureData, dataset: str, reverse_key: str, samples_key: str) -> Iterator[_FigurePlan]:
    title = data.titles.get(dataset, dataset)

    def series() -> list[Series]:
        if not (found := data.on(dataset)):
            raise CannotDrawError(f"none of these runs was trained on {title}")
        return found

    yield _FigurePlan(reverse_key, f"Reverse process, {title}", lambda: reverse.draw_strips(series()))
    yield _FigurePlan(
        samples_key,
        f"Five samples from five starting noises, {title}",
        lambda: samples.draw_samples(series()),
    )
    if dataset not in DATASET_ORDER:
        yield _FigurePlan(
            samples_key.replace("samples", "nearest", 1),
            f"Samples beside their nearest training images, {title}",
            lambda: nearest.draw_nearest(series()),
        )


def _noise_plans(data: FigureData, dataset: str, name: str) -> Iterator[_FigurePlan]:
    title = data.titles[dataset]
    noise = cache(partial(predicted_noise.PredictedNoise, data, dataset))
    yield _FigurePlan(
        f"predicted-noise-{name}",
        f"True and predicted noise by noise level, {title}",
        lambda: predicted_noise.draw_scatter(data, noise()),
    )
    yield _FigurePlan(
        f"predicted-noise-distributions-{name}",
        f"Distributions of true and predicted noise by noise level, {title}",
        lambda: predicted_noise.draw_distributions(data, noise()),
    )


def _betas(data: FigureData) -> tuple[Figure, str]:
    named = schedules.schedules_with_thesis(data)
    return schedules.draw_betas(
        named
    ), f"Left: beta_t; right: the power that is left. {schedules.terminal_values_text(named)}."


def _noising(data: FigureData, image: Pixels | None) -> tuple[Figure, str]:
    pixels, name = (image, "your image") if image is not None else default_image(data)
    named = schedules.schedules_with_thesis(data)
    return schedules.draw_noising(named, pixels), f"x_t of {name}, with the same noise in all rows."


def _noisy(data: FigureData) -> tuple[Figure, str]:
    if not (found := data.on(NOISY_DATASET)):
        raise CannotDrawError(f"none of these runs was trained on {NOISY_DATASET}")
    linear = [one for one in found if one.first.config.schedule.name == "linear"]
    one = (linear or found)[0]
    figure, caption = reverse.draw_strip(one)
    return figure, f"Data {NOISY_DATASET}, schedule {one.label}. {caption}"


def _file_stem(title: str, taken: set[str]) -> str:
    """Return a valid file stem that differs from all those taken, and add it to them."""
    stem = re.sub(r"[^A-Za-z0-9.]+", "-", title).strip("-.")[:40] or "set"
    name, number = stem, 2
    while name.lower() in taken:
        name, number = f"{stem}-{number}", number + 1
    taken.add(name.lower())
    return name
