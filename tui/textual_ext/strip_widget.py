"""Widgets that draw their lines themselves, of which Textual need not find out anew what does not change."""

from collections.abc import Sequence

from rich.style import Style
from textual.filter import ANSIToTruecolor, LineFilter
from textual.widget import Widget


class StripWidget(Widget):
    """A widget whose `render_line` is its own, in colours that are numbers, never those of a terminal's own sixteen.

    Textual looks at each segment of each line for colours to translate, which for a wall of pictures, with a segment
    for nearly each cell, takes a seventh of all work. It puts the widget's style together at each look, and those of
    its parts after each `refresh`. Here they are kept until the theme or the style sheet says something else.
    """

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        self._cached_rich_style: Style | None = None
        self._cached_component_styles: dict[tuple[tuple[str, ...], bool], Style] = {}
        super().__init__(name=name, id=id, classes=classes)

    @property
    def rich_style(self) -> Style:
        """The style of the ground."""
        if self._cached_rich_style is None:
            self._cached_rich_style = super().rich_style
        return self._cached_rich_style

    def get_component_rich_style(
        self, *names: str, partial: bool = False, default: Style | None = None
    ) -> Style:
        """The style of a part."""
        key = names, partial
        if key not in self._cached_component_styles:
            self._cached_component_styles[key] = super().get_component_rich_style(
                *names, partial=partial, default=default
            )
        return self._cached_component_styles[key]

    def notify_style_update(self) -> None:
        """Forget the styles; a widget that keeps lines forgets these too."""
        super().notify_style_update()
        self._cached_rich_style = None
        self._cached_component_styles.clear()

    def get_line_filters(self) -> Sequence[LineFilter]:
        """The filters of the app, such as that of `NO_COLOR`, but for the one that translates colours."""
        return [one for one in super().get_line_filters() if not isinstance(one, ANSIToTruecolor)]
