"""Terminal driver: little is sent, and the terminal shows the same."""

import asyncio
import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from textual._ansi_sequences import SYNC_END, SYNC_START
from textual.app import App
from textual.driver import Driver

from tests.support.hostile import FORBIDDEN
from tui.terminal.driver import (
    IMAGE_RATE,
    LOCAL_RATE,
    PIXEL_RATE,
    REMOTE_RATE,
    DiffDriver,
    bandwidth_limit,
    with_diffing,
)
from tui.terminal.kitty.detect import NO_TERMINAL
from tui.terminal.kitty.placements import Placements
from tui.terminal.kitty.protocol import PLACEHOLDER, delete
from tui.terminal.screen_buffer import ScreenBuffer, is_mode

WIDTH, HEIGHT = 24, 5
LOOKS = (
    "",
    "1",
    "7",
    "4;31",
    "38;2;10;10;10",
    "38;2;187;187;187;48;2;0;0;0",
    "38;2;1;200;3;48;2;90;90;90",
    "48;5;240",
    "91;103",
    "1;38;2;255;255;255;48;2;128;128;128",
    "39;49",
)
TEXTS = ("a", "▀▀▀", "    ", "x = 1", "⠿⣿", "é–…", "●", "e\u0301!", "─┬─")


def painted_by(frames: list[str]) -> list[list[tuple[object, ...]]]:
    """Cells of a terminal after some frames, with colours as numbers."""
    screen = pyte.Screen(WIDTH, HEIGHT)
    stream = pyte.Stream(screen)
    for frame in frames:
        stream.feed(frame)
    return [[_seen(screen.buffer[y][x]) for x in range(WIDTH)] for y in range(HEIGHT)]


def _seen(cell: pyte.screens.Char) -> tuple[object, ...]:
    inked = cell.data != " " or cell.reverse or cell.underscore
    color = _rounded(cell.fg) if inked else ""
    bold = cell.bold if inked else False
    return (cell.data, color, _rounded(cell.bg), bold, cell.underscore, cell.reverse)


def _rounded(color: str) -> object:
    """Greys that nobody tells apart are one grey; other colours are themselves."""
    if len(color) == 6 and color[:2] == color[2:4] == color[4:]:
        level = int(color[:2], 16)
        return min((*range(8, 239, 10), 255), key=lambda grey: abs(grey - level)) if level > 2 else 0
    return color


def piece(x: int, y: int, parts: list[tuple[str, str]]) -> str:
    """As Textual writes: a move, and each part with its look and a reset."""
    written, at = f"\x1b[{y + 1};{x + 1}H", x
    for text, look in parts:
        at += cell_len(text)
        if at > WIDTH:
            break
        written += f"\x1b[{look}m{text}\x1b[0m" if look else text
    return written


part = st.tuples(st.sampled_from(TEXTS), st.sampled_from(LOOKS))
line = st.builds(
    piece, st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), st.lists(part, min_size=1, max_size=5)
)
frame = st.builds("".join, st.lists(line, min_size=1, max_size=6))


def blank() -> str:
    return "\n".join(f"\x1b[{y + 1};1H{' ' * WIDTH}" for y in range(HEIGHT))


@settings(max_examples=30, deadline=None)
@given(st.lists(frame, min_size=1, max_size=6), st.integers(0, 5))
def test_the_output_shows_what_was_written(frames: list[str], skipped: int) -> None:
    painted, sent = ScreenBuffer(), []
    for number, one in enumerate([blank(), *frames]):
        assert painted.write(one)
        if number != skipped:  # a frame that waits is sent with the next
            sent.append(painted.flush())
    sent.append(painted.flush())
    assert painted_by(sent) == painted_by([blank(), *frames])
    assert painted.flush() == ""


def test_a_frame_that_changes_nothing_sends_nothing_but_the_cursor() -> None:
    painted = ScreenBuffer()
    assert painted.write(piece(0, 0, [("▀▀▀", LOOKS[5])]) + "\x1b[1;1H")
    assert painted.flush()
    assert painted.write(piece(0, 0, [("▀▀▀", LOOKS[5])]) + "\x1b[1;1H")
    assert painted.flush() == ""
    assert painted.write(piece(0, 0, [("▀▀▀", LOOKS[5])]) + "\x1b[2;1H")
    assert painted.flush() == "\x1b[2;1H"


def test_only_cells_that_differ_are_sent_and_only_the_colour_that_differs() -> None:
    painted = ScreenBuffer()
    assert painted.write(piece(0, 0, [("▀" * 20, "38;2;9;8;7;48;2;1;2;3")]))
    painted.flush()
    parts = [
        ("▀" * 10, "38;2;9;8;7;48;2;1;2;3"),
        ("▀", "38;2;9;8;7;48;2;1;2;4"),
        ("▀", "38;2;9;8;7;48;2;1;2;5"),
    ]
    assert painted.write(piece(0, 0, parts) + "\x1b[1;1H")
    assert painted.flush() == "\x1b[1;11H\x1b[38;2;9;8;7;48;2;1;2;4m▀\x1b[48;2;1;2;5m▀\x1b[m\x1b[1;1H"


def test_wide_characters_come_and_go_whole() -> None:
    frames = [
        blank(),
        piece(0, 0, [("ab漢字c", "")]),
        piece(0, 0, [("漢b字 c", "1")]),
        piece(0, 0, [("abcdefg", "")]),
    ]
    painted, sent = ScreenBuffer(), []
    for number, one in enumerate(frames, start=1):
        assert painted.write(one)
        sent.append(painted.flush())
        assert painted_by(sent) == painted_by(frames[:number])


def test_noise_takes_half_of_what_textual_writes() -> None:
    rng = random.Random(0)
    levels = [round(level * 255 / 15) for level in range(16)]

    def grey() -> str:
        return ";".join(["2", *[str(rng.choice(levels))] * 3])

    noise = piece(0, 0, [("▀", f"38;{grey()};48;{grey()}") for _ in range(12)])
    painted = ScreenBuffer()
    assert painted.write(noise)
    assert len(painted.flush()) < len(noise) * 0.6


@pytest.mark.parametrize(
    "data", ["\x1b[?1049h", "\x1b[2J", "\x1b]52;c;aGk=\x07", "a\rb", "\x1b_Gq\x1b\\", "a\nb"]
)
def test_output_that_is_not_made_of_cells_is_not_parsed(data: str) -> None:
    painted = ScreenBuffer()
    assert not painted.write(data)
    assert painted.flush() == ""
    assert not is_mode(data)


def test_escape_codes_within_a_frame_are_not_sent() -> None:
    painted = ScreenBuffer()
    hostile = "a\x1b]52;c;aGk=\x07\x1b]8;;x\x1b\\b\x1b]8;;\x1b\\\x9bc\x1b[2J\u202ed\x00"
    assert painted.write(f"\x1b[1;1H\x1b[1m{hostile}\x1b[0m\n\x1b[2;1He")
    sent = painted.flush()
    assert not FORBIDDEN.search(re.sub(r"\x1b\[[0-9;]*[mHC]", "", sent))
    assert painted_by([sent]) == painted_by(["\x1b[1;1H\x1b[1mabcd\x1b[0m\x1b[2;1He"])


def test_modes_of_mouse_cursor_and_paste_leave_the_cells_alone() -> None:
    assert is_mode("\x1b[?1003h")
    assert is_mode("\x1b[?25l")
    assert is_mode("\x1b[?2026$p")
    assert is_mode("\x1b[?2004h")


class Kept(Driver):
    """Keeps what is written, and can be busy."""

    def __init__(self, app: App[None]) -> None:
        super().__init__(app)
        self.written: list[str] = []

    def write(self, data: str) -> None:
        self.written.append(data)

    def start_application_mode(self) -> None:
        """Nothing to start."""

    def disable_input(self) -> None:
        """Nothing to disable."""

    def stop_application_mode(self) -> None:
        """Nothing to stop."""


@pytest.fixture
async def driver() -> DiffDriver:
    made = with_diffing(Kept)(App())
    assert isinstance(made, DiffDriver)
    return made


def written(driver: DiffDriver) -> list[str]:
    assert isinstance(driver, Kept)
    return driver.written


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_busy_line_gets_only_the_last_frame(
    driver: DiffDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = False
    monkeypatch.setattr(driver, "_has_capacity", lambda: free)
    for number in range(50):
        driver.write(piece(0, 0, [(f"{number:4}", "")]))
    assert written(driver) == []
    free = True
    await until(lambda: written(driver))
    assert [" 49" in one for one in written(driver)] == [True]
    assert "0" not in written(driver)[0].replace("\x1b[0m", "")


async def test_no_more_is_sent_than_the_bandwidth_limit(driver: DiffDriver) -> None:
    driver._bytes_per_second = 50
    driver.write(piece(0, 0, [("0" * 20, "")]))
    driver.write(piece(0, 0, [("1" * 20, "")]))
    driver.write(piece(0, 0, [("2" * 20, "")]))
    assert len(written(driver)) == 1
    await until(lambda: len(written(driver)) == 2)
    assert "1" * 20 not in written(driver)[1]
    assert "2" * 20 in written(driver)[1]


async def test_pending_cells_are_sent_before_other_codes_which_invalidate_the_buffer(
    driver: DiffDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = piece(0, 0, [("words", "")])
    driver.write(text)
    monkeypatch.setattr(driver, "_has_capacity", lambda: False)
    driver.write(piece(0, 1, [("later", "")]))
    driver.write("\x1b[?1003l")
    driver.write("\x1b[?1049l")
    assert ["words" in written(driver)[0], "later" in written(driver)[1]] == [True, True]
    assert written(driver)[2:] == ["\x1b[?1003l", "\x1b[?1049l"]
    monkeypatch.undo()
    driver._line_free_at = 0.0
    driver.write(text)
    assert "words" in written(driver)[-1]


async def test_images_are_sent_with_their_cells_and_deleted_with_the_screen(
    driver: DiffDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.placements = places = Placements()
    place = places.place(driver, (0, 0), np.zeros((8, 8), np.uint8), 4, 2)
    assert place is not None
    driver.start_application_mode()
    with (tmp_path / "no terminal").open("w") as file:
        monkeypatch.setattr(driver, "fileno", file.fileno(), raising=False)
        driver.write(piece(0, 0, [(place.rows[0], "48;5;17")]) + piece(0, 1, [(place.rows[1], "48;5;17")]))
    assert written(driver)[-1].startswith(f"\x1b_Ga=t,t=d,f=100,i={place.identity},q=2,m=0;")
    assert written(driver)[-1].count(PLACEHOLDER) == 8
    driver._bytes_per_second = LOCAL_RATE
    assert driver._image_rate == PIXEL_RATE
    driver._bytes_per_second = REMOTE_RATE
    assert driver._image_rate == IMAGE_RATE
    driver.stop_application_mode()
    assert written(driver)[-1] == delete(place.identity)
    driver._line_free_at = 0.0
    driver.write(piece(0, 2, [("words", "")]))
    assert "words" in written(driver)[-1]
    assert "_G" not in written(driver)[-1]
    assert driver.detect_kitty() == NO_TERMINAL


async def test_frames_are_synchronized_where_the_terminal_supports_it(driver: DiffDriver) -> None:
    for data in (SYNC_START, piece(0, 0, [("words", "")]), SYNC_END):
        driver.write(data)
    assert len(written(driver)) == 1
    assert written(driver)[0].startswith(SYNC_START)
    assert written(driver)[0].endswith(SYNC_END)


def test_the_bandwidth_limit_is_lower_over_ssh() -> None:
    assert bandwidth_limit({}) == LOCAL_RATE
    assert bandwidth_limit({"SSH_TTY": ""}) == LOCAL_RATE
    assert bandwidth_limit({"SSH_CONNECTION": "1.2.3.4 5 6.7.8.9 22"}) == REMOTE_RATE
