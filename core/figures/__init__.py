"""The thesis's figures, and more, drawn with matplotlib from any set of runs; and a one-page report."""

from core.figures.figure_data import FigureData, load_figure_data
from core.figures.registry import DrawnFigure, MissingFigure, draw_all
from core.figures.report import write_report
from core.figures.style import save

__all__ = [
    "DrawnFigure",
    "FigureData",
    "MissingFigure",
    "draw_all",
    "load_figure_data",
    "save",
    "write_report",
]
