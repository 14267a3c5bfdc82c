"""Images as terminal cells, series as braille and sparklines, and PNG sheets, with numpy and Pillow only."""

from core.imaging.braille import braille_chart
from core.imaging.colors import ColorMode, color_codes
from core.imaging.halfblock import side_by_side, to_ansi, to_halfblocks
from core.imaging.sheet import Sheet, make_grid, read_sheet, to_channels_last, to_pixels, write_sheet
from core.imaging.sparkline import sparkline

__all__ = [
    "ColorMode",
    "Sheet",
    "braille_chart",
    "color_codes",
    "make_grid",
    "read_sheet",
    "side_by_side",
    "sparkline",
    "to_ansi",
    "to_channels_last",
    "to_halfblocks",
    "to_pixels",
    "write_sheet",
]
