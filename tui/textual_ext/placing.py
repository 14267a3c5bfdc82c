"""Widgets where a plan wants them."""

from textual.widget import Widget

from tui.screens.board.layout import Area


def place_widget(widget: Widget, area: Area | None) -> None:
    """Put a widget into its area, or take it off the screen."""
    if area is None:
        widget.display = False
        return
    widget.display = True
    widget.styles.offset = (area.x, area.y)
    widget.styles.width = area.width
    widget.styles.height = area.height
