"""The settings screen: settings and keys, which apply at once and are saved."""

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
from tui.screens.settings.rows import DEFAULTS, SettingRow, next_value, row_text, setting_rows, value_text
from tui.settings.keymap import conflict, is_default, rebound_keys
from tui.settings.themes import short_name
from tui.textual_ext.signals import subscribe_weakly
from tui.widgets.key_bar import KeyBar
from tui.widgets.key_hints import screen_hints

MAX_PROBLEMS: Final = 3


class SettingsList(OptionList, can_focus=True, inherit_bindings=False):
    """The list of rows; the screen's commands move its cursor."""


class SettingsScreen(Screen[None]):
    """Lists the settings, and every command with its keys.

    Args:
        host: the app, which applies and saves the settings.
    """

    CSS_PATH = "screen.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(SETTINGS)]

    def __init__(self, host: SettingsHost) -> None:
        super().__init__()
        self.host = host
        self.rows = setting_rows()
        self._row_texts: list[Content] = []
        self._rejection = ""

    def compose(self) -> ComposeResult:
        kept = self.host.remember is not None or self.host.keys is not None
        note = f"  {'saved' if kept else 'not saved'}; * differs from the default"
        yield Static(Content.assemble((" settings", "bold $text-primary"), (note, "$text-muted")), id="top")
        yield SettingsList(
            *(Option("", disabled=not (row.setting or row.command)) for row in self.rows), id="rows"
        )
        yield Static(id="problems")
        yield Static(id="status")
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
        self._rejection = ""
        self.update(files=False)

    def on_option_list_option_selected(self) -> None:
        """Handle a click like the enter key."""
        self.action_change()

    @property
    def row(self) -> SettingRow:
        """The row under the cursor."""
        return self.rows[self._list.highlighted or 0]

    @property
    def _list(self) -> SettingsList:
        return self.query_one(SettingsList)

    def value(self, name: str) -> object:
        """The current value of a setting."""
        if name == "theme":
            return short_name(self.host.theme)
        if name == "pictures" and self.host.image_mode:
            return self.host.image_mode
        return getattr(self.host.settings, name)

    def update(self, *, files: bool = True) -> None:
        """Update the rows to the settings; redraws only changes.

        Args:
            files: whether to check the settings files for problems again.
        """
        if not self.is_mounted:
            return
        if files:
            self._show_problems()
        lines = [
            row_text(
                row,
                self.value(row.setting) if row.setting else None,
                self.host.keymap,
                self.key_text,
                current=row is self.row,
            )
            for row in self.rows
        ]
        for index, text in enumerate(lines):
            if index >= len(self._row_texts) or text != self._row_texts[index]:
                self._list.replace_option_prompt_at_index(index, text)
        self._row_texts = lines
        self.query_one("#status", Static).update(self._status_text())
        words = {
            "settings.up": "move",
            "settings.change": "change",
            "settings.right": "value",
            "settings.add": "add key",
            "settings.usual": "reset",
            "settings.next": "next screen",
            "settings.close": "back",
        }
        del words["settings.right" if self.row.command else "settings.add"]
        self.query_one(KeyBar).show(screen_hints(self, SETTINGS, words))

    def _show_problems(self) -> None:
        problems = [sanitize(one) for one in self.host.problems()[:MAX_PROBLEMS]]
        line = self.query_one("#problems", Static)
        line.display = bool(problems)
        line.update(Content("\n").join(Content(f"! {one}") for one in problems))

    def _status_text(self) -> Content:
        """The reason why a key was rejected, else a note about the row under the cursor."""
        row = self.row
        if self._rejection:
            return Content.styled(self._rejection, "bold $text-error")
        if row.command is not None:
            return Content.assemble(("name in keys.toml: ", "$text-muted"), row.command.id)
        if row.setting == "pictures":
            drawing = self.host.render_mode
            drawn = "its own pixels" if drawing.placements is not None else drawing.mode
            return Content.styled(f"this terminal: {drawn}", "$text-muted")
        if row.setting:
            return Content.styled(f"default: {value_text(row.setting, DEFAULTS[row.setting])}", "$text-muted")
        return Content("")

    def key_text(self, key: str) -> str:
        """The display name of a key."""
        return self.app.get_key_display(Binding(key, ""))

    def action_close(self) -> None:
        self.dismiss()

    def action_move(self, lines: int) -> None:
        """Move the cursor by rows that can be selected, and stop at both ends."""
        selectable = [index for index, row in enumerate(self.rows) if row.setting or row.command]
        current = selectable.index(self._list.highlighted or selectable[0])
        self._list.highlighted = selectable[min(max(0, current + lines), len(selectable) - 1)]
        if self._list.highlighted == selectable[0]:
            self._list.scroll_home(animate=False)

    def action_section(self, sections: int) -> None:
        """Go to the first row of the next section; after the last section, to the first one."""
        starts = [index + 1 for index, row in enumerate(self.rows) if row.heading]
        current = sum(start <= (self._list.highlighted or 0) for start in starts) - 1
        start = starts[(current + sections) % len(starts)]
        self._list.highlighted = start
        # Scroll the heading to the top, so that as much of the section as possible is visible.
        self._list.scroll_to(y=start - 1, animate=False)

    def action_turn(self, steps: int) -> None:
        if name := self.row.setting:
            self._set(name, next_value(name, self.value(name), steps))

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
        """Restore the default value or keys, unless another command uses one of the keys."""
        row = self.row
        if row.setting:
            self._set(row.setting, DEFAULTS[row.setting])
        elif row.command is not None and not is_default(row.command, self.host.keymap):
            for key in row.command.keys.split(","):
                if wrong := conflict(row.command, key, self.host.keymap):
                    self._reject(key, wrong)
                    return
            self.host.rebind({row.command.id: None})

    def action_all_usual(self) -> None:
        from tui.dialogs.confirm import Choice, ConfirmScreen

        changed = [command for command in ALL if not is_default(command, self.host.keymap)]
        if not changed:
            self.notify("all commands have their default keys", timeout=3)
            return

        def decided(choice: str | None) -> None:
            if choice == "yes":
                self.host.rebind({command.id: None for command in changed})

        names = ", ".join(command.id for command in changed)
        choices = (Choice("yes", "y", "yes"), Choice("no", "n", "cancel"))
        self.app.push_screen(ConfirmScreen("Reset the keys of all commands?", names, choices), decided)

    def _set(self, name: str, value: Any) -> None:
        if name == "theme":
            self.host.use_theme(value)
        else:
            if name == "pictures":
                self.host.image_mode = None  # a choice on this screen overrides the command line
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

        question = "Seconds between two reads of running runs"
        self.app.push_screen(TextScreen(question, f"{self.host.settings.refresh:g}", wrong), decided)

    def _ask_key(self, command: Command, *, more: bool) -> None:
        def decided(key: str | None) -> None:
            self._rejection = ""
            if key is None:
                self.update()
                return
            if wrong := conflict(command, key, self.host.keymap):
                self._reject(key, wrong)
                return
            keys: Sequence[str] | None = rebound_keys(command, key, self.host.keymap, more=more)
            self.host.rebind({command.id: None if keys == tuple(command.keys.split(",")) else keys})

        question = f"Press {'another' if more else 'the new'} key; escape cancels."
        self.app.push_screen(KeyScreen(command.text, question), decided)

    def _reject(self, key: str, wrong: str) -> None:
        self.app.bell()
        self._rejection = f"{self.key_text(key)} {wrong}"
        self.update()
