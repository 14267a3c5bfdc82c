"""Colours and markers of series, the same for a run in tables, curves and image walls.

The colours are those of Okabe and Ito, which differ for every kind of colour vision. A series always has a digit as
well, the key that selects its row on the board, so colour is never the only signal.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

SKY: Final = "#56B4E9"
ORANGE: Final = "#E69F00"
GREEN: Final = "#009E73"
PURPLE: Final = "#CC79A7"
YELLOW: Final = "#F0E442"
VERMILLION: Final = "#D55E00"
BLUE: Final = "#0072B2"

ON_DARK: Final = (SKY, ORANGE, "#19B98A", PURPLE, YELLOW, "#E8702A", "#4C9BE0")
"""Okabe and Ito's colours, the three dark ones brightened until fine braille lines are legible on dark."""

ON_LIGHT: Final = (BLUE, "#B45A00", "#007A59", "#A8477D", "#7A7200", "#B03A00", "#3A6E9E")
"""The same hues, darkened until they are legible on a light background."""

MARKERS: Final = "123456789abcdefghijklmnopqrstuvwxyz"


class SeriesStyle(NamedTuple):
    """Marker of one cell, theme variable of the colour, and the colour of one series."""

    marker: str
    variable: str
    color: str


def series_style(index: int, variables: Mapping[str, str] | None = None) -> SeriesStyle:
    """Style of the series at an index (from 0) in its group.

    Args:
        index: index of the run among those shown; colours repeat after seven, markers after 35.
        variables: `app.theme_variables` for the colours of the theme in use; None: those for a dark background.
    """
    slot = index % len(ON_DARK)
    name = f"series-{slot + 1}"
    color = variables.get(name, ON_DARK[slot]) if variables is not None else ON_DARK[slot]
    return SeriesStyle(MARKERS[index % len(MARKERS)], name, color)


def series_variables(colors: tuple[str, ...]) -> dict[str, str]:
    """Theme variables `series-1`, `series-2`... of a palette."""
    return {f"series-{number}": color for number, color in enumerate(colors, start=1)}
