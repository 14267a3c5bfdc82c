"""Panel of a comparison with one metric against one setting, pooled over seeds."""

from collections.abc import Callable, Mapping, Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from core.comparison.formatting import metric_title, short_text
from core.comparison.grouping import Member
from core.comparison.sweep import Sweep, SweepLine, SweepPoint, sweep, swept_metrics, swept_settings
from core.errors import UserError
from tui.settings.series_colors import series_style
from tui.widgets.charts.sweep_chart import SweepChart
from tui.widgets.title_bar import update_static

NOTHING = "These runs differ in their seed at most: compare runs of a grid."


class SweepPanel(Vertical):
    """A chart below its title, above the lines' names, the best value and notes.

    Attributes:
        setting: the swept setting; the first one that varies if empty or no longer there.
        metric: the metric, likewise.
        linear: draw the x axis linearly even if the values are spaced geometrically.
    """

    setting = ""
    metric = ""
    linear = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._key: object = None
        self._settings: list[str] = []
        self._metrics: list[str] = []
        self._sweep: Sweep | None = None
        self._problem = ""

    def compose(self) -> ComposeResult:
        yield Static(id="sweep-title")
        yield SweepChart(id="sweep-chart")
        yield Static(id="sweep-notes")

    def show(
        self, key: object, members: Callable[[], Sequence[Member]], variables: Mapping[str, str]
    ) -> None:
        """Show runs.

        Args:
            key: equal to that of the last call if the runs and their numbers are the same.
            members: returns the runs; called only if they differ.
            variables: of the theme.
        """
        if (key, self.setting, self.metric) != self._key:
            self._compute(members())
            self._key = (key, self.setting, self.metric)
        shown, problem = self._sweep, self._problem
        chart = self.query_one(SweepChart)
        if shown is None:
            update_static(self.query_one("#sweep-title", Static), Content(f" {problem}"))
            chart.show(None, [], log=False)
            update_static(self.query_one("#sweep-notes", Static), Content(""))
            return
        styles = [series_style(index, variables) for index in range(len(shown.lines))]
        log = shown.log and not self.linear
        chart.show(shown, styles, log=log)
        better = shown.better
        title = Content.assemble(
            f" {metric_title(shown.metric)}",
            (f" ({better} is better)" if better else "", "$text-muted"),
            f" against {shown.setting}",
            (f" · {'logarithmic' if log else 'linear'}" if shown.numeric else " · categories", "$text-muted"),
            (" · mean, 95% over seeds", "$text-muted"),
        )
        update_static(self.query_one("#sweep-title", Static), title)
        texts = []
        if len(shown.lines) > 1:
            legend = [
                Content.assemble((f" {style.marker} ", f"bold {style.color}"), _name(line, shown))
                for style, line in zip(styles, shown.lines, strict=True)
            ]
            texts.append(Content(" ").join(legend))
        if best := _best_text(shown):
            texts.append(Content(f" {best}"))
        texts += [Content.styled(f" {note}", "$text-muted") for note in shown.notes]
        update_static(self.query_one("#sweep-notes", Static), Content("\n").join(texts))

    def next_setting(self, steps: int) -> None:
        """Take the setting that many places further; `show` then draws it."""
        self.setting = _further(self._settings, self.setting, steps)

    def next_metric(self, steps: int) -> None:
        """Take the metric that many places further; `show` then draws it."""
        self.metric = _further(self._metrics, self.metric, steps)

    def _compute(self, members: Sequence[Member]) -> None:
        self._settings, self._metrics = swept_settings(members), swept_metrics(members)
        self._sweep, self._problem = None, NOTHING
        if not self._settings:
            return
        if self.setting not in self._settings:
            self.setting = self._settings[0]
        if self._metrics and self.metric not in self._metrics:
            self.metric = self._metrics[0]
        try:
            self._sweep = sweep(members, self.setting, self.metric)
        except UserError as error:
            self._problem = str(error)


def _further(names: Sequence[str], name: str, steps: int) -> str:
    if not names:
        return name
    return names[(names.index(name) + steps) % len(names)] if name in names else names[0]


def _name(line: SweepLine, shown: Sweep) -> str:
    several = len({one.dataset for one in shown.lines}) > 1
    return " ".join(filter(None, (line.dataset if several else "", line.label))) or line.dataset


def _best_text(shown: Sweep) -> str:
    """The best point as text; empty if the metric has no better direction or no point."""
    better = shown.better
    if better is None or not shown.lines or len({line.dataset for line in shown.lines}) > 1:
        return ""
    points = [(line, point) for line in shown.lines for point in line.points]

    def value(one: tuple[SweepLine, SweepPoint]) -> float:
        found = one[1].score.estimate.value or 0.0
        return found if better == "higher" else -found

    line, point = max(points, key=value)
    where = f" ({line.label})" if line.label and len(shown.lines) > 1 else ""
    runs = f"{point.runs} run{'s' * (point.runs != 1)}"
    return f"best mean: {short_text(shown.metric, point.score.estimate)} at {point.text}{where}, {runs}"
