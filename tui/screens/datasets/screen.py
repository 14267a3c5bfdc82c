"""The datasets screen: real images beside a run's samples, with fitted triangles and grey histograms."""

from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from core.config import RunConfig
from core.recipes import load_recipe
from core.runs.overlay import overlay_path
from tui.commands import DATASET_NUMBERS, DATASETS, bindings
from tui.messages import SnapshotTaken
from tui.screens.datasets.choice import DatasetChoice
from tui.screens.datasets.grey_histogram import grey_bars, percent
from tui.screens.datasets.model import BrowserSide, DatasetBrowser
from tui.screens.datasets.preview import preview_text, short_name
from tui.screens.live import LiveScreen
from tui.settings.schema import read_folders
from tui.settings.series_colors import series_style
from tui.state.formatting import run_labels
from tui.state.run_controller import RunController
from tui.state.run_draft import RunDraft
from tui.state.snapshot import RunSnapshot, Snapshot
from tui.widgets.chip_line import ChipLine
from tui.widgets.epoch_slider import step_epoch
from tui.widgets.fitted_text import fitted_lines
from tui.widgets.images.gallery import all_epochs, latest_sheet
from tui.widgets.images.grid_layout import TilePlan, next_zoom, plan_tiles
from tui.widgets.images.image_grid import ImageGrid
from tui.widgets.images.image_wall import WallColumn
from tui.widgets.key_bar import KeyBar, KeyHint
from tui.widgets.key_hints import keys_by_command, screen_hints
from tui.widgets.title_bar import title_and_tabs, update_static

if TYPE_CHECKING:
    from tui.export.item import ExportItem

VIEWS: Final = ("images", "triangles", "greys")
NO_TRIANGLES: Final = "triangles are fitted only to sets of triangles"
FACTS_LINES: Final = (2, 3)
"""Lines of the description, below and from `MIN_HEIGHT_FOR_DETAILS`."""
MIN_HEIGHT_FOR_DETAILS: Final = 30
FACTS_SHARE: Final = 12
"""A long description gets up to that fraction of the lines of a high terminal."""
CHROME: Final = 4
"""Lines around the tiles of a side, without those of the description."""
ORIGIN: Final = "current dataset"


class DatasetsScreen(DatasetChoice, LiveScreen[list[RunConfig] | None]):
    """Shows datasets, real images beside samples; returns configurations to queue, or None.

    Args:
        control: the controller of the runs folder.
        start: the dataset to begin with; empty takes the first.
    """

    CSS_PATH = "screen.tcss"
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [*bindings((*DATASETS, *DATASET_NUMBERS))]

    def __init__(self, control: RunController, start: str = "") -> None:
        super().__init__(control, DatasetBrowser(name=start))
        self.view = VIEWS[0]
        self._shown_state: tuple[object, ...] = ()
        self._facts_lines = FACTS_LINES[0]

    def compose(self) -> ComposeResult:
        yield Static(id="top")
        yield ChipLine(id="names")
        yield Static(id="facts")
        with Horizontal(id="body"):
            for side in ("real", "samples"):
                with Vertical(id=side, classes="side"):
                    yield Static(id=f"{side}-title", classes="title")
                    yield ImageGrid(id=f"{side}-rows")
            with VerticalScroll(id="greys", can_focus=False):
                yield Static(id="bars")
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        self.snapshot = getattr(self.app, "snapshot", None) or Snapshot()
        self.folders = read_folders(getattr(self.app, "remember", None))
        self.show_dataset(self.names[self.index])

    def on_snapshot_taken(self, message: SnapshotTaken) -> None:
        self.snapshot = message.snapshot
        run = self.run
        visible = (self.names, *((run.id, run.sheets) if run is not None else ()))
        # A training run posts ten snapshots a second, but only these parts are visible here.
        if visible != self._shown_state:
            self._shown_state = visible
            self.update()

    def on_mouse_scroll_down(self) -> None:
        self.action_rows(1)

    def on_mouse_scroll_up(self) -> None:
        self.action_rows(-1)

    @property
    def run(self) -> RunSnapshot | None:
        """The run whose samples are shown."""
        return self.browser.run(self.snapshot.runs)

    def update(self) -> None:
        """Update the screen to the dataset, the runs and the size; redraws only changes."""
        if not self.is_mounted or not self.query("#top"):
            return
        self._update_bars()
        run, real = self.run, self.browser.real()
        samples, epoch = self._samples(run)
        self.set_class(samples is not None, "-both")
        self.set_class(self.view == "greys", "-greys")
        columns = []
        if real is not None:
            columns.append(("held out" if self.browser.heldout else "training", real))
        if run is not None and samples is not None:
            columns.append((f"samples of {run_labels([run], short=True)[run.id]}, epoch {epoch}", samples))
        if self.view == "greys":
            text = self.app.theme_variables["foreground"]
            bars = [(title, side.color or text, side.greys) for title, side in columns]
            width = self.size.width - 1
            update_static(self.query_one("#bars", Static), grey_bars(bars, width) if bars else Content(""))
            return
        self._update_side("real", real, *([columns[0][0]] if real is not None else [""]))
        self._update_side("samples", samples, columns[-1][0] if columns else "")

    def _samples(self, run: RunSnapshot | None) -> tuple[BrowserSide | None, int]:
        """The samples of a run in the first series colour, and their epoch."""
        color = series_style(0, self.app.theme_variables).color
        return self.browser.samples(run, color) if run is not None else (None, 0)

    def _update_side(self, name: str, side: BrowserSide | None, title: str) -> None:
        rows, line = self.query_one(f"#{name}-rows", ImageGrid), self.query_one(f"#{name}-title", Static)
        split = self.browser.split
        if side is None or split is None:
            rows.show([], 1, 1)
            update_static(line, Content(""))
            return
        plan = self._plan(side)
        rows.show(self._tiles(side), plan.tile, plan.per_row * self._each)
        if name == "real":
            last = min(self.browser.first + plan.visible, len(side.images))
            total = f" of {split.total:,}" if split.total is not None else ""
            title += f" {self.browser.first + 1}-{last}{total}"
        grey = percent(side.greys.not_black_or_white)
        bold = f"bold {side.color}" if side.color else "bold"
        is_colour = side.images.shape[-1] == 3
        text = Content.assemble((title, bold), ("" if is_colour else f" · grey {grey}", "$text-muted"))
        update_static(line, text.truncate(self._side_width, ellipsis=True))

    def _tiles(self, side: BrowserSide) -> list[WallColumn]:
        """The visible tiles of a side."""
        plan = self._plan(side)
        key = keys_by_command(self).get("datasets.fit", ["f"])[0]
        return self.browser.tiles(
            side,
            plan.visible,
            plan.tile,
            triangles=self.view == "triangles",
            outline=series_style(1, self.app.theme_variables).color,
            unfitted="being fitted" if self.is_fitting else f"{key} fits it",
        )

    @property
    def _each(self) -> int:
        """The number of tiles per image."""
        return 2 if self.view == "triangles" else 1

    @property
    def _side_width(self) -> int:
        return (self.size.width - 1) // 2 if self.has_class("-both") else self.size.width

    @property
    def _side_size(self) -> tuple[int, int]:
        """The width in cells and the height in lines for the tiles of a side."""
        return self._side_width, self.size.height - CHROME - self._facts_lines

    def _plan(self, side: BrowserSide) -> TilePlan:
        return plan_tiles(side.images.shape[1:3], *self._side_size, self.browser.zoom, each=self._each)

    def _update_bars(self) -> None:
        width = self.size.width
        status = " · ".join([short_name(self.browser.name), *self.job_status])
        tabs = [("", view) for view in self._views]
        update_static(
            self.query_one("#top", Static), title_and_tabs("datasets", status, tabs, self.view, width)
        )
        self._update_names()
        preview, problem = self.browser.preview, self.browser.problem
        text = problem or (preview_text(preview) if preview is not None else "loading")
        facts = Content.styled(text, "$text-error" if problem else "$text-muted")
        least = FACTS_LINES[self.size.height >= MIN_HEIGHT_FOR_DETAILS]
        lines = fitted_lines(facts, width - 2, max(least, self.size.height // FACTS_SHARE))
        self._facts_lines = max(least, len(lines))
        static = self.query_one("#facts", Static)
        static.styles.height = self._facts_lines
        update_static(static, Content("\n").join(lines))
        self.query_one(KeyBar).show(
            dataset_hints(self, making=self.build is not None, triangles=self.browser.has_triangles)
        )

    def exports(self) -> "list[ExportItem]":
        """The visible tiles, row by row, and the grey histogram of each side."""
        from tui.screens.datasets.export import dataset_items

        run, real = self.run, self.browser.real()
        samples, _ = self._samples(run)
        if real is None:
            return []
        sides = [real, samples] if samples is not None else [real]
        per_row = self._plan(real).per_row * self._each
        tiles = [self._tiles(side) for side in sides]
        rows = [
            [tile for one in tiles for tile in one[start : start + per_row]]
            for start in range(0, len(tiles[0]), per_row)
        ]
        names = ["real", f"samples of {run.id}" if run is not None else ""]
        return dataset_items(rows, [(name, side.greys) for name, side in zip(names, sides, strict=False)])

    def action_close(self) -> None:
        self.dismiss(None)

    def action_view(self, view: str) -> None:
        if view == "triangles" and not self.browser.has_triangles:
            self.notify(NO_TRIANGLES)
            return
        self.view = view
        if view == "triangles" and not self.is_fitting:
            self._fit_shown_images()
        self.update()

    @property
    def _views(self) -> list[str]:
        return [view for view in VIEWS if view != "triangles" or self.browser.has_triangles]

    def action_next_view(self) -> None:
        views = self._views
        index = views.index(self.view) if self.view in views else -1
        self.action_view(views[(index + 1) % len(views)])

    def action_rows(self, rows: int) -> None:
        real = self.browser.real()
        if self.view == "greys":
            self.query_one("#greys").scroll_relative(y=rows, animate=False)
        elif real is not None:
            self._show_from(self.browser.first + rows * self._plan(real).per_row)

    def action_page(self, pages: int) -> None:
        if (real := self.browser.real()) is not None:
            self._show_from(self.browser.first + pages * self._plan(real).visible)

    def action_go(self, end: int) -> None:
        if (real := self.browser.real()) is not None:
            self._show_from(end * len(real.images))

    def action_part(self) -> None:
        self.browser.heldout_choice, self.browser.first = not self.browser.heldout, 0
        self.update()

    def action_zoom(self) -> None:
        if (real := self.browser.real()) is not None:
            shape = real.images.shape[1:3]
            self.browser.zoom = next_zoom(shape, *self._side_size, self.browser.zoom, each=self._each)
            self._show_from(self.browser.first)

    def action_run(self, step: int) -> None:
        if not self.browser.choose_run(self.snapshot.runs, step):
            self.notify("no run on this dataset has samples yet")
        self.update()

    def action_epoch(self, step: int) -> None:
        if (run := self.run) is not None:
            self.browser.epoch = step_epoch(all_epochs([run]), self.browser.epoch, step)
        self.update()

    def action_fit(self) -> None:
        """Fit triangles to images that have none yet, and show them."""
        if not self.browser.has_triangles:
            self.notify(NO_TRIANGLES)
            return
        self.view = "triangles"
        if not self.is_fitting and not self._fit_shown_images():
            self.notify("all of these images have triangles")
        self.update()

    def action_new(self) -> None:
        """Set up runs on this dataset."""
        from tui.screens.new_run.screen import NewRunScreen

        configs = [
            msgspec.structs.replace(one, data=msgspec.structs.replace(one.data, dataset=self.browser.name))
            for one in load_recipe("quick").configs
        ]

        def decided(wanted: list[RunConfig] | None) -> None:
            if wanted:
                self.dismiss(wanted)

        self.app.push_screen(NewRunScreen(RunDraft.from_configs(configs), origin=ORIGIN), decided)

    def _fit_shown_images(self) -> bool:
        """Start fitting triangles to the images shown; return False if all of them have their fits."""
        real, split, run = self.browser.real(), self.browser.split, self.run
        samples, epoch = self._samples(run)
        fitted = samples is None or samples.overlay is not None
        if real is None or split is None or (real.overlay is not None and fitted):
            return real is None
        found = latest_sheet(run, epoch) if run is not None and samples is not None else None
        sheets = (
            [(found[1], overlay_path(run.run, found[0]))] if run is not None and found is not None else []
        )
        self.fit_in_background(split.fitted, split.overlay, sheets)
        return True

    def _show_from(self, first: int) -> None:
        """Show images from an index on, at most so far that the last images still fill the screen."""
        if (real := self.browser.real()) is not None:
            self.browser.first = max(0, min(first, len(real.images) - self._plan(real).visible))
            self.update()


def dataset_hints(screen: Screen[Any], *, making: bool, triangles: bool) -> list[KeyHint]:
    """Key hints with the current key bindings."""
    words = {
        "datasets.next": "dataset",
        "datasets.view": "view",
        "datasets.down": "scroll",
        "datasets.run": "run",
        "datasets.later": "epoch",
        "datasets.part": "split",
        "datasets.fit": "fit",
        "datasets.zoom": "zoom",
        "datasets.open": "folder",
        "datasets.make": "stop making" if making else "make",
        "datasets.new": "new run",
        "datasets.close": "back",
    }
    if not triangles:
        del words["datasets.fit"]
    return screen_hints(screen, DATASETS, words)
