"""Pixels to terminal cells, series to braille and sparklines, PNG sheets: numpy and Pillow only."""

from core.imaging.braille import braille_chart
from core.imaging.colors import ColorMode, color_codes
from core.imaging.halfblock import beside, cells, to_ansi
from core.imaging.sheet import Sheet, grid, read_sheet, to_pixels, to_tiles, write_sheet
from core.imaging.sparkline import sparkline

__all__ = [
    "ColorMode",
    "Sheet",
    "beside",
    "braille_chart",
    "cells",
    "color_codes",
    "grid",
    "read_sheet",
    "sparkline",
    "to_ansi",
    "to_pixels",
    "to_tiles",
    "write_sheet",
]
