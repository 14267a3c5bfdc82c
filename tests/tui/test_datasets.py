"""The datasets screen, real images beside samples, driven by keys."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from textual.pilot import Pilot
from textual.widgets import Static

from core.imaging import read_sheet
from tests.support.fake_runs import dashboard_run
from tests.support.tui_datasets import browse, fitted, looked, real, runs, shows, tiles
from tests.support.tui_pilot import dashboard, make_app, ready
from tui.commands import DATASETS
from tui.screens.datasets.screen import DatasetsScreen
from tui.screens.new_run.screen import NewRunScreen
from tui.widgets.chip_line import ChipLine


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("DDPM_DATA", str(tmp_path / "data"))


async def test_it_begins_with_the_selected_runs_dataset_and_the_newest_samples_beside_it(
    tmp_path: Path,
) -> None:
    directories = runs(tmp_path / "runs")
    async with dashboard(tmp_path / "runs", (160, 50)) as driven:
        screen = await browse(driven)
        text = driven.text()
        for text_part in (
            *("1 array", "2 high", "4 low", "10,000 images to train on, 2,000 held out; not made yet"),
            *("drawn at 720 x 720 in black and white, stored as PNG", "seed 0", "clean, smooth edges"),
            *("held out 1-4 of 2,000 · grey 8.", "samples of sine, epoch 2 · grey 0%"),
        ):
            assert text_part in text
        for index, tile in enumerate(tiles(screen)):
            assert tile.title == f"{index + 1}"
            assert np.array_equal(tile.images[0], real("high")[index])
        sampled = read_sheet(directories[1].sample_sheets()[-1][1]).images
        assert len(tiles(screen)) == len(tiles(screen, "samples")) == 4
        for index, tile in enumerate(tiles(screen, "samples")):
            assert np.array_equal(tile.images[0], sampled[index])
        assert not list((tmp_path / "data").iterdir()), "looking makes nothing"


async def test_datasets_can_be_browsed_before_there_is_any_run(tmp_path: Path) -> None:
    async with dashboard(tmp_path / "runs", (80, 24)) as driven:
        assert "b datasets" in driven.text()
        screen = await browse(driven)
        assert screen.browser.name == "array"
        assert len(tiles(screen)) == 8
        assert tiles(screen, "samples") == []
        assert "grey 0%" in driven.text()
        await driven.press("r", "left_square_bracket")
        assert "no run on this dataset has samples yet" in driven.notifications()


async def test_a_folder_of_mostly_other_files_is_shown_because_it_can_be_trained_on(tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    for index in range(60):
        (folder / f"{index}.txt").write_text("hello")
    for index in range(2):
        noise = np.random.default_rng(index).integers(0, 256, (16, 16), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{index}.png")
    async with dashboard(tmp_path / "runs", (120, 40)) as driven:
        screen = await browse(driven)
        screen.show_dataset(str(folder))
        await looked(driven, screen)
        assert screen.browser.problem == ""
        assert len(tiles(screen)) == 1
        await driven.press("h")
        assert len(tiles(screen)) == 1


async def test_a_folder_that_a_recipe_hides_is_said_here_and_in_the_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "array").mkdir()
    async with dashboard(tmp_path / "runs", (160, 50)) as driven:
        await browse(driven)
        assert "array is the data recipe of that name, not the folder here" in driven.text()
        await driven.press("n")
        await driven.until(lambda: isinstance(driven.app.screen, NewRunScreen))
        hint = driven.app.screen.query_one("#hint-data-dataset", Static)
        await driven.until(lambda: "for the folder give ./array" in str(hint.content))
        assert not hint.has_class("-error")


async def test_keys_digits_and_clicks_go_to_other_datasets(tmp_path: Path) -> None:
    runs(tmp_path / "runs")
    async with dashboard(tmp_path / "runs", (160, 50)) as driven:
        screen = await browse(driven)
        for key, name in (
            ("right", "kinds"),
            ("right", "low"),
            ("right", "array"),
            ("left", "low"),
            ("1", "array"),
            ("2", "high"),
        ):
            await driven.press(key)
            await looked(driven, screen)
            assert screen.browser.name == name
            assert f"datasets  {name}" in driven.text()
            assert np.array_equal(tiles(screen)[0].images[0], real(name)[0])
        await driven.press("9")
        assert screen.browser.name == "high"
        await driven.pilot.click(ChipLine, offset=(2, 0))
        await driven.until(lambda: screen.browser.name == "array")


async def test_keys_scroll_both_sides_by_rows_screens_and_to_the_ends(tmp_path: Path) -> None:
    runs(tmp_path / "runs")
    async with dashboard(tmp_path / "runs", (160, 50)) as driven:
        screen = await browse(driven)
        for keys, first in (
            *(
                (("down",), 2),
                (("j", "j"), 6),
                (("up",), 4),
                (("k",), 2),
                (("pagedown",), 6),
                (("pageup",), 2),
            ),
            *((("pageup", "up"), 0), (("end", "down"), 252), (("home",), 0), (("G",), 252)),
        ):
            await driven.press(*keys)
            assert screen.browser.first == first
            assert tiles(screen)[0].title == f"{first + 1}"
            assert np.array_equal(tiles(screen)[0].images[0], real("high")[first])
        assert tiles(screen, "samples") == []
        await driven.press("home", "down")
        assert [one.title for one in tiles(screen, "samples")] == ["3", "4", "5", "6"]


async def test_training_images_are_shown_instead_of_held_out_ones(tmp_path: Path) -> None:
    async with dashboard(tmp_path / "runs", (120, 40)) as driven:
        screen = await browse(driven)
        await driven.press("down", "h")
        assert "training 1-" in driven.text()
        assert "of 10,000" in driven.text()
        assert shows(tiles(screen)[0], real("array", heldout=False)[0])
        await driven.press("h")
        assert shows(tiles(screen)[0], real("array")[0])


async def test_samples_are_those_of_any_run_and_epoch_or_of_none(tmp_path: Path) -> None:
    directories = runs(tmp_path / "runs")
    async with dashboard(tmp_path / "runs", (160, 50)) as driven:
        screen = await browse(driven)
        await driven.press("r")
        assert "samples of linear, epoch 4" in driven.text()
        await driven.press("left_square_bracket")
        assert "samples of linear, epoch 3" in driven.text()
        wanted = read_sheet(directories[0].sample_sheets()[2][1]).images[0]
        assert np.array_equal(tiles(screen, "samples")[0].images[0], wanted)
        await driven.press("right_square_bracket")
        assert screen.browser.epoch is None
        await driven.press("r")
        assert "samples of" not in driven.text()
        assert len(tiles(screen)) == 8
        await driven.press("r")
        assert "samples of sine, epoch 2" in driven.text()
        await driven.press("R", "R")
        assert "samples of linear, epoch 4" in driven.text()


async def test_newer_samples_are_shown_as_they_come(tmp_path: Path) -> None:
    dashboard_run(tmp_path / "runs", "linear", epoch=2)
    async with dashboard(tmp_path / "runs", (120, 40)) as driven:
        screen = await browse(driven)
        assert "epoch 2" in driven.text()
        run = dashboard_run(tmp_path / "other", "linear", epoch=3)
        for part in ("samples/epoch-0003.png", "status.json"):
            (run.path / part).replace(tmp_path / "runs" / run.id / part)
        await driven.until(lambda: "samples of linear, epoch 3" in driven.text())
        assert tiles(screen, "samples")


async def test_grey_histograms_are_shown_for_both_sides(tmp_path: Path) -> None:
    runs(tmp_path / "runs")
    async with dashboard(tmp_path / "runs", (120, 36)) as driven:
        await browse(driven)
        await driven.press("v", "v")
        lines = driven.text().splitlines()
        black = next(line for line in lines if " 0 black" in line)
        assert black.split()[2] == "87.7%"
        assert float(black.split()[4].rstrip("%")) > 70
        dark = next(line for line in lines if "1-12 nearly black" in line)
        assert dark.split()[3] == "1.96%"
        assert "█" in dark
        assert dark.split()[-1] == "0%", "these samples are black and white alone"
        assert any(
            "held out: 8.69% neither black nor white, 5.80% grey · 256 images" in line for line in lines
        )
        assert any("samples of sine, epoch 2: 0% neither black nor white" in line for line in lines)
        await driven.press("down", "up", "v")
        assert "IoU" not in driven.text()
        assert "grey 15.0%" in driven.text()


async def test_the_zoom_goes_round_and_every_step_looks_different(tmp_path: Path) -> None:
    async with dashboard(tmp_path / "runs", (160, 50)) as driven:
        screen = await browse(driven)
        widths = []
        for _ in range(4):
            widths.append(tiles(screen)[0].images.shape[2])
            await driven.press("z")
        assert widths == [32, 64, 16, 32]


@pytest.mark.parametrize("key", ["escape", "q", "b"])
async def test_back_to_the_board(tmp_path: Path, key: str) -> None:
    async with dashboard(tmp_path / "runs") as driven:
        await browse(driven)
        await driven.press(key)
        assert driven.app.screen is driven.board


async def test_help_lists_every_key_of_the_screen(tmp_path: Path) -> None:
    async with dashboard(tmp_path / "runs", (120, 70)) as driven:
        await browse(driven)
        await driven.press("question_mark")
        for command in DATASETS:
            assert command.text in driven.text()
        assert "Show the dataset of that number" in driven.text()


async def test_a_small_terminal_shows_everything_and_nothing_is_cut_off(tmp_path: Path) -> None:
    directories = runs(tmp_path / "runs")
    fitted(directories)
    async with dashboard(tmp_path / "runs", (80, 24)) as driven:
        screen = await browse(driven)
        for _ in range(3):
            for widget in screen.query("*"):
                if widget.display and widget.size and widget.id != "bars":
                    assert widget.region.right <= 80
                    assert widget.region.bottom <= 24
            await driven.press("v")
        assert len(tiles(screen)) == len(tiles(screen, "samples")) == 4


async def test_a_long_description_has_its_lines_or_ends_in_an_ellipsis(tmp_path: Path) -> None:
    runs(tmp_path)
    async with dashboard(tmp_path, (80, 60)) as driven:
        screen = await browse(driven)
        words = [f"word{number}" for number in range(45)]
        screen.browser.problem = " ".join(words)
        screen.update()
        await driven.pilot.pause()
        assert all(word in driven.text().split() for word in words)
        await driven.pilot.resize_terminal(80, 24)
        await driven.pilot.pause()
        facts = screen.query_one("#facts").region
        assert driven.text().splitlines()[facts.bottom - 1].rstrip().endswith("…")
        for widget in screen.query("*"):
            if widget.display and widget.size:
                assert widget.region.bottom <= 24


async def test_no_size_of_terminal_breaks_it(tmp_path: Path) -> None:
    fitted(runs(tmp_path / "runs"))
    async with dashboard(tmp_path / "runs", (80, 24)) as driven:
        screen = await browse(driven)
        for size in ((20, 5), (1, 1), (30, 8), (250, 70), (80, 24)):
            await driven.pilot.resize_terminal(*size)
            await driven.press("down", "v", "end", "z", "v", "z", "up", "v", "z", "t", "h")
            assert screen.size == size


# Snapshots


@pytest.fixture
def _truecolor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")


def pressed(*keys: str) -> Callable[[Pilot[Any]], Any]:
    async def until_drawn(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        await pilot.press("b")
        await pilot.pause()
        screen = pilot.app.screen
        assert isinstance(screen, DatasetsScreen)
        while screen.browser.preview is None:
            await pilot.pause(0.01)
        await pilot.press(*keys)
        pilot.app.clear_notifications()
        await pilot.pause()

    return until_drawn


@pytest.mark.usefixtures("_truecolor")
@pytest.mark.parametrize("size", [(80, 24), (120, 36), (160, 50)], ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("keys", [(), ("v",), ("v", "v")], ids=["pictures", "triangles", "greys"])
def test_it_looks_as_it_did(
    snap_compare: Any, tmp_path: Path, size: tuple[int, int], keys: tuple[str, ...]
) -> None:
    fitted(runs(tmp_path / "runs"))
    assert snap_compare(make_app(tmp_path / "runs"), terminal_size=size, run_before=pressed(*keys))


@pytest.mark.usefixtures("_truecolor")
def test_triangles_look_as_they_did_without_colour(snap_compare: Any, tmp_path: Path) -> None:
    fitted(runs(tmp_path / "runs"))
    app = make_app(tmp_path / "runs")
    assert snap_compare(app, terminal_size=(120, 36), run_before=pressed("v", "t", "t", "t"))
