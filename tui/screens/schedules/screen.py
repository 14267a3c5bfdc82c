"""The schedules screen: noise schedules as curves, numbers and noised images, and new runs under them."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Horizontal, VerticalScroll
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input, Static

from core.config import RunConfig
from core.errors import UserError
from core.files.sanitize import sanitize
from tui.commands import SCHEDULE_NUMBERS, SCHEDULES, bindings
from tui.screens.live import LiveScreen
from tui.screens.schedules.noising import FIELDS, heldout_images, load_own_image, nudge
from tui.screens.schedules.playback import NoisePlayback
from tui.screens.schedules.prediction import Predictions, prediction_text
from tui.screens.schedules.table import ScheduleEntry, diagnoses_text, schedule_table
from tui.settings.series_colors import series_style
from tui.state.run_draft import RunDraft
from tui.widgets.charts.schedule_chart import ScheduleChart
from tui.widgets.chip_line import ChipLine
from tui.widgets.images.image_wall import ImageWall, plan_wall
from tui.widgets.images.render_mode import current_render_mode
from tui.widgets.images.tile_size import height_above_wall
from tui.widgets.key_bar import KeyBar, KeyHint
from tui.widgets.key_hints import digits_are_bound, screen_hints
from tui.widgets.scrubber import Scrubber
from tui.widgets.title_bar import title_and_tabs, update_static

VIEWS: Final = ("curves", "images", "numbers")
MIN_WIDTH_FOR_ALL: Final = 100
MIN_HEIGHT_FOR_ALL: Final = 34
MIN_WIDTH_FOR_NUMBERS: Final = 140
"""The width in cells from which the numbers fit beside the curves."""
CHROME_LINES: Final = 6
"""Lines of title, fields, names, image field, slider and keys."""
NUMBERS_WIDTH: Final = 72
OWN_IMAGE_SIZE: Final = 32
"""Side length in pixels of the user's own image if no image of a dataset determines it."""
ORIGIN: Final = "current schedules"
IMAGE_FIELD_ID: Final = "image"


class SchedulesScreen(NoisePlayback, LiveScreen[list[RunConfig] | None]):
    """Draws schedules, and images noised under them at any t; returns configurations to queue, or None.

    Args:
        configs: the configurations to start from; without any, those of the quick recipe.
    """

    CSS_PATH = "screen.tcss"
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [*bindings((*SCHEDULES, *SCHEDULE_NUMBERS))]

    def __init__(self, configs: Sequence[RunConfig] = ()) -> None:
        super().__init__(configs)
        self.view_chosen = ""
        self.predictions = Predictions(self.explorer.base.data.dataset)

    def compose(self) -> ComposeResult:
        usual = f"held-out images of {sanitize(self.explorer.base.data.dataset)}"
        yield Static(id="top")
        with Horizontal(id="fields", classes="row"):
            yield from self._fields()
        with Horizontal(id="source", classes="row"):
            yield Static("image", classes="label")
            yield Input(
                placeholder=f"{usual}; or a path, then enter; o: files",
                compact=True,
                id=IMAGE_FIELD_ID,
                max_length=1000,
            )
        yield ChipLine(id="names")
        with Container(id="body"):
            with Horizontal(id="upper"):
                with Horizontal(id="curves"):
                    yield ScheduleChart("beta_t", id="betas", span=(0.0, 0.0), clip_outliers=True)
                    yield ScheduleChart("abar_t", id="abars", span=(0.0, 1.0))
                    yield ScheduleChart("SNR in dB", id="snrs")
                with VerticalScroll(id="numbers", can_focus=False):
                    yield Static(id="table")
                    yield Static(id="prediction")
                    yield Static(id="diagnoses")
            yield ImageWall(id="wall")
        yield Scrubber(id="slider")
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        self.load_images("")
        self.load_predictions()

    def on_descendant_focus(self) -> None:
        self.update()

    def on_descendant_blur(self) -> None:
        self.update()

    @property
    def view(self) -> str:
        """The current view: one of `VIEWS`, or `all`."""
        return self.view_chosen or ("all" if self._fits_all else VIEWS[0])

    @property
    def _fits_all(self) -> bool:
        return self.size.width >= MIN_WIDTH_FOR_ALL and self.size.height >= MIN_HEIGHT_FOR_ALL

    def update(self) -> None:
        """Update the screen to the texts, t and the size; redraws only changes."""
        if not self.is_mounted:
            return
        entries, t, view = self.entries, self.t, self.view
        for one in ("all", *VIEWS):
            self.set_class(view == one, f"-{one}")
        self.set_class(self.size.width >= MIN_WIDTH_FOR_NUMBERS, "-broad")
        self._update_bars(entries)
        if view in ("all", "curves"):
            self._update_curves(entries, t)
        if view in ("all", "numbers"):
            width = self.size.width if view == "numbers" else NUMBERS_WIDTH
            update_static(self.query_one("#table", Static), schedule_table(entries, t, width - 1))
            text = prediction_text(self.predictions, entries, width - 1)
            update_static(self.query_one("#prediction", Static), text)
            self.query_one("#prediction").display = bool(text.plain)
            if self.predictions.missing(entries):
                self.predict()
            update_static(self.query_one("#diagnoses", Static), diagnoses_text(entries))
        columns = [self.explorer.column(entry, t) for entry in entries]
        if view == "all":
            lines = plan_wall(columns, self.size.width, current_render_mode(self).zoom).lines
            self.query_one("#upper").styles.height = height_above_wall(self.size.height - CHROME_LINES, lines)
        else:
            self.query_one("#upper").styles.height = "1fr"
        if view in ("all", "images"):
            self.query_one(ImageWall).show(columns)

    def _update_curves(self, entries: Sequence[ScheduleEntry], t: int) -> None:
        for name, lines in self.explorer.curves(entries).items():
            chart = self.query_one(f"#{name}", ScheduleChart)
            chart.show(lines)
            chart.cursor = t

    def _update_bars(self, entries: Sequence[ScheduleEntry]) -> None:
        width = self.size.width
        tabs = [("", name) for name in (("all", *VIEWS) if self._fits_all else VIEWS)]
        errors = [
            (field.label, error)
            for field in FIELDS
            if (error := self.explorer.schedule_set.text_error(field.key))
        ]
        status = f"{len(entries)} of {len(self.explorer.schedule_set.offered)}"
        status += " · rescaled to zero terminal SNR" if self.explorer.schedule_set.zero_terminal_snr else ""
        update_static(
            self.query_one("#top", Static), title_and_tabs("schedules", status, tabs, self.view, width)
        )
        variables = self.app.theme_variables
        names = [
            (series_style(index, variables), name, name in self.explorer.chosen)
            for index, name in enumerate(self.explorer.schedule_set.offered)
        ]
        self.query_one(ChipLine).show(names, error=": ".join(errors[0]) if errors else self.explorer.problem)
        self.query_one(KeyBar).show(
            schedule_hints(self, playing=self.playing, editing=self.focused is not None)
        )
        super().update()

    @work
    async def load_predictions(self) -> None:
        """Fit the Gaussian of the data set in a thread, and predict the samples of the schedules shown."""
        await asyncio.to_thread(self.predictions.load)
        self.update()

    @work
    async def predict(self) -> None:
        """Predict the samples of schedules that are new, unless some are being predicted."""
        if not self.predictions.busy:
            missing = self.predictions.missing(self.entries)
            self.predictions.busy = True
            await asyncio.to_thread(self.predictions.compute, missing)
            self.update()

    @work(exclusive=True, group="images")
    async def load_images(self, path: str) -> None:
        """Load the user's own image, or held-out images of the dataset if the path is empty."""
        try:
            if path:
                size = self.explorer.images.shape[1] if self.explorer.images is not None else OWN_IMAGE_SIZE
                self.explorer.images = await asyncio.to_thread(load_own_image, path, size)
            else:
                self.explorer.images = await asyncio.to_thread(
                    heldout_images, self.explorer.base.data.dataset
                )
            self.explorer.problem = ""
        except UserError as error:
            self.explorer.problem = sanitize(str(error))
        self.update()

    @on(Input.Changed)
    def on_text_changed(self, event: Input.Changed) -> None:
        """Apply a number as it is typed."""
        key = next((field.key for field in FIELDS if _widget_id(field.key) == event.input.id), None)
        if key is not None:
            self.explorer.set_text(key, event.value)
            self.update()

    @on(Input.Submitted)
    def leave_field(self, event: Input.Submitted) -> None:
        if event.input.id == IMAGE_FIELD_ID:
            self.load_images(event.value.strip())
        self.set_focus(None)

    def on_chip_line_clicked(self, message: ChipLine.Clicked) -> None:
        self.action_choose(message.index)

    def action_close(self) -> None:
        if self.focused is not None:
            self.set_focus(None)
        else:
            self.dismiss(None)

    def action_edit(self) -> None:
        self.query_one(f"#{_widget_id(FIELDS[0].key)}").focus()

    def action_open(self) -> None:
        """Let the user choose an image file, starting at the current one."""
        from tui.dialogs.path_picker import IMAGE as ONE_IMAGE
        from tui.dialogs.path_picker import PickerScreen

        field = self.query_one(f"#{IMAGE_FIELD_ID}", Input)
        text = field.value.strip()

        def decided(path: Path | None) -> None:
            if path is not None:
                field.value = str(path)
                self.load_images(field.value)
                self.set_focus(None)

        self.app.push_screen(PickerScreen(ONE_IMAGE, Path(text) if text else None), decided)

    def action_zero(self) -> None:
        self.explorer.toggle_zero_terminal_snr()
        self.update()

    def action_choose(self, index: int) -> None:
        self.explorer.toggle(index)
        self.update()

    def action_down(self) -> None:
        self._nudge_or_scroll(up=False)

    def action_up(self) -> None:
        self._nudge_or_scroll(up=True)

    def action_view(self, view: str) -> None:
        self.view_chosen = "" if view in ("all", self.view_chosen) else view
        self.update()

    def action_next_view(self) -> None:
        order = [*(["all"] if self._fits_all else []), *VIEWS]
        view = order[(order.index(self.view) + 1) % len(order)] if self.view in order else order[0]
        self.view_chosen = "" if view == "all" else view
        self.update()

    def action_new(self) -> None:
        """Set up runs under the schedules shown."""
        from tui.screens.new_run.screen import NewRunScreen

        try:
            configs = self.explorer.configs()
        except UserError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        if not configs:
            self.notify("choose at least one schedule by its digit")
            return

        def decided(wanted: list[RunConfig] | None) -> None:
            if wanted:
                self.dismiss(wanted)

        self.app.push_screen(NewRunScreen(RunDraft.from_configs(configs), origin=ORIGIN), decided)

    def _fields(self) -> Iterator[Widget]:
        for field in FIELDS:
            yield Static(field.label, classes="label")
            yield Input(
                self.explorer.schedule_set.values[field.key],
                compact=True,
                id=_widget_id(field.key),
                max_length=8,
                restrict=r"[0-9.eE+-]*",
                tooltip=field.hint or None,
                select_on_focus=True,
            )

    def _nudge_or_scroll(self, *, up: bool) -> None:
        if isinstance(self.focused, Input):
            field = next(
                (field for field in FIELDS if _widget_id(field.key) == getattr(self.focused, "id", "")), None
            )
            if field is not None:
                self.focused.value = nudge(field.key, self.focused.value, up)
        elif self.view == "numbers":
            self.query_one("#numbers").scroll_relative(y=-1 if up else 1, animate=False)
        else:
            self.query_one(ImageWall).scroll_rows(-1 if up else 1)


def schedule_hints(screen: Screen[Any], *, playing: bool, editing: bool) -> list[KeyHint]:
    """Key hints with the current key bindings; while a field is focused, the keys of the field."""
    if editing:
        return [
            KeyHint("↑ ↓", "more, less", "screen.up", 0),
            KeyHint("tab", "next field", "app.focus_next", 1),
            KeyHint("esc", "leave the field", "screen.close", 0),
        ]
    words = {
        "schedules.later": "noise",
        "schedules.play": "pause" if playing else "play",
        "schedules.edit": "edit",
        "schedules.open": "image",
        "schedules.zero": "zero SNR",
        "schedules.new": "new run",
        "schedules.view": "view",
        "schedules.down": "scroll",
        "schedules.close": "back",
    }
    hints = screen_hints(screen, SCHEDULES, words)
    digits = [KeyHint("1-9", "schedules", "", 3)] if digits_are_bound(screen, SCHEDULE_NUMBERS) else []
    return [*hints[:2], *digits, *hints[2:]]


def _widget_id(key: str) -> str:
    return key.replace(".", "-")
