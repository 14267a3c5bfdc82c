"""The board: all runs of a comparison, live, with their curves and pictures."""

from collections.abc import Sequence
from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from tui.arrange import MIN_HEIGHT, MIN_TILE, MIN_WIDTH, Area, Arrangement, arrange
from tui.commands import BOARD, JUMPS, bindings
from tui.control import Control
from tui.describe import labels
from tui.live import RunSnapshot, Snapshot
from tui.messages import SnapshotTaken
from tui.palette import series_style
from tui.parts.bars import KeyBar, TopLine, headline
from tui.parts.curves import series_of
from tui.parts.facts import Facts, FactsPanel
from tui.parts.gallery import Gallery, all_epochs, sheet_at
from tui.parts.hints import board_hints, waiting_hint
from tui.parts.run_table import Row, RunTable
from tui.screens.run_actions import RunActions
from tui.widgets.loss_chart import LossChart
from tui.widgets.wall import Wall

CHART_INTERVAL: Final = 0.5
GREETING: Final = """\
[bold $text-primary]No runs here yet.[/]

Press [bold $text-primary]enter[/] to train five small diffusion models, one for each noise \
schedule, on 10,000 pictures of triangles. They train side by side as far as memory allows; \
further runs wait their turn.

Press [bold $text-primary]n[/] to set up a run of your own, [bold $text-primary]?[/] for all keys, \
[bold $text-primary]q[/] to leave.

[$text-muted]Runs live in {root} and go on training when you leave.[/]"""


class Board(RunActions):
    """Runs as rows, their losses as curves, their samples as a wall of pictures."""

    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(BOARD), *JUMPS]

    def __init__(self, control: Control, snapshot: Snapshot | None = None) -> None:
        super().__init__(control)
        self.snapshot = snapshot
        self.group: str | None = None
        self.newest_group = True
        self.selected_id = ""
        self.epoch: int | None = None
        self.gallery = Gallery()
        self._first_column = 0
        self._row = 0
        self._chart_timer: Timer | None = None

    def compose(self) -> ComposeResult:
        yield TopLine(id="top")
        with Container(id="body"):
            yield RunTable(id="table")
            yield FactsPanel(id="facts")
            yield LossChart(id="chart")
            yield Wall(id="wall")
        with Container(id="greeting"):
            yield Static(GREETING.format(root=str(self.control.root).replace("[", r"\[")))
        yield KeyBar(id="keys")
        yield Static("", id="too-small")

    def on_mount(self) -> None:
        self.set_interval(1.0, self._tick)
        self.app.theme_changed_signal.subscribe(self, lambda _: self.update())
        self.update()

    def on_resize(self, event: events.Resize) -> None:
        self.update()

    def on_snapshot_taken(self, message: SnapshotTaken) -> None:
        self._tell_problems(message.snapshot)
        self.snapshot = message.snapshot
        self.update(chart=False)
        # A curve that moves ten times a second tells no more, and fills the line to a remote terminal.
        if self._chart_timer is None:
            self._chart_timer = self.set_timer(CHART_INTERVAL, self._update_chart)

    def _tell_problems(self, snapshot: Snapshot) -> None:
        """Say once of each run folder that cannot be read why that is."""
        known = self.snapshot.problems if self.snapshot is not None else ()
        for problem in snapshot.problems[:3]:
            if problem not in known:
                self.notify(problem.text, title="cannot be read", severity="warning", markup=False)

    def on_run_table_selected(self, message: RunTable.Selected) -> None:
        self.selected_id = message.run_id
        self.update()
        if message.opened:
            self.action_compare()

    @property
    def runs(self) -> tuple[RunSnapshot, ...]:
        """The runs shown: those of the group, or all."""
        if self.snapshot is None:
            return ()
        groups = self.snapshot.groups
        if self.newest_group or (self.group is not None and self.group not in groups):
            self.group = groups[-1] if groups else None
        return self.snapshot.of_group(self.group)

    @property
    def selected(self) -> RunSnapshot | None:
        """The run under the cursor."""
        return next((run for run in self.runs if run.id == self.selected_id), None)

    def show_group(self, group: str | None) -> None:
        """Show a group, or all runs for None, and stay there when newer groups come."""
        self.group, self.newest_group = group, False
        self.epoch = None
        self.update()

    def follow_newest(self) -> None:
        self.newest_group = True
        self.epoch = None
        self.update()

    def update(self, *, chart: bool = True) -> None:
        """Bring the screen in line with the snapshot, the selection and the size; draws only what changed.

        Args:
            chart: whether the chart, too, must be up to date at once.
        """
        if not self.is_mounted:
            return
        runs = self.runs
        width, height = self.size
        self.set_class(width < MIN_WIDTH or height < MIN_HEIGHT, "-small")
        self.set_class(self.snapshot is not None and not self.snapshot.runs, "-empty")
        self._select(runs)
        if self.has_class("-small"):
            said = f"needs {MIN_WIDTH}x{MIN_HEIGHT}\n[dim]this is {width}x{height}[/]"
            self.query_one("#too-small", Static).update(said)
            return
        self._update_bars(runs)
        if not runs:
            return
        placed = arrange(width, height - 2, len(runs), self.gallery.tile(runs))
        self._place(placed)
        names = labels(runs)
        self._update_table(runs, names)
        self._update_pictures(runs, names, placed)
        if chart or not self.query_one(LossChart).series:
            self._update_chart()

    def _update_chart(self) -> None:
        if self._chart_timer is not None:
            self._chart_timer.stop()
            self._chart_timer = None
        chart, runs = self.query_one(LossChart), self.runs
        if chart.display and runs and self._row < len(runs):
            chart.show(series_of(runs, labels(runs), self.app.theme_variables))
            chart.highlight = self._row

    def _select(self, runs: Sequence[RunSnapshot]) -> None:
        """Keep the cursor on its run, or where that run was when it is gone."""
        ids = [run.id for run in runs]
        if self.selected_id in ids:
            self._row = ids.index(self.selected_id)
        elif ids:
            self._row = min(self._row, len(ids) - 1)
            self.selected_id = ids[self._row]
        if self.snapshot is not None:
            self.marked &= {run.id for run in self.snapshot.runs}

    def _place(self, placed: Arrangement) -> None:
        for selector, area in (
            ("#table", placed.table),
            ("#facts", placed.info),
            ("#chart", placed.chart),
            ("#wall", placed.wall),
        ):
            _place_widget(self.query_one(selector), area)

    def _tick(self) -> None:
        """Let the clock run while something trains."""
        if any(run.state.is_live for run in self.runs):
            self._update_bars(self.runs)

    def _update_bars(self, runs: Sequence[RunSnapshot]) -> None:
        snapshot = self.snapshot or Snapshot()
        recipes = list(dict.fromkeys(run.file.config.recipe for run in runs))
        title = "all runs" if self.group is None and len(snapshot.groups) > 1 else ", ".join(recipes[:2])
        self.query_one(TopLine).show(
            headline(
                runs,
                title=title,
                now=self.control.now(),
                runner_alive=snapshot.runner_alive,
                problems=len(snapshot.problems),
                dated=self.group is not None and len(snapshot.groups) > 1,
            )
        )
        self.query_one(KeyBar).show(
            board_hints(self.selected, marked=len(self.marked), groups=len(snapshot.groups), screen=self)
        )

    def _update_table(self, runs: Sequence[RunSnapshot], names: dict[str, str]) -> None:
        alive = self.snapshot is not None and self.snapshot.runner_alive
        busy = any(run.state.is_live for run in runs)
        rows = [
            Row(run, names[run.id], index, run.id in self.marked, waiting_hint(run, served=alive or busy))
            for index, run in enumerate(runs)
        ]
        self.query_one(RunTable).show(rows, self._row, groups=len({run.group for run in runs}) > 1)

    def _update_pictures(
        self, runs: Sequence[RunSnapshot], names: dict[str, str], placed: Arrangement
    ) -> None:
        selected = runs[self._row]
        if placed.selected_only or placed.wall is None:
            window: Sequence[RunSnapshot] = [selected]
        else:
            window = self._window(runs, max(1, placed.wall.width // MIN_TILE))
        places = {run.id: index for index, run in enumerate(runs)}
        variables = self.app.theme_variables
        if placed.wall is not None:
            wall = self.query_one(Wall)
            wall.titles = placed.titles
            wall.show(
                self.gallery.columns(
                    window,
                    self.epoch,
                    labels=names,
                    selected=selected.id,
                    places=places,
                    per_run=placed.per_run,
                    variables=variables,
                )
            )
        shown = sheet_at(selected, self.epoch)
        style = series_style(self._row, variables)
        self.query_one(FactsPanel).show(
            Facts(
                run=selected,
                label=names[selected.id],
                marker=style.marker,
                color=style.color,
                epochs=tuple(all_epochs(window)),
                shown=shown[0] if shown else None,
                at=self.epoch if self.epoch is not None else shown and shown[0],
                following=self.epoch is None,
            )
        )

    def _window(self, runs: Sequence[RunSnapshot], most: int) -> Sequence[RunSnapshot]:
        """As many neighbouring runs as there are columns, the selected one among them."""
        first = min(max(self._first_column, self._row - most + 1), self._row, max(0, len(runs) - most))
        self._first_column = first
        return runs[first : first + most]

    def action_move(self, rows: int) -> None:
        self.action_jump(self._row + rows)

    def action_jump(self, row: int) -> None:
        runs = self.runs
        if runs:
            self.selected_id = runs[min(max(0, row), len(runs) - 1)].id
            self.update()

    def action_scrub(self, steps: int) -> None:
        """Go through the epochs that have pictures; past the last one, follow the latest again."""
        runs = self.runs
        if not runs:
            return
        epochs = all_epochs(runs)
        if not epochs:
            return
        now = len(epochs) - 1 if self.epoch is None else sum(epoch <= self.epoch for epoch in epochs) - 1
        wanted = now + steps
        self.epoch = None if wanted >= len(epochs) else epochs[max(0, wanted)]
        self.update()

    def action_follow(self) -> None:
        self.epoch = None
        self.update()

    def action_noise(self, rows: int) -> None:
        self.query_one(Wall).scroll_rows(rows)

    def action_next_group(self) -> None:
        """From the newest group to older ones, then all runs, then the newest again."""
        groups = self.snapshot.groups if self.snapshot is not None else ()
        if len(groups) < 2:
            self.notify("there is only one group of runs" if groups else "there are no runs yet")
            return
        order: list[str | None] = [*reversed(groups), None]
        place = order.index(self.group) if self.group in order else -1
        self.show_group(order[(place + 1) % len(order)])
        self.newest_group = self.group == groups[-1]


def _place_widget(widget: Widget, area: Area | None) -> None:
    """Put a widget into its area, or take it off the screen."""
    if area is None:
        widget.display = False
        return
    widget.display = True
    widget.styles.offset = (area.x, area.y)
    widget.styles.width = area.width
    widget.styles.height = area.height
