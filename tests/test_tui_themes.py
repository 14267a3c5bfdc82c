"""Board and comparison in each class of themes and pictures; `pytest --snapshot-update` takes new ones."""

from pathlib import Path
from typing import Any, Final

import pytest
from textual.pilot import Pilot
from tui_fixtures import comparison, judge
from tui_pilot import make_app, ready, still

from tui.preferences import PictureMode
from tui.themes import COLOR_BLIND, DARK, LIGHT, MONOCHROME

SIZES: Final = ((80, 24), (120, 36), (160, 50))
LOOKS: Final[dict[str, tuple[str, PictureMode]]] = {
    "light": (LIGHT.name, "truecolor"),
    "colour-blind": (COLOR_BLIND.name, "truecolor"),
    "monochrome": (MONOCHROME.name, "truecolor"),
    "16": (DARK.name, "16"),
    "ascii": (DARK.name, "ascii"),
}
"""The dark theme in true colours is what all other snapshots show."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all, which nobody writes to."""
    root = tmp_path_factory.mktemp("runs")
    for run, level in zip(comparison(root, "failed", clean=True), (0.9, 0.6), strict=False):
        judge(run, level)
    return root


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("screen", ["board", "compare"])
def test_it_looks_as_it_did(
    snap_compare: Any,
    monkeypatch: pytest.MonkeyPatch,
    runs: Path,
    screen: str,
    look: str,
    size: tuple[int, int],
) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    theme, pictures = LOOKS[look]
    app = make_app(runs, pictures=pictures)
    app.theme = theme

    async def opened(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        # Where not all has room, curves show a theme, and pictures how they are drawn.
        await pilot.press(
            *{"board": ""}.get(screen, "c2" if theme == DARK.name and size == SIZES[0] else "c")
        )
        await still(pilot)

    assert snap_compare(app, terminal_size=size, run_before=opened)
