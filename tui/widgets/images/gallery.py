"""Gallery of samples: the sheets of one epoch, divided into columns of the wall."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.files.sanitize import sanitize
from core.imaging.sheet import Sheet
from core.imaging.sheet_classes import sheet_classes
from core.runs.status import State
from tui.settings.series_colors import series_style
from tui.state.sheet_cache import SheetCache
from tui.state.snapshot import RunSnapshot
from tui.widgets.images.image_wall import WallColumn
from tui.widgets.images.tile_size import FULL_SIZE_TILE, FULL_TILE, Tile

Pixels = NDArray[np.uint8]

MAX_CACHED_CUTS: Final = 256
_NAMED_CLASSES: Final = 10


class SampleGallery:
    """Sheets as columns of the wall. Arrays keep their identity as long as files stay the same."""

    def __init__(self, cache: SheetCache | None = None) -> None:
        self.cache = cache or SheetCache()
        self._cuts: OrderedDict[tuple[int, int, int], tuple[Sheet, Pixels]] = OrderedDict()

    def full_tile(self, runs: Sequence[RunSnapshot]) -> Tile:
        """The size at which the first available image is drawn in full."""
        for run in runs:
            found = latest_sheet(run, None)
            sheet = self.cache.sheet(found[1]) if found else None
            if sheet is not None:
                height, width = sheet.images.shape[1:3]
                grown = max(1, FULL_TILE // width)
                return Tile(min(64, width * grown), -(-height * grown * min(64, width) // width // 2))
        return FULL_SIZE_TILE

    def columns(
        self,
        runs: Sequence[RunSnapshot],
        epoch: int | None,
        *,
        labels: Mapping[str, str],
        places: Mapping[str, int],
        per_run: int,
        variables: Mapping[str, str],
        selected: str | None = None,
    ) -> list[WallColumn]:
        """Columns for the wall, `per_run` for each run.

        Args:
            runs: from left to right.
            epoch: the epoch of the images; None for each run's latest. A run without that epoch shows the one before.
            labels: the label of each run, by id.
            places: the index of each run among the runs shown, by id, which selects its colour and number.
            per_run: number of columns over which the images of a run are distributed.
            variables: the variables of the theme.
            selected: id of the run under the cursor, if there is a cursor.
        """
        columns = []
        for run in runs:
            style = series_style(places[run.id], variables)
            found = latest_sheet(run, epoch)
            sheet = self.cache.sheet(found[1]) if found else None
            pointer = "" if selected is None else ">" if run.id == selected else " "
            first = WallColumn(
                title=f"{pointer}{style.marker} {labels[run.id]}",
                images=self._every_nth(sheet, 0, per_run) if sheet is not None else None,
                note=_note(found[0], sheet) if found else "",
                color=style.color,
                empty=_empty_message(run, broken=found is not None),
            )
            others = [
                WallColumn("", self._every_nth(sheet, part, per_run) if sheet is not None else None, empty="")
                for part in range(1, per_run)
            ]
            columns += [first, *others]
        return columns

    def _every_nth(self, sheet: Sheet, part: int, parts: int) -> Pixels:
        """Every `parts`-th image from `part` on; the same array for the same sheet.

        Of a sheet with classes each row of the wall is of one class.
        """
        if parts == 1:
            return sheet.images
        key = (id(sheet), part, parts)
        kept = self._cuts.get(key)
        if kept is None or kept[0] is not sheet:
            kept = self._cuts[key] = (sheet, sheet.images[_indices(sheet, part, parts)])
        self._cuts.move_to_end(key)
        while len(self._cuts) > MAX_CACHED_CUTS:
            self._cuts.popitem(last=False)
        return kept[1]


def _indices(sheet: Sheet, part: int, parts: int) -> slice | list[int]:
    """The images of one of `parts` columns. Image i of a sheet is of class i mod K, and so is row i of the wall."""
    classes = len(sheet_classes(sheet.meta))
    if not classes:
        return slice(part, None, parts)
    count = len(sheet.images)
    return [
        index
        for first in range(part * classes, count, parts * classes)
        for index in range(first, min(first + classes, count))
    ]


def _note(epoch: int, sheet: Sheet | None) -> str:
    names = sheet_classes(sheet.meta) if sheet is not None else ()
    shown = ", ".join(sanitize(name) for name in names[:_NAMED_CLASSES])
    rows = f"rows {shown}{', ...' * (len(names) > _NAMED_CLASSES)}; " if names else ""
    return f"{rows}epoch {epoch}"


def latest_sheet(run: RunSnapshot, epoch: int | None) -> tuple[int, Path] | None:
    """The run's sheet of an epoch, else of the latest epoch before it; None if there is none that early."""
    if epoch is None:
        return run.sheets[-1] if run.sheets else None
    return next((sheet for sheet in reversed(run.sheets) if sheet[0] <= epoch), None)


def all_epochs(runs: Sequence[RunSnapshot]) -> list[int]:
    """The epochs for which any of the runs has images, ascending."""
    return sorted({epoch for run in runs for epoch, _ in run.sheets})


def _empty_message(run: RunSnapshot, *, broken: bool) -> str:
    if broken:
        return "image cannot be read"
    if run.state is State.QUEUED:
        return "waiting in the queue"
    if run.sheets:
        return "no image that early"
    return "no images yet" if run.state.is_live else "no images"
