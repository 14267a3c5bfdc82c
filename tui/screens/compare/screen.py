"""Runs against one another: curves overlaid, numbers side by side, the same noises epoch by epoch."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Horizontal, Vertical, VerticalScroll
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Static

from tui.commands import COMPARE, bindings
from tui.messages import SnapshotTaken
from tui.screens.compare.epoch_actions import EpochActions
from tui.screens.compare.metrics_panel import MetricsPanel
from tui.screens.compare.metrics_table import Line, metric_table
from tui.screens.compare.summary import figures
from tui.settings.series_colors import SeriesStyle, series_style
from tui.state.evaluations import Evaluations
from tui.state.formatting import pluralize, run_indices, run_labels
from tui.state.run_controller import RunController
from tui.state.snapshot import RunSnapshot, Snapshot
from tui.textual_ext.signals import subscribe_weakly
from tui.widgets.charts.interactive_loss_chart import InteractiveLossChart
from tui.widgets.charts.loss_series import series_of
from tui.widgets.epoch_slider import EpochSlider
from tui.widgets.images.gallery import SampleGallery, all_epochs
from tui.widgets.images.grid_layout import upper_height
from tui.widgets.images.image_wall import ImageWall, plan
from tui.widgets.images.render_mode import on_keymap_changed, on_render_mode_changed, render_mode_of
from tui.widgets.key_bar import Hint, KeyBar
from tui.widgets.key_hints import keys_of, screen_hints
from tui.widgets.title_bar import say, title_and_tabs

if TYPE_CHECKING:
    from tui.export.item import ExportItem

VIEWS: Final = ("curves", "pictures", "numbers")
WIDE: Final = 140
HIGH: Final = 36
CHROME: Final = 3
"""Lines of the title, the slider and the keys."""
CLEAR_RUNS: Final = 3
"""With more runs than these, held-out losses are drawn only when asked for."""
REFRESH_SECONDS: Final = 0.3
POLL_SECONDS: Final = 0.5
NUMBERS_WIDTH: Final = 80


class CompareScreen(EpochActions):
    """Compares runs while they train and after.

    Where there is room, curves, numbers and pictures are seen at once; elsewhere one of them at a time.

    Args:
        control: of the runs folder.
        run_ids: the runs, in the order of their columns.
    """

    CSS_PATH = "screen.tcss"
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(COMPARE)]

    def __init__(self, control: RunController, run_ids: Sequence[str]) -> None:
        super().__init__()
        self.control = control
        self.run_ids = tuple(run_ids)
        self.snapshot = Snapshot()
        self.chosen = ""
        self.gallery = SampleGallery()
        self.evaluations = Evaluations()
        self.first_run = 0
        self._due: Timer | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="top")
        with Container(id="body"):
            with Horizontal(id="upper"):
                with Vertical(id="curves"):
                    yield Static(id="axes")
                    yield InteractiveLossChart(id="chart")
                    with VerticalScroll(id="legend", can_focus=False):
                        yield Static(id="legend-lines")
                yield MetricsPanel(id="numbers")
            yield ImageWall(id="wall")
            yield EpochSlider(id="slider")
            yield Static("these runs are no longer here", id="gone")
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        chart = self.chart
        chart.legend = False
        if len(self.run_ids) > CLEAR_RUNS:
            chart.shown = "training"
        self.snapshot = getattr(self.app, "snapshot", None) or Snapshot()
        subscribe_weakly(self, self.app.theme_changed_signal, self.update)
        self.set_interval(POLL_SECONDS, self._poll_evaluations)
        on_render_mode_changed(self, self.update)
        on_keymap_changed(self, self.update)
        self.update()

    def on_resize(self, event: events.Resize) -> None:
        self.update()

    def on_screen_resume(self) -> None:
        """What happened while another screen covered this one is drawn now."""
        self.update()

    def on_snapshot_taken(self, message: SnapshotTaken) -> None:
        """Draw what is new, but not more often than anybody can read it: training wants the processor too."""
        self.snapshot = message.snapshot
        if self._due is None:
            self._due = self.set_timer(REFRESH_SECONDS, self._catch_up)

    @property
    def runs(self) -> list[RunSnapshot]:
        """The runs that are still there, in the order of their columns."""
        found = (self.snapshot.find(run_id) for run_id in self.run_ids)
        return [run for run in found if run is not None]

    @property
    def view(self) -> str:
        """What is seen: one of `VIEWS`, or `all`."""
        roomy = self.size.width >= WIDE and self.size.height >= HIGH
        return self.chosen or ("all" if roomy else VIEWS[0])

    def update(self) -> None:
        """Bring the screen in line with the runs, the view and the size; draws only what changed."""
        if not self.is_mounted or not self.is_current:
            return
        runs, view = self.runs, self.view
        for one in ("all", *VIEWS):
            self.set_class(view == one, f"-{one}")
        self.set_class(not runs, "-gone")
        self._update_bars(runs)
        if not runs:
            return
        variables = self.app.theme_variables
        names, at = run_labels(runs, short=True), run_indices(self.snapshot, runs)
        styles = [series_style(at[run.id], variables) for run in runs]
        epochs = all_epochs(runs)
        self.query_one(EpochSlider).show(epochs, self.epoch, playing=self.playing)
        columns = self.gallery.columns(
            runs, self.epoch, labels=names, places=at, per_run=1, variables=variables
        )
        if view == "all":
            lines = plan(columns, self.size.width, render_mode_of(self).zoom).lines
            height = upper_height(self.size.height - CHROME, lines)
            self.query_one("#upper").styles.height = height
        else:
            height = None
            self.query_one("#upper").styles.height = "1fr"
        if view in ("all", "pictures"):
            self.query_one(ImageWall).show(columns)
        if view in ("all", "curves"):
            self._update_chart(runs, names, styles)
        if view != "pictures":
            self._update_numbers(runs, names, styles, height)

    def _update_chart(
        self, runs: Sequence[RunSnapshot], names: dict[str, str], styles: Sequence[SeriesStyle]
    ) -> None:
        chart = self.chart
        series = series_of(runs, names, self.app.theme_variables, unit=chart.unit)
        chart.show(
            [
                replace(one, color=style.color, marker=style.marker)
                for one, style in zip(series, styles, strict=True)
            ]
        )
        super().update()

    def _update_numbers(
        self,
        runs: Sequence[RunSnapshot],
        names: dict[str, str],
        styles: Sequence[SeriesStyle],
        height: int | None,
    ) -> None:
        if self.view == "curves":
            lines = [
                Line(names[run.id], style, figures(run)) for run, style in zip(runs, styles, strict=True)
            ]
            say(self.query_one("#legend-lines", Static), metric_table(lines, self.size.width - 1))
            return
        self.evaluations.refresh(runs)
        self.query_one(MetricsPanel).show(
            runs,
            names,
            styles,
            self.evaluations.by_run(runs),
            self.evaluations.comparison(runs),
            (self.size.width if self.view != "all" else NUMBERS_WIDTH) - 1,
            height=height,
            first=self.first_run,
            evaluate_key=keys_of(self).get("compare.judge", ["enter"])[0],
        )

    def _update_bars(self, runs: Sequence[RunSnapshot]) -> None:
        datasets = ", ".join(dict.fromkeys(run.data_title for run in runs))
        tabs = ("all", *VIEWS) if self.size.width >= WIDE and self.size.height >= HIGH else VIEWS
        top = title_and_tabs(
            "compare",
            f"{pluralize(len(runs), 'run')} · {datasets}" if runs else "",
            [(str(("all", *VIEWS).index(one)), one) for one in tabs],
            self.view,
            self.size.width,
        )
        say(self.query_one("#top", Static), top)
        self.query_one(KeyBar).show(compare_hints(self, self.view, playing=self.playing))

    def exports(self) -> "list[ExportItem]":
        """The table, and the wall."""
        from tui.screens.compare.export import table_item
        from tui.screens.denoise.export import wall_items

        runs = self.runs
        if not runs:
            return []
        names = run_labels(runs)
        walls = wall_items(
            runs,
            self.epoch,
            labels=names,
            places=run_indices(self.snapshot, runs),
            variables=self.app.theme_variables,
        )
        return [table_item(runs, names), *walls]

    def action_close(self) -> None:
        self.dismiss()

    def action_denoise(self) -> None:
        from tui.screens.denoise.screen import DenoiseScreen

        self.app.push_screen(DenoiseScreen(self.control, [run.id for run in self.runs]))

    def action_view(self, view: str) -> None:
        """Show one part alone; asked for again, or with `all`, what is usual at this size."""
        self.chosen = "" if view in ("all", self.chosen) else view
        self.update()

    def action_next_view(self) -> None:
        order = [*(["all"] if self.size.width >= WIDE and self.size.height >= HIGH else []), *VIEWS]
        following = order[(order.index(self.view) + 1) % len(order)] if self.view in order else order[0]
        self.chosen = "" if following == "all" else following
        self.update()

    def action_rows(self, rows: int) -> None:
        if self.view == "numbers":
            self.query_one("#numbers").scroll_relative(y=2 * rows, animate=False)
        elif self.view == "curves":
            self.query_one("#legend").scroll_relative(y=rows, animate=False)
        else:
            self.query_one(ImageWall).scroll_rows(rows)

    def action_columns(self, columns: int) -> None:
        if self.view == "numbers":
            self.first_run = min(max(0, self.first_run + columns), max(0, len(self.runs) - 1))
            self.update()
        else:
            self.query_one(ImageWall).scroll_columns(columns)

    def action_evaluate(self) -> None:
        """Have the runs judged that were not, or have learnt more since, or were judged in another way."""
        wanted = self.evaluations.missing(self.runs)
        able = [(runs, like) for runs, like in wanted if runs]
        if able:
            self.run_in_background(lambda: self.control.evaluate(able))
        else:
            self.notify(
                "no run has a checkpoint yet"
                if wanted
                else "all of them are judged, or are just being judged"
            )

    def _poll_evaluations(self) -> None:
        """Judgements come without a snapshot: nobody but this screen waits for them."""
        if self.is_current and self.view in ("all", "numbers") and self.evaluations.refresh(self.runs):
            self.update()

    def _catch_up(self) -> None:
        self._due = None
        self.update()


def compare_hints(screen: Screen[Any], view: str, *, playing: bool) -> list[Hint]:
    """The key bar of the comparison, with the keys as they are bound now: of what is seen."""
    words = {"compare.next_view": "view"}
    if view != "numbers":
        words |= {"compare.later": "epoch", "compare.play": "pause" if playing else "play"}
    if view in ("all", "curves"):
        words |= {
            "compare.read_on": "read",
            "compare.zoom_in": "zoom",
            "compare.pan_on": "pan",
            "compare.unit": "unit",
            "compare.log_y": "log y",
            "compare.log_x": "log x",
            "compare.smoothing": "smooth",
            "compare.heldout": "held-out",
            "compare.band": "band",
        }
    if view in ("all", "numbers"):
        words["compare.judge"] = "judge"
    if view != "curves":
        words["compare.down"] = "scroll" if view == "numbers" else "noises"
        words["compare.right"] = "runs"
    return screen_hints(screen, COMPARE, words | {"compare.denoise": "denoise", "compare.close": "back"})
