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

from core.files.sanitize import plain
from tui.commands import BOARD, RUN_NUMBERS, bindings
from tui.messages import SnapshotTaken
from tui.screens.board.details import Facts, FactsPanel
from tui.screens.board.empty_state import Greeting
from tui.screens.board.layout import MIN_HEIGHT, MIN_WIDTH, Area, Arrangement, arrange, place_widget
from tui.screens.board.run_table import Row, RowList, RunTable
from tui.screens.board.system_actions import MachineStrip
from tui.screens.board.system_panel import MachinePanel
from tui.settings.series_colors import series_style
from tui.state.run_controller import Control
from tui.state.run_events import Watch
from tui.state.selection import RunChoice
from tui.state.snapshot import RunSnapshot, Snapshot
from tui.state.system_load import MachineLoad
from tui.textual_ext.signals import follow
from tui.widgets.charts.loss_chart import LossChart
from tui.widgets.charts.loss_series import series_of
from tui.widgets.header import TopLine, headline
from tui.widgets.images.gallery import Gallery, all_epochs, sheet_at
from tui.widgets.images.grid_layout import MIN_TILE
from tui.widgets.images.image_wall import Wall
from tui.widgets.images.render_mode import drawing_of, follow_drawing, follow_keys
from tui.widgets.key_bar import KeyBar
from tui.widgets.key_hints import board_hints, keys_of, waiting_hint

if TYPE_CHECKING:
    from tui.export.item import Piece

CHART_INTERVAL: Final = 1.0
CHART_SLACK: Final = 0.1
"""Seconds by which it may be early, so that it is drawn with the rest."""
CHART_REST: Final = 0.1
"""Seconds without a key after which the chart follows the cursor; the rest of the screen does at once."""


class Board(MachineStrip):
    """Runs as rows, their losses as curves, their samples as a wall of pictures."""

    CSS_PATH = "screen.tcss"
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [*bindings((*BOARD, *RUN_NUMBERS))]

    def __init__(self, control: Control, *, machine: Callable[[], MachineLoad] | None = None) -> None:
        super().__init__(control, RunChoice(changed=self._follow_choice), machine)
        self.gallery = Gallery()
        self._ends = Watch()
        self._first_column = 0
        self._on_wall: tuple[RunSnapshot, ...] = ()
        self._chart_timer: Timer | None = None
        self._chart_due = -math.inf

    def compose(self) -> ComposeResult:
        yield TopLine(id="top")
        with Container(id="body"):
            yield RunTable(id="table")
            yield FactsPanel(id="facts")
            yield LossChart(id="chart")
            yield Wall(id="wall")
            yield MachinePanel(id="machine")
        with Container(id="greeting"):
            yield Greeting()
        yield KeyBar(id="keys")
        yield Static("", id="too-small")

    def on_mount(self) -> None:
        self.set_interval(1.0, self._tick)
        follow(self, self.app.theme_changed_signal, self.update)
        follow_drawing(self, self.update)
        follow_keys(self, self.update)
        self.update()

    def on_resize(self, event: events.Resize) -> None:
        self.update()

    def on_screen_resume(self) -> None:
        """What happened while other screens covered this one is drawn now."""
        self.update()

    def on_snapshot_taken(self, message: SnapshotTaken) -> None:
        self._tell_problems(message.snapshot)
        self._tell_ends(message.snapshot)
        self.choice.take(message.snapshot)
        # A curve that moves more often tells no more, and fills the line to a remote terminal.
        wait = self._chart_due - time.monotonic()
        soon = wait <= CHART_SLACK
        self.update(chart=soon)
        if not soon and self._chart_timer is None:
            self._chart_timer = self.set_timer(wait, self._update_chart)

    def _follow_choice(self) -> None:
        self.update(chart=False)
        if self.is_mounted:
            if self._chart_timer is not None:
                self._chart_timer.stop()
            self._chart_timer = self.set_timer(CHART_REST, self._update_chart)

    def _tell_problems(self, snapshot: Snapshot) -> None:
        """Say once of each run folder that cannot be read why that is."""
        known = self.choice.snapshot.problems if self.choice.snapshot is not None else ()
        for problem in snapshot.problems[:3]:
            if problem not in known:
                self.notify(problem.text, title="cannot be read", severity="warning", markup=False)

    def _tell_ends(self, snapshot: Snapshot) -> None:
        """Say which runs ended, on whatever screen is open, and ring."""
        notices = self._ends.look(snapshot)
        for notice in notices:
            self.app.notify(
                notice.text, title=notice.title, severity=notice.severity, markup=False, timeout=10
            )
        if notices:
            self.app.bell()

    def on_machine_strip_machine_changed(self) -> None:
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
            self.query_one(Greeting).greet(keys_of(self), self.control.root)
            self._place(Arrangement(Area(0, 0, width, max(1, height - 2 - below))))
            self._update_table()
            return
        tile = self.gallery.tile(self.choice.page)
        placed = arrange(width, height - 2 - below, len(runs), tile, drawing_of(self).zoom)
        self._place(placed)
        self._update_table()
        self._update_pictures(placed)
        if chart or not self.query_one(LossChart).series:
            self._update_chart()

    def _update_chart(self) -> None:
        if self._chart_timer is not None:
            self._chart_timer.stop()
            self._chart_timer = None
        chart, runs = self.query_one(LossChart), self.choice.page
        selected = self.selected
        if self.is_current and chart.display and selected is not None:
            roster = self.choice.roster
            self._chart_due = time.monotonic() + CHART_INTERVAL
            chart.show(series_of(runs, roster.names, self.app.theme_variables, places=roster.places))
            chart.highlight = runs.index(selected)

    def _place(self, placed: Arrangement) -> None:
        for selector, area in (
            ("#table", placed.table),
            ("#facts", placed.info),
            ("#chart", placed.chart),
            ("#wall", placed.wall),
        ):
            place_widget(self.query_one(selector), area)

    def _tick(self) -> None:
        """Let the clock run while something trains."""
        if self.is_current and any(run.state.is_live for run in self.choice.roster.tally.pending):
            self._update_top()

    def _update_top(self) -> None:
        choice = self.choice
        snapshot, groups = choice.snapshot or Snapshot(), choice.groups
        self.query_one(TopLine).show(
            headline(
                choice.roster.tally,
                title=choice.roster.title,
                now=self.control.now(),
                runner_alive=snapshot.runner_alive,
                problems=len(snapshot.problems),
                dated=choice.roster.grouping == "start" and choice.group is not None and len(groups) > 1,
                order=choice.roster.order.text,
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
                filtered=bool(choice.roster.words),
                any_runs=bool(snapshot.runs),
            )
        )

    def _update_table(self) -> None:
        choice, roster = self.choice, self.choice.roster
        alive = choice.snapshot is not None and choice.snapshot.runner_alive
        served = alive or any(run.state.is_live for run in roster.tally.pending)

        def row(index: int) -> Row:
            run = roster.runs[index]
            return Row(
                run,
                roster.names[run.id],
                roster.places[run.id],
                run.id in choice.marked,
                waiting_hint(run, served=served),
            )

        rows = RowList(
            len(roster.runs),
            row,
            label_width=roster.name_width,
            groups=roster.many_starts,
            judged=roster.judged,
            empty=f"no run matches {plain(roster.words)}; esc shows all",
            total=roster.in_group,
            key=roster.listed,
        )
        self.query_one(RunTable).show(rows, choice.row)

    def _update_pictures(self, placed: Arrangement) -> None:
        runs, roster = self.runs, self.choice.roster
        selected, names = runs[self.choice.row], roster.names
        if placed.selected_only or placed.wall is None:
            window: Sequence[RunSnapshot] = [selected]
        else:
            window = self._window(runs, max(1, placed.wall.width // self._least_tile(self.choice.page)))
        self._on_wall = tuple(window)
        variables = self.app.theme_variables
        if placed.wall is not None:
            wall = self.query_one(Wall)
            wall.titles = placed.titles
            wall.show(
                self.gallery.columns(
                    window,
                    self.choice.epoch,
                    labels=names,
                    selected=selected.id,
                    places=roster.places,
                    per_run=placed.per_run,
                    variables=variables,
                )
            )
        shown = sheet_at(selected, self.choice.epoch)
        style = series_style(roster.places[selected.id], variables)
        self.query_one(FactsPanel).show(
            Facts(
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
        zoom = drawing_of(self).zoom
        return MIN_TILE if zoom == 1 else zoom * self.gallery.tile(runs).width

    def _window(self, runs: Sequence[RunSnapshot], most: int) -> Sequence[RunSnapshot]:
        """As many neighbouring runs as there are columns, the selected one among them."""
        first = min(
            max(self._first_column, self.choice.row - most + 1), self.choice.row, max(0, len(runs) - most)
        )
        self._first_column = first
        return runs[first : first + most]

    def exports(self) -> "list[Piece]":
        """The wall of the marked runs, else of those whose pictures are on the screen."""
        from tui.screens.denoise.export import wall_pieces

        runs, marked = self.runs, self.choice.marked
        return wall_pieces(
            [run for run in runs if run.id in marked] or self._on_wall,
            self.choice.epoch,
            labels=self.choice.roster.names,
            places=self.choice.places,
            variables=self.app.theme_variables,
        )

    def action_move(self, rows: int) -> None:
        self.choice.select(self.choice.row + rows)

    def action_jump(self, row: int) -> None:
        self.choice.select_place(row)

    def action_scrub(self, steps: int) -> None:
        """Go through the epochs that have pictures; past the last one, follow the latest again."""
        epochs, epoch = all_epochs(self.choice.page), self.choice.epoch
        if not epochs:
            return
        now = len(epochs) - 1 if epoch is None else sum(one <= epoch for one in epochs) - 1
        wanted = now + steps
        self.choice.show_epoch(None if wanted >= len(epochs) else epochs[max(0, wanted)])

    def action_follow(self) -> None:
        self.choice.show_epoch(None)

    def action_noise(self, rows: int) -> None:
        self.query_one(Wall).scroll_rows(rows)
