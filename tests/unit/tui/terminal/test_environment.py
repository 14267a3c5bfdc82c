"""The terminal as it is, where the environment says otherwise."""

import os
import pty
import threading

import pytest

from tui.terminal import environment
from tui.terminal.environment import correct, lacks_utf8


@pytest.mark.parametrize(
    ("variables", "left"),
    [
        ({"COLUMNS": "60", "LINES": "10", "TERM": "xterm", "COLORTERM": "truecolor"}, {"TERM", "COLORTERM"}),
        ({"TERM": "screen.xterm-256color", "STY": "1.x", "COLORTERM": "truecolor"}, {"TERM", "STY"}),
        ({"TERM": "screen", "STY": "1.x", "COLORTERM": "24bit"}, {"TERM", "STY"}),
        ({"TERM": "tmux-256color", "STY": "1.x", "COLORTERM": "truecolor"}, {"TERM", "STY", "COLORTERM"}),
        (
            {"TERM": "screen-256color", "TMUX": "/tmp/x", "COLORTERM": "truecolor"},
            {"TERM", "TMUX", "COLORTERM"},
        ),
    ],
)
def test_variables_of_another_terminal_are_removed(variables: dict[str, str], left: set[str]) -> None:
    correct(variables)
    assert set(variables) == left


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(b"\x1b[7;2R", False), (b"\x1b[7;3R", True), (b"x\x1b[1;2R", False), (b"", True)],
    ids=["utf8", "latin", "typed", "silent"],
)
def test_the_terminal_is_asked_what_it_makes_of_utf8(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, expected: bool
) -> None:
    monkeypatch.setattr(environment, "ANSWER_SECONDS", 10.0 if answer else 0.05)
    master, slave = pty.openpty()
    try:
        received = []

        def reply() -> None:
            while not b"".join(received).endswith(b"\x1b[6n"):
                received.append(os.read(master, 100))
            os.write(master, answer)

        terminal = threading.Thread(target=reply)
        terminal.start()
        assert lacks_utf8(slave, slave, {"LC_ALL": "C"}) is expected
        terminal.join()
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize("variables", [{}, {"LC_ALL": "C.UTF-8"}, {"LC_ALL": "de_DE.UTF-8", "LC_CTYPE": "C"}])
def test_no_terminal_is_asked_in_another_locale(variables: dict[str, str]) -> None:
    assert not lacks_utf8(-1, -1, variables)
