"""Base of all charts: drawn as a whole, once, and again only when something changed."""

from textual.strip import Strip

from tui.textual_ext.strip_widget import StripWidget


class Chart(StripWidget, can_focus=False):
    """A widget that keeps its lines until `redraw`, a resize or another theme. Subclasses implement `draw`."""

    ALLOW_SELECT = False

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._strips: list[Strip] | None = None
        self.draws = 0
        """Number of times that `draw` was called."""

    def draw(self) -> list[Strip]:
        """Return the lines from the top; missing ones are blank."""
        return []

    def redraw(self) -> None:
        """Discard the drawn lines, and draw again at the next refresh."""
        self._strips = None
        self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self.redraw()

    def on_resize(self) -> None:
        self.redraw()

    def render_line(self, y: int) -> Strip:
        if self._strips is None:
            self._strips = self.draw()
            self.draws += 1
        if y < len(self._strips):
            return self._strips[y]
        return Strip.blank(self.content_size.width, self.rich_style)
