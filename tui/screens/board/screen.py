"""The board: all runs of a comparison, live, with their curves and pictures."""

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from textual import events
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
from tui.screens.board.layout import MIN_HEIGHT, MIN_WIDTH, Area, Layout, place_widget, plan_layout
from tui.screens.board.run_table import RowList, RunRow, RunTable
from tui.screens.board.system_actions import SystemActions
from tui.screens.board.system_panel import SystemPanel
from tui.settings.series_colors import series_style
from tui.state.run_controller import RunController
from tui.state.run_events import RunEvents
from tui.state.selection import RunSelection
from tui.state.snapshot import RunSnapshot, Snapshot
from tui.state.system_load import SystemLoad
from tui.textual_ext.signals import subscribe_weakly
from tui.widgets.charts.loss_chart import LossChart
from tui.widgets.charts.loss_series import series_of
from tui.widgets.header import Header, headline
from tui.widgets.images.gallery import SampleGallery, all_epochs, sheet_at
from tui.widgets.images.grid_layout import MIN_TILE
from tui.widgets.images.image_wall import ImageWall
from tui.widgets.images.render_mode import on_keymap_changed, on_render_mode_changed, render_mode_of
from tui.widgets.key_bar import KeyBar
from tui.widgets.key_hints import board_hints, keys_of, waiting_hint

if TYPE_CHECKING:
    from tui.export.item import ExportItem

CHART_INTERVAL: Final = 1.0
CHART_SLACK: Final = 0.1
"""Seconds by which it may be early, so that it is drawn with the rest."""
CHART_REST: Final = 0.1
"""Seconds without a key after which the chart follows the cursor; the rest of the screen does at once."""


class Board(SystemActions):
    """Runs as rows, their losses as curves, their samples as a wall of pictures."""

    CSS_PATH = "screen.tcss"
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [*bindings((*BOARD, *RUN_NUMBERS))]

    def __init__(self, control: RunController, *, machine: Callable[[], SystemLoad] | None = None) -> None:
        super().__init__(control, RunSelection(on_change=self._apply_selection), machine)
        self.gallery = SampleGallery()
        self._ends = RunEvents()
        self._first_column = 0
        self._on_wall: tuple[RunSnapshot, ...] = ()
        self._chart_timer: Timer | None = None
        self._chart_due = -math.inf

    def compose(self) -> ComposeResult:
        yield Header(id="top")
        with Container(id="body"):
            yield RunTable(id="table")
            yield DetailsPanel(id="facts")
            yield LossChart(id="chart")
            yield ImageWall(id="wall")
            yield SystemPanel(id="machine")
        with Container(id="greeting"):
            yield EmptyState()
        yield KeyBar(id="keys")
        yield Static("", id="too-small")

    def on_mount(self) -> None:
        self.set_interval(1.0, self._tick)
        subscribe_weakly(self, self.app.theme_changed_signal, self.update)
        on_render_mode_changed(self, self.update)
        on_keymap_changed(self, self.update)
        self.update()

    def on_resize(self, event: events.Resize) -> None:
        self.update()

    def on_screen_resume(self) -> None:
        """What happened while other screens covered this one is drawn now."""
        self.update()

    def on_snapshot_taken(self, message: SnapshotTaken) -> None:
        self._notify_problems(message.snapshot)
        self._notify_ended(message.snapshot)
        self.choice.update(message.snapshot)
        # A curve that moves more often tells no more, and fills the line to a remote terminal.
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
        """Say once of each run folder that cannot be read why that is."""
        known = self.choice.snapshot.problems if self.choice.snapshot is not None else ()
        for problem in snapshot.problems[:3]:
            if problem not in known:
                self.notify(problem.text, title="cannot be read", severity="warning", markup=False)

    def _notify_ended(self, snapshot: Snapshot) -> None:
        """Say which runs ended, on whatever screen is open, and ring."""
        notices = self._ends.update(snapshot)
        for notice in notices:
            self.app.notify(
                notice.text, title=notice.title, severity=notice.severity, markup=False, timeout=10
            )
        if notices:
            self.app.bell()

    def on_system_actions_machine_changed(self) -> None:
        self.update(chart=False)

    def on_run_table_selected(self, message: RunTable.Selected) -> None:
        self.choice.select_run(message.run_id)
        if message.opened:
            self.action_compare()

    @property
    def runs(self) -> tuple[RunSnapshot, ...]:
        """The runs shown."""
        return self.choice.runs

    @property
    def selected(self) -> RunSnapshot | None:
        """The run under the cursor."""
        return self.choice.selected

    def update(self, *, chart: bool = True) -> None:
        """Bring the screen in line with the snapshot, the selection and the size; draws only what changed.

        Args:
            chart: whether the chart, too, must be up to date at once.
        """
        if not self.is_mounted or not self.is_current:
            return
        runs = self.runs
        width, height = self.size
        self.set_class(width < MIN_WIDTH or height < MIN_HEIGHT, "-small")
        self.set_class(self.choice.snapshot is not None and not self.choice.snapshot.runs, "-empty")
        if self.has_class("-small"):
            said = f"needs {MIN_WIDTH}x{MIN_HEIGHT}\n[dim]this is {width}x{height}[/]"
            self.query_one("#too-small", Static).update(said)
            return
        self._update_bars()
        below = self._update_machine(width, height)
        if not runs:
            self.query_one(EmptyState).show(keys_of(self), self.control.root)
            self._apply_layout(Layout(Area(0, 0, width, max(1, height - 2 - below))))
            self._update_table()
            return
        tile = self.gallery.tile(self.choice.visible_page)
        placed = plan_layout(width, height - 2 - below, len(runs), tile, render_mode_of(self).zoom)
        self._apply_layout(placed)
        self._update_table()
        self._update_images(placed)
        if chart or not self.query_one(LossChart).series:
            self._update_chart()

    def _update_chart(self) -> None:
        if self._chart_timer is not None:
            self._chart_timer.stop()
            self._chart_timer = None
        chart, runs = self.query_one(LossChart), self.choice.visible_page
        selected = self.selected
        if self.is_current and chart.display and selected is not None:
            run_list = self.choice.run_list
            self._chart_due = time.monotonic() + CHART_INTERVAL
            chart.show(
                series_of(runs, run_list.names, self.app.theme_variables, places=run_list.colour_index)
            )
            chart.highlight = runs.index(selected)

    def _apply_layout(self, placed: Layout) -> None:
        for selector, area in (
            ("#table", placed.table),
            ("#facts", placed.info),
            ("#chart", placed.chart),
            ("#wall", placed.wall),
        ):
            place_widget(self.query_one(selector), area)

    def _tick(self) -> None:
        """Let the clock run while something trains."""
        if self.is_current and any(run.state.is_live for run in self.choice.run_list.totals.pending):
            self._update_top()

    def _update_top(self) -> None:
        choice = self.choice
        snapshot, groups = choice.snapshot or Snapshot(), choice.groups
        self.query_one(Header).show(
            headline(
                choice.run_list.totals,
                title=choice.run_list.title,
                now=self.control.now(),
                runner_alive=snapshot.runner_alive,
                problems=len(snapshot.problems),
                dated=choice.run_list.grouping == "start" and choice.group is not None and len(groups) > 1,
                order=choice.run_list.order.text,
                unread=snapshot.unread,
            )
        )

    def _update_bars(self) -> None:
        self._update_top()
        choice = self.choice
        snapshot, groups = choice.snapshot or Snapshot(), choice.groups
        self.query_one(KeyBar).show(
            board_hints(
                self.selected,
                marked=len(choice.marked),
                groups=len(groups),
                screen=self,
                filtered=bool(choice.run_list.filter_text),
                any_runs=bool(snapshot.runs),
            )
        )

    def _update_table(self) -> None:
        choice, run_list = self.choice, self.choice.run_list
        alive = choice.snapshot is not None and choice.snapshot.runner_alive
        served = alive or any(run.state.is_live for run in run_list.totals.pending)

        def row(index: int) -> RunRow:
            run = run_list.runs[index]
            return RunRow(
                run,
                run_list.names[run.id],
                run_list.colour_index[run.id],
                run.id in choice.marked,
                waiting_hint(run, served=served),
            )

        rows = RowList(
            len(run_list.runs),
            row,
            label_width=run_list.name_width,
            groups=run_list.has_several_starts,
            evaluated=run_list.has_evaluations,
            empty=f"no run matches {sanitize(run_list.filter_text)}; esc shows all",
            total=run_list.group_size,
            key=run_list.revision,
        )
        self.query_one(RunTable).show(rows, choice.row)

    def _update_images(self, placed: Layout) -> None:
        runs, run_list = self.runs, self.choice.run_list
        selected, names = runs[self.choice.row], run_list.names
        if placed.selected_only or placed.wall is None:
            window: Sequence[RunSnapshot] = [selected]
        else:
            window = self._window(
                runs, max(1, placed.wall.width // self._least_tile(self.choice.visible_page))
            )
        self._on_wall = tuple(window)
        variables = self.app.theme_variables
        if placed.wall is not None:
            wall = self.query_one(ImageWall)
            wall.titles = placed.titles
            wall.show(
                self.gallery.columns(
                    window,
                    self.choice.epoch,
                    labels=names,
                    selected=selected.id,
                    places=run_list.colour_index,
                    per_run=placed.per_run,
                    variables=variables,
                )
            )
        shown = sheet_at(selected, self.choice.epoch)
        style = series_style(run_list.colour_index[selected.id], variables)
        self.query_one(DetailsPanel).show(
            RunDetails(
                run=selected,
                label=names[selected.id],
                marker=style.marker,
                color=style.color,
                epochs=tuple(all_epochs(window)),
                shown=shown[0] if shown else None,
                at=self.choice.epoch if self.choice.epoch is not None else shown and shown[0],
                following=self.choice.epoch is None,
            )
        )

    def _least_tile(self, runs: Sequence[RunSnapshot]) -> int:
        zoom = render_mode_of(self).zoom
        return MIN_TILE if zoom == 1 else zoom * self.gallery.tile(runs).width

    def _window(self, runs: Sequence[RunSnapshot], most: int) -> Sequence[RunSnapshot]:
        """As many neighbouring runs as there are columns, the selected one among them."""
        first = min(
            max(self._first_column, self.choice.row - most + 1), self.choice.row, max(0, len(runs) - most)
        )
        self._first_column = first
        return runs[first : first + most]

    def exports(self) -> "list[ExportItem]":
        """The wall of the marked runs, else of those whose pictures are on the screen."""
        from tui.screens.denoise.export import wall_items

        runs, marked = self.runs, self.choice.marked
        return wall_items(
            [run for run in runs if run.id in marked] or self._on_wall,
            self.choice.epoch,
            labels=self.choice.run_list.names,
            places=self.choice.colour_index,
            variables=self.app.theme_variables,
        )

    def action_move(self, rows: int) -> None:
        self.choice.select(self.choice.row + rows)

    def action_jump(self, row: int) -> None:
        self.choice.select_index(row)

    def action_scrub(self, steps: int) -> None:
        """Go through the epochs that have pictures; past the last one, follow the latest again."""
        epochs, epoch = all_epochs(self.choice.visible_page), self.choice.epoch
        if not epochs:
            return
        now = len(epochs) - 1 if epoch is None else sum(one <= epoch for one in epochs) - 1
        wanted = now + steps
        self.choice.show_epoch(None if wanted >= len(epochs) else epochs[max(0, wanted)])

    def action_follow(self) -> None:
        self.choice.show_epoch(None)

    def action_noise(self, rows: int) -> None:
        self.query_one(ImageWall).scroll_rows(rows)
