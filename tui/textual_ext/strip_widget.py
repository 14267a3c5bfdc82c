"""Base of widgets that render their own lines, with Textual's per-segment filters and style lookups cut down."""

from collections.abc import Sequence

from rich.style import Style
from textual.filter import ANSIToTruecolor, LineFilter
from textual.widget import Widget


class StripWidget(Widget):
    """A widget with a `render_line` of its own, in RGB colours only, never the terminal's sixteen.

    Textual examines each segment of each line for colours to translate. For a wall of images, with a segment for nearly
    each cell, that is a seventh of all work. It also composes the widget's style at each access, and the component
    styles after each `refresh`. Here both are cached until the theme or the style sheet changes.
    """

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        self._cached_rich_style: Style | None = None
        self._cached_component_styles: dict[tuple[tuple[str, ...], bool], Style] = {}
        super().__init__(name=name, id=id, classes=classes)

    @property
    def rich_style(self) -> Style:
        """The style of the widget's background."""
        if self._cached_rich_style is None:
            self._cached_rich_style = super().rich_style
        return self._cached_rich_style

    def get_component_rich_style(
        self, *names: str, partial: bool = False, default: Style | None = None
    ) -> Style:
        """The style of a component class."""
        key = names, partial
        if key not in self._cached_component_styles:
            self._cached_component_styles[key] = super().get_component_rich_style(
                *names, partial=partial, default=default
            )
        return self._cached_component_styles[key]

    def notify_style_update(self) -> None:
        """Clear the cached styles; a widget that caches lines overrides this to clear them too."""
        super().notify_style_update()
        self._cached_rich_style = None
        self._cached_component_styles.clear()

    def get_line_filters(self) -> Sequence[LineFilter]:
        """The filters of the app, such as that of `NO_COLOR`, without the one that translates colours."""
        return [
            line_filter
            for line_filter in super().get_line_filters()
            if not isinstance(line_filter, ANSIToTruecolor)
        ]
