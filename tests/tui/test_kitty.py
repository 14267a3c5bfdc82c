"""Images that the terminal draws itself: output follows Kitty's protocol and shows the images' own pixels."""

import base64
import io
import shutil
import signal
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from rich.style import Style
from textual.strip import Strip

from core.imaging.resize import RAISED_BLACK
from tests.support.fake_groups import comparison
from tests.support.kitty_screen import HEIGHT, WIDTH, KittyScreen, KittyTerminal, Pixels
from tests.support.terminals import DASHBOARD, Terminal, terminals
from tests.support.tui_pilot import dashboard, still
from tests.support.widget_bench import noise
from tui.export.screenshot import Screenshot, as_halfblocks, screen_pixels
from tui.settings.schema import Settings
from tui.settings.store import read_settings
from tui.terminal.kitty import detect, placements, protocol
from tui.terminal.kitty.placements import FIRST_ID, Placement, Placements
from tui.terminal.kitty.png import encode_png
from tui.terminal.screen_buffer import ScreenBuffer
from tui.widgets.images.image_wall import ImageWall
from tui.widgets.images.render_mode import RenderMode

GROUND = Style.parse("on #102030")
ALL = 1 << 30
"""Room for everything."""


def rendered_pixels(png: bytes) -> Pixels:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image)


def blown_up(image: Pixels, factor: int) -> Pixels:
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


# The protocol


def test_an_image_is_sent_in_chunks_and_then_placed() -> None:
    assert protocol.transmit(7, b"abc", 2, 1) == (
        "\x1b_Ga=t,t=d,f=100,i=7,q=2,m=0;YWJj\x1b\\\x1b_Ga=p,U=1,i=7,c=2,r=1,q=2\x1b\\"
    )
    data = bytes(range(256)) * 26
    *chunks, place = protocol.transmit(1 << 23, data, 32, 16).removesuffix("\x1b\\").split("\x1b\\")
    keys, _, parts = zip(*(code.partition(";") for code in chunks), strict=True)
    assert keys == ("\x1b_Ga=t,t=d,f=100,i=8388608,q=2,m=1", "\x1b_Gq=2,m=1", "\x1b_Gq=2,m=0")
    assert [len(part) for part in parts[:2]] == [4096, 4096]
    assert base64.b64decode("".join(parts)) == data
    assert place == "\x1b_Ga=p,U=1,i=8388608,c=32,r=16,q=2"
    assert protocol.delete(42) == "\x1b_Ga=d,d=I,i=42,q=2\x1b\\"


def test_placeholders_match_the_example_of_the_protocol() -> None:
    rows = [[protocol.placeholder(row, column) for column in range(2)] for row in range(2)]
    assert rows == [
        ["\U0010eeee\u0305\u0305", "\U0010eeee\u0305\u030d"],
        ["\U0010eeee\u030d\u0305", "\U0010eeee\u030d\u030d"],
    ]
    assert protocol.without_inherited_marks(rows[1], ["a", "a"]) == [rows[1][0], "\U0010eeee"]
    assert protocol.without_inherited_marks(rows[1], ["a", "b"]) == rows[1]
    assert protocol.id_color(42) == "38;2;0;0;42"
    assert (len(protocol.MARKS), protocol.MARKS[2], protocol.MARKS[296]) == (297, "\u030e", "\U0001d244")
    assert list(protocol.MARKS) == sorted(set(protocol.MARKS))
    assert {unicodedata.combining(mark) for mark in protocol.MARKS} == {230}
    assert not any(unicodedata.decomposition(mark) for mark in protocol.MARKS)


def test_each_code_is_wrapped_for_tmux_separately() -> None:
    codes = protocol.transmit(7, bytes(4000), 2, 1)
    wrapped = protocol.through_tmux(codes)
    assert wrapped.count("\x1bPtmux;\x1b\x1b_G") == codes.count("\x1b_G") == 3
    ended = wrapped.replace("\x1bPtmux;", "").replace("\x1b\x1b\\\x1b\\", "\x1b\\")
    assert ended.replace("\x1b\x1b", "\x1b") == codes


# The image


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize(
    ("width", "height", "factor"), [(96, 96, 3), (100, 131, 3), (63, 64, 1), (33, 90, 1)]
)
def test_every_pixel_becomes_a_square_and_the_rest_is_transparent(
    width: int, height: int, factor: int, colour: bool
) -> None:
    image = noise(1, colour=colour)[0]
    found = rendered_pixels(encode_png(image, width, height))
    assert found.shape[:2] == (height, width)
    size = 32 * factor
    if size == width == height:
        assert np.array_equal(found, blown_up(image, factor))
        return
    top, left = (height - size) // 2, (width - size) // 2
    part = found[top : top + size, left : left + size]
    assert np.array_equal(part[..., :-1].squeeze(), blown_up(image, factor))
    assert np.all(part[..., -1] == 255)
    assert np.count_nonzero(found[..., -1]) == size**2


def test_a_large_image_is_averaged_and_raised_black_leaves_no_black() -> None:
    large = np.full((64, 128), 80, np.uint8)
    found = rendered_pixels(encode_png(large, 40, 30))
    assert found.shape == (30, 40, 2)
    assert np.all(found[5:25] == (80, 255))
    assert np.all(
        rendered_pixels(encode_png(np.zeros((2, 2), np.uint8), 4, 4, raised_black=True)) == RAISED_BLACK
    )


# Places, and what the terminal shows of them


class Watched:
    """Places whose cells are written as Textual writes them, and a terminal that shows what is sent for that."""

    def __init__(self) -> None:
        self.places = Placements()
        self.places.cell = (WIDTH, HEIGHT)
        self.painted = ScreenBuffer()
        self.painted.placements = self.places
        self.kitty = KittyScreen(40, 10)

    def place_image(self, at: int, image: Pixels) -> Placement:
        place = self.places.place(self, (at, 0), image, 8, 4)
        assert place is not None
        return place

    def write(self, x: int, y: int, place: Placement, *, left: int = 0) -> None:
        """The cells of a place from a column on, as when something covers what is left of it."""
        for line, segments in enumerate(place.segments(GROUND)):
            text = "".join(f"\x1b[48;2;16;32;48m{part.text}\x1b[0m" for part in Strip(segments).crop(left))
            assert self.painted.write(f"\x1b[{y + line + 1};{x + left + 1}H{text}")

    def send(self, room: int = ALL) -> int:
        """Send what is due; how much that was."""
        data = self.places.pending(self.painted.colors, room) + self.painted.flush()
        assert self.kitty.feed(data) == ""
        return len(data)

    def shown(self, x: int, y: int) -> Pixels:
        """The pixels of a place."""
        return self.kitty.pixels()[y * HEIGHT : (y + 4) * HEIGHT, x * WIDTH : (x + 8) * WIDTH, 0]


def test_a_placement_shows_several_images_and_sends_its_cells_once() -> None:
    watched, images = Watched(), noise(4, 24)
    for at in range(3):
        watched.write(10 * at, 1, watched.place_image(at, images[at]))
    watched.send()
    for at in range(3):
        assert np.array_equal(watched.shown(10 * at, 1), blown_up(images[at], 4))
    watched.place_image(1, images[3])
    codes = watched.places.pending(watched.painted.colors, ALL)
    assert watched.painted.flush() == ""
    watched.kitty.feed(codes)
    assert np.array_equal(watched.shown(10, 1), blown_up(images[3], 4))
    watched.place_image(1, images[3].copy())
    assert watched.send() == 0


def test_an_image_is_unchanged_after_it_was_covered() -> None:
    watched, image = Watched(), noise(1, 24)[0]
    place, wanted = watched.place_image(0, image), blown_up(image, 4)
    watched.write(0, 0, place)
    watched.send()
    assert watched.painted.write("".join(f"\x1b[{y};3H\x1b[1mxyz\x1b[0m" for y in range(1, 5)))
    watched.send()
    assert np.array_equal(watched.shown(0, 0)[:, : 2 * WIDTH], wanted[:, : 2 * WIDTH])
    assert not np.array_equal(watched.shown(0, 0)[:, 2 * WIDTH : 5 * WIDTH], wanted[:, 2 * WIDTH : 5 * WIDTH])
    assert np.array_equal(watched.shown(0, 0)[:, 5 * WIDTH :], wanted[:, 5 * WIDTH :])
    watched.write(0, 0, place, left=2)
    watched.send()
    assert np.array_equal(watched.shown(0, 0), wanted)
    assert watched.kitty.transmitted == 1


def test_images_over_the_budget_wait_and_the_least_recently_sent_is_next() -> None:
    watched, images = Watched(), noise(9, 24)
    for at in range(3):
        watched.write(10 * at, 0, watched.place_image(at, images[at]))
    sent = []
    for number in range(6):
        places = [watched.place_image(at, images[(number + at) % 9]) for at in range(3)]
        watched.send(room=1)
        assert watched.places.has_unsent
        sent += [at for at, place in enumerate(places) if not place.is_pending((WIDTH, HEIGHT))]
    assert sent == [0, 1, 2, 0, 1, 2]
    watched.send(room=0)
    assert watched.kitty.transmitted == 6


def test_a_new_cell_size_sends_visible_images_again() -> None:
    watched, image = Watched(), noise(1, 24)[0]
    seen, _ = watched.place_image(0, image), watched.place_image(1, image)
    watched.write(0, 0, seen)
    watched.send()
    watched.places.cell = (9, 18)
    watched.send()
    assert watched.kitty.transmitted == 2
    assert {identity: one.size for identity, one in watched.kitty.images.items()} == {seen.identity: (72, 72)}


def test_images_that_the_terminal_holds_are_bounded_and_deleted_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(placements, "MAX_PIXELS", 2 * 8 * WIDTH * 4 * HEIGHT)
    watched, held = Watched(), []
    for at, image in enumerate(noise(5, 24)):
        watched.write(0, 0, watched.place_image(at, image))
        watched.send()
        held.append([one - FIRST_ID for one in watched.kitty.images])
    assert held == [[0], [0, 32], [32, 64], [64, 96], [96, 128]]
    watched.kitty.feed(watched.places.undo())
    assert watched.kitty.images == watched.kitty.placements == {}
    watched.send()
    assert list(watched.kitty.images) == [FIRST_ID + 128]
    watched.kitty.feed(watched.places.undo_all_ids())
    assert watched.kitty.images == {}


def test_freed_placements_are_deleted_and_their_sentinels_reused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(placements, "SENTINEL_COUNT", 70)
    watched, image = Watched(), noise(1, 24)[0]
    first, _ = watched.place_image(0, image), watched.place_image(1, image)
    assert watched.places.place("other", (0, 0), image, 8, 4) is None
    assert watched.places.place("other", (0, 0), image, 298, 1) is None
    watched.write(0, 0, first)
    watched.send()
    assert list(watched.kitty.images) == [first.identity]
    watched.places.release(watched)
    other = watched.places.place("other", (0, 0), image, 8, 4)
    assert other is not None
    assert other.rows == first.rows
    watched.places.clear()
    watched.painted.invalidate()
    watched.write(0, 0, first)
    watched.send()
    assert watched.kitty.images == {}
    assert "".join(watched.kitty.screen.display).strip() == ""


# The dashboard


async def test_the_choice_is_kept_and_a_line_names_the_fallback(tmp_path: Path) -> None:
    theme = tmp_path / "state" / "theme"
    comparison(tmp_path / "runs", "finished")
    async with dashboard(tmp_path / "runs", (100, 30), remember=theme) as driven:
        await driven.press("T", "down", "right")
        assert "‹ kitty ›" in driven.text()
        await driven.until(lambda: detect.NO_TERMINAL in driven.notifications())
        assert driven.app.render_mode.placements is None
        await driven.press("escape")
        assert "▀" in driven.text()
    assert read_settings(theme)[0] == Settings(pictures="kitty")


async def test_an_export_has_images_where_the_terminal_drew_them(tmp_path: Path) -> None:
    comparison(tmp_path / "runs", "finished", clean=True)
    async with dashboard(tmp_path / "runs", (100, 30), image_mode="truecolor") as driven:
        await still(driven.pilot)
        before, places = Screenshot.capture(driven.app), Placements()
        driven.app.set_render_mode(RenderMode("truecolor", 1, places))
        await still(driven.pilot)
        strips = driven.app.screen._compositor.render_strips()
        assert any(sign >= placements.FIRST_SENTINEL for strip in strips for sign in strip.text)
        assert not any(
            sign >= placements.FIRST_SENTINEL
            for strip in as_halfblocks(strips, places)
            for sign in strip.text
        )
        assert np.array_equal(screen_pixels(Screenshot.capture(driven.app)), screen_pixels(before))
        driven.app.set_render_mode(RenderMode("truecolor", 1))
        await driven.pilot.pause()
        assert driven.board.query_one(ImageWall).columns
        assert "▀" in driven.text()


@pytest.fixture
def open_terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    with terminals(tmp_path) as start:
        yield start


def test_the_program_shows_real_pixels_and_deletes_them(
    tmp_path: Path, open_terminal: Callable[..., Terminal]
) -> None:
    """Suspended, resumed, and killed: afterwards the terminal holds none of its images."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    run, *_ = comparison(tmp_path / "runs", "finished")
    options = {"kind": KittyTerminal, "program": (bash,), "controlling": True, "size": (160, 50)}
    terminal = open_terminal("--norc", "-i", **options)
    assert isinstance(terminal, KittyTerminal)
    kitty = terminal.kitty
    terminal.shows("bash-")
    terminal.press(f"{' '.join(DASHBOARD)} --pictures kitty\r")
    terminal.until(lambda: "q quit" in terminal.text and len(kitty.placements) >= 10)
    terminal.settle()
    top = next(y for y, line in enumerate(terminal.screen.display) if line.startswith(protocol.PLACEHOLDER))
    shown = kitty.pixels()[top * HEIGHT : (top + 16) * HEIGHT, : 32 * WIDTH, 0]
    with Image.open(max((run.path / "samples").glob("*.png"))) as sheet:
        assert np.array_equal(shown, blown_up(np.asarray(sheet)[:32, :32], 12))
    (program,) = psutil.Process(terminal.process.pid).children()
    terminal.press("\x1a")
    terminal.until(lambda: b"Stopped" in terminal.raw)
    assert kitty.images == {}
    terminal.press("fg\r")
    terminal.until(lambda: len(kitty.placements) >= 10)
    program.send_signal(signal.SIGKILL)
    terminal.until(lambda: b"ddpm-tui was killed" in terminal.raw)
    assert kitty.images == kitty.placements == {}


def test_without_placeholders_half_blocks_are_shown_and_a_line_gives_the_reason(
    tmp_path: Path, open_terminal: Callable[..., Terminal]
) -> None:
    comparison(tmp_path / "runs", "finished")
    terminal = open_terminal(kind=KittyTerminal, placeholders=False, size=(160, 50))
    assert isinstance(terminal, KittyTerminal)
    terminal.shows("▀", "q quit")
    terminal.press("T")
    terminal.shows("width of a pixel in cells")
    terminal.press("\x1b[B\x1b[C")
    terminal.shows("‹ kitty ›", "has Kitty's graphics, but not its")
    terminal.press("q")
    terminal.shows("▀", "q quit")
    terminal.press("q")
    assert terminal.ends() == 0
    assert terminal.kitty.images == {}
    assert protocol.PLACEHOLDER.encode() not in terminal.raw
