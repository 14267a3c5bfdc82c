"""One long session in a real pseudo-terminal: every screen at every size, down to nothing and back."""

import re
from pathlib import Path

import pytest

from tests.support.fake_groups import comparison
from tests.support.fake_images import write_strip
from tests.support.terminals import Terminal
from tui.commands import BOARD, EVERYWHERE, Command

SIZES = ((80, 24), (100, 30), (160, 50), (250, 70))
STAYS = {
    "board.up",
    "board.down",
    "board.first",
    "board.last",
    "board.earlier",
    "board.later",
    "board.follow",
    "board.noise_down",
    "board.noise_up",
    "board.group",
    "board.grouping",
    "board.unfilter",
    "board.sort",
    "board.reverse",
    "board.follow_runs",
    "board.machine",
    "board.bell",
    "run.start",
    "run.stop",
    "run.stop_all",
    "run.resume_all",
    "run.mark",
    "app.export",
    "app.suspend",
    "app.theme",
    "app.zoom",
    "app.quit",
}
"""Commands that open no screen. All others are run, so that new screens are visited too."""
BYTES = {
    "ctrl+p": "\x10",
    "question_mark": "?",
    "delete": "\x1b[3~",
    "space": " ",
    "slash": "/",
    "f1": "\x1bOP",
}
TURNED_ON = (1049, 1000, 1002, 1003, 1006, 1015, 2004)
"""The alternate screen, the mouse's modes, and bracketed paste."""


def opening() -> list[Command]:
    """The commands of the board that lead to another screen."""
    return [command for command in (*BOARD, *EVERYWHERE) if command.id not in STAYS]


def bytes_of(command: Command) -> str:
    key = command.keys.split(",")[0]
    return BYTES.get(key, key)


def looks(terminal: Terminal) -> str:
    """Return the text on the screen, without the system load, which changes by itself."""
    return "\n".join(line for line in terminal.text.splitlines() if " cores   memory " not in line)


def spec(terminal: Terminal) -> None:
    """Into every screen and out again; out is where the board looks as it did."""
    board = looks(terminal)
    for command in opening():
        terminal.press(bytes_of(command))
        terminal.until(lambda: looks(terminal) != board)
        for _ in range(4):
            # A key that comes too soon after escape is a key with alt, so the next waits for what this one did.
            before = terminal.text
            terminal.press("\x1b")
            try:
                terminal.until(lambda before=before: terminal.text != before, seconds=5)
                terminal.until(lambda: looks(terminal) == board, seconds=5)
            except AssertionError:
                continue
            break
        assert looks(terminal) == board, f"{command.id} does not lead back:\n{terminal.text}"


def test_every_command_says_whether_it_opens_a_screen() -> None:
    assert {command.id for command in (*BOARD, *EVERYWHERE)} >= STAYS
    keys = [bytes_of(command) for command in opening()]
    assert all(len(key) == 1 or key.startswith("\x1b") for key in keys), keys


@pytest.mark.slow
def test_a_visit_to_every_screen_at_every_size_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    for run in comparison(tmp_path / "runs", "finished"):
        write_strip(run, 40)
        run.checkpoint.parent.mkdir()
        run.checkpoint.touch()
    terminal = Terminal(cwd=tmp_path)
    try:
        terminal.shows("linear", "x^10", "40/40", "▀", "q quit")
        for width, height in SIZES:
            terminal.resize(width, height)
            terminal.shows("x^10", "q quit")
            terminal.settle()
            spec(terminal)
        for width, height in (*SIZES[::-1], (20, 5), *SIZES):
            terminal.resize(width, height)
            terminal.shows("needs 60x15" if width == 20 else "q quit")
        terminal.press("q")
        assert terminal.ends() == 0
    finally:
        terminal.close()
    assert "Traceback" not in terminal.text
    assert b"Traceback" not in terminal.raw
    assert terminal.screen.cursor.hidden is False
    for mode in TURNED_ON:
        states = re.findall(rb"\x1b\[\?(?:\d+;)*%d(?:;\d+)*([hl])" % mode, terminal.raw)
        assert states[-1:] in ([], [b"l"]), f"mode {mode} is left on"
    # What stands on the screen in the end, in pyte which knows no alternate screen, ends in a plain look.
    assert not re.search(rb"\x1b\[[0-9;]*[1-9][0-9;]*m[^\x1b]*$", terminal.raw)
