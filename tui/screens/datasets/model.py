"""What the datasets screen shows, before it is on a screen: real pictures and samples as tiles with captions."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from textual.color import Color

from core.files.signature import FileSignature, signature
from core.imaging.outline import draw_outline, filled_triangle
from core.imaging.resize import fit_image
from core.runs.overlay import Overlay, overlay_path, read_overlay
from tui.screens.datasets.grey_histogram import GreyShares, grey_of_each, grey_shares
from tui.screens.datasets.preview import DatasetPreview, Split, runs_on
from tui.state.sheet_cache import SheetCache
from tui.state.snapshot import RunSnapshot
from tui.widgets.images.gallery import sheet_at
from tui.widgets.images.image_wall import WallColumn

Pixels = NDArray[np.uint8]

KEPT_TILES: Final = 1024
NO_RUN: Final = "-"
HANDFUL: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class BrowserSide:
    """Pictures of one kind, their fits and their greys: real ones, or a run's samples."""

    images: Pixels
    overlay: Overlay | None
    greys: GreyShares
    color: str | None = None


@dataclass
class DatasetBrowser:
    """A dataset that is looked at.

    Attributes:
        name: of the dataset, or its path.
        seen: what came of looking at it; None until that is there.
        trouble: why it cannot be looked at; empty when it can.
        chosen_split: whether the held-out pictures are shown, instead of those for training; None shows them where
            there is more than a handful.
        first: the picture at the top, from 0.
        run_id: whose samples are shown; empty takes the newest run, `NO_RUN` shows none.
        epoch: of the samples; None is the latest.
        zoom: one of `tui.widgets.images.grid_layout.ZOOMS`; None takes what suits the screen.
    """

    name: str = ""
    seen: DatasetPreview | None = None
    problem: str = ""
    chosen_split: bool | None = None
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

    def turn_to(self, name: str) -> None:
        """Look at another dataset, from its beginning."""
        self.name, self.seen, self.problem = name, None, ""
        self.first, self.run_id, self.epoch = 0, "", None
        self._tiles.clear()
        self._sides.clear()
        self._overlays.clear()

    @property
    def heldout(self) -> bool:
        """Whether the held-out pictures are shown."""
        if self.chosen_split is not None or self.seen is None:
            return self.chosen_split is not False
        return len(self.seen.splits[True].images) >= HANDFUL

    @property
    def split(self) -> Split | None:
        """The pictures that are looked at; None until they are there."""
        return self.seen.splits[self.heldout] if self.seen is not None else None

    def run(self, runs: Sequence[RunSnapshot]) -> RunSnapshot | None:
        """The run whose samples are shown."""
        able = runs_on(self.name, runs) if self.run_id != NO_RUN else []
        return next((run for run in able if run.id == self.run_id), able[0] if able else None)

    def choose_run(self, runs: Sequence[RunSnapshot], further: int) -> bool:
        """Take the samples of another run, or of none after the last; whether there is a choice."""
        order = [*(run.id for run in runs_on(self.name, runs)), NO_RUN]
        now = self.run(runs)
        at = order.index(now.id if now is not None else NO_RUN)
        self.run_id, self.epoch = order[(at + further) % len(order)], None
        return len(order) > 1

    def real(self) -> BrowserSide | None:
        """The real pictures; the same object while nothing changes."""
        part = self.split
        if part is None:
            return None
        return self._side("real", part.images, self._overlay(part.overlay, part.fitted), part.greys, None)

    def samples(self, run: RunSnapshot, color: str) -> tuple[BrowserSide | None, int]:
        """The samples of a run and their epoch; None where there are none that can be read."""
        found = sheet_at(run, self.epoch)
        sheet = self.cache.sheet(found[1]) if found is not None else None
        if found is None or sheet is None:
            return None, found[0] if found is not None else 0
        images = sheet.images
        overlay = self._overlay(overlay_path(run.run, found[0]), images)
        if self._greys is None or self._greys[0] is not images:
            self._greys = (images, grey_shares(images))
        return self._side("samples", images, overlay, self._greys[1], color), found[0]

    def tiles(
        self, side: BrowserSide, count: int, size: int, *, triangles: bool, outline: str, key: str
    ) -> list[WallColumn]:
        """Tiles from `first` on, two for each picture where triangles are shown.

        Args:
            side: of which side.
            count: for how many pictures.
            size: pixels that a tile is wide.
            triangles: the triangle over the picture, and by itself beside it; otherwise the picture alone.
            outline: colour of the triangle.
            key: the key that has triangles fitted.
        """
        found: list[WallColumn] = []
        for place in range(self.first, min(self.first + count, len(side.images))):
            remembered = (id(side), place, size, triangles, outline, key)
            before = self._tiles.get(remembered)
            if before is None or before[0] is not side:
                image = scaled(side.images[place], size)
                made = (
                    _with_triangle(side, place, image, outline, key)
                    if triangles
                    else [_tile(side, place, image)]
                )
                before = self._tiles[remembered] = (side, made)
            self._tiles.move_to_end(remembered)
            found += before[1]
        while len(self._tiles) > KEPT_TILES:
            self._tiles.popitem(last=False)
        return found

    def _side(
        self, name: str, images: Pixels, overlay: Overlay | None, greys: GreyShares, color: str | None
    ) -> BrowserSide:
        of = (images, overlay, color)
        before = self._sides.get(name)
        if before is None or any(old is not new for old, new in zip(before[0], of, strict=True)):
            before = self._sides[name] = (of, BrowserSide(images, overlay, greys, color))
        return before[1]

    def _overlay(self, path: Path, images: Pixels) -> Overlay | None:
        """The fits in a file, read again only when it has changed."""
        seen = signature(path)
        if seen is None:
            return None
        before = self._overlays.get(path)
        if before is None or before[0] != seen or before[1] is not images:
            before = self._overlays[path] = (seen, images, read_overlay(path, images))
        return before[2]


def scaled(image: Pixels, size: int) -> Pixels:
    """A picture `size` pixels wide, or, where it is smaller and does not divide that, the most that fits."""
    return np.ascontiguousarray(fit_image(image, size))


def _tile(side: BrowserSide, place: int, image: Pixels) -> WallColumn:
    share = grey_of_each(np.asarray(side.images[place : place + 1]))[0]
    return WallColumn(f"{place + 1}", image[None], f"grey {share:.1%}", side.color)


def _with_triangle(side: BrowserSide, place: int, image: Pixels, outline: str, key: str) -> list[WallColumn]:
    title = f"{place + 1}"
    if side.overlay is None or place >= len(side.overlay.corners):
        empty = f"{key} fits it" if side.overlay is None else "not fitted"
        return [
            WallColumn(title, image[None], color=side.color),
            WallColumn("", None, empty=empty),
        ]
    corners, soft_iou = side.overlay.corners[place], side.overlay.soft_iou[place]
    if corners is None or soft_iou is None:
        return [
            WallColumn(title, image[None], color=side.color),
            WallColumn("", None, empty="too little ink for a triangle"),
        ]
    height, width = image.shape[:2]
    scale = width / side.images.shape[2]
    placed = [number * scale for number in corners]
    red, green, blue = Color.parse(outline).rgb
    return [
        WallColumn(title, draw_outline(image, placed, (red, green, blue))[None], color=side.color),
        WallColumn(f"IoU {soft_iou:.3f}", filled_triangle(placed, height, width)[None], color=outline),
    ]
