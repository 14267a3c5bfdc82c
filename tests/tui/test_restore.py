"""The restore screen, driven by keys and the mouse."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.imaging import write_sheet
from tests.support.fake_groups import three_runs
from tests.support.tui_pilot import Driven, dashboard
from tui.screens.denoise.screen import DenoiseScreen
from tui.screens.restore.model import BRUSHES, Answers
from tui.screens.restore.screen import MIN_ANSWER, RestoreScreen, answer_columns
from tui.widgets.images.image_wall import ImageWall, plan_wall


async def restore(driven: Driven) -> RestoreScreen:
    """Open the screen from the denoise screen, and wait for its images."""
    await driven.press("d")
    await driven.until(lambda: isinstance(driven.app.screen, DenoiseScreen) and driven.app.screen.runs)
    await driven.press("r")
    await driven.until(lambda: isinstance(driven.app.screen, RestoreScreen) and driven.app.screen.painter)
    await driven.pilot.pause()
    screen = driven.app.screen
    assert isinstance(screen, RestoreScreen)
    return screen


def write_answers(path: Path, image: Any, calls: int) -> None:
    """A sheet as `core restore --live` writes it: the image, two answers, mean and spread."""
    path.parent.mkdir(exist_ok=True)
    answers = np.stack([image, image, 255 - image, image, 0 * image])
    meta = {"answers": "2", "originals": "0", "calls": str(calls), "of": "10"}
    write_sheet(path, answers, columns=5, meta=meta)


async def test_a_mask_is_painted_and_filled_in_live(tmp_path: Path) -> None:
    runs = three_runs(tmp_path)
    async with dashboard(tmp_path, (80, 24)) as driven:
        screen = await restore(driven)
        painter = screen.painter
        assert painter is not None
        await driven.press("enter")
        assert "paint some pixels first" in driven.notifications()
        await driven.press("right", "up", "minus", "space")
        assert BRUSHES[painter.brush] == 2
        expected = np.zeros((32, 32), dtype=bool)
        expected[15:17, 17:19] = True
        np.testing.assert_array_equal(painter.missing, expected)
        await driven.press("p", "right", "p", "right", "space")
        assert painter.missing.sum() == 4
        await driven.press("space")
        assert painter.missing.sum() == 8
        await driven.press("c", "m", "m")
        assert painter.missing[:, 16:].all()
        assert not painter.missing[:, :16].any()
        assert "50% missing" in driven.text()

        await driven.press("enter")
        await driven.until(lambda: screen.job is not None)
        ((image, known, seed),) = driven.control.restored
        np.testing.assert_array_equal(known, ~painter.missing)
        assert seed == 1
        sheet = runs[0].path / "restored" / "restored.png"
        write_answers(sheet, image, 5)
        await driven.until(lambda: "filling in 50%" in driven.text())
        first, second, rest = screen.query_one("#answers", ImageWall).columns
        assert first.images is not None
        assert second.images is not None
        assert rest.images is not None
        np.testing.assert_array_equal(second.images[0], 255 - image)
        assert [len(images) for images in (first.images, second.images, rest.images)] == [1, 1, 2]
        assert screen.job is not None
        screen.job.ended = True  # type: ignore[misc]  # a fake
        write_answers(sheet, image, 10)
        await driven.until(lambda: screen.job is None)
        assert "done" in driven.text()
        await driven.press("right_square_bracket")
        assert screen.index == 1
        assert painter.missing[:, 16:].all()
        await driven.press("escape")
        assert isinstance(driven.app.screen, DenoiseScreen)


async def test_the_mouse_paints_where_it_is_dragged_and_erases_with_shift(tmp_path: Path) -> None:
    three_runs(tmp_path)
    async with dashboard(tmp_path, (160, 50)) as driven:
        screen = await restore(driven)
        painter = screen.painter
        assert painter is not None
        # Pixels are two cells wide and a line high here.
        await driven.pilot.mouse_down("#canvas", offset=(10, 4))
        await driven.pilot.hover("#canvas", offset=(20, 4))
        await driven.pilot.mouse_up("#canvas", offset=(20, 4))
        await driven.until(lambda: painter.missing[4, 10])
        assert painter.missing[3:6, 4:7].all()
        await driven.pilot.mouse_down("#canvas", offset=(10, 4), shift=True)
        await driven.pilot.mouse_up("#canvas", offset=(10, 4))
        await driven.until(lambda: not painter.missing[4, 5])
        for size in ((20, 5), (80, 24)):
            await driven.pilot.resize_terminal(*size)
            await driven.press("space", "m")
            assert screen.size == size


@pytest.mark.parametrize(("width", "height"), [(47, 20), (63, 46), (40, 20)])
def test_four_answers_are_all_visible(width: int, height: int) -> None:
    images = np.arange(6, dtype=np.uint8)[:, None, None] * np.ones((1, 32, 32), np.uint8)
    columns = answer_columns(Answers(images[:4], images[4:], 1, 1), width, height, 1, further="pagedown")
    layout = plan_wall(columns, width, min_tile=MIN_ANSWER)
    assert layout.shown == len(columns)
    assert max(len(column.images) for column in columns if column.images is not None) * layout.lines <= height
    shown = [
        column.images[row, 0, 0] for row in range(2) for column in columns[:-1] if column.images is not None
    ]
    assert shown == [0, 1, 2, 3]
    assert (columns[0].title, columns[0].note) == ("4 answers", "")


def test_a_key_is_named_where_answers_are_out_of_sight() -> None:
    images = np.zeros((40, 32, 32), np.uint8)
    columns = answer_columns(Answers(images, images[:2], 1, 1), 47, 10, 1, further="pagedown")
    assert columns[0].note == "pagedown: more"
