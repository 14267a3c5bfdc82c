"""Model of the datasets screen: real images and samples as tiles with captions."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from textual.color import Color

from core.files.sanitize import sanitize
from core.files.signature import FileSignature, signature
from core.imaging.outline import draw_outline, filled_triangle
from core.imaging.resize import fit_image
from core.runs.overlay import Overlay, overlay_path, read_overlay
from tui.screens.datasets.grey_histogram import GreyShares, grey_share_per_image, grey_shares
from tui.screens.datasets.preview import DatasetPreview, Split, runs_on
from tui.state.sheet_cache import SheetCache
from tui.state.snapshot import RunSnapshot
from tui.widgets.images.gallery import latest_sheet
from tui.widgets.images.image_wall import WallColumn

Pixels = NDArray[np.uint8]

MAX_CACHED_TILES: Final = 1024
NO_RUN: Final = "-"
MIN_HELDOUT: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class BrowserSide:
    """One side of the screen, real images or a run's samples, with triangle fits and grey histogram.

    `labels` are the classes of the images, [N], as indices of the names in `classes`; None without labels.
    """

    images: Pixels
    overlay: Overlay | None
    greys: GreyShares
    color: str | None = None
    labels: NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()

    def title(self, index: int) -> str:
        """The number of an image, from 1, and its class."""
        if self.labels is None:
            return f"{index + 1}"
        return f"{index + 1} · {sanitize(self.classes[self.labels[index]])}"


@dataclass
class DatasetBrowser:
    """The dataset that is shown, and the position in it.

    Attributes:
        name: the dataset's name or path.
        preview: its preview; None until it is loaded.
        problem: why the preview cannot be loaded; empty if it can.
        heldout_choice: whether to show the held-out split instead of the training split; None shows the held-out
            split if it has at least `MIN_HELDOUT` images.
        first: the index of the first visible image.
        run_id: the run whose samples are shown; empty takes the newest run, `NO_RUN` shows none.
        epoch: the epoch of the samples; None is the latest.
        zoom: one of `tui.widgets.images.grid_layout.ZOOMS`; None takes the zoom that suits the screen.
    """

    name: str = ""
    preview: DatasetPreview | None = None
    problem: str = ""
    heldout_choice: bool | None = None
    first: int = 0
    run_id: str = ""
    epoch: int | None = None
    zoom: int | None = None
    cache: SheetCache = field(default_factory=SheetCache)
    _overlays: dict[Path, tuple[FileSignature, Pixels, Overlay | None]] = field(default_factory=dict)
    _greys: tuple[Pixels, GreyShares] | None = None
    _tiles: OrderedDict[tuple[object, ...], tuple[BrowserSide, list[WallColumn]]] = field(
        default_factory=OrderedDict
    )
    _sides: dict[str, tuple[tuple[object, ...], BrowserSide]] = field(default_factory=dict)

    def open(self, name: str) -> None:
        """Go to the beginning of another dataset."""
        self.name, self.preview, self.problem = name, None, ""
        self.first, self.run_id, self.epoch = 0, "", None
        self._tiles.clear()
        self._sides.clear()
        self._overlays.clear()

    @property
    def heldout(self) -> bool:
        """True if the held-out split is shown."""
        if self.heldout_choice is not None or self.preview is None:
            return self.heldout_choice is not False
        return len(self.preview.splits[True].images) >= MIN_HELDOUT

    @property
    def has_triangles(self) -> bool:
        """False if the images are known to be no triangles but the user's own."""
        return self.preview is None or self.preview.recipe.kind == "triangles"

    @property
    def split(self) -> Split | None:
        """The split that is shown; None until it is loaded."""
        return self.preview.splits[self.heldout] if self.preview is not None else None

    def run(self, runs: Sequence[RunSnapshot]) -> RunSnapshot | None:
        """The run whose samples are shown; None for no run."""
        candidates = runs_on(self.name, runs) if self.run_id != NO_RUN else []
        newest = candidates[0] if candidates else None
        return next((run for run in candidates if run.id == self.run_id), newest)

    def choose_run(self, runs: Sequence[RunSnapshot], step: int) -> bool:
        """Show the samples of another run, or of none after the last run; return whether there is a choice."""
        order = [*(run.id for run in runs_on(self.name, runs)), NO_RUN]
        current = self.run(runs)
        index = order.index(current.id if current is not None else NO_RUN)
        self.run_id, self.epoch = order[(index + step) % len(order)], None
        return len(order) > 1

    def real(self) -> BrowserSide | None:
        """The real images; the same object until something changes."""
        preview, split = self.preview, self.split
        if preview is None or split is None:
            return None
        overlay = self._overlay(split.overlay, split.fitted)
        made = BrowserSide(split.images, overlay, split.greys, None, split.labels, preview.classes)
        return self._side("real", made)

    def samples(self, run: RunSnapshot, color: str) -> tuple[BrowserSide | None, int]:
        """The samples of a run and their epoch; None if none can be read."""
        found = latest_sheet(run, self.epoch)
        sheet = self.cache.sheet(found[1]) if found is not None else None
        if found is None or sheet is None:
            return None, found[0] if found is not None else 0
        images = sheet.images
        overlay = self._overlay(overlay_path(run.run, found[0]), images)
        if self._greys is None or self._greys[0] is not images:
            self._greys = (images, grey_shares(images))
        return self._side("samples", BrowserSide(images, overlay, self._greys[1], color)), found[0]

    def tiles(
        self, side: BrowserSide, count: int, size: int, *, triangles: bool, outline: str, unfitted: str
    ) -> list[WallColumn]:
        """Tiles from `first` on, two for each image if triangles are shown.

        Args:
            side: the side to show.
            count: the number of images.
            size: the width of a tile in pixels.
            triangles: show the triangle over the image, and by itself beside it; otherwise the image alone.
            outline: the colour of the triangle.
            unfitted: text in place of triangles that have not been fitted.
        """
        tiles: list[WallColumn] = []
        for index in range(self.first, min(self.first + count, len(side.images))):
            cache_key = (id(side), index, size, triangles, outline, unfitted)
            cached = self._tiles.get(cache_key)
            if cached is None or cached[0] is not side:
                image = scaled(side.images[index], size)
                made = (
                    _triangle_tiles(side, index, image, outline, unfitted)
                    if triangles
                    else [_image_tile(side, index, image)]
                )
                cached = self._tiles[cache_key] = (side, made)
            self._tiles.move_to_end(cache_key)
            tiles += cached[1]
        while len(self._tiles) > MAX_CACHED_TILES:
            self._tiles.popitem(last=False)
        return tiles

    def _side(self, name: str, made: BrowserSide) -> BrowserSide:
        """Keep a side while its images, fits and colour are the same objects."""
        key = (made.images, made.overlay, made.color)
        cached = self._sides.get(name)
        if cached is None or any(old is not new for old, new in zip(cached[0], key, strict=True)):
            cached = self._sides[name] = (key, made)
        return cached[1]

    def _overlay(self, path: Path, images: Pixels) -> Overlay | None:
        """The fits in a file, reread only when it changes."""
        current = signature(path)
        if current is None:
            return None
        cached = self._overlays.get(path)
        if cached is None or cached[0] != current or cached[1] is not images:
            cached = self._overlays[path] = (current, images, read_overlay(path, images))
        return cached[2]


def scaled(image: Pixels, size: int) -> Pixels:
    """An image scaled to `size` pixels wide; if it is smaller, to the largest multiple of its width that fits."""
    return np.ascontiguousarray(fit_image(image, size))


def _image_tile(side: BrowserSide, index: int, image: Pixels) -> WallColumn:
    share = grey_share_per_image(np.asarray(side.images[index : index + 1]))[0]
    text = f"grey {share:.1%}" if image.ndim == 2 else ""  # a share of greys says nothing about colours
    return WallColumn(side.title(index), image[None], text, side.color)


def _triangle_tiles(
    side: BrowserSide, index: int, image: Pixels, outline: str, unfitted: str
) -> list[WallColumn]:
    title = side.title(index)
    if side.overlay is None or index >= len(side.overlay.corners):
        empty = unfitted if side.overlay is None else "not fitted"
        return [
            WallColumn(title, image[None], color=side.color),
            WallColumn("", None, empty=empty),
        ]
    corners, soft_iou = side.overlay.corners[index], side.overlay.soft_iou[index]
    if corners is None or soft_iou is None:
        return [
            WallColumn(title, image[None], color=side.color),
            WallColumn("", None, empty="too little ink for a triangle"),
        ]
    height, width = image.shape[:2]
    scale = width / side.images.shape[2]
    scaled_corners = [number * scale for number in corners]
    red, green, blue = Color.parse(outline).rgb
    return [
        WallColumn(title, draw_outline(image, scaled_corners, (red, green, blue))[None], color=side.color),
        WallColumn(
            f"IoU {soft_iou:.3f}", filled_triangle(scaled_corners, height, width)[None], color=outline
        ),
    ]
