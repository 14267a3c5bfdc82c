"""Images of the documents, drawn from runs, and the errors of wrong calls."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from core.runs.status import State
from tests.support import ROOT
from tests.support.fake_groups import five_runs, three_runs
from tests.support.fake_runs import dashboard_run
from tests.support.tui_pilot import dashboard
from tools.readme_pictures import SCREENS, draw_screens, main


def test_each_screen_becomes_an_image_of_its_own(tmp_path: Path) -> None:
    five_runs(tmp_path / "runs")
    screens = {name: SCREENS[name] for name in ("board", "compare")}
    files = asyncio.run(draw_screens(tmp_path / "runs", tmp_path / "out", size=(80, 24), screens=screens))
    assert [path.name for path in files] == ["board.png", "compare.png"]
    images = [Image.open(path) for path in files]
    assert {image.size for image in images} == {(80 * 12, 24 * 24)}
    assert images[0].tobytes() != images[1].tobytes()
    assert all(len(image.convert("RGB").getcolors(1 << 20) or []) > 20 for image in images)


@pytest.mark.parametrize("state", [State.RUNNING, State.QUEUED])
def test_a_run_that_is_not_finished_is_named_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], state: State
) -> None:
    root, out = tmp_path / "runs", tmp_path / "out"
    five_runs(root)
    run = dashboard_run(root, "cosine", state=state, index=7)
    assert main([str(root), str(out)]) == 2
    output = capsys.readouterr().err
    assert output == (
        f"error: {run.id} is not finished ({state.value}); wait for it, "
        f"or stop it: core runs stop {run.id} --runs {root}\n"
    )
    assert not out.exists()


def test_a_folder_without_runs_says_how_to_get_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), str(tmp_path / "out")]) == 2
    assert "no runs here; train some first" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["nowhere", "out"], ["."]])
def test_a_wrong_call_says_what_was_expected(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "expected: make pictures" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_passes_on_its_arguments() -> None:
    root = ROOT
    output = subprocess.run(
        ["make", "-n", "pictures", "ARGS=runs out"], cwd=root, capture_output=True, text=True, check=True
    )
    assert "-m tools.readme_pictures runs out" in output.stdout


async def test_the_reverse_process_is_drawn_where_something_forms(tmp_path: Path) -> None:
    three_runs(tmp_path)
    async with dashboard(tmp_path, (160, 50)) as driven:
        await driven.press(*SCREENS["denoise"])
        assert "t  444 of 1000" in driven.text()
