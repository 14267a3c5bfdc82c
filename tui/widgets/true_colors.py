"""Widgets whose cells have colours of their own already, so that none must be translated."""

from collections.abc import Sequence

from textual.filter import ANSIToTruecolor, LineFilter
from textual.widget import Widget


class TrueColors(Widget):
    """A widget that draws its lines with colours that are numbers, never with those of a terminal's own sixteen.

    Textual looks at each segment of each line for colours to translate, which for a wall of pictures, with a segment
    for nearly each cell, takes a seventh of all work. Other filters, such as that of `NO_COLOR`, are applied as ever.
    """

    def get_line_filters(self) -> Sequence[LineFilter]:
        """The filters of the app, but for the one that translates colours."""
        return [one for one in super().get_line_filters() if not isinstance(one, ANSIToTruecolor)]
