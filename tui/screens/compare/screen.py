"""Comparison of runs: loss curves overlaid, metrics side by side, samples from the same noises at each epoch."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Vertical, VerticalScroll
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Static

from tui.commands import COMPARE, bindings
from tui.messages import SnapshotTaken
from tui.screens.compare.epoch_actions import EpochActionsMixin
from tui.screens.compare.layout import VIEW_KEYS, VIEWS, ComparisonLayout, available_views, plan_comparison
from tui.screens.compare.metrics_panel import MetricsPanel
from tui.screens.compare.metrics_table import MetricsRow, metric_table
from tui.screens.compare.noise_panel import NoisePanel
from tui.screens.compare.summary import run_metrics
from tui.screens.compare.sweep_actions import SweepActionsMixin
from tui.screens.compare.sweep_panel import SweepPanel
from tui.screens.compare.why_actions import WhyActionsMixin
from tui.screens.compare.why_panel import WhyPanel
from tui.settings.series_colors import SeriesStyle, series_style
from tui.state.formatting import pluralize, run_indices, run_labels
from tui.state.run_controller import RunController
from tui.state.snapshot import RunSnapshot
from tui.widgets.area import place_widget
from tui.widgets.charts.interactive_loss_chart import InteractiveLossChart
from tui.widgets.charts.loss_series import loss_series
from tui.widgets.epoch_slider import EpochSlider
from tui.widgets.images.gallery import SampleGallery, all_epochs
from tui.widgets.images.image_wall import ImageWall
from tui.widgets.images.render_mode import current_render_mode
from tui.widgets.images.tile_size import Tile
from tui.widgets.key_bar import KeyBar, KeyHint, refused_actions
from tui.widgets.key_hints import keys_by_command, screen_hints
from tui.widgets.title_bar import title_and_tabs, update_static

if TYPE_CHECKING:
    from tui.export.item import ExportItem

CHROME_LINES: Final = 3
"""Lines of the title, the slider and the keys."""
MAX_RUNS_WITH_HELDOUT: Final = 3
"""With more runs, held-out losses are drawn only when the user asks for them."""
REFRESH_SECONDS: Final = 0.3
POLL_SECONDS: Final = 0.5


class CompareScreen(WhyActionsMixin, SweepActionsMixin, EpochActionsMixin):
    """Comparison of runs while they train and afterwards.

    A large screen shows curves, numbers and images at once, a smaller one shows one of them at a time.

    Args:
        control: of the runs folder.
        run_ids: the runs, in the order of their columns.
        selected: the run whose curve is on top at first; the first one unless given.
        swept: the runs of the sweep; `run_ids` unless given.
    """

    CSS_PATH = "screen.tcss"
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(COMPARE)]

    def __init__(
        self,
        control: RunController,
        run_ids: Sequence[str],
        *,
        selected: str = "",
        swept: Sequence[str] = (),
    ) -> None:
        super().__init__(control, run_ids)
        self.swept_ids = tuple(swept) or self.run_ids
        self.curve_choice.selected = selected
        self.chosen_view = ""
        self.gallery = SampleGallery()
        self.first_column = 0
        self._columns_per_run = 1
        self._redraw_timer: Timer | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="top")
        with Container(id="body"):
            with Vertical(id="curves"):
                yield Static(id="axes")
                yield InteractiveLossChart(id="chart")
                with VerticalScroll(id="legend", can_focus=False):
                    yield Static(id="legend-lines")
            yield MetricsPanel(id="numbers")
            yield NoisePanel(id="levels")
            yield WhyPanel(id="why")
            yield SweepPanel(id="sweep")
            yield ImageWall(id="wall")
            yield EpochSlider(id="slider")
            yield Static("these runs are no longer here", id="gone")
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        chart = self.chart
        chart.legend = False
        if len(self.run_ids) > MAX_RUNS_WITH_HELDOUT:
            chart.shown = "training"
        self.set_interval(POLL_SECONDS, self._poll_evaluations)

    def on_snapshot_taken(self, message: SnapshotTaken) -> None:
        """Update soon, but not more often than a user can read, because training needs the processor too."""
        if self._redraw_timer is None:
            self._redraw_timer = self.set_timer(REFRESH_SECONDS, self._redraw)

    @property
    def view(self) -> str:
        """The view shown: one of `VIEWS`, or `all`."""
        return self.chosen_view or self._available_views[0]

    @property
    def _available_views(self) -> tuple[str, ...]:
        """The views at this size, the default first."""
        return available_views(*self.size)

    def update(self) -> None:
        """Bring the screen in line with the runs, the view and the size; draw only what changed."""
        if not self.is_mounted or not self.is_current:
            return
        runs, view = self.runs, self.view
        for one in ("all", *VIEWS):
            self.set_class(view == one, f"-{one}")
        self.set_class(not runs, "-gone")
        self._update_bars(runs)
        if not runs:
            for selector in ("#curves", "#numbers", "#wall", "#levels", "#why", "#sweep"):
                place_widget(self.query_one(selector), None)
            return
        variables = self.app.theme_variables
        names, at = run_labels(runs, short=True), run_indices(self.snapshot, runs)
        styles = [series_style(at[run.id], variables) for run in runs]
        epochs = all_epochs(runs)
        self.query_one(EpochSlider).show(epochs, self.epoch, playing=self.playing)
        tile, zoom = self.gallery.full_tile(runs), current_render_mode(self).zoom
        room = (view, self.size.width, self.size.height - CHROME_LINES, len(runs))
        tile = Tile(zoom * tile.width, zoom * tile.height) if zoom * tile.width <= self.size.width else tile
        layout = plan_comparison(*room, tile)
        if view not in ("images", "levels", "why", "sweep"):
            self._update_numbers(runs, names, styles, layout)
            layout = plan_comparison(*room, tile, self.query_one(MetricsPanel).wanted_lines)
        for selector, area in (
            ("#curves", layout.curves),
            ("#numbers", layout.numbers),
            ("#wall", layout.wall),
            ("#levels", layout.levels),
            ("#why", layout.why),
            ("#sweep", layout.sweep),
        ):
            place_widget(self.query_one(selector), area)
        if layout.wall is not None:
            self._columns_per_run = layout.per_run
            self.query_one(ImageWall).show(
                self.gallery.columns(
                    runs, self.epoch, labels=names, places=at, per_run=layout.per_run, variables=variables
                )
            )
        if layout.curves is not None:
            self._update_chart(runs, names, styles)
        if layout.levels is not None:
            self.query_one(NoisePanel).show(runs, names, styles, self.curve_choice, self.epoch)
        if layout.why is not None:
            self.update_why(runs, names, styles)
        if layout.sweep is not None:
            self._update_sweep()

    def _update_sweep(self) -> None:
        runs = self.swept_runs
        self.evaluations.refresh(runs)
        members = partial(self.evaluations.members, runs)
        key = self.evaluations.members_key(runs)
        self.query_one(SweepPanel).show(key, members, self.app.theme_variables)

    def _update_chart(
        self, runs: Sequence[RunSnapshot], names: dict[str, str], styles: Sequence[SeriesStyle]
    ) -> None:
        chart = self.chart
        series = loss_series(runs, names, self.app.theme_variables, unit=chart.unit)
        choice, ids = self.curve_choice, [run.id for run in runs]
        drawn = {
            run.id: replace(one, color=style.color, marker=style.marker)
            for run, one, style in zip(runs, series, styles, strict=True)
            if choice.is_drawn(ids, run.id)
        }
        selected = ids[choice.selected_index(ids)]
        chart.show(list(drawn.values()))
        chart.highlight = list(drawn).index(selected) if selected in drawn else None
        self._update_axes(ids)

    def _update_numbers(
        self,
        runs: Sequence[RunSnapshot],
        names: dict[str, str],
        styles: Sequence[SeriesStyle],
        layout: ComparisonLayout,
    ) -> None:
        ids = [run.id for run in runs]
        marks = {run_id: self.curve_choice.mark(ids, run_id) for run_id in ids}
        if self.view == "curves":
            lines = [
                MetricsRow(names[run.id], style, run_metrics(run), marks[run.id])
                for run, style in zip(runs, styles, strict=True)
            ]
            update_static(self.query_one("#legend-lines", Static), metric_table(lines, self.size.width - 1))
            return
        self.evaluations.refresh(runs)
        self.query_one(MetricsPanel).show(
            runs,
            names,
            styles,
            marks,
            self.evaluations.by_run(runs),
            self.evaluations.comparison(runs),
            (layout.numbers.width if layout.numbers else self.size.width) - 1,
            headlines_only=not layout.tall_numbers,
            first=self.first_column,
            evaluate_key=""
            if "evaluate" in refused_actions(self.app)
            else keys_by_command(self).get("compare.judge", ["enter"])[0],
            all_key=keys_by_command(self).get("compare.numbers", ["3"])[0],
        )

    def _update_bars(self, runs: Sequence[RunSnapshot]) -> None:
        if self.view == "sweep" and runs:
            runs = self.swept_runs
        datasets = ", ".join(dict.fromkeys(run.data_title for run in runs))
        top = title_and_tabs(
            "compare",
            f"{pluralize(len(runs), 'run')} · {datasets}" if runs else "",
            [(VIEW_KEYS[one], one) for one in self._available_views],
            self.view,
            self.size.width,
        )
        update_static(self.query_one("#top", Static), top)
        self.query_one(KeyBar).show(compare_hints(self, self.view, playing=self.playing))

    def exports(self) -> "list[ExportItem]":
        """The table and the wall."""
        from tui.screens.compare.export import table_item, wall_items

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
        """Show one view; the default one for `all`, or where that view is shown already."""
        self.chosen_view = "" if view in ("all", self.chosen_view) else view
        self.update()

    def action_next_view(self) -> None:
        views = self._available_views
        view = views[(views.index(self.view) + 1) % len(views)]
        self.chosen_view = "" if view == "all" else view
        self.update()

    def action_predicted_noise(self) -> None:
        """Show true against predicted noise of the selected run, or the errors again; elsewhere show that view."""
        panel = self.query_one(NoisePanel)
        panel.predicted = not panel.predicted if self.view == "levels" else True
        self.chosen_view = "levels"
        self.update()

    def action_rows(self, rows: int) -> None:
        if self.view == "numbers":
            self.query_one("#numbers").scroll_relative(y=2 * rows, animate=False)
        elif self.view == "why":
            self.query_one("#why").scroll_relative(y=2 * rows, animate=False)
        elif self.view == "curves":
            self.query_one("#legend").scroll_relative(y=rows, animate=False)
        else:
            self.query_one(ImageWall).scroll_rows(rows)

    def action_page(self, pages: int) -> None:
        """Scroll the numbers; without them the images, or the list of curves."""
        numbers = self.query_one("#why" if self.view == "why" else "#numbers")
        if numbers.display:
            numbers.scroll_relative(y=pages * max(1, numbers.size.height - 2), animate=False)
        else:
            self.action_rows(pages)

    def action_columns(self, columns: int) -> None:
        """Scroll the columns of the evaluations and of the images."""
        self.first_column = min(max(0, self.first_column + columns), max(0, len(self.runs) - 1))
        self.query_one(ImageWall).scroll_columns(columns * self._columns_per_run)
        self.update()

    def action_evaluate(self) -> None:
        """Evaluate the runs that were not evaluated, have trained since, or were evaluated by another protocol.

        The view of explanations explains such runs instead.
        """
        if self.view == "why":
            self.explain()
            return
        missing = self.evaluations.missing(self.runs)
        ready = [(runs, like) for runs, like in missing if runs]
        if ready:
            self.run_in_background(lambda: self.control.evaluate(ready))
        else:
            self.notify(
                "no run has a checkpoint yet" if missing else "all runs are evaluated or being evaluated"
            )

    def _poll_evaluations(self) -> None:
        """Read new evaluations, which come without a snapshot because only this screen shows them."""
        if not self.is_current:
            return
        if self.view == "why":
            changed = self.why_changed()
        elif self.view == "levels":
            changed = self.query_one(NoisePanel).changed(self.runs)
        elif self.view in ("all", "numbers", "sweep"):
            changed = self.evaluations.refresh(self.swept_runs if self.view == "sweep" else self.runs)
        else:
            changed = False
        if changed:
            self.update()

    def _redraw(self) -> None:
        self._redraw_timer = None
        self.update()


def compare_hints(screen: Screen[Any], view: str, *, playing: bool) -> list[KeyHint]:
    """Return the hints for a view, with the keys as they are bound now."""
    words = {"compare.next_view": "view"}
    if view == "sweep":
        words |= {"compare.metric": "metric", "compare.setting": "setting", "compare.log_x": "log x"}
    elif view not in ("numbers", "why"):
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
        }
    if view in ("all", "curves", "levels"):
        words |= {"compare.band": "next run", "compare.solo": "solo", "compare.hide": "hide"}
    if view == "levels":
        words["compare.predicted"] = "noise"
    if view in ("all", "numbers"):
        words["compare.judge"] = "evaluate"
    if view == "why":
        words |= {"compare.judge": "explain", "compare.down": "scroll"}
    if view not in ("curves", "levels", "why", "sweep"):
        words["compare.down"] = "scroll" if view == "numbers" else "noises"
        words["compare.right"] = "runs"
    if view == "all":
        words["compare.page_down"] = "numbers"
    return screen_hints(screen, COMPARE, words | {"compare.denoise": "denoise", "compare.close": "back"})
