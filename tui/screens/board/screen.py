"""The board: the runs of a group, live, with their loss curves and sample images."""

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.timer import Timer
from textual.widgets import Static

from core.files.sanitize import sanitize
from tui.commands import BOARD, RUN_NUMBERS, bindings
from tui.messages import SnapshotTaken
from tui.screens.board.details import DetailsPanel, RunDetails
from tui.screens.board.empty_state import EmptyState
from tui.screens.board.layout import MIN_HEIGHT, MIN_WIDTH, Layout, is_too_small, plan_layout
from tui.screens.board.list_actions import ListActionsMixin
from tui.screens.board.run_actions import RunActionsMixin
from tui.screens.board.run_table import RowList, RunRow, RunTable
from tui.screens.board.system_actions import SystemActionsMixin
from tui.screens.board.system_panel import SystemPanel
from tui.screens.live import LiveScreen
from tui.settings.series_colors import series_style
from tui.state.follower import Follower
from tui.state.run_controller import RunController
from tui.state.run_events import RunEvents
from tui.state.selection import RunSelection
from tui.state.snapshot import RunSnapshot, Snapshot
from tui.state.system_load import SystemLoad, SystemLoadReader
from tui.widgets.area import Area, place_widget
from tui.widgets.charts.loss_chart import LossChart
from tui.widgets.charts.loss_series import loss_series
from tui.widgets.header import Header, make_headline
from tui.widgets.images.gallery import SampleGallery, all_epochs, latest_sheet
from tui.widgets.images.image_wall import ImageWall
from tui.widgets.images.render_mode import current_render_mode
from tui.widgets.images.tile_size import MIN_TILE
from tui.widgets.key_bar import KeyBar
from tui.widgets.key_hints import board_hints, keys_by_command, waiting_hint

if TYPE_CHECKING:
    from tui.export.item import ExportItem

CHART_INTERVAL: Final = 1.0
CHART_SLACK: Final = 0.1
"""Seconds by which the chart may be early, because it is then drawn together with the rest."""
CHART_REST: Final = 0.1
"""Seconds without a key after which the chart follows the cursor; the rest of the screen follows at once."""


class Board(RunActionsMixin, ListActionsMixin, SystemActionsMixin, LiveScreen[None]):
    """Runs as rows, their losses as curves, their samples as a wall of images.

    Args:
        control: of the runs folder.
        read_load: reads the load of the system; the real one unless given.
    """

    CSS_PATH = "screen.tcss"
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [*bindings((*BOARD, *RUN_NUMBERS))]

    def __init__(
        self,
        control: RunController,
        *,
        read_load: Callable[[], SystemLoad] | None = None,
        follower: Follower | None = None,
    ) -> None:
        super().__init__()
        self.control = control
        self.follower = follower
        self.selection = RunSelection(on_change=self._apply_selection)
        self.read_load = read_load or SystemLoadReader().read
        self.gallery = SampleGallery()
        self._run_events = RunEvents()
        self._first_column = 0
        self._wall_runs: tuple[RunSnapshot, ...] = ()
        self._chart_timer: Timer | None = None
        self._chart_due = -math.inf

    def compose(self) -> ComposeResult:
        yield Header(id="top")
        with Container(id="body"):
            yield RunTable(id="table")
            yield DetailsPanel(id="details")
            yield LossChart(id="chart")
            yield ImageWall(id="wall")
            yield SystemPanel(id="system")
        with Container(id="empty-state"):
            yield EmptyState()
        yield KeyBar(id="keys")
        yield Static("", id="too-small")

    def on_mount(self) -> None:
        self.set_interval(1.0, self._tick)

    def on_snapshot_taken(self, message: SnapshotTaken) -> None:
        self._notify_problems(message.snapshot)
        self._notify_ended(message.snapshot)
        self.selection.update(message.snapshot)
        # Redrawing the curves more often shows no more, but fills the connection to a remote terminal.
        wait = self._chart_due - time.monotonic()
        soon = wait <= CHART_SLACK
        self.update(chart=soon)
        if not soon and self._chart_timer is None:
            self._chart_timer = self.set_timer(wait, self._update_chart)

    def _apply_selection(self) -> None:
        self.update(chart=False)
        if self.is_mounted:
            if self._chart_timer is not None:
                self._chart_timer.stop()
            self._chart_timer = self.set_timer(CHART_REST, self._update_chart)

    def _notify_problems(self, snapshot: Snapshot) -> None:
        """Notify once of each run folder that cannot be read."""
        known = self.selection.snapshot.problems if self.selection.snapshot is not None else ()
        for problem in snapshot.problems[:3]:
            if problem not in known:
                self.notify(problem.text, title="cannot be read", severity="warning", markup=False)

    def _notify_ended(self, snapshot: Snapshot) -> None:
        """Notify of runs that ended, on whichever screen is open, and ring the bell."""
        events = self._run_events.update(snapshot)
        for event in events:
            self.app.notify(event.text, title=event.title, severity=event.severity, markup=False, timeout=10)
        if events:
            self.app.bell()

    def on_board_system_changed(self) -> None:
        self.update(chart=False)

    def on_run_table_selected(self, message: RunTable.Selected) -> None:
        self.selection.select_run(message.run_id)
        if message.opened:
            self.action_compare()

    @property
    def runs(self) -> tuple[RunSnapshot, ...]:
        """The listed runs."""
        return self.selection.runs

    @property
    def selected(self) -> RunSnapshot | None:
        """The run under the cursor."""
        return self.selection.selected

    def update(self, *, chart: bool = True) -> None:
        """Bring the screen in line with the snapshot, the selection and the size; draw only what changed.

        Args:
            chart: whether the chart, too, is brought up to date at once.
        """
        if not self.is_mounted or not self.is_current:
            return
        runs = self.runs
        width, height = self.size
        self.set_class(is_too_small(width, height), "-small")
        self.set_class(self.selection.is_empty, "-empty")
        if self.has_class("-small"):
            message = f"needs {MIN_WIDTH}x{MIN_HEIGHT}\n[dim]this is {width}x{height}[/]"
            self.query_one("#too-small", Static).update(message)
            return
        self._update_bars()
        below = self._update_system(width, height)
        if not runs:
            self.query_one(EmptyState).show(keys_by_command(self), self.control.root)
            self._apply_layout(Layout(Area(0, 0, width, max(1, height - 2 - below))))
            self._update_table()
            return
        tile = self.gallery.full_tile(self.selection.visible_page)
        layout = plan_layout(width, height - 2 - below, len(runs), tile, current_render_mode(self).zoom)
        self._apply_layout(layout)
        self._update_table()
        self._update_images(layout)
        if chart or not self.query_one(LossChart).series:
            self._update_chart()

    def _update_chart(self) -> None:
        if self._chart_timer is not None:
            self._chart_timer.stop()
            self._chart_timer = None
        chart, runs = self.query_one(LossChart), self.selection.visible_page
        selected = self.selected
        if self.is_current and chart.display and selected is not None:
            run_list = self.selection.run_list
            self._chart_due = time.monotonic() + CHART_INTERVAL
            chart.show(
                loss_series(runs, run_list.names, self.app.theme_variables, places=run_list.colour_index)
            )
            chart.highlight = runs.index(selected)

    def _apply_layout(self, layout: Layout) -> None:
        for selector, area in (
            ("#table", layout.table),
            ("#details", layout.details),
            ("#chart", layout.chart),
            ("#wall", layout.wall),
        ):
            place_widget(self.query_one(selector), area)

    def _tick(self) -> None:
        """Update the clock in the header while runs train."""
        if self.is_current and any(run.state.is_live for run in self.selection.run_list.totals.pending):
            self.update_top()

    def update_top(self) -> None:
        """Update the top line."""
        selection = self.selection
        snapshot, groups = selection.snapshot or Snapshot(), selection.groups
        self.query_one(Header).show(
            make_headline(
                selection.run_list.totals,
                title=selection.run_list.title,
                now=self.control.now(),
                runner_alive=snapshot.runner_alive,
                problems=len(snapshot.problems),
                dated=selection.run_list.grouping == "start"
                and selection.group is not None
                and len(groups) > 1,
                order=selection.run_list.order.text,
                unread=snapshot.unread,
                follower=self.follower,
            )
        )

    def _update_bars(self) -> None:
        self.update_top()
        selection = self.selection
        groups = selection.groups
        self.query_one(KeyBar).show(
            board_hints(
                self.selected,
                marked=len(selection.marked),
                groups=len(groups),
                screen=self,
                filtered=bool(selection.run_list.filter_text),
                any_runs=not selection.is_empty,
            )
        )

    def _update_table(self) -> None:
        selection, run_list = self.selection, self.selection.run_list
        alive = selection.snapshot is not None and selection.snapshot.runner_alive
        alive = alive or self.follower is not None  # the runner of the other host
        served = alive or any(run.state.is_live for run in run_list.totals.pending)

        def row(index: int) -> RunRow:
            run = run_list.runs[index]
            return RunRow(
                run,
                run_list.names[run.id],
                run_list.colour_index[run.id],
                run.id in selection.marked,
                waiting_hint(run, served=served),
            )

        rows = RowList(
            len(run_list.runs),
            row,
            label_width=run_list.name_width,
            groups=run_list.has_several_starts,
            seconds=run_list.shows_seconds,
            evaluated=run_list.has_evaluations,
            empty=self._empty_text(),
            total=run_list.group_size,
        )
        self.query_one(RunTable).show(rows, selection.row)

    def _empty_text(self) -> str:
        """Text in place of rows: no run matches, or none has been read yet."""
        words, snapshot = self.selection.run_list.filter_text, self.selection.snapshot
        if snapshot is None or not snapshot.runs:
            return "reading the runs"
        if not words:
            return "no runs here"
        if snapshot.unread:
            return f"no run matches {sanitize(words)} yet; {snapshot.unread:,} are still being read"
        return f"no run matches {sanitize(words)}; esc clears the search"

    def _update_images(self, layout: Layout) -> None:
        runs, run_list = self.runs, self.selection.run_list
        selected, names = runs[self.selection.row], run_list.names
        if layout.selected_only or layout.wall is None:
            window: Sequence[RunSnapshot] = [selected]
        else:
            window = self._visible_window(
                runs, max(1, layout.wall.width // self._min_tile_width(self.selection.visible_page))
            )
        self._wall_runs = tuple(window)
        variables = self.app.theme_variables
        if layout.wall is not None:
            wall = self.query_one(ImageWall)
            wall.titles = layout.titles
            wall.show(
                self.gallery.columns(
                    window,
                    self.selection.epoch,
                    labels=names,
                    selected=selected.id,
                    places=run_list.colour_index,
                    per_run=layout.per_run,
                    variables=variables,
                )
            )
        epoch = self.selection.epoch
        sheet = latest_sheet(selected, epoch)
        shown_epoch = sheet[0] if sheet else None
        style = series_style(run_list.colour_index[selected.id], variables)
        self.query_one(DetailsPanel).show(
            RunDetails(
                run=selected,
                label=names[selected.id],
                marker=style.marker,
                color=style.color,
                epochs=tuple(all_epochs(window)),
                shown_epoch=shown_epoch,
                requested_epoch=shown_epoch if epoch is None else epoch,
                following=epoch is None,
            )
        )

    def _min_tile_width(self, runs: Sequence[RunSnapshot]) -> int:
        zoom = current_render_mode(self).zoom
        return MIN_TILE if zoom == 1 else zoom * self.gallery.full_tile(runs).width

    def _visible_window(self, runs: Sequence[RunSnapshot], columns: int) -> Sequence[RunSnapshot]:
        """Neighbouring runs for so many columns, the selected one among them."""
        first = min(
            max(self._first_column, self.selection.row - columns + 1),
            self.selection.row,
            max(0, len(runs) - columns),
        )
        self._first_column = first
        return runs[first : first + columns]

    def exports(self) -> "list[ExportItem]":
        """The wall of the marked runs, or of those whose images are on the screen where none is marked."""
        from tui.screens.compare.export import wall_items

        runs, marked = self.runs, self.selection.marked
        return wall_items(
            [run for run in runs if run.id in marked] or self._wall_runs,
            self.selection.epoch,
            labels=self.selection.run_list.names,
            places=self.selection.colour_index,
            variables=self.app.theme_variables,
        )

    def action_move(self, rows: int) -> None:
        self.selection.select(self.selection.row + rows)

    def action_jump(self, row: int) -> None:
        self.selection.select_index(row)

    def action_scrub(self, steps: int) -> None:
        """Step through the epochs that have images; past the last one, follow the latest again."""
        epochs, epoch = all_epochs(self.selection.visible_page), self.selection.epoch
        if not epochs:
            return
        index = steps + (len(epochs) if epoch is None else sum(one <= epoch for one in epochs)) - 1
        self.selection.show_epoch(None if index >= len(epochs) else epochs[max(0, index)])

    def action_follow(self) -> None:
        self.selection.show_epoch(None)

    def action_noise(self, rows: int) -> None:
        self.query_one(ImageWall).scroll_rows(rows)
