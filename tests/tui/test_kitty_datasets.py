"""Datasets where the terminal draws the images itself: the output for each key shows the right images."""

import io
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.kitty_screen import HEIGHT, WIDTH, KittyScreen, Pixels
from tests.support.tui_datasets import browse, looked, runs
from tests.support.tui_pilot import DEADLINE, Driven, dashboard
from tui.terminal.kitty.placements import Placements
from tui.terminal.kitty.png import encode_png
from tui.terminal.screen_buffer import ScreenBuffer
from tui.widgets.images.image_wall import ImageWall
from tui.widgets.images.render_mode import RenderMode

ALL = 1 << 30
"""Room for everything."""


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("DDPM_DATA", str(tmp_path / "data"))


class Shown:
    """A dashboard whose images a terminal draws, and that terminal."""

    def __init__(self, driven: Driven) -> None:
        self.driven = driven
        self.places = Placements()
        self.places.cell = (WIDTH, HEIGHT)
        self.painted = ScreenBuffer()
        self.painted.placements = self.places
        self.kitty = KittyScreen(1, 1)
        driven.app.set_render_mode(RenderMode("truecolor", 1, self.places))

    async def comes(self) -> int:
        """Send changes until each visible tile has its image's pixels, and return the number of tiles."""
        deadline = time.monotonic() + DEADLINE
        while not (seen := self._look()):
            assert time.monotonic() < deadline, "the images never came"
            await self.driven.pilot.pause(0.03)
        return seen

    def _look(self) -> int:
        """Send what the screen shows by now; how many tiles are seen, 0 where one of them has other pixels."""
        app = self.driven.app
        width, height = app.size
        if (self.kitty.screen.columns, self.kitty.screen.lines) != (width, height):
            self.kitty.screen.resize(height, width)
            self.painted.invalidate()
        for y, strip in enumerate(app.screen._compositor.render_strips()):
            assert self.painted.write(f"\x1b[{y + 1};1H{strip.render(app.console)}")
        codes = self.places.pending(self.painted.colors, ALL) + self.painted.flush(ALL)
        assert self.kitty.feed(codes) == ""
        pixels, tiles = self.kitty.pixels(), list(self._tiles())
        return len(tiles) * all(self._is_shown(pixels, *tile) for tile in tiles)

    def _is_shown(self, pixels: Pixels, wall: ImageWall, place: int, row: int) -> bool:
        layout, stack = wall.tile_layout, wall.columns[place].images
        assert stack is not None
        x, y = wall.region.x + layout.left + place * layout.step, wall.region.y + 1 + row * layout.lines
        size = layout.tile * WIDTH, layout.lines * HEIGHT
        png = encode_png(stack[row], *size, raised_black=(place + row) % 2 == 1)
        with Image.open(io.BytesIO(png)) as image:
            wanted = np.asarray(image.convert("RGB"))
        lines = min(size[1], (self.driven.app.size.height - 1 - y) * HEIGHT)
        found = pixels[y * HEIGHT :, x * WIDTH :][:lines, : size[0]]
        return np.array_equal(found, wanted[:lines])

    def _tiles(self) -> Iterator[tuple[ImageWall, int, int]]:
        screen = self.driven.app.screen
        for wall in screen.query(ImageWall).results(ImageWall):
            if wall.is_on_screen and wall.size:
                for place, column in enumerate(wall.columns):
                    if column.images is not None:
                        for row in range(min(len(column.images), wall.visible_rows)):
                            yield wall, place, row

    @property
    def dangling(self) -> int:
        """Cells with an id of an image that the terminal does not hold."""
        known = {identity & 0xFFFFFF for identity in self.kitty.images}
        cells = [cell for line in self.kitty.screen.buffer.values() for cell in line.values()]
        return sum(cell.data[:1] == "\U0010eeee" and int(cell.fg, 16) not in known for cell in cells)


async def test_each_key_shows_other_images_and_leaves_none_of_those_before(tmp_path: Path) -> None:
    runs(tmp_path / "runs")
    async with dashboard(tmp_path / "runs", (160, 50)) as driven:
        shown = Shown(driven)
        on_board = await shown.comes()
        screen = await browse(driven)
        assert await shown.comes() == 8
        sent = shown.kitty.transmitted
        await driven.press("down")
        assert await shown.comes() == 8
        assert shown.kitty.transmitted - sent == 8
        for keys in (("h",), ("z",), ("v", "v", "v"), ("left",), ("2",)):
            await driven.press(*keys)
            await looked(driven, screen)
            await shown.comes()
            assert shown.dangling == 0, keys
        for size in ((80, 24), (160, 50)):
            await driven.pilot.resize_terminal(*size)
            await shown.comes()
            assert shown.dangling == 0, size
        await driven.press("escape")
        assert await shown.comes() == on_board == len(shown.kitty.images)
        assert shown.dangling == 0
