"""Helpers to drive the datasets screen: runs to show, triangle fits, and visible tiles."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.data import find_data_recipe
from core.data.preview import first_images
from core.evaluation.triangle_fit.worker import fit_overlay
from core.imaging import read_sheet
from core.imaging.resize import fit_image
from core.runs.directory import RunDirectory
from core.runs.overlay import overlay_path, write_overlay
from core.runs.status import State
from tests.support.fake_runs import dashboard_run
from tests.support.tui_pilot import Driven
from tui.screens.datasets.preview import preview_dataset
from tui.screens.datasets.screen import DatasetsScreen
from tui.widgets.images.image_wall import ImageWall, WallColumn


def runs(root: Path) -> list[RunDirectory]:
    """Two runs on `high`, of which the second is the newer one, and one on `array` without samples."""
    return [
        dashboard_run(root, "linear", state=State.FINISHED, epoch=4, epochs=4, clean=True),
        dashboard_run(root, "sine", state=State.FINISHED, epoch=2, epochs=2, index=1, clean=True),
        dashboard_run(root, "x^2", state=State.QUEUED, index=2, dataset="array"),
    ]


def real(dataset: str, *, heldout: bool = True) -> NDArray[np.uint8]:
    return first_images(find_data_recipe(dataset), 256, heldout=heldout)[:, 0]


async def browse(driven: Driven) -> DatasetsScreen:
    """Press b, wait for the screen and its images."""
    await driven.press("b")
    await driven.until(lambda: isinstance(driven.app.screen, DatasetsScreen))
    screen = driven.app.screen
    assert isinstance(screen, DatasetsScreen)
    await looked(driven, screen)
    return screen


async def looked(driven: Driven, screen: DatasetsScreen) -> None:
    await driven.until(lambda: screen.browser.preview is not None)
    await driven.pilot.pause()


def tiles(screen: DatasetsScreen, side: str = "real") -> list[WallColumn]:
    """The visible tiles of a side, without empty ones."""
    if not screen.query_one(f"#{side}").display:
        return []
    walls = [wall for wall in screen.query(f"#{side} ImageWall").results(ImageWall) if wall.display]
    return [one for wall in walls for one in wall.columns if one.title or one.images is not None]


def fitted(directories: list[RunDirectory]) -> None:
    """Write fits of the first images, as if they had been computed."""
    some = real("high")[:128]
    kept = preview_dataset("high").splits[True].overlay
    kept.parent.mkdir()
    write_overlay(kept, fit_overlay(some, "tent"))
    for run in directories:
        for epoch, path in run.sample_sheets():
            overlay_path(run, epoch).parent.mkdir(exist_ok=True)
            write_overlay(overlay_path(run, epoch), fit_overlay(read_sheet(path).images, "tent"))


def shows(tile: WallColumn, image: NDArray[np.uint8]) -> bool:
    """Return whether a tile shows an image at the tile's own size."""
    assert tile.images is not None
    return np.array_equal(tile.images[0], fit_image(image, tile.images.shape[2]))
