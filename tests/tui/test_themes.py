"""Snapshots of each screen in each kind of theme and image mode; `pytest --snapshot-update` takes new ones."""

from pathlib import Path
from typing import Any, Final

import pytest
from textual.pilot import Pilot

from tests.support.fake_groups import comparison
from tests.support.fake_images import write_strip
from tests.support.fake_runs import write_evaluation
from tests.support.tui_pilot import make_app, ready, still
from tui.settings.schema import ImageMode
from tui.settings.themes import COLOR_BLIND, DARK, LIGHT, MONOCHROME

SIZES: Final = ((80, 24), (120, 36), (160, 50))
LOOKS: Final[dict[str, tuple[str, ImageMode]]] = {
    "light": (LIGHT.name, "truecolor"),
    "colour-blind": (COLOR_BLIND.name, "truecolor"),
    "monochrome": (MONOCHROME.name, "truecolor"),
    "16": (DARK.name, "16"),
    "ascii": (DARK.name, "ascii"),
}
"""The dark theme in true colours is what all other snapshots show."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all tests, which only read it."""
    root = tmp_path_factory.mktemp("runs")
    for run, level in zip(comparison(root, "failed", clean=True), (0.9, 0.6), strict=False):
        write_evaluation(run, level)
        write_strip(run, 36)
    return root


@pytest.fixture(params=LOOKS)
def look(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLORTERM", "truecolor")
    name: str = request.param
    return name


def opened(runs: Path, look: str, *keys: str) -> dict[str, Any]:
    """Arguments of `snap_compare`: the dashboard in this look, after these keys."""
    theme, images = LOOKS[look]
    app = make_app(runs, image_mode=images)
    app.theme = theme

    async def until_drawn(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await pilot.press(*keys)
        await still(pilot)

    return {"app": app, "run_before": until_drawn}


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("screen", ["board", "compare"])
def test_it_looks_as_it_did(
    snap_compare: Any, runs: Path, screen: str, look: str, size: tuple[int, int]
) -> None:
    # Where not everything fits, the curves show the theme, and the images the image mode.
    view = "2" if LOOKS[look][0] == DARK.name and size == SIZES[0] else ""
    keys = () if screen == "board" else ("c", *view)
    assert snap_compare(**opened(runs, look, *keys), terminal_size=size)


@pytest.mark.parametrize(
    "key", ["d", "s", "n", "T", "question_mark"], ids=["denoise", "schedules", "new-run", "settings", "help"]
)
def test_other_screens_look_as_they_did(snap_compare: Any, runs: Path, look: str, key: str) -> None:
    assert snap_compare(**opened(runs, look, key), terminal_size=(120, 36))
