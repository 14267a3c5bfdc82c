"""A widget on a screen by itself, and images to show on it."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from textual.app import App, ComposeResult
from textual.widget import Widget

Pixels = NDArray[np.uint8]
BLUE, ORANGE = "#56B4E9", "#E69F00"


class WidgetApp(App[None]):
    """Shows one widget and nothing else."""

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget

    def compose(self) -> ComposeResult:
        yield self.widget


def rendered_lines(widget: Widget) -> list[str]:
    return [widget.render_line(y).text for y in range(widget.size.height)]


def noise(count: int = 4, size: int = 32, *, colour: bool = False, seed: int = 0) -> Pixels:
    shape = (count, size, size, 3) if colour else (count, size, size)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def rendered_pixels(lines: Iterable[list[Segment]]) -> list[list[tuple[int, int, int]]]:
    """The colours of all pixels in segments of half-blocks, two rows per line."""
    rows: list[list[tuple[int, int, int]]] = []
    for line in lines:
        top: list[tuple[int, int, int]] = []
        bottom: list[tuple[int, int, int]] = []
        for text, style, _ in line:
            assert style is not None
            assert style.bgcolor is not None
            below = tuple(style.bgcolor.get_truecolor())
            above = below
            if text[0] == "▀":
                assert style.color is not None
                above = tuple(style.color.get_truecolor())
            top += [above] * len(text)
            bottom += [below] * len(text)
        rows += [top, bottom]
    return rows
