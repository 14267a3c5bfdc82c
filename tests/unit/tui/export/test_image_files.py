"""Exports: images and animations of columns, tables as CSV, and numbered folders."""

import csv
import errno
import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from core.errors import UserError
from core.runs.results import Evaluation, add_evaluation
from core.runs.status import State
from core.statistics.estimate import Estimate
from tests.support.fake_runs import dashboard_run
from tui.export import image_files
from tui.export.image_files import CAPTION_HEIGHT, Grid, evenly_spaced, gif, png, render_wall
from tui.export.item import ExportItem, write_export
from tui.screens.compare.export import _cell, table_item, wall_items
from tui.state.reader import RunsReader
from tui.widgets.images.image_wall import WallColumn


def tiles(count: int, size: int = 8, *, colour: bool = False) -> NDArray[np.uint8]:
    shape = (count, size, size, 3) if colour else (count, size, size)
    return (np.arange(np.prod(shape)).reshape(shape) * 7 % 256).astype(np.uint8)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("colour", [False, True])
def test_every_pixel_of_a_wall_is_a_square_of_that_colour(colour: bool) -> None:
    columns = [WallColumn("1 linear", tiles(3, colour=colour)), WallColumn("2 sine", tiles(2))]
    grid = Grid.from_lines([columns])
    found = np.asarray(opened(png(render_wall([columns]))))
    down, across = grid.tile
    for x, column in enumerate(columns):
        assert column.images is not None
        for y, image in enumerate(column.images):
            top, left = 2 * CAPTION_HEIGHT + y * down, x * across
            for row in range(grid.factor):
                seen = found[top + row : top + down - 1 : grid.factor, left : left + across - 1 : grid.factor]
                wanted = image[..., None].repeat(3, 2) if colour and image.ndim == 2 else image
                assert np.array_equal(seen, wanted)


def test_images_are_enlarged_by_whole_factors_up_to_the_target_size() -> None:
    assert Grid.from_lines([[WallColumn("", tiles(1, 8))]]).factor == image_files.MAX_FACTOR
    assert Grid.from_lines([[WallColumn("", tiles(16, 32))]]).factor == 3
    assert Grid.from_lines([[WallColumn("", tiles(1, 32))] * 60]).factor == 1


def test_a_column_without_images_shows_the_reason() -> None:
    with_word = render_wall([[WallColumn("a", tiles(1, 64)), WallColumn("b", None, empty="waits")]])
    without = render_wall([[WallColumn("a", tiles(1, 64)), WallColumn("b", None, empty="")]])
    assert not np.array_equal(with_word, without)


def test_no_images_and_far_too_many_are_one_line_errors() -> None:
    with pytest.raises(UserError, match="no images to export"):
        render_wall([[WallColumn("a", None)]])
    with pytest.raises(UserError, match="more than an image may have"):
        render_wall([[WallColumn("a", tiles(1, 1024))] * 40])


def test_an_animation_shows_each_frame_and_pauses_at_the_last() -> None:
    shades = [np.full((1, 8, 8), shade, np.uint8) for shade in (0, 100, 200)]
    image = opened(gif(lambda index: [[WallColumn("", shades[index])]], range(3), 80))
    seen = []
    for frame in range(image.n_frames):
        image.seek(frame)
        seen.append((np.asarray(image.convert("L"))[-5, 5], image.info["duration"]))
    assert seen == [(0, 80), (100, 80), (200, image_files.LAST_FRAME_MS)]
    assert image.info["loop"] == 0


def test_an_animation_whose_first_images_are_missing_keeps_its_size() -> None:
    def frame(index: int) -> list[list[WallColumn]]:
        return [[WallColumn("a", tiles(2) if index else None), WallColumn("b", tiles(1 + index))]]

    assert opened(gif(frame, range(2))).size == (
        Grid.from_lines(frame(1)).tile[1] * 2 - 1,
        2 * CAPTION_HEIGHT + 2 * Grid.from_lines(frame(1)).tile[0],
    )


def test_long_animations_keep_their_first_and_last_frame() -> None:
    chosen = evenly_spaced(range(1000), 120)
    assert len(chosen) == 120
    assert (chosen[0], chosen[-1]) == (0, 999)
    assert chosen == sorted(set(chosen))


def test_an_export_never_overwrites_anything(tmp_path: Path) -> None:
    (tmp_path / "board-1").mkdir()
    (tmp_path / "board-2").write_text("mine", encoding="utf-8")
    (tmp_path / "board-3").symlink_to("nowhere")
    written = [write_export(tmp_path, "board", [ExportItem("a.txt", lambda: b"data")]) for _ in range(2)]
    assert [one.folder.name for one in written] == ["board-4", "board-5"]
    assert (tmp_path / "board-4" / "a.txt").read_bytes() == b"data"
    assert list((tmp_path / "board-1").iterdir()) == []
    assert (tmp_path / "board-2").read_text(encoding="utf-8") == "mine"
    assert len(list(tmp_path.iterdir())) == 5


def test_an_item_that_cannot_be_made_is_left_out_and_reported(tmp_path: Path) -> None:
    def broken() -> bytes:
        raise UserError("cannot be read")

    written = write_export(
        tmp_path / "new", "board", [ExportItem("a", broken), ExportItem("b", lambda: b"b")]
    )
    assert written.names == ("b",)
    assert written.errors == ("a: cannot be read",)
    assert [path.name for path in written.folder.iterdir()] == ["b"]


def test_a_folder_that_cannot_be_written_is_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"nothing exported .*--exports takes another folder") as caught:
        write_export(tmp_path / "file", "board", [])
    assert "\n" not in str(caught.value)


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="No space left on device"):
        write_export(tmp_path, "board", [ExportItem("a", lambda: b"data")])
    assert list(tmp_path.iterdir()) == []


def test_the_table_has_a_line_per_run_with_its_numbers_and_distinguishing_settings(tmp_path: Path) -> None:
    dashboard_run(tmp_path, "linear", state=State.FINISHED, epoch=3, epochs=3)
    dashboard_run(tmp_path, "x^2", index=1, state=State.QUEUED)
    snapshot = RunsReader(tmp_path).poll()
    assert snapshot is not None
    names = {run.id: run.label for run in snapshot.runs}
    piece = table_item(snapshot.runs, names)
    rows = list(csv.DictReader(io.StringIO(piece.make().decode())))
    assert [row["name"] for row in rows] == ["linear", "x^2"]
    assert [row["state"] for row in rows] == ["finished", "queued"]
    assert [row["schedule.name"] for row in rows] == ["linear", "x^2"]
    assert float(rows[0]["heldout"]) == snapshot.runs[0].epochs[-1].heldout
    assert rows[1]["heldout"] == ""


def evaluated(epoch: int, count: int = 100, **metrics: Estimate) -> Evaluation:
    created = "2026-11-24T12:00:00+00:00"
    return Evaluation(created=created, epoch=epoch, dataset="high", count=count, heldout=50, metrics=metrics)


def test_the_table_has_evaluated_metrics_with_their_intervals(tmp_path: Path) -> None:
    runs = [
        dashboard_run(tmp_path, name, index=index, state=State.FINISHED, epoch=3, epochs=3)
        for index, name in enumerate(("linear", "sine", "x^2", "x^10"))
    ]
    add_evaluation(runs[0], evaluated(3, residual=Estimate(0.1, 0.05, 0.2)))
    add_evaluation(runs[1], evaluated(3, residual=Estimate(0.7), count=7))
    add_evaluation(runs[1], evaluated(2, residual=Estimate(0.3), pass_rate=Estimate(0.5, 0.4, 0.6)))
    add_evaluation(runs[2], evaluated(9, residual=Estimate(0.9)))
    (runs[3].path / "evaluation.json").write_text("damaged", encoding="utf-8")
    snapshot = RunsReader(tmp_path).poll()
    assert snapshot is not None
    table = table_item(snapshot.runs, {run.id: run.label for run in snapshot.runs}).make().decode()
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [row["residual"] for row in rows] == ["0.1", "0.3", "0.9", ""]
    assert [row["residual.low"] for row in rows] == ["0.05", "", "", ""]
    assert [row["pass_rate.high"] for row in rows] == ["", "0.6", "", ""]
    assert [row["judged epoch"] for row in rows] == ["3", "2", "9", ""]
    headings = list(rows[0])
    assert headings.index("pass_rate") < headings.index("residual")


def test_text_that_a_spreadsheet_would_compute_stays_text() -> None:
    assert [_cell(value) for value in ("=1+1", "-x", -1.5, None)] == ["'=1+1", "'-x", -1.5, ""]


def test_a_damaged_sheet_affects_only_its_own_column(tmp_path: Path) -> None:
    dashboard_run(tmp_path, "linear", state=State.FINISHED, epoch=2, epochs=2)
    damaged = dashboard_run(tmp_path, "sine", index=1, state=State.FINISHED, epoch=2, epochs=2)
    (damaged.samples / "epoch-0002.png").write_bytes(b"no image")
    snapshot = RunsReader(tmp_path).poll()
    assert snapshot is not None
    named = {run.id: run.label for run in snapshot.runs}
    indices = {run.id: index for index, run in enumerate(snapshot.runs)}
    variables = {f"series-{number}": "#ffffff" for number in range(1, 9)}
    items = wall_items(snapshot.runs, None, labels=named, places=indices, variables=variables)
    assert [piece.name for piece in items] == ["wall.png", "wall.gif"]
    assert opened(items[0].make()).height > 16 * 32
    assert opened(items[1].make()).n_frames == 2
