"""Settings and keys: what is chosen counts at once, and is kept."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from core.errors import UserError
from core.files.sanitize import sanitize
from tui.commands import ALL, SETTINGS, Command, bindings
from tui.dialogs.input import KeyScreen, TextScreen
from tui.screens.settings.host import SettingsHost
from tui.screens.settings.rows import DEFAULTS, SettingRow, line, rows, shown, turned
from tui.settings.keymap import conflict, is_default, rebound_keys
from tui.settings.themes import short_name
from tui.textual_ext.signals import subscribe_weakly
from tui.widgets.key_bar import KeyBar
from tui.widgets.key_hints import screen_hints

MAX_PROBLEMS: Final = 3


class SettingsList(OptionList, can_focus=True, inherit_bindings=False):
    """The lines; the screen's commands move its cursor."""


class SettingsScreen(Screen[None]):
    """Lists the settings, and every command with its keys.

    Args:
        host: the app, which applies and keeps what is chosen.
    """

    CSS_PATH = "screen.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(SETTINGS)]

    def __init__(self, host: SettingsHost) -> None:
        super().__init__()
        self.host = host
        self.rows = rows()
        self._drawn: list[Content] = []
        self._refusal = ""

    def compose(self) -> ComposeResult:
        kept = self.host.remember is not None or self.host.keys is not None
        said = f"  {'kept for the next visits' if kept else 'forgotten with this visit'}; * is not as usual"
        yield Static(Content.assemble((" settings", "bold $text-primary"), (said, "$text-muted")), id="top")
        yield SettingsList(
            *(Option("", disabled=not (row.setting or row.command)) for row in self.rows), id="rows"
        )
        yield Static(id="troubles")
        yield Static(id="said")
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        self._list.highlighted = 1
        subscribe_weakly(self, self.host.theme_changed_signal, self.update)
        subscribe_weakly(self, self.host.render_mode_changed_signal, self.update)
        subscribe_weakly(self, self.host.keymap_changed_signal, self.update)
        self.update()

    def on_screen_resume(self) -> None:
        self.update()

    def on_option_list_option_highlighted(self) -> None:
        self._refusal = ""
        self.update(files=False)

    def on_option_list_option_selected(self) -> None:
        """A click does what enter does."""
        self.action_change()

    @property
    def row(self) -> SettingRow:
        """The line under the cursor."""
        return self.rows[self._list.highlighted or 0]

    @property
    def _list(self) -> SettingsList:
        return self.query_one(SettingsList)

    def value(self, name: str) -> object:
        """What a setting is now."""
        if name == "theme":
            return short_name(self.host.theme)
        if name == "pictures" and self.host.image_mode:
            return self.host.image_mode
        return getattr(self.host.settings, name)

    def update(self, *, files: bool = True) -> None:
        """Bring the lines in line with the settings; draws only what changed.

        Args:
            files: whether to look again for what is wrong in the files.
        """
        if not self.is_mounted:
            return
        if files:
            self._show_problems()
        lines = [
            line(
                row,
                self.value(row.setting) if row.setting else None,
                self.host.keymap,
                self.display_of,
                current=row is self.row,
            )
            for row in self.rows
        ]
        for place, one in enumerate(lines):
            if place >= len(self._drawn) or one != self._drawn[place]:
                self._list.replace_option_prompt_at_index(place, one)
        self._drawn = lines
        self.query_one("#said", Static).update(self._said())
        words = {
            "settings.up": "move",
            "settings.change": "change",
            "settings.right": "value",
            "settings.add": "one more key",
            "settings.usual": "as usual",
            "settings.next": "next screen",
            "settings.close": "back",
        }
        del words["settings.right" if self.row.command else "settings.add"]
        self.query_one(KeyBar).show(screen_hints(self, SETTINGS, words))

    def _show_problems(self) -> None:
        problems = [sanitize(one) for one in self.host.problems()[:MAX_PROBLEMS]]
        line = self.query_one("#troubles", Static)
        line.display = bool(problems)
        line.update(Content("\n").join(Content(f"! {one}") for one in problems))

    def _said(self) -> Content:
        """Why a key was refused, else a word on what is under the cursor."""
        row = self.row
        if self._refusal:
            return Content.styled(self._refusal, "bold $text-error")
        if row.command is not None:
            return Content.assemble(("name in keys.toml: ", "$text-muted"), row.command.id)
        if row.setting == "pictures":
            drawing = self.host.render_mode
            drawn = "its own pixels" if drawing.placements is not None else drawing.mode
            return Content.styled(f"this terminal: {drawn}", "$text-muted")
        if row.setting:
            return Content.styled(f"usually {shown(row.setting, DEFAULTS[row.setting])}", "$text-muted")
        return Content("")

    def display_of(self, key: str) -> str:
        """A key as it is written."""
        return self.app.get_key_display(Binding(key, ""))

    def action_close(self) -> None:
        self.dismiss()

    def action_move(self, lines: int) -> None:
        """Move the cursor over lines that can be chosen, and stay at both ends."""
        usable = [place for place, row in enumerate(self.rows) if row.setting or row.command]
        now = usable.index(self._list.highlighted or usable[0])
        self._list.highlighted = usable[min(max(0, now + lines), len(usable) - 1)]
        if self._list.highlighted == usable[0]:
            self._list.scroll_home(animate=False)

    def action_section(self, sections: int) -> None:
        """Go to the first line below the next heading, round and round."""
        starts = [place + 1 for place, row in enumerate(self.rows) if row.heading]
        now = sum(place <= (self._list.highlighted or 0) for place in starts) - 1
        place = starts[(now + sections) % len(starts)]
        self._list.highlighted = place
        # The heading is seen, and as much below it as there is room for.
        self._list.scroll_to(y=place - 1, animate=False)

    def action_turn(self, steps: int) -> None:
        if name := self.row.setting:
            self._set(name, turned(name, self.value(name), steps))

    def action_change(self) -> None:
        row = self.row
        if row.setting == "refresh":
            self._ask_refresh()
        elif row.setting:
            self.action_turn(1)
        elif row.command is not None:
            self._ask_key(row.command, more=False)

    def action_add(self) -> None:
        if self.row.command is not None:
            self._ask_key(self.row.command, more=True)

    def action_usual(self) -> None:
        """Back to the usual value or keys, unless something else has taken one of them."""
        row = self.row
        if row.setting:
            self._set(row.setting, DEFAULTS[row.setting])
        elif row.command is not None and not is_default(row.command, self.host.keymap):
            for key in row.command.keys.split(","):
                if wrong := conflict(row.command, key, self.host.keymap):
                    self._refuse(key, wrong)
                    return
            self.host.rebind({row.command.id: None})

    def action_all_usual(self) -> None:
        from tui.dialogs.confirm import Choice, ConfirmScreen

        changed = [command for command in ALL if not is_default(command, self.host.keymap)]
        if not changed:
            self.notify("all commands have their usual keys", timeout=3)
            return

        def decided(choice: str | None) -> None:
            if choice == "yes":
                self.host.rebind({command.id: None for command in changed})

        names = ", ".join(command.id for command in changed)
        choices = (Choice("yes", "y", "yes"), Choice("no", "n", "leave them"))
        self.app.push_screen(
            ConfirmScreen("Give all commands their usual keys again?", names, choices), decided
        )

    def _set(self, name: str, value: Any) -> None:
        if name == "theme":
            self.host.use_theme(value)
        else:
            if name == "pictures":
                self.host.image_mode = None  # who chooses here no longer means what the command line said
            self.host.apply_settings(replace(self.host.settings, **{name: value}))
        self.update()

    def _ask_refresh(self) -> None:
        from tui.settings.store import validated

        def value_of(text: str) -> float:
            try:
                number: Any = float(text)
            except ValueError:
                number = text
            return float(validated({"refresh": number}, source="settings")["refresh"])

        def wrong(text: str) -> str:
            try:
                value_of(text)
            except UserError as error:
                return str(error).removeprefix("settings: ")
            return ""

        def decided(text: str | None) -> None:
            if text is not None:
                self._set("refresh", value_of(text))

        question = "Seconds between two looks at runs that train"
        self.app.push_screen(TextScreen(question, f"{self.host.settings.refresh:g}", wrong), decided)

    def _ask_key(self, command: Command, *, more: bool) -> None:
        def decided(key: str | None) -> None:
            self._refusal = ""
            if key is None:
                self.update()
                return
            if wrong := conflict(command, key, self.host.keymap):
                self._refuse(key, wrong)
                return
            keys: Sequence[str] | None = rebound_keys(command, key, self.host.keymap, more=more)
            self.host.rebind({command.id: None if keys == tuple(command.keys.split(",")) else keys})

        question = f"Press {'one more' if more else 'the new'} key; escape leaves it as it is."
        self.app.push_screen(KeyScreen(command.text, question), decided)

    def _refuse(self, key: str, wrong: str) -> None:
        self.app.bell()
        self._refusal = f"{self.display_of(key)} {wrong}"
        self.update()
