"""Jobs of the datasets screen: fitting triangles, building datasets, choosing folders."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.imaging import read_sheet
from core.launch.jobs import Job
from core.runs.overlay import overlay_path, read_overlay
from core.runs.status import State
from core.runs.store import RunStore
from tests.support.fake_runs import dashboard_run
from tests.support.tui_datasets import browse, fitted, looked, runs, tiles
from tests.support.tui_pilot import DEADLINE, dashboard
from tui.dialogs.path_picker import PickerScreen
from tui.screens.datasets.screen import DatasetsScreen
from tui.screens.new_run.screen import NewRunScreen
from tui.state.run_controller import RunController
from tui.widgets.chip_line import ChipLine


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("DDPM_DATA", str(tmp_path / "data"))


async def test_triangles_are_fitted_in_a_process_and_shown_over_and_next_to_each_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_start, started = threading.Event(), []

    def fit_once_it_may(*asked: Any, fit: Callable[..., Job] = RunController.fit) -> Job:
        started.append(asked)
        assert may_start.wait(DEADLINE)
        return fit(*asked)

    monkeypatch.setattr(RunController, "fit", fit_once_it_may)
    directories = runs(tmp_path / "runs")
    async with dashboard(tmp_path / "runs", (160, 50)) as driven:
        screen = await browse(driven)
        await driven.press("tab")
        assert "fitting triangles" in driven.text()
        assert "being fitted" in driven.text()
        assert "f fits it" not in driven.text()
        await driven.press("f", "f")
        may_start.set()
        await driven.until(lambda: not screen.is_fitting and driven.text().count("IoU ") == 16)
        assert "fitting triangles" not in driven.text()
        assert len(started) == 1
        for side in ("real", "samples"):
            over, alone = tiles(screen, side)[:2]
            assert over.images.shape[3:] == (3,)
            assert (over.images != over.images[..., :1]).any(), "an outline in colour"
            assert alone.title.startswith("IoU ")
            assert alone.images.max() == 255
            assert (alone.images == 0).mean() > 0.5
        sheet = read_sheet(directories[1].sample_sheets()[-1][1]).images
        assert read_overlay(overlay_path(directories[1], 2), sheet) is not None
        await driven.press("f")
        assert "all of these images have triangles" in driven.notifications()
        await driven.press("r")
        assert driven.text().count("f fits it") == 8
        await driven.press("enter")
        await driven.until(lambda: not screen.is_fitting and "f fits it" not in driven.text())
        await driven.press("end")
        assert "not fitted" in driven.text()


async def test_saved_fits_are_shown_at_once_and_no_process_is_started(tmp_path: Path) -> None:
    directories = runs(tmp_path / "runs")
    fitted(directories)
    async with dashboard(tmp_path / "runs", (160, 50)) as driven:
        screen = await browse(driven)
        await driven.press("v")
        assert not screen.is_fitting
        assert driven.text().count("IoU") == 16
        await driven.press("r")
        assert driven.text().count("IoU") == 16


async def test_a_failure_to_fit_is_shown(tmp_path: Path) -> None:
    (tmp_path / "data" / ".overlays").write_text("in the way")
    async with dashboard(tmp_path / "runs", (120, 40)) as driven:
        screen = await browse(driven)
        await driven.press("f")
        assert screen.view == "triangles"
        await driven.until(lambda: any("cannot be written" in text for text in driven.notifications()))
        assert not screen.is_fitting


async def test_the_whole_set_is_made_on_request(tmp_path: Path) -> None:
    (tmp_path / "data" / "small.toml").write_text("count = 300\nheldout = 40\nsize = 8\n")
    async with dashboard(tmp_path / "runs", (120, 40)) as driven:
        screen = await browse(driven)
        await driven.press("5")
        await looked(driven, screen)
        assert "of 40" in driven.text()
        await driven.press("m")
        await driven.until(lambda: "kept in" in driven.text())
        await driven.until(lambda: screen.build is None)
        assert (next((tmp_path / "data").glob("small-*")) / "train.npy").exists()
        await driven.press("h", "end")
        assert "-300 of 300" in driven.text()
        await driven.press("m")
        assert "all of its images are made" in driven.notifications()


async def test_the_progress_of_a_build_is_shown_and_it_can_be_stopped(tmp_path: Path) -> None:
    (tmp_path / "data" / "long.toml").write_text("count = 1000000\nsize = 64\n")
    async with dashboard(tmp_path / "runs", (120, 40)) as driven:
        screen = await browse(driven)
        await driven.press("4")
        await looked(driven, screen)
        await driven.press("m")
        await driven.until(lambda: "% of 1,002,000" in driven.text())
        assert "m stop making" in driven.text()
        await driven.press("m")
        await driven.until(lambda: "stopped; no images are kept" in driven.notifications())
        await driven.until(lambda: "making" not in driven.text().splitlines()[0])
        assert not list((tmp_path / "data").glob("long-*"))
        await driven.press("m")
        await driven.until(lambda: screen.build is not None and screen.build.total)
        await driven.press("escape")
        await driven.until(lambda: not list((tmp_path / "data").glob("*long-*")))


async def test_a_set_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    async with dashboard(tmp_path / "runs", (120, 40)) as driven:
        await browse(driven)
        (tmp_path / "data").rmdir()
        (tmp_path / "data").write_text("in the way")
        await driven.press("m")
        await driven.until(lambda: any("cannot be saved here" in text for text in driven.notifications()))


async def test_an_own_folder_is_chosen_and_remembered(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    for number in range(12):
        Image.new("RGB", (20, 30), (number * 20, 0, 99)).save(mine / f"{number}.png")
    state = tmp_path / "state"
    async with dashboard(tmp_path / "runs", (120, 40), remember=state) as driven:
        screen = await browse(driven)
        await driven.press("o")
        await driven.until(lambda: isinstance(driven.app.screen, PickerScreen))
        await driven.press("escape", "o")
        await driven.until(lambda: isinstance(driven.app.screen, PickerScreen))
        await driven.press("tab")
        driven.app.screen.query_one("#path").value = str(mine)  # type: ignore[attr-defined]  # an Input
        await driven.press("enter")
        await looked(driven, screen)
        assert "5 mine" in driven.text()
        assert "datasets  mine" in driven.text()
        assert f"from {mine}, cropped to squares and resized" in " ".join(driven.text().split())
        assert tiles(screen)[0].images.shape[3] == 3
    async with dashboard(tmp_path / "runs", (120, 40), remember=state) as driven:
        await browse(driven)
        assert "5 mine" in driven.text()


async def test_a_dataset_that_cannot_be_read_is_explained_and_the_others_still_work(tmp_path: Path) -> None:
    (tmp_path / "data" / "wrong.toml").write_text("size = 0")
    dashboard_run(tmp_path / "runs", "linear", state=State.FINISHED, epoch=1, dataset="nowhere-at-all")
    async with dashboard(tmp_path / "runs", (120, 40)) as driven:
        await driven.press("b")
        await driven.until(lambda: "no data set called 'nowhere-at-all'" in driven.text())
        screen = driven.app.screen
        assert isinstance(screen, DatasetsScreen)
        await driven.press("down", "pagedown", "end", "z", "f", "m", "v", "h", "v")
        await driven.press("5")
        await driven.until(lambda: "size" in screen.browser.problem)
        await driven.press("4")
        await looked(driven, screen)
        assert screen.browser.name == "low"
        assert screen.browser.problem == ""


async def test_a_new_run_is_set_up_on_the_shown_dataset(tmp_path: Path) -> None:
    async with dashboard(tmp_path / "runs", (120, 40)) as driven:
        screen = await browse(driven)
        await driven.press("4")
        await looked(driven, screen)
        await driven.press("n")
        await driven.until(lambda: isinstance(driven.app.screen, NewRunScreen))
        await driven.pilot.pause()
        assert "new run  current dataset" in driven.text()
        await driven.press("escape")
        assert driven.app.screen is screen
        await driven.press("n")
        await driven.until(lambda: isinstance(driven.app.screen, NewRunScreen))
        await driven.press("f5")
        await driven.until(lambda: driven.app.screen is driven.board and len(driven.board.runs) == 5)
        assert {info.file.config.data.dataset for info in RunStore(tmp_path / "runs").infos()} == {"low"}


async def test_the_visible_tiles_are_exported_with_their_grey_histograms(tmp_path: Path) -> None:
    directories = runs(tmp_path / "runs")
    fitted(directories)
    root = tmp_path / "exports"
    async with dashboard(tmp_path / "runs", (160, 50), exports=root) as driven:
        await browse(driven)
        await driven.press("v", "E")
        await driven.until(lambda: any(f"{root / 'datasets-1'}" in text for text in driven.notifications()))
        with Image.open(root / "datasets-1" / "pictures.png") as image:
            colours = np.asarray(image.convert("RGB"))
        assert (colours[..., 0] != colours[..., 2]).any(), "with the outlines"
        table = (root / "datasets-1" / "greys.csv").read_text(encoding="utf-8").splitlines()
        assert table[0] == f"from,to,real,samples of {directories[1].id}"
        assert len(table) == 15
        shares = [[float(cell) for cell in line.split(",")[2:]] for line in table[1:]]
        assert np.sum(shares, axis=0) == pytest.approx([1, 1])


async def test_with_many_datasets_those_around_the_chosen_one_are_listed_and_clicked(tmp_path: Path) -> None:
    for number in range(20, 32):
        (tmp_path / "data" / f"set-{number}.toml").write_text("count = 4\nheldout = 4\nsize = 8\n")
    async with dashboard(tmp_path / "runs", (100, 30)) as driven:
        screen = await browse(driven)
        assert "1 array" in driven.text()
        await driven.press("left")
        await looked(driven, screen)
        assert screen.browser.name == "set-31"
        line = driven.text().splitlines()[1]
        assert line.split()[0::2] == ["8", "9", "a", "b", "c", "d", "e", "f", "g"]
        assert line.split()[-1] == "set-31"
        await driven.pilot.click(ChipLine, offset=(4, 0))
        await driven.until(lambda: screen.browser.name == "set-23")
