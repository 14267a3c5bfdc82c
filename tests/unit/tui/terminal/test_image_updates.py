"""Images that change are sent in parts, the largest errors first, and are exact at rest."""

import random

import pytest
from textual.app import App

from tests.unit.tui.terminal.test_driver import HEIGHT, WIDTH, Kept, blank, painted_by, piece, until
from tui.terminal.cell_style import CellStyle
from tui.terminal.driver import IMAGE_RATE, IMAGE_RATE_RESERVE, DiffDriver, with_diffing
from tui.terminal.image_updates import CELL_BYTES, group_by_style, image_cells, largest_errors
from tui.terminal.screen_buffer import ScreenBuffer

LEVELS = [round(level * 255 / 15) for level in range(16)]


def grey(level: int) -> str:
    return f"2;{level};{level};{level}"


def noise(seed: int, levels: list[int] = LEVELS) -> str:
    """A frame full of half-blocks of random greys."""
    rng = random.Random(seed)
    return "".join(
        piece(
            0,
            y,
            [("▀", f"38;{grey(rng.choice(levels))};48;{grey(rng.choice(levels))}") for _ in range(WIDTH)],
        )
        for y in range(HEIGHT)
    )


@pytest.mark.parametrize("room", [30, 200, 700])
def test_noise_over_the_budget_is_sent_in_parts_and_is_exact_at_rest(room: int) -> None:
    painted = ScreenBuffer()
    sent = []
    for frame in (noise(1), noise(2)):
        painted.write(frame)
        sent.append(painted.flush(None if not sent else room))
    assert painted.is_dirty()
    assert len(sent[1].encode()) < 2 * (room + 2 * CELL_BYTES)
    rounds = 0
    while painted.is_dirty():
        rounds += 1
        sent.append(painted.flush(room))
    assert rounds >= WIDTH * HEIGHT * CELL_BYTES // room // 2
    assert painted_by(sent) == painted_by([noise(2)])
    assert painted.flush(room) == ""


def test_parts_show_the_latest_target_and_text_never_waits() -> None:
    painted = ScreenBuffer()
    painted.write(blank() + noise(1))
    sent = [painted.flush()]
    painted.write(noise(2))
    sent.append(painted.flush(100))
    painted.write(noise(3) + piece(0, 2, [("words", "1")]))
    sent.append(painted.flush(0))
    assert "words" in sent[-1]
    assert "▀" not in sent[-1]
    while painted.is_dirty():
        sent.append(painted.flush(100))
    assert painted_by(sent) == painted_by([noise(3), piece(0, 2, [("words", "1")])])


def test_another_screen_is_sent_whole() -> None:
    painted = ScreenBuffer()
    painted.write(noise(1))
    painted.flush()
    page = [piece(0, y, [("word " * 2, ""), (" " * (WIDTH - 10), "48;2;1;2;3")]) for y in range(HEIGHT)]
    painted.write("".join(page))
    sent = painted.flush(0)
    assert not painted.is_dirty()
    assert painted_by([noise(1), sent]) == painted_by(page)


def test_cells_with_the_largest_errors_go_first() -> None:
    def row(levels: list[int]) -> tuple[list[str], list[CellStyle]]:
        return ["▀"] * len(levels), [CellStyle("", f"38;{grey(level)}", "48;5;231") for level in levels]

    wanted, shown = {0: row([0, 100, 0, 255])}, {0: row([0, 0, 255, 250])}
    cells = [(0, x) for x in image_cells(wanted[0], shown[0])]
    assert cells == [(0, 1), (0, 2), (0, 3)]
    assert largest_errors(cells, wanted, shown, 2) == [(0, 2), (0, 1)]
    assert group_by_style(cells, wanted)[0] == (CellStyle("", f"38;{grey(0)}", "48;5;231"), [(0, 2)])


@pytest.mark.parametrize(
    ("color", "brighter"),
    [("38;2;0;0;9", "38;5;244"), ("38;5;16", "38;5;123"), ("30", "97"), ("38;5;1", "38;5;15"), ("", "37")],
)
def test_brightness_of_all_kinds_of_colours(color: str, brighter: str) -> None:
    def row(*colors: str) -> tuple[list[str], list[CellStyle]]:
        return ["▀"] * len(colors), [CellStyle("", one, "") for one in colors]

    wanted, shown = {0: row(color, brighter)}, {0: row("38;2;0;0;0", "38;2;0;0;0")}
    assert largest_errors([(0, 0), (0, 1)], wanted, shown, 1) == [(0, 1)]


def test_blue_that_is_to_vanish_goes_before_a_brighter_dark_grey() -> None:
    def row(*colors: str) -> tuple[list[str], list[CellStyle]]:
        return ["▀"] * len(colors), [CellStyle("", f"38;2;{one}", "") for one in colors]

    wanted, shown = {0: row("0;0;0", "0;0;0")}, {0: row("40;40;40", "0;0;255")}
    assert largest_errors([(0, 0), (0, 1)], wanted, shown, 1) == [(0, 1)]


def test_cells_of_one_style_are_grouped_where_that_is_shorter() -> None:
    painted = ScreenBuffer()
    painted.write(noise(1, [0, 255]))
    painted.flush()
    painted.write(noise(2, [0, 255]))
    sent = painted.flush()
    assert sent.count("m") < 6 + WIDTH * HEIGHT // 10
    assert painted_by([noise(1, [0, 255]), sent]) == painted_by([noise(2, [0, 255])])


async def test_images_use_the_spare_bandwidth_and_the_rest_follows() -> None:
    driver = with_diffing(Kept)(App())
    assert isinstance(driver, DiffDriver)
    assert isinstance(driver, Kept)
    driver.write(noise(1))
    driver.write(noise(2))
    await until(lambda: not driver.screen_buffer.is_dirty())
    assert driver._image_budget < IMAGE_RATE_RESERVE
    driver._image_budget = -0.05 * IMAGE_RATE
    driver._line_free_at = 0.0
    driver.write(noise(3))
    assert driver.screen_buffer.is_dirty()
    await until(lambda: not driver.screen_buffer.is_dirty())
    assert painted_by(driver.written) == painted_by([noise(3)])
