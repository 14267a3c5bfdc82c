"""Screenshots of a screen, as SVG and as PNG."""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.color import Color
from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style
from textual.app import App
from textual.strip import Strip

from core.imaging.resize import fit_image
from tui.export.image_files import png
from tui.export.rasterize import CELL_HEIGHT, CELL_WIDTH, glyph
from tui.textual_ext.compat import rendered_strips
from tui.widgets.images.halfblocks import cell_lines
from tui.widgets.images.render_mode import RenderModeMixin

if TYPE_CHECKING:
    from tui.terminal.kitty.placements import Placement, Placements

Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Screenshot:
    """A screen at one moment: its lines, the default colours of text and background, and its title."""

    strips: tuple[Strip, ...]
    text: Rgb
    background: Rgb
    title: str

    @classmethod
    def capture(cls, app: App[object]) -> "Screenshot":
        """Capture the current screen."""
        # Not by Textual's own `App.export_screenshot`, because that encodes the SVG at once and so blocks the app.
        strips = rendered_strips(app)
        if isinstance(app, RenderModeMixin) and app.render_mode.placements is not None:
            strips = as_halfblocks(strips, app.render_mode.placements)
        variables = app.theme_variables
        text, ground = (_rgb(Color.parse(variables[name])) for name in ("foreground", "background"))
        return cls(tuple(strips), text, ground, app.title)

    @property
    def width(self) -> int:
        """The width in cells."""
        return max((strip.cell_length for strip in self.strips), default=0)


def screen_svg(shot: Screenshot) -> bytes:
    """The screen as an SVG, in Textual's own style."""
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
    canvas = np.empty((max(1, len(shot.strips)) * CELL_HEIGHT, max(1, shot.width) * CELL_WIDTH, 3), np.uint8)
    canvas[:] = shot.background
    for y, strip in enumerate(shot.strips):
        x = 0
        for segment in strip:
            if segment.control:
                continue
            style = segment.style or Style.null()
            front, back = _colors(style, shot)
            for character, cells in _characters(segment.text):
                target = canvas[
                    y * CELL_HEIGHT : (y + 1) * CELL_HEIGHT, x * CELL_WIDTH : (x + cells) * CELL_WIDTH
                ]
                _draw(target, character, cells, style, front, back)
                x += cells
    return canvas


def _draw(target: NDArray[np.uint8], character: str, cells: int, style: Style, front: Rgb, back: Rgb) -> None:
    target[:] = back
    if character != " " and not style.conceal:
        mask = glyph(character, cells, bold=bool(style.bold), italic=bool(style.italic))
        coverage = mask[:, : target.shape[1], None].astype(np.uint16)
        mixed = (
            coverage * np.array(front, np.uint16) + (255 - coverage) * np.array(back, np.uint16) + 127
        ) // 255
        target[:] = mixed
    if style.underline:
        target[CELL_HEIGHT - 4 : CELL_HEIGHT - 2] = front
    if style.strike:
        target[CELL_HEIGHT // 2 : CELL_HEIGHT // 2 + 2] = front


def _characters(text: str) -> Sequence[tuple[str, int]]:
    """Characters with their widths in cells; a combining mark is joined to the character before it."""
    found: list[tuple[str, int]] = []
    for character in text:
        cells = cell_len(character)
        if cells:
            found.append((character, cells))
        elif found:
            found[-1] = (found[-1][0] + character, found[-1][1])
    return found


def _colors(style: Style, shot: Screenshot) -> tuple[Rgb, Rgb]:
    """The colours of the text and of its background."""
    front = shot.text if style.color is None or style.color.is_default else _rgb(style.color)
    back = shot.background if style.bgcolor is None or style.bgcolor.is_default else _rgb(style.bgcolor)
    if style.reverse:
        front, back = back, front
    if style.dim:
        front = ((front[0] + back[0]) // 2, (front[1] + back[1]) // 2, (front[2] + back[2]) // 2)
    return front, back


def _rgb(color: Color) -> Rgb:
    red, green, blue = color.get_truecolor()
    return red, green, blue


def as_halfblocks(strips: Iterable[Strip], placements: "Placements") -> list[Strip]:
    """Lines of a screen with half-blocks in place of images that the terminal itself would draw."""
    cells = {sign: cell for placement in placements for sign, cell in _halfblock_cells(placement)}
    return [Strip(_with_cells(strip, cells), strip.cell_length) for strip in strips]


def _halfblock_cells(placement: "Placement") -> Iterator[tuple[str, Segment]]:
    """The sentinel characters of a placement, and the half-blocks of its image, which is centred as in the terminal."""
    lines = cell_lines(fit_image(placement.image, placement.columns), raised_black=placement.raised_black)
    width = sum(len(text) for text, _, _ in lines[0])
    left, top = (placement.columns - width) // 2, (placement.lines - len(lines)) // 2
    for row, line in zip(placement.rows[max(0, top) :], lines, strict=False):
        drawn = (Segment(sign, style) for text, style, _ in line for sign in text)
        yield from zip(row[left:], drawn, strict=False)


def _with_cells(strip: Strip, cells: dict[str, Segment]) -> Iterator[Segment]:
    for text, style, control in strip:
        if not any(sign in cells for sign in text):
            yield Segment(text, style, control)
            continue
        for sign in text:
            yield cells.get(sign) or Segment(sign, style)
