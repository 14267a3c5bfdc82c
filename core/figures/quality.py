"""Sample quality by schedule, with intervals; and curves of what was measured along the timesteps."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from core.comparison.formatting import sampler_text
from core.figures.figure_data import CannotDrawError, FigureData, Series, seed_count_text
from core.figures.layout import (
    MAX_DRAWN,
    drawable,
    format_log_axis,
    legend,
    legend_height,
    mark_empty,
    panel_grid,
    set_row_ylabels,
    text_width,
)
from core.figures.style import FAINT, typeset
from core.runs import METRICS
from core.runs.metric_definitions import GENERAL_GROUPS, GROUPS, TRIANGLE_GROUPS, better_direction
from core.statistics.estimate import Estimate

NOT_EVALUATED: Final = "no run has been evaluated; run core evaluate"
_MAX_UPRIGHT_LABEL: Final = 6
_SYMBOLS: Final = {"prior_bits": "$L_T$", "middle_bits": r"$\sum L_{t-1}$", "decoder_bits": "$L_0$"}
BETTER_ARROWS: Final = {"higher": " ↑", "lower": " ↓", None: ""}


@dataclass(frozen=True)
class MetricFamily:
    """Related metrics that share a figure."""

    key: str
    title: str
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class CurvePage:
    """Curves of the evaluations over the same x: name, label and scale (``log`` or ``linear``) of each.

    They belong to one group of metrics.
    """

    group: str
    x: str
    curves: tuple[tuple[str, str, str], ...]
    x_scale: str = "linear"


HEADLINE_METRICS: Final = ("balanced_pass_rate", "area_distance", "grey_pass_rate")
"""The decisive metrics. A pass rate alone is not, because samples can pass and still have the wrong areas."""
GENERAL_HEADLINE_METRICS: Final = ("kid", "frechet")
"""The decisive metrics of images other than triangles."""

_TITLES: Final = {
    "shape": "Shapes",
    "grey": "Grey where none should be",
    "features": "Neighbourhoods of samples and held-out images by their features",
    "appearance": "Appearance of samples and real images",
    "distribution": "Distribution of the triangles, compared with the data's",
    "novelty": "Copies of training images",
    "likelihood": "The variational bound in bits per dimension, and its terms",
    "reconstruction": "Held-out images noised half way and denoised",
    "restoration": "PSNR of restored held-out images, in decibels",
}

REAL_BY_DEFINITION: Final = {"balanced_pass_rate": 0.95, "pass_rate": 0.95, "grey_pass_rate": 0.95}
"""Scores of real images that follow from a metric's definition, used where none was measured."""

TIMESTEPS: Final = CurvePage(
    "likelihood",
    "$t$",
    (("loss_by_timestep", "training loss", "log"), ("bound_by_timestep", "bound, bits/dim", "log")),
    x_scale="log",
)
RECONSTRUCTION: Final = CurvePage(
    "reconstruction",
    "$t$",
    (
        ("reconstruction_psnr", "PSNR, dB", "linear"),
        ("reconstruction_iou", "IoU", "linear"),
        ("reconstruction_vertex", "vertex error, px", "linear"),
    ),
)
DECILES: Final = CurvePage(
    "shape",
    "decile of the real areas",
    (("pass_by_decile", "pass ↑", "linear"), ("area_by_decile", "share of samples", "linear")),
)


def metric_families() -> list[MetricFamily]:
    """Return all metrics of `METRICS`, each once: the headline, then the rest group by group."""
    pages = [MetricFamily("quality", "Sample quality", (*HEADLINE_METRICS, *GENERAL_HEADLINE_METRICS))]
    for group, metrics in GROUPS.items():
        rest = tuple(name for name in metrics if name not in pages[0].metrics)
        if rest:
            pages.append(MetricFamily(group, _TITLES.get(group, group), rest))
    return pages


def draw_family(data: FigureData, family: MetricFamily) -> tuple[Figure, str]:
    """Draw a row per metric and a column per data set, with a point and an interval per schedule and seed.

    Returns:
        The figure and its caption.

    Raises:
        CannotDrawError: no run has been evaluated by any of these metrics.
    """
    metrics = [name for name in family.metrics if any(_known_estimates(one, name) for one in data.series)]
    if not metrics:
        evaluated = any(one.evaluated for one in data.series)
        titles = [METRICS[name].title for name in family.metrics]
        raise CannotDrawError(
            _not_measured(data.series, titles, map(_group, family.metrics)) if evaluated else NOT_EVALUATED
        )
    datasets, labels = data.datasets, data.labels
    measured = {name for one in data.series for _, evaluation in one.evaluated for name in evaluation.metrics}
    turned = max(map(len, labels)) > _MAX_UPRIGHT_LABEL or len(datasets) > 3
    below = 0.2 + (max(text_width(typeset(label), 7.0) for label in labels) if turned else 0.1)
    figure, axes = panel_grid(
        len(metrics), len(datasets), height=0.95, left=0.7, right=0.35, widest=3.4, top=0.3, bottom=below, down=0.12,
        sharex=True, sharey="row",
    )  # fmt: skip
    for row, name in zip(axes, metrics, strict=True):
        for axis, dataset in zip(row, datasets, strict=True):
            _draw_metric(axis, data, dataset, name)
        if METRICS[name].share:
            row[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))
        row[0].yaxis.set_major_locator(MaxNLocator(4))
    for axis, dataset in zip(axes[0], datasets, strict=True):
        axis.set_title(typeset(data.titles[dataset]), pad=4)
    for axis in axes[-1]:
        axis.set_xlim(-0.6, len(labels) - 0.4)
        axis.set_xticks(
            range(len(labels)), [typeset(label) for label in labels], rotation=90 if turned else 0
        )
        axis.xaxis.set_minor_locator(NullLocator())
    set_row_ylabels(figure, axes, [_axis_title(name, measured) for name in metrics])
    return (
        figure,
        f"Points with 95% intervals, one per run; dashed: real images; {protocol_text(data.series)}.",
    )


def draw_curves(data: FigureData, page: CurvePage) -> tuple[Figure, str]:
    """Draw a row per curve of the evaluations and a column per data set, with a line per schedule.

    Returns:
        The figure and its caption.

    Raises:
        CannotDrawError: no evaluation has any of these curves.
    """
    present = [
        curve for curve in page.curves if any(_evaluation_curves(one, curve[0]) for one in data.series)
    ]
    if not present:
        evaluated = any(one.evaluated for one in data.series)
        names = [name.replace("_", " ") for name, _, _ in page.curves]
        raise CannotDrawError(_not_measured(data.series, names, [page.group]) if evaluated else NOT_EVALUATED)
    entries = [
        (label, style)
        for label, style in data.styles.items()
        if any(one.label == label and one.evaluated for one in data.series)
    ]
    datasets = data.datasets
    figure, axes = panel_grid(
        len(present), len(datasets), height=1.5, left=0.65, top=legend_height(entries) + 0.25, bottom=0.42,
        down=0.15, sharex=True, sharey="row",
    )  # fmt: skip
    for row, (name, _, scale) in zip(axes, present, strict=True):
        for axis, dataset in zip(row, datasets, strict=True):
            drawn = [_draw_curve(axis, one, name, positive=scale == "log") for one in data.on(dataset)]
            if not any(drawn):
                mark_empty(axis, _empty_reason(data.on(dataset), page.group, "curve"))
            axis.set_yscale(scale)
        if scale == "log":
            format_log_axis(row[0].yaxis)
    for axis, dataset in zip(axes[0], datasets, strict=True):
        axis.set_title(typeset(data.titles[dataset]), pad=4)
    for axis in axes[-1]:
        axis.set_xlabel(page.x)
        axis.set_xscale(page.x_scale)
    set_row_ylabels(figure, axes, [title for _, title, _ in present])
    legend(figure, entries, markers=True)
    return figure, (
        "Means over the seeds, with a band from the lowest to the highest; for one seed, the 95% interval; "
        f"{protocol_text(data.series)}."
    )


def protocol_text(series: Iterable[Series]) -> str:
    """State the samples, samplers and seeds of the evaluations, for a caption."""
    series = list(series)
    evaluated = [evaluation for one in series for _, evaluation in one.evaluated]
    counts = sorted({evaluation.count for evaluation in evaluated})
    many = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    samplers = sorted({sampler_text(evaluation) for evaluation in evaluated})
    return f"{many} samples each, {' or '.join(samplers)}, {seed_count_text(series)}"


def _not_measured(series: Sequence[Series], titles: Iterable[str], groups: Iterable[str]) -> str:
    """Name what no evaluation has, and the command that measures it, if one does."""
    applicable = [group for group in dict.fromkeys(groups) if _can_measure(series, group)]
    if not applicable:
        return f"not measured of these images: {', '.join(titles)}"
    return (
        f"no run has been evaluated by {', '.join(titles)}; run core evaluate --only {','.join(applicable)}"
    )


def _empty_reason(series: Sequence[Series], group: str, title: str) -> str:
    """Return in short lines the reason why a panel is empty."""
    if not any(one.evaluated for one in series):
        return "not evaluated:\ncore evaluate"
    if _can_measure(series, group):
        return f"no {title}:\ncore evaluate\n--only {group}"
    return f"no {title}\nof these images"


def _can_measure(series: Sequence[Series], group: str) -> bool:
    """Return False if the group was measured already, or is of triangles or classes, and the images have none."""
    evaluations = [evaluation for one in series for _, evaluation in one.evaluated]
    measured = {name for evaluation in evaluations for name in evaluation.metrics}
    if group == "labels" and not any(evaluation.classes for evaluation in evaluations):
        return False
    general = any(not measured.isdisjoint(GROUPS[name]) for name in GENERAL_GROUPS)
    triangles = any(not measured.isdisjoint(GROUPS[name]) for name in TRIANGLE_GROUPS)
    if group in TRIANGLE_GROUPS and general and not triangles:
        return False
    return measured.isdisjoint(GROUPS[group])


def _group(metric: str) -> str:
    return next(group for group, metrics in GROUPS.items() if metric in metrics)


def _axis_title(name: str, measured: Collection[str]) -> str:
    """Return a metric's symbol or title, with an arrow in the direction that is better."""
    metric = METRICS[name]
    return _SYMBOLS.get(name, metric.title) + BETTER_ARROWS[better_direction(name, measured)]


def _draw_metric(axes: Axes, data: FigureData, dataset: str, name: str) -> None:
    axes.grid(axis="x", visible=False)
    real = _real_estimate(data.on(dataset), name)
    if real is not None and real.value is not None:
        axes.axhline(real.value, color=FAINT, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
        if real.low is not None and real.high is not None:
            axes.axhspan(real.low, real.high, color=FAINT, alpha=0.18, linewidth=0, zorder=0)
        if dataset == data.datasets[-1]:
            axes.annotate(
                "real", (1.0, real.value), xytext=(3, 0), xycoords=("axes fraction", "data"),
                textcoords="offset points", color=FAINT, fontsize=6.5, va="center", annotation_clip=False,
            )  # fmt: skip
    found = False
    for index, label in enumerate(data.labels):
        one = data.find(dataset, label)
        estimates = _known_estimates(one, name) if one is not None else []
        for shift, estimate in zip(_seed_offsets(len(estimates)), estimates, strict=True):
            _draw_estimate(axes, index + shift, estimate, data, label)
            found = True
    if not found:
        mark_empty(axes, _empty_reason(data.on(dataset), _group(name), METRICS[name].title))


def _draw_estimate(axes: Axes, x: float, estimate: Estimate, data: FigureData, label: str) -> None:
    style, ends = (
        data.styles[label],
        [end for end in (estimate.low, estimate.high) if end is not None and abs(end) < MAX_DRAWN],
    )
    axes.plot(
        [x] * len(ends), ends, color=style.color, linewidth=1.1, marker="_", markersize=4, markeredgewidth=1.1
    )
    axes.plot([x], [estimate.value or 0.0], zorder=3, markersize=2.8, **style.marker_kwargs)


def _real_estimate(series: Sequence[Series], name: str) -> Estimate | None:
    """Return the score of real images from the first evaluation that has it; else from `REAL_BY_DEFINITION`."""
    for one in series:
        for _, evaluation in one.evaluated:
            if name in evaluation.real:
                return evaluation.real[name]
    return Estimate(REAL_BY_DEFINITION[name]) if name in REAL_BY_DEFINITION else None


def _seed_offsets(count: int) -> list[float]:
    """Return the x offsets that place the seeds of one schedule side by side."""
    half = min(0.25, 0.09 * (count - 1))
    shifts: list[float] = np.linspace(-half, half, count).tolist()
    return shifts


def _known_estimates(series: Series, name: str) -> list[Estimate]:
    """Return one estimate per evaluated run, if its value is known."""
    found = [evaluation.metrics.get(name) for _, evaluation in series.evaluated]
    return [
        estimate
        for estimate in found
        if estimate is not None and estimate.value is not None and abs(estimate.value) < MAX_DRAWN
    ]


def _evaluation_curves(series: Series, name: str) -> list[NDArray[np.float64]]:
    """Return x, y and both interval ends of each evaluated run with the curve, float64 [4, n]; gaps are NaN."""
    found = []
    for _, evaluation in series.evaluated:
        y = evaluation.curves.get(name, [])
        unknown: list[float | None] = [None] * len(y)
        lines = [evaluation.curves.get(f"{name}.x", []), y]
        lines += [evaluation.curves.get(f"{name}.{end}", unknown) for end in ("low", "high")]
        if len(y) and all(len(line) == len(y) for line in lines):
            found.append(np.array(lines, dtype=np.float64))
    return found


def _draw_curve(axes: Axes, series: Series, name: str, *, positive: bool) -> bool:
    found = _evaluation_curves(series, name)
    if not found:
        return False
    x = found[0][0]
    alike = np.stack([curve[1:] for curve in found if np.array_equal(curve[0], x)])
    alike = drawable(alike) if positive else np.where(abs(alike) < MAX_DRAWN, alike, np.nan)
    every = max(1, len(x) // 6)
    y = alike[:, 0]
    axes.plot(
        x,
        y.mean(axis=0),
        markevery=every,
        markersize=3,
        **{**series.style.line_and_marker_kwargs, "linewidth": 1.1},
    )
    low, high = (y.min(axis=0), y.max(axis=0)) if len(y) > 1 else alike[0, 1:]
    axes.fill_between(x, low, high, color=series.style.color, alpha=0.13, linewidth=0)
    return True
