"""Contrast of all text: on every screen, in every theme, and in terminals with sixteen colours."""

import unicodedata
from pathlib import Path
from typing import Final

import pytest
import textual.constants
from rich.color import Color as RichColor
from rich.color import ColorSystem
from textual.color import Color
from textual.screen import ModalScreen
from textual.theme import Theme

from tests.support.fake_groups import comparison
from tests.support.tui_pilot import Driven, dashboard, still
from tui.settings.schema import Settings, ThemeName
from tui.settings.themes import THEMES, for_sixteen_colors

Rgb = tuple[int, int, int]
PALETTES: Final[dict[str, str]] = {
    "xterm": "000000 cd0000 00cd00 cdcd00 0000ee cd00cd 00cdcd e5e5e5 "
    "7f7f7f ff0000 00ff00 ffff00 5c5cff ff00ff 00ffff ffffff",
    "VS Code": "000000 cd3131 0dbc79 e5e510 2472c8 bc3fbc 11a8cd e5e5e5 "
    "666666 f14c4c 23d18b f5f543 3b8eea d670d6 29b8db ffffff",
    "VGA": "000000 aa0000 00aa00 aa5500 0000aa aa00aa 00aaaa aaaaaa "
    "555555 ff5555 55ff55 ffff55 5555ff ff55ff 55ffff ffffff",
}
"""The sixteen colours of some terminals."""
LEAST: Final = 3.0


def contrast(one: Rgb, other: Rgb) -> float:
    """The contrast ratio of WCAG 2.2."""
    brighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def _luminance(color: Rgb) -> float:
    parts = (c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color)
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


def sixteenth(color: str, palette: str) -> Rgb:
    """The colour that a terminal with sixteen shows in place of another."""
    number = RichColor.parse(color).downgrade(ColorSystem.STANDARD).number
    assert number is not None
    return Color.parse(f"#{PALETTES[palette].split()[number]}").rgb


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_text_is_legible_in_sixteen_colours(theme: Theme, palette: str) -> None:
    theme = for_sixteen_colors(theme)
    words = [
        getattr(theme, name) for name in ("primary", "secondary", "accent", "warning", "error", "success")
    ]
    words += [color for name, color in theme.variables.items() if name.startswith(("series-", "text-"))]
    for ground in (theme.background, theme.surface, theme.panel):
        assert ground is not None
        for word in (*words, theme.foreground):
            ratio = contrast(sixteenth(word, palette), sixteenth(ground, palette))
            assert ratio >= LEAST, (word, ground)


SPECIAL = [pytest.param(name, marks=pytest.mark.slow) for name in ("light", "colour-blind", "monochrome")]


@pytest.mark.parametrize("theme", ["dark", *SPECIAL])
async def test_text_is_legible_on_every_screen(tmp_path: Path, theme: ThemeName) -> None:
    comparison(tmp_path, "failed", clean=True)
    settings = Settings(refresh=0.1, theme=theme)
    async with dashboard(tmp_path, (120, 40), settings=settings) as driven:
        for keys in (
            (),
            ("c",),
            ("escape", "d"),
            ("escape", "s"),
            ("escape", "b"),
            ("escape", "n", "down", "down", "down"),
            ("escape", "T", "down"),
            ("escape", "question_mark"),
            ("escape", "l"),
            ("escape", "D"),
            ("escape", "ctrl+p", "down"),
        ):
            await driven.press(*keys)
            await still(driven.pilot)
            assert illegible(driven) == [], keys


@pytest.mark.parametrize("theme", ["dark", "light"])
async def test_text_is_legible_on_screens_in_sixteen_colours(
    tmp_path: Path, theme: ThemeName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(textual.constants, "COLOR_SYSTEM", "standard")
    comparison(tmp_path, "failed", clean=True)
    async with dashboard(tmp_path, (120, 40), settings=Settings(refresh=0.1, theme=theme)) as driven:
        assert driven.app.console.color_system == "standard"
        for keys in ((), ("c",), ("escape", "s"), ("escape", "n"), ("escape", "T"), ("escape", "D")):
            await driven.press(*keys)
            await still(driven.pilot)
            for palette in PALETTES:
                assert illegible(driven, palette) == [], (keys, palette)


def illegible(driven: Driven, palette: str = "") -> list[tuple[str, float]]:
    """Texts of the top screen with too little contrast, and their ratio; charts and images do not count.

    Args:
        driven: the dashboard.
        palette: the terminal whose sixteen colours are shown; empty shows true colours.
    """
    found, screen = [], driven.app.screen
    areas = [screen.region]
    if isinstance(screen, ModalScreen):
        areas = [child.region for child in screen.children if child.display]
    for y, strip in enumerate(screen._compositor.render_strips()):
        x = 0
        for segment in strip:
            start, x = x, x + segment.cell_length
            style = segment.style
            word = "".join(char for char in segment.text if unicodedata.category(char)[0] in "LN")
            if not any(area.contains(start, y) for area in areas) or not word or style is None:
                continue
            if style.color is None or style.bgcolor is None:
                continue
            colors = [style.color, style.bgcolor]
            if palette:
                ratio = contrast(*(sixteenth(color.name, palette) for color in colors))
            else:
                ratio = contrast(*(color.get_truecolor() for color in colors))
            if ratio < LEAST:
                found.append((segment.text.strip(), round(ratio, 1)))
    return found
