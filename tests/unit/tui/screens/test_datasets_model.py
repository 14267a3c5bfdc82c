"""Model of the datasets screen: previews, grey histograms, tiles and choices."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.data import load_dataset
from core.data.recipe import DataRecipe
from core.errors import UserError
from core.runs.status import State
from tests.support.fake_runs import dashboard_run
from tests.support.tui_datasets import real
from tests.support.widget_bench import WidgetApp, noise, rendered_lines
from tui.screens.datasets.grey_histogram import (
    GREY_BINS,
    GreyShares,
    grey_bars,
    grey_share_per_image,
    grey_shares,
)
from tui.screens.datasets.jobs import BuildStoppedError, DatasetBuild
from tui.screens.datasets.model import NO_RUN, BrowserSide, DatasetBrowser
from tui.screens.datasets.preview import (
    known_datasets,
    preview_dataset,
    preview_text,
    rendering_text,
    runs_on,
    same_dataset,
)
from tui.settings.schema import MAX_FOLDERS, read_folders, remember_folder
from tui.state.reader import RunsReader
from tui.state.snapshot import RunSnapshot
from tui.widgets.images.grid_layout import ZOOMS, TilePlan, next_zoom, plan_tiles
from tui.widgets.images.image_grid import ImageGrid
from tui.widgets.images.image_wall import ImageWall, WallColumn


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("DDPM_DATA", str(folder))
    return folder


def snapshots(root: Path) -> tuple[RunSnapshot, ...]:
    snapshot = RunsReader(root).poll()
    assert snapshot is not None
    return snapshot.runs


def test_classes_are_described_and_the_tiles_of_a_made_set_have_theirs(tmp_path: Path) -> None:
    for name, count in (("cats", 20), ("dogs", 1)):
        (tmp_path / "mine").mkdir(exist_ok=True)
        images(tmp_path / "mine" / name, count)
    browser = DatasetBrowser(str(tmp_path / "mine"))
    for title in ("1", "1 · cats"):
        browser.open(browser.name)
        browser.preview = preview_dataset(browser.name)
        assert "2 classes: cats, dogs." in preview_text(browser.preview)
        side = browser.real()
        assert side is not None
        assert browser.tiles(side, 1, 8, triangles=False, outline="", unfitted="")[0].title == title
        load_dataset(browser.name)
    assert "3 classes: acute, right, obtuse." in preview_text(preview_dataset("kinds"))


def images(path: Path, count: int) -> Path:
    path.mkdir()
    for number in range(count):
        Image.new("RGB", (20, 30), (number * 20, 0, 99)).save(path / f"{number}.png")
    return path


# Greys


def test_bins_cover_every_grey_value_once() -> None:
    values = [value for low, high in GREY_BINS for value in range(low, high + 1)]
    assert values == list(range(256))


def test_each_value_counts_in_its_bin_and_all_shares_add_up() -> None:
    greys = grey_shares(np.array([[[0, 0, 0, 0], [5, 100, 250, 255]]], np.uint8))
    shares = dict(zip(GREY_BINS, greys.shares, strict=True))
    assert shares[0, 0] == 0.5
    assert shares[1, 12] == shares[82, 104] == shares[243, 254] == shares[255, 255] == 0.125
    assert sum(greys.shares) == 1
    assert (greys.not_black_or_white, greys.mid_grey, greys.images) == (0.375, 0.125, 1)


def test_of_a_colour_the_lightest_channel_counts() -> None:
    red = np.zeros((2, 4, 4, 3), np.uint8)
    red[0, ..., 0] = 255
    red[1, ..., 1] = 90
    assert grey_shares(red).shares[-1] == 0.5
    assert grey_share_per_image(red) == [0.0, 1.0]


def test_low_has_more_greys_than_high_and_array_has_none() -> None:
    low, high, array = (grey_shares(real(name)).not_black_or_white for name in ("low", "high", "array"))
    assert low > 2 * high > 0
    assert array == 0


@pytest.mark.parametrize("width", [5, 40, 79, 159])
def test_bars_fit_into_any_width_and_longer_ones_are_more(width: int) -> None:
    few = GreyShares((0.9, 0.0005, *[0.0] * 10, 0.01, 0.0895), 7)
    text = grey_bars([("a", "#ffffff", few), ("b", "#ff0000", few)], width)
    lines = text.split("\n")
    assert all(line.cell_length <= width for line in lines)
    if width >= 79:
        blocks = [line.plain.count("█") for line in lines[1:15]]
        assert blocks[0] > blocks[13] > blocks[12] > blocks[1] > 0
        assert blocks[2:12] == [0] * 10
        assert "a: 1.05% neither black nor white, 0% grey · 7 images" in text.plain


# Previews


def test_the_preview_of_a_built_dataset_is_complete(data: Path) -> None:
    (data / "small.toml").write_text('count = 300\nheldout = 9\nsize = 8\ndescription = "Small ones."\n')
    before = preview_dataset("small")
    assert before.folder is None
    assert len(before.splits[False].images) == 256
    assert "not made yet, these are its first" in preview_text(before)
    made = load_dataset("small")
    after = preview_dataset("small")
    assert after.folder == made.path
    assert np.array_equal(after.splits[False].images, made.train[:, 0])
    assert np.array_equal(after.splits[True].images, before.splits[True].images)
    assert after.splits[True].mark == before.splits[True].mark, "fits that are kept hold for both"
    assert preview_text(after) == (
        f"300 images to train on, 9 held out; kept in {made.path}. 8 x 8, grey, seed 0; drawn at 8 x 8 in "
        "black and white, stored as PNG. Small ones."
    )


def test_a_folder_is_described_with_its_problems(tmp_path: Path) -> None:
    mine = images(tmp_path / "mine", 30)
    (mine / "notes.txt").write_text("hello")
    assert preview_text(preview_dataset(str(mine))) == (
        f"About one image in ten is held out; not made yet, these are its first. 32 x 32, colour, from {mine}, "
        "cropped to squares and resized."
    )
    made = load_dataset(str(mine))
    text = preview_text(preview_dataset(str(mine)))
    assert text.startswith(f"{len(made.train)} images to train on, {len(made.heldout)} held out; kept in")
    assert "1 of 31 files were skipped: 1 not an image. Images of other sizes are resized" in text
    assert "30 of 30 images are nearly one colour" in text
    with pytest.raises(UserError):
        preview_dataset(str(tmp_path / "none"))


def test_each_rendering_of_triangles_is_described() -> None:
    assert (
        rendering_text(DataRecipe(storage="array"))
        == "drawn at 32 x 32 in black and white, stored as an array"
    )
    assert rendering_text(DataRecipe(canvas=99, antialias=True)) == "drawn at 99 x 99 in greys, stored as PNG"


def test_one_dataset_by_two_names_is_known_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert same_dataset("high", "high")
    assert same_dataset("./mine", str(tmp_path / "mine"))
    assert same_dataset("sets/a.toml", str(tmp_path / "sets" / "a.toml"))
    assert not same_dataset("high", str(tmp_path / "high"))
    assert not same_dataset("a\0/b", "a/b")
    for index, dataset in enumerate(("high", "other")):
        dashboard_run(
            tmp_path / "runs", "linear", state=State.FINISHED, epoch=1, index=index, dataset=dataset
        )
    known = known_datasets(snapshots(tmp_path / "runs"), ["./mine", str(tmp_path / "mine"), "other"])
    assert known == ["array", "high", "kinds", "low", "other", "./mine"]


def test_of_the_runs_on_a_dataset_the_newest_with_samples_comes_first(tmp_path: Path) -> None:
    for index, (dataset, epoch) in enumerate((("high", 1), ("low", 1), ("high", 2), ("high", 0))):
        dashboard_run(
            tmp_path, "linear", state=State.STOPPED, epoch=epoch, index=index, dataset=dataset, seed=index
        )
    runs = snapshots(tmp_path)
    assert [run.file.config.train.seed for run in runs_on("high", runs)] == [2, 0]
    browser = DatasetBrowser(name="high")
    assert browser.run(runs) is runs[2]
    assert browser.choose_run(runs, 1)
    assert browser.run(runs) is runs[0]
    assert browser.choose_run(runs, 1)
    assert (browser.run_id, browser.run(runs)) == (NO_RUN, None)
    assert browser.choose_run(runs, 1)
    assert browser.run(runs) is runs[2]
    browser.open("array")
    assert not browser.choose_run(runs, 1)


def test_a_damaged_sheet_has_no_samples_to_show(tmp_path: Path) -> None:
    run = dashboard_run(tmp_path, "linear", state=State.STOPPED, epoch=1)
    run.sample_sheets()[0][1].write_text("nonsense")
    assert DatasetBrowser(name="high").samples(snapshots(tmp_path)[0], "#ffffff") == (None, 1)


def test_with_few_held_out_images_the_training_images_are_shown(tmp_path: Path) -> None:
    browser = DatasetBrowser(preview=preview_dataset(str(images(tmp_path / "few", 12))))
    assert not browser.heldout
    browser.heldout_choice = True
    assert browser.heldout
    assert DatasetBrowser(preview=preview_dataset("array")).heldout


def test_tiles_are_made_once_and_again_after_a_change() -> None:
    browser = DatasetBrowser()
    side = BrowserSide(noise(8), None, grey_shares(noise(8)))

    def tiles(size: int = 32, *, triangles: bool = False, of: BrowserSide = side) -> list[WallColumn]:
        return browser.tiles(of, 3, size, triangles=triangles, outline="#ff0000", unfitted="f fits it")

    first = tiles()
    assert [one.title for one in first] == ["1", "2", "3"]
    assert all(a is b for a, b in zip(first, tiles(), strict=True))
    assert tiles(16)[0].images.shape == (1, 16, 16)  # type: ignore[union-attr]  # it has images
    assert [one.empty for one in tiles(triangles=True)[1::2]] == ["f fits it"] * 3
    browser.first = 7
    assert [one.title for one in tiles()] == ["8"]
    again = BrowserSide(side.images, None, side.greys)
    assert tiles(of=again)[0] is not tiles()[0]


# Where tiles go


@pytest.mark.parametrize(
    ("shape", "width", "height", "zoom", "each", "then"),
    [
        ((32, 32), 160, 43, None, 1, (32, 4, 2)),
        ((32, 32), 39, 18, None, 1, (16, 2, 2)),
        ((32, 32), 39, 18, 32, 1, (32, 1, 1)),
        ((32, 32), 39, 18, 64, 1, (32, 1, 1)),
        ((32, 32), 80, 18, 64, 1, (32, 2, 1)),
        ((32, 32), 39, 18, 16, 2, (16, 1, 2)),
        ((32, 32), 20, 18, 16, 2, (9, 1, 3)),
        ((28, 28), 160, 43, 64, 1, (56, 2, 1)),
        ((64, 32), 160, 43, 16, 1, (16, 9, 2)),
        ((32, 32), 1, 0, None, 2, (2, 1, 1)),
    ],
)
def test_tiles_are_as_many_as_fit(
    shape: tuple[int, int], width: int, height: int, zoom: int | None, each: int, then: tuple[int, int, int]
) -> None:
    assert plan_tiles(shape, width, height, zoom, each=each) == TilePlan(*then)


def test_every_zoom_is_reached_and_one_without_effect_is_skipped() -> None:
    zoom: int | None = None
    seen = []
    for _ in range(3):
        zoom = next_zoom((32, 32), 160, 43, zoom)
        seen.append(zoom)
    assert seen == [64, 16, 32]
    assert next_zoom((32, 32), 8, 5, 16) in ZOOMS


async def test_rows_hold_the_given_number_of_tiles_and_keep_their_size() -> None:
    rows = ImageGrid()
    async with WidgetApp(rows).run_test(size=(60, 30)) as pilot:
        tiles = [WallColumn(f"{index}", noise(1, 16, seed=index)) for index in range(5)]
        rows.show(tiles, 16, 3)
        await pilot.pause()
        walls = [wall for wall in rows.query(ImageWall) if wall.display]
        assert [[one.title for one in wall.columns] for wall in walls] == [["0", "1", "2"], ["3", "4", ""]]
        assert [wall.tile_layout.tile for wall in walls] == [16, 16]
        assert rendered_lines(walls[1])[0].split() == ["3", "4"]
        assert walls[1].region.y == walls[0].region.bottom == 9
        drawn = walls[0].lines_drawn
        rows.show(tiles[:4], 16, 3)
        await pilot.pause()
        assert walls[0].lines_drawn == drawn
        rows.show([], 16, 3)
        await pilot.pause()
        assert not any(wall.display for wall in walls)


# Jobs


def test_a_stopped_build_leaves_no_files(data: Path) -> None:
    (data / "long.toml").write_text("count = 10000000\nsize = 64\n")
    build = DatasetBuild("long")
    build.stop()
    with pytest.raises(BuildStoppedError):
        build.run()
    assert build.status == "making all images"
    assert [path.name for path in data.iterdir() if not path.name.startswith(".")] == ["long.toml"]


def test_folders_are_remembered_the_latest_first_and_not_too_many(tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert read_folders(state) == []
    for number in range(12):
        remember_folder(state, f"/pictures/{number}")
    remember_folder(state, "/pictures/8")
    found = read_folders(state)
    assert found[:3] == ["/pictures/8", "/pictures/11", "/pictures/10"]
    assert len(found) == MAX_FOLDERS
    remember_folder(None, "/pictures")
    assert read_folders(None) == []
    (tmp_path / "state" / "folders").write_bytes(b"\xff")
    assert read_folders(state) == []
