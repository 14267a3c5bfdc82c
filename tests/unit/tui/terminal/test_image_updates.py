"""Pictures that move are sent in parts, the most wrong cells first, and are exact when they rest."""

import random

import pytest
from textual.app import App

from tests.unit.tui.terminal.test_driver import HEIGHT, WIDTH, Kept, blank, painted_by, piece, until
from tui.terminal.cell_style import Look
from tui.terminal.driver import PICTURE_RATE, PICTURE_SPARE, Thin, thinned
from tui.terminal.image_updates import CELL_BYTES, by_look, most_wrong, picture_cells
from tui.terminal.screen_buffer import Painted

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
def test_noise_that_has_no_room_follows_in_parts_and_is_exact_at_rest(room: int) -> None:
    painted = Painted()
    sent = []
    for frame in (noise(1), noise(2)):
        painted.take(frame)
        sent.append(painted.send(None if not sent else room))
    assert painted.waits()
    assert len(sent[1].encode()) < 2 * (room + 2 * CELL_BYTES)
    rounds = 0
    while painted.waits():
        rounds += 1
        sent.append(painted.send(room))
    assert rounds >= WIDTH * HEIGHT * CELL_BYTES // room // 2
    assert painted_by(sent) == painted_by([noise(2)])
    assert painted.send(room) == ""


def test_parts_are_of_what_is_wanted_by_then_and_words_never_wait() -> None:
    painted = Painted()
    painted.take(blank() + noise(1))
    sent = [painted.send()]
    painted.take(noise(2))
    sent.append(painted.send(100))
    painted.take(noise(3) + piece(0, 2, [("words", "1")]))
    sent.append(painted.send(0))
    assert "words" in sent[-1]
    assert "▀" not in sent[-1]
    while painted.waits():
        sent.append(painted.send(100))
    assert painted_by(sent) == painted_by([noise(3), piece(0, 2, [("words", "1")])])


def test_another_screen_comes_whole() -> None:
    painted = Painted()
    painted.take(noise(1))
    painted.send()
    page = [piece(0, y, [("word " * 2, ""), (" " * (WIDTH - 10), "48;2;1;2;3")]) for y in range(HEIGHT)]
    painted.take("".join(page))
    sent = painted.send(0)
    assert not painted.waits()
    assert painted_by([noise(1), sent]) == painted_by(page)


def test_cells_that_are_furthest_from_what_they_should_be_go_first() -> None:
    def row(levels: list[int]) -> tuple[list[str], list[Look]]:
        return ["▀"] * len(levels), [Look("", f"38;{grey(level)}", "48;5;231") for level in levels]

    wanted, shown = {0: row([0, 100, 0, 255])}, {0: row([0, 0, 255, 250])}
    cells = [(0, x) for x in picture_cells(wanted[0], shown[0])]
    assert cells == [(0, 1), (0, 2), (0, 3)]
    assert most_wrong(cells, wanted, shown, 2) == [(0, 2), (0, 1)]
    assert by_look(cells, wanted)[0] == (Look("", f"38;{grey(0)}", "48;5;231"), [(0, 2)])


@pytest.mark.parametrize(
    ("color", "brighter"),
    [("38;2;0;0;9", "38;5;244"), ("38;5;16", "38;5;123"), ("30", "97"), ("38;5;1", "38;5;15"), ("", "37")],
)
def test_brightness_is_known_of_all_kinds_of_colours(color: str, brighter: str) -> None:
    def row(*colors: str) -> tuple[list[str], list[Look]]:
        return ["▀"] * len(colors), [Look("", one, "") for one in colors]

    wanted, shown = {0: row(color, brighter)}, {0: row("38;2;0;0;0", "38;2;0;0;0")}
    assert most_wrong([(0, 0), (0, 1)], wanted, shown, 1) == [(0, 1)]


def test_cells_that_look_alike_are_sent_together_where_that_is_shorter() -> None:
    painted = Painted()
    painted.take(noise(1, [0, 255]))
    painted.send()
    painted.take(noise(2, [0, 255]))
    sent = painted.send()
    assert sent.count("m") < 6 + WIDTH * HEIGHT // 10
    assert painted_by([noise(1, [0, 255]), sent]) == painted_by([noise(2, [0, 255])])


async def test_pictures_take_what_is_spare_and_the_rest_comes_by_itself() -> None:
    driver = thinned(Kept)(App())
    assert isinstance(driver, Thin)
    assert isinstance(driver, Kept)
    driver.write(noise(1))
    driver.write(noise(2))
    await until(lambda: not driver.painted.waits())
    assert driver._spare < PICTURE_SPARE
    driver._spare = -0.05 * PICTURE_RATE
    driver._free_at = 0.0
    driver.write(noise(3))
    assert driver.painted.waits()
    await until(lambda: not driver.painted.waits())
    assert painted_by(driver.written) == painted_by([noise(3)])
