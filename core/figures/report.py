"""A one-page HTML report of runs, in a single file: figures, tables, settings, provenance.

Text from runs is escaped, and the page's content security policy forbids loading or running anything.
"""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import core
from core.figures import causes, tables
from core.figures.figure_data import FigureData
from core.figures.registry import DrawnFigure, MissingFigure
from core.figures.style import write
from core.figures.tables import Cell, Table
from core.files.atomic import atomic_write
from core.files.sanitize import sanitize
from core.runs import METRICS

FILE_NAME: Final = "index.html"
PIXELS_PER_INCH: Final = 120
"""Resolution on a screen, which is read from a greater distance than paper."""

_CSS: Final = Path(__file__).with_name("report.css")
_CONTENT_POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write_report(folder: Path, data: FigureData, figures: Iterable[DrawnFigure | MissingFigure]) -> Path:
    """Write the page, atomically replacing an older one.

    Args:
        folder: the folder of the page; made if missing.
        data: the runs.
        figures: drawn and missing figures; consumed one after the other.

    Returns:
        The path of the page.

    Raises:
        OSError: the page cannot be written.
    """
    path = folder / FILE_NAME
    text = report_html(data, figures)
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(path, text)
    return path


def report_html(data: FigureData, figures: Iterable[DrawnFigure | MissingFigure]) -> str:
    """Return the whole page as HTML."""
    images: list[str] = []
    missing: list[MissingFigure] = []
    for figure in figures:
        if isinstance(figure, DrawnFigure):
            images.append(_figure(figure))
        else:
            missing.append(figure)
    groups = list(dict.fromkeys(member.info.file.group for member in data.members))
    title = f"Report on {groups[0] if len(groups) == 1 else f'{len(groups)} groups of runs'}"
    parts = [
        _section("results", "Results", *_results(data)),
        _section("why", "Why", *_causes(data)),
        _section("schedules", "Schedules", _table(tables.schedule_table(data)), _paragraph(_SCHEDULES_NOTE)),
        _section("figures", "Figures", *images, _missing(missing)),
        _section("runs", "Runs", _table(tables.run_table(data))),
        _section("settings", "Settings", *_settings(data)),
        _section("provenance", "Provenance", _table(tables.provenance_table(data.members))),
    ]
    head = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_CONTENT_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{_escape(title)}</title>\n<style>\n{_CSS.read_text(encoding='utf-8')}</style>\n</head>\n"
    )
    body = (
        f"<body>\n<header>\n<h1>{_escape(title)}</h1>\n<p>{_escape(_summary(data))}</p>\n{_navigation()}</header>\n"
        f"<main>\n{''.join(parts)}</main>\n"
        f"<footer>Made by ddpm-tui {_escape(core.__version__)} from the folders of the runs alone.</footer>\n"
        "</body>\n</html>\n"
    )
    return head + body


_SCHEDULES_NOTE: Final = (
    "abar_T is the share of an image's power that is left at the last step; sampling starts from noise with none. "
    "L_T is the cost of that in bits per dimension (Ho et al. 2020, eq. 5)."
)
_RESULTS_NOTE: Final = (
    "Values with 95% intervals. Runs that differ only in their seed are pooled, and the intervals then cover the seeds "
    "too. ★ marks the best of a row and all that are not clearly worse (two-sided, Holm's correction for all pairs of "
    "numbers on this page, 5% in all). A row without ★ has no difference beyond noise."
)
_SECTIONS: Final = ("Results", "Why", "Schedules", "Figures", "Runs", "Settings", "Provenance")


def _summary(data: FigureData) -> str:
    runs = len(data.members)
    datasets = ", ".join(data.titles[dataset] for dataset in data.datasets)
    count = len(data.labels)
    kinds = f"{count} kind{'s' * (count != 1)} of schedule or setting"
    return f"{runs} run{'s' * (runs != 1)} on {datasets}: {kinds} ({', '.join(data.labels)})."


def _navigation() -> str:
    links = "".join(f'<a href="#{name.lower()}">{name}</a>\n' for name in _SECTIONS)
    return f"<nav>\n{links}</nav>\n"


def _results(data: FigureData) -> list[str]:
    comparison = tables.compare_all_series(data)
    headline = tables.headline_table(data, comparison)
    found = tables.result_tables(data, comparison)
    if headline is None:
        return [_paragraph("No run has been evaluated yet; run core evaluate.")]
    used = [metric for name, metric in METRICS.items() if any(name in row.scores for row in comparison.rows)]
    definitions = "".join(
        f"<dt>{_escape(metric.title)}</dt><dd>{_escape(metric.text)}</dd>\n" for metric in used
    )
    meaning = (
        f"<details open>\n<summary>What the numbers mean</summary>\n<dl>\n{definitions}</dl>\n</details>\n"
    )
    notes = "".join(f"<li>{_escape(note)}</li>\n" for note in comparison.notes)
    details = [
        f"<details open>\n<summary>All metrics, {_escape(table.title)}</summary>\n{_table(table)}</details>\n"
        for table in found
    ]
    caution = f"<ul>\n{notes}</ul>\n" if notes else ""
    return [_paragraph(_RESULTS_NOTE), _table(headline), caution, *details, meaning]


def _causes(data: FigureData) -> list[str]:
    found = causes.explain_runs(data)
    if not found.explanations:
        return [_paragraph(f"{causes.NOT_EXPLAINED.capitalize()}.")]
    parts = []
    for dataset, explanation in found.explanations.items():
        title = data.titles[dataset]
        parts += [f"<h3>{_escape(title)}</h3>\n"] if len(found.explanations) > 1 else []
        parts.append(_table(causes.cause_table(explanation, title)))
        for run in explanation.runs:
            items = "".join(f"<li>{_escape(cause.text)}</li>\n" for cause in run.causes)
            parts.append(_paragraph(run.text) + (f"<ol>\n{items}</ol>\n" if items else ""))
    notes = "".join(f"<li>{_escape(note)}</li>\n" for note in found.notes)
    return [*parts, f"<ul>\n{notes}</ul>\n" if notes else ""]


def _settings(data: FigureData) -> list[str]:
    differences = tables.difference_table(data.members)
    common = tables.common_settings(data.members)
    shown = [_table(differences)] if differences.rows else [_paragraph("All runs have the same settings.")]
    details = f"<details>\n<summary>Settings that all runs share</summary>\n<pre>{_escape(common)}</pre>\n</details>\n"
    return [*shown, details]


def _missing(missing: Sequence[MissingFigure]) -> str:
    if not missing:
        return ""
    items = "".join(f"<li>{_escape(one.title)}: {_escape(one.reason)}</li>\n" for one in missing)
    return f"<h3>Figures that cannot be drawn from these runs yet</h3>\n<ul>\n{items}</ul>\n"


def _figure(drawn: DrawnFigure) -> str:
    buffer = io.BytesIO()
    write(drawn.figure, buffer, "svg", title=drawn.title, caption=drawn.caption)
    data = base64.b64encode(buffer.getvalue()).decode()
    width = round(drawn.figure.get_figwidth() * PIXELS_PER_INCH)
    number = drawn.key.partition("-")[0]
    title = f"Figure {number}. {drawn.title}" if number[0].isdigit() else drawn.title
    return (
        f'<figure>\n<img alt="{_escape(drawn.title)}" width="{width}" src="data:image/svg+xml;base64,{data}">\n'
        f"<figcaption><b>{_escape(title)}.</b> {_escape(drawn.caption)}</figcaption>\n</figure>\n"
    )


def _table(table: Table) -> str:
    heads = "".join(
        f'<th scope="col"{_alignment(table, index)}>{_escape(head)}</th>'
        for index, head in enumerate(table.heads)
    )
    rows = "".join(
        "<tr>" + "".join(_cell(cell, _alignment(table, index)) for index, cell in enumerate(row)) + "</tr>\n"
        for row in table.rows
    )
    note = f'<p class="note">{_escape(table.note)}</p>\n' if table.note else ""
    return (
        f'<div class="wide">\n<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n'
        f"</div>\n{note}"
    )


def _cell(cell: Cell, side: str) -> str:
    text = "<br>".join(_escape(line) for line in cell.lines)
    if cell.best:
        text = f"<strong>★ {text}</strong>"
    if cell.detail:
        text += f' <span class="detail">{_escape(cell.detail)}</span>'
    return f"<td{side}>{text}</td>"


def _alignment(table: Table, index: int) -> str:
    return ' class="number"' if index in table.numbers else ""


def _section(name: str, title: str, *parts: str) -> str:
    return f'<section id="{name}">\n<h2>{title}</h2>\n{"".join(parts)}</section>\n'


def _paragraph(text: str) -> str:
    return f"<p>{_escape(text)}</p>\n"


def _escape(text: str) -> str:
    """Escape text for an HTML element or a quoted attribute."""
    return html.escape(sanitize(text, lines=True), quote=True)
