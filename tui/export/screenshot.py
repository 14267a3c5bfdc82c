"""What a screen looks like, as an SVG and as a PNG."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.color import Color
from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style
from textual.app import App
from textual.strip import Strip

from tui.export.halfblock_fallback import as_halfblocks
from tui.export.image_files import png
from tui.export.rasterize import HEIGHT, WIDTH, glyph
from tui.textual_ext.compat import rendered_strips
from tui.widgets.images.render_mode import RenderModeMixin

Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Screenshot:
    """A screen as it was at one moment: its lines, the colours of what has none of its own, and its title."""

    strips: tuple[Strip, ...]
    text: Rgb
    ground: Rgb
    title: str

    @classmethod
    def capture(cls, app: App[object]) -> "Screenshot":
        """What is on the screen now."""
        strips = rendered_strips(app)
        if isinstance(app, RenderModeMixin) and app.render_mode.placements is not None:
            strips = as_halfblocks(strips, app.render_mode.placements)
        variables = app.theme_variables
        text, ground = (_rgb(Color.parse(variables[name])) for name in ("foreground", "background"))
        return cls(tuple(strips), text, ground, app.title)

    @property
    def width(self) -> int:
        """Cells."""
        return max((strip.cell_length for strip in self.strips), default=0)


def screen_svg(shot: Screenshot) -> bytes:
    """The screen as an SVG, as Textual draws it."""
    console = Console(
        width=max(1, shot.width),
        height=max(1, len(shot.strips)),
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        record=True,
        legacy_windows=False,
        safe_box=False,
    )
    lines = [segment for strip in shot.strips for segment in (*strip, Segment.line())]
    console.print(Segments(lines[:-1]), end="")
    return console.export_svg(title=shot.title).encode()


def screen_png(shot: Screenshot) -> bytes:
    """The screen as a PNG, 12 x 24 pixels a cell."""
    return png(screen_pixels(shot))


def screen_pixels(shot: Screenshot) -> NDArray[np.uint8]:
    """The screen in pixels, uint8 [lines * 24, columns * 12, 3]."""
    canvas = np.empty((max(1, len(shot.strips)) * HEIGHT, max(1, shot.width) * WIDTH, 3), np.uint8)
    canvas[:] = shot.ground
    for y, strip in enumerate(shot.strips):
        x = 0
        for segment in strip:
            if segment.control:
                continue
            style = segment.style or Style.null()
            front, back = _colors(style, shot)
            for character, cells in _characters(segment.text):
                place = canvas[y * HEIGHT : (y + 1) * HEIGHT, x * WIDTH : (x + cells) * WIDTH]
                _draw(place, character, cells, style, front, back)
                x += cells
    return canvas


def _draw(place: NDArray[np.uint8], character: str, cells: int, style: Style, front: Rgb, back: Rgb) -> None:
    place[:] = back
    if character != " " and not style.conceal:
        mask = glyph(character, cells, bold=bool(style.bold), italic=bool(style.italic))
        share = mask[:, : place.shape[1], None].astype(np.uint16)
        mixed = (share * np.array(front, np.uint16) + (255 - share) * np.array(back, np.uint16) + 127) // 255
        place[:] = mixed
    if style.underline:
        place[HEIGHT - 4 : HEIGHT - 2] = front
    if style.strike:
        place[HEIGHT // 2 : HEIGHT // 2 + 2] = front


def _characters(text: str) -> Sequence[tuple[str, int]]:
    """Characters and how many cells each takes; what takes none goes with the one before."""
    found: list[tuple[str, int]] = []
    for character in text:
        cells = cell_len(character)
        if cells:
            found.append((character, cells))
        elif found:
            found[-1] = (found[-1][0] + character, found[-1][1])
    return found


def _colors(style: Style, shot: Screenshot) -> tuple[Rgb, Rgb]:
    """The colours of the text and of what is behind it."""
    front = shot.text if style.color is None or style.color.is_default else _rgb(style.color)
    back = shot.ground if style.bgcolor is None or style.bgcolor.is_default else _rgb(style.bgcolor)
    if style.reverse:
        front, back = back, front
    if style.dim:
        front = ((front[0] + back[0]) // 2, (front[1] + back[1]) // 2, (front[2] + back[2]) // 2)
    return front, back


def _rgb(color: Color) -> Rgb:
    red, green, blue = color.get_truecolor()
    return red, green, blue
