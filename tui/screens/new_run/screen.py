"""The new-run form, which sets up one run, or one run for each of several schedules."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Final

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.strip import Strip
from textual.suggester import SuggestFromList
from textual.widget import Widget
from textual.widgets import Button, Input, OptionList, Select, SelectionList, Static
from textual.widgets.selection_list import Selection

from core.config import RunConfig
from core.data.check import check_trainable
from core.data.recipe import hidden_folder_note, list_data_recipes
from core.errors import UserError
from core.files.sanitize import sanitize
from core.recipes import list_recipes
from core.schedules import Schedule
from tui.commands import NEW_RUN, bindings
from tui.state.formatting import LEVEL_MARKS, NOTHING, pluralize, small_number
from tui.state.run_draft import FIELDS, Field, RunDraft, field_error, preview_schedule
from tui.widgets.images.render_mode import on_keymap_changed
from tui.widgets.key_bar import KeyBar, KeyHint
from tui.widgets.key_hints import keys_by_command, screen_hints

MIN_WIDTH_FOR_HINTS: Final = 72
"""Below this width only errors are shown, not hints."""
CLONE: Final = "as it was"
MIN_WIDTH_FOR_NOTES: Final = 120
"""From this width on, notes about the schedules are shown beside the form."""
_CHOICE_NAMES: Final = {"true": "yes", "false": "no", "": "as the dataset"}


class _Form(VerticalScroll, inherit_bindings=False, can_focus=False):
    """The fields. Up and down go from field to field, also where not all fit; only page keys scroll by themselves."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pageup", "page_up", show=False),
        Binding("pagedown", "page_down", show=False),
    ]


class NewRunScreen(Screen[list[RunConfig] | None]):
    """Asks for a run's settings, validates them as they are typed, and returns the configurations.

    Args:
        initial_draft: the draft to start from; None starts from the quick recipe.
        origin: the name of the initial draft in the list of recipes to start from.
    """

    CSS_PATH = "screen.tcss"
    AUTO_FOCUS = "#schedule-names"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(NEW_RUN)]

    def __init__(self, initial_draft: RunDraft | None = None, *, origin: str = CLONE) -> None:
        super().__init__()
        self.initial_draft = initial_draft
        self.origin = origin
        self.draft = initial_draft or RunDraft.from_recipe("quick")
        self.configs: list[RunConfig] = []

    def compose(self) -> ComposeResult:
        like = f"like {self.draft.schedules[0]}" if self.origin == CLONE else self.origin
        title = f"new run  {like}" if self.initial_draft else "new run"
        yield Static(Content.styled(f" {title}", "bold $text-primary"), id="top")
        with Horizontal(id="body"):
            with _Form(id="form"):
                yield from self._recipe_row()
                yield from self._field_row(FIELDS[0])
                with Horizontal(classes="row", id="schedules"):
                    yield Static("schedules", classes="label")
                    yield ScheduleList(*self._selections(), id="schedule-names", compact=True)
                    yield Static("space chooses; one run for each", classes="hint", id="hint-schedules")
                for field in FIELDS[1:]:
                    yield from self._field_row(field)
            with VerticalScroll(id="aside", can_focus=False):
                yield Static(id="notes")
        with Vertical(id="foot"):
            with Horizontal(id="buttons"):
                yield Button("Start", id="start", variant="primary", compact=True)
                yield Button("Cancel", id="cancel", compact=True)
                yield Static(id="summary")
            yield KeyBar(id="keys")

    def on_mount(self) -> None:
        on_keymap_changed(self, self._show_keys)
        self._show_keys()
        self.check()

    def _show_keys(self) -> None:
        words = {"new.start": "start", "new.open": "folder", "new.cancel": "cancel"}
        self.query_one(KeyBar).show(
            [
                KeyHint("tab", "next setting", "app.focus_next", 2),
                KeyHint("shift+tab", "back", "app.focus_previous", 4),
                KeyHint("space", "choose", "", 3),
                *screen_hints(self, NEW_RUN, words),
            ]
        )
        keys = {name: found[0] for name, found in keys_by_command(self).items()}
        for name, word in (("start", "Start"), ("cancel", "Cancel")):
            self.query_one(f"#{name}", Button).label = f"{word}  {keys.get(f'new.{name}', '')}".rstrip()

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width >= MIN_WIDTH_FOR_NOTES, "-wide")
        self.set_class(event.size.width < MIN_WIDTH_FOR_HINTS, "-slim")

    @property
    def values(self) -> dict[str, str]:
        """The texts of the form, by key."""
        values: dict[str, str] = {}
        for field in FIELDS:
            widget = self.query_one(f"#{_widget_id(field)}")
            if isinstance(widget, Input | Select):
                values[field.key] = str(widget.value)
        return values

    @property
    def schedules(self) -> list[str]:
        """The selected schedules, in their order in the list."""
        chosen = self.query_one("#schedule-names", ScheduleList).selected
        return [name for name in self.draft.offered if name in chosen]

    def check(self) -> None:
        """Validate the form, and update errors, schedules, notes and the summary of runs to queue."""
        values = self.values
        for field in FIELDS:
            message = field_error(field.key, values[field.key])
            hint = self.query_one(f"#hint-{_widget_id(field)}", Static)
            hidden = hidden_folder_note(values[field.key].strip()) if field.key == "data.dataset" else ""
            hint.update(Content(message or sanitize(hidden) or field.hint))
            hint.set_class(bool(message), "-error")
        names = self.query_one("#schedule-names", ScheduleList)
        chosen = self.schedules
        schedules = {name: preview_schedule(self.draft, values, name) for name in self.draft.offered}
        for index, (name, schedule) in enumerate(schedules.items()):
            prompt = _schedule_prompt(name, schedule, chosen=name in chosen)
            names.replace_option_prompt_at_index(index, prompt)
        self.query_one("#notes", Static).update(_notes_text([schedules[name] for name in chosen]))
        summary = self.query_one("#summary", Static)
        try:
            self.configs = self.draft.build(values, self.schedules)
        except UserError as error:
            self.configs = []
            summary.update(Content.styled(str(error), "$text-error"))
        else:
            epochs = self.configs[0].train.epochs
            dataset = sanitize(self.configs[0].data.title)
            each = " each" if len(self.configs) > 1 else ""
            summary.update(
                Content.assemble(
                    (pluralize(len(self.configs), "run"), "bold"),
                    f" will be queued: {pluralize(epochs, 'epoch')}{each} on {dataset}",
                )
            )
        self.query_one("#start", Button).disabled = not self.configs

    @on(Input.Changed)
    @on(SelectionList.SelectedChanged)
    def recheck(self) -> None:
        self.check()

    @on(Select.Changed)
    def choose(self, event: Select.Changed) -> None:
        if event.select.id == "recipe":
            self._fill_from(str(event.value))
        else:
            self.check()

    @on(Input.Submitted)
    def focus_next_field(self) -> None:
        self.focus_next()

    @on(Button.Pressed, "#start")
    def action_start(self) -> None:
        self.check()
        if not self._has_images():
            self.app.bell()
            self.query_one(f"#{_widget_id(FIELDS[0])}").focus()
        elif self.configs:
            self.dismiss(self.configs)
        else:
            self.app.bell()
            self._focus_first_error()

    def _has_images(self) -> bool:
        """Read the first images; not done at each key, because a folder may be large. An error is shown."""
        try:
            check_trainable(self.configs)
        except UserError as error:
            self.query_one("#summary", Static).update(Content.styled(str(error), "$text-error"))
            return False
        return True

    def action_open(self) -> None:
        """Let the user choose a folder of images for the dataset."""
        from tui.dialogs.path_picker import DATASET, PickerScreen

        field = self.query_one(f"#{_widget_id(FIELDS[0])}", Input)
        text = field.value.strip()

        def decided(path: Path | None) -> None:
            if path is not None:
                field.value = str(path)
                field.focus()

        start = Path(text) if "/" in text or text.startswith("~") else None
        self.app.push_screen(PickerScreen(DATASET, start), decided)

    @on(Button.Pressed, "#cancel")
    def action_cancel(self) -> None:
        self.dismiss(None)

    def _fill_from(self, recipe: str) -> None:
        """Fill the form from a recipe, or from the initial draft."""
        draft = (
            self.initial_draft
            if self.initial_draft and recipe == self.origin
            else RunDraft.from_recipe(recipe)
        )
        if draft == self.draft:
            return
        self.draft = draft
        for field in FIELDS:
            widget, value = self.query_one(f"#{_widget_id(field)}"), draft.initial_values()[field.key]
            if isinstance(widget, Input | Select):
                widget.value = value
        names = self.query_one("#schedule-names", ScheduleList)
        names.clear_options()
        names.add_options(self._selections())
        self.check()

    def _selections(self) -> list[Selection[str]]:
        return [Selection(name, name, name in self.draft.schedules) for name in self.draft.offered]

    def _recipe_row(self) -> Iterator[Widget]:
        described = dict(list_recipes())
        names = [*([self.origin] if self.initial_draft else []), *described]
        value = self.origin if self.initial_draft else self.draft.recipe
        with Horizontal(classes="row"):
            yield Static("start from", classes="label")
            yield Select(
                [(name, name) for name in names], value=value, allow_blank=False, compact=True, id="recipe"
            )
            yield Static("fills in all fields below", classes="hint")

    def _field_row(self, field: Field) -> Iterator[Widget]:
        value = self.draft.initial_values()[field.key]
        with Horizontal(classes="row"):
            yield Static(field.label, classes="label")
            if field.choices:
                options = [(_CHOICE_NAMES.get(choice, choice), choice) for choice in field.choices]
                yield Select(options, value=value, allow_blank=False, compact=True, id=_widget_id(field))
            else:
                names = _data_recipes() if field.key == "data.dataset" else []
                yield Input(
                    value,
                    compact=True,
                    id=_widget_id(field),
                    max_length=4000 if names else 10,
                    suggester=SuggestFromList(names) if names else None,
                    select_on_focus=True,
                )
            yield Static(field.hint, classes="hint", id=f"hint-{_widget_id(field)}")

    def _focus_first_error(self) -> None:
        values = self.values
        for field in FIELDS:
            if field_error(field.key, values[field.key]):
                self.query_one(f"#{_widget_id(field)}").focus()
                return
        self.query_one("#schedule-names").focus()


class ScheduleList(SelectionList[str]):
    """A list of schedules whose prompts contain the selection marks, in place of the coloured X."""

    def _get_left_gutter_width(self) -> int:
        return 0

    def render_line(self, y: int) -> Strip:
        return OptionList.render_line(self, y)


def _widget_id(field: Field) -> str:
    return field.key.replace(".", "-")


def _data_recipes() -> list[str]:
    try:
        return [recipe.name for recipe in list_data_recipes()]
    except UserError:
        return []


def _schedule_prompt(name: str, schedule: Schedule | None, *, chosen: bool) -> Content:
    """A line of the list: the selection mark, the schedule's name, abar_T and the diagnosis in one word."""
    mark = ("[x] ", "bold $text-success") if chosen else ("[ ] ", "$text-muted")
    if schedule is None:
        return Content.assemble(mark, f"{name:9} ", ("abar_T", "$text-muted"), f"{NOTHING:>8}")
    level = schedule.diagnosis().level
    return Content.assemble(
        mark,
        f"{name:9} ",
        ("abar_T ", "$text-muted"),
        f"{small_number(schedule.terminal_alpha_bar):>7}  ",
        (level, LEVEL_MARKS[level][1]),
    )


def _notes_text(schedules: Sequence[Schedule | None]) -> Content:
    """The signal that the selected schedules leave of an image, in numbers and in words."""
    parts = []
    for schedule in schedules:
        if schedule is None:
            continue
        diagnosis = schedule.diagnosis()
        snr = schedule.terminal_snr
        decibels = f"{10 * math.log10(snr):.1f} dB" if snr > 0 else "none at all"
        parts.append(
            Content.assemble(
                (schedule.name, "bold"),
                (
                    f"   abar_T {small_number(schedule.terminal_alpha_bar)} · SNR_T {decibels} · "
                    f"L_T {small_number(schedule.prior_bits_per_dim())} bits/dim\n",
                    "$text-muted",
                ),
                (diagnosis.level, LEVEL_MARKS[diagnosis.level][1]),
                diagnosis.text.removeprefix(diagnosis.level),
            )
        )
    return Content("\n\n").join(parts)
