"""The pictures of the documents are drawn from runs, and a wrong call says what was expected."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from tui_fixtures import five

from tests.pictures import SCREENS, draw, main


def test_each_screen_becomes_a_picture_of_its_own(tmp_path: Path) -> None:
    five(tmp_path / "runs")
    screens = {name: SCREENS[name] for name in ("board", "compare")}
    files = asyncio.run(draw(tmp_path / "runs", tmp_path / "out", size=(80, 24), screens=screens))
    assert [path.name for path in files] == ["board.png", "compare.png"]
    pictures = [Image.open(path) for path in files]
    assert {picture.size for picture in pictures} == {(80 * 12, 24 * 24)}
    assert pictures[0].tobytes() != pictures[1].tobytes()
    assert all(len(picture.convert("RGB").getcolors(1 << 20) or []) > 20 for picture in pictures)


@pytest.mark.parametrize("words", [[], ["nowhere", "out"], ["."]])
def test_a_wrong_call_says_what_was_expected(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "expected: make pictures" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_hands_on_runs_and_place() -> None:
    root = Path(__file__).resolve().parents[1]
    said = subprocess.run(
        ["make", "-n", "pictures", "ARGS=runs out"], cwd=root, capture_output=True, text=True, check=True
    )
    assert "-m tests.pictures runs out" in said.stdout
