"""Detection of terminals that draw images in placeholders, by what they answer."""

import re
from collections.abc import Callable

import pytest

from tests.support.kitty_screen import KittyScreen
from tui.terminal.kitty import detect


class Asked:
    """A terminal that is asked: its answers come as they are read, after what was typed."""

    def __init__(self, kitty: KittyScreen, typed: str = "") -> None:
        self.kitty, self.coming = kitty, typed

    def write(self, text: str) -> None:
        self.coming += self.kitty.feed(text)

    def read(self, seconds: float) -> str:
        piece, self.coming = self.coming[:5], self.coming[5:]
        return piece


@pytest.mark.parametrize(
    ("graphics", "placeholders", "refusal"),
    [(True, True, ""), (True, False, detect.WITHOUT_PLACEHOLDERS), (False, False, detect.SILENT)],
)
def test_a_terminal_is_detected_by_its_behaviour(graphics: bool, placeholders: bool, refusal: str) -> None:
    kitty = KittyScreen(20, 5, graphics=graphics, placeholders=placeholders)
    kitty.feed("\x1b[3;4Hx")
    asked = Asked(kitty, typed="qj")
    assert detect.detect(asked.write, asked.read, tmux=False) == (refusal, "qj")
    assert kitty.images == kitty.placements == {}
    assert (kitty.screen.cursor.x, kitty.screen.cursor.y) == (4, 2)


@pytest.mark.parametrize("tmux", [False, True])
def test_kitty_before_placeholders_is_refused_because_it_answers_no_placement(tmux: bool) -> None:
    kitty = KittyScreen(20, 5, placeholders=False, drops_unknown=True)
    asked = Asked(kitty, typed="qj")
    write = through_passthrough(asked) if tmux else asked.write
    assert detect.detect(write, asked.read, tmux=tmux) == (detect.WITHOUT_PLACEHOLDERS, "qj")
    assert kitty.images == kitty.placements == {}


def through_passthrough(asked: Asked) -> Callable[[str], None]:
    """Write to a terminal as tmux passes codes on."""

    def write(text: str) -> None:
        codes = re.findall(r"\x1bPtmux;(.*?)(?<!\x1b)\x1b\\", text)
        assert "".join(f"\x1bPtmux;{code}\x1b\\" for code in codes) == text
        for code in codes:
            asked.write(code.replace("\x1b\x1b", "\x1b"))

    return write


def test_only_the_answers_for_graphics_count_in_tmux() -> None:
    asked = Asked(KittyScreen(20, 5))
    assert detect.detect(through_passthrough(asked), asked.read, tmux=True) == ("", "")
    assert detect.detect(lambda text: None, asked.read, tmux=True) == (detect.SILENT_TMUX, "")
    assert "allow-passthrough on" in detect.SILENT_TMUX
