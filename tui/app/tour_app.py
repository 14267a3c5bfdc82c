"""An app that can guide through itself: it says what to press, sees whether that was done, and goes on."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from textual.actions import ActionParseResult, parse
from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.events import Resize
from textual.screen import ModalScreen

from tui.app.settings_app import SettingsMixin
from tui.commands import TOUR, Command
from tui.screens.board.layout import MIN_HEIGHT
from tui.tour.steps import COMMANDS, FAREWELL, Step, steps, with_keys

if TYPE_CHECKING:
    from tui.tour.bar import TourHint

CLOSE_ACTIONS = (".close", ".cancel")


class TourMixin(SettingsMixin):
    """Shows the tour over the screens, which know nothing of it.

    A step is done when its command is, however that came about: by its key, by a click, or from the palette. The key
    of the tour itself does it for whoever only watches.
    """

    REFUSED_ACTIONS: ClassVar[frozenset[str]] = frozenset()
    """Actions that cannot be done here."""
    RESERVED_LINES: ClassVar[int] = 0
    """Lines at the top of each screen that are taken already."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(command.keys, command.action, command.text, show=False, id=command.id, priority=True)
        for command in TOUR
    ]

    tour: tuple[Step, ...] = ()
    """What is still to be done; empty when there is no tour."""
    tour_length = 0

    @property
    def _is_typing(self) -> bool:
        if self.focused is None:
            return False
        from textual.widgets import Input  # not before the first frame, which has no focus

        return isinstance(self.focused, Input)

    @property
    def has_runs(self) -> bool:
        """Whether there is anything to show."""
        return False

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape is the tour's only while it goes on; its other key is text in a field, unless it goes on."""
        if action in ("tour", "tour_end"):
            if isinstance(self.screen, ModalScreen):
                return False
            return bool(self.tour) or (action == "tour" and not self._is_typing)
        return super().check_action(action, parameters)

    async def run_action(
        self,
        action: "str | ActionParseResult",
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """Do what was asked for, and see whether the tour had asked for it."""
        wanted = self._requested_command() if self.tour else None
        done = await super().run_action(action, default_namespace, namespaces)
        if done and wanted is not None and self.tour and self.tour[0].command == wanted.id:
            asked = parse(action) if isinstance(action, str) else action
            if asked[1:] == parse(wanted.action)[1:]:
                self._next_step()
        return done

    async def action_tour(self) -> None:
        """Begin; and later do what the step asks for, from wherever one is, or pass over what cannot be done."""
        if not self.tour:
            self.tour = steps(runs=self.has_runs, refused=self.REFUSED_ACTIONS)
            self.tour_length = len(self.tour)
            self._show_tour()
            return
        step = self.tour[0]
        while self._requested_command() is None and len(self.screen_stack) > 1:
            await self.pop_screen()
        wanted = self._requested_command()
        if wanted is not None:
            await self.run_action(wanted.action, self.screen)
        if self.tour and self.tour[0] is step:
            self._next_step()

    def action_tour_end(self) -> None:
        """Leave the tour, and stay where one is."""
        self.tour = ()
        self._show_tour()

    def on_mount(self) -> None:
        self.screen_change_signal.subscribe(self, lambda _: self._refresh_tour())
        self.keymap_changed_signal.subscribe(self, lambda _: self._refresh_tour())

    def on_resize(self) -> None:
        self._refresh_tour()

    def _refresh_tour(self) -> None:
        if self.tour:
            self.call_after_refresh(self._show_tour)

    def _next_step(self) -> None:
        if len(self.tour) > 1:
            self.tour = self.tour[1:]
            self.call_after_refresh(self._show_tour)
        else:
            self.action_tour_end()
            self.notify(with_keys(FAREWELL, self._key_text), timeout=12, markup=False)

    def _requested_command(self) -> Command | None:
        """The command that the tour asks for, where the screen that is open has it."""
        return COMMANDS[self.tour[0].command] if self.tour[0].command in self._command_ids() else None

    def _command_ids(self) -> set[str]:
        return {active.binding.id for active in self.screen.active_bindings.values() if active.binding.id}

    def _key_text(self, command: Command) -> str:
        """The key of a command as it is written; where there are several, not escape, which leaves the tour."""
        from tui.settings.keymap import keys_of_command

        keys = keys_of_command(command, self.keymap)
        key = next((one for one in keys if one != "escape"), keys[0])
        return self.get_key_display(Binding(key, ""))

    def _show_tour(self) -> None:
        """Bring the lines of all screens in line with the tour."""
        from tui.tour.bar import LINES, MIN_LINES, TourBar

        room = self.size.height - self.RESERVED_LINES - MIN_HEIGHT
        lines = next((most for most in (LINES, MIN_LINES) if self.tour and room >= most), 0)
        for screen in self.screen_stack:
            if isinstance(screen, ModalScreen):
                continue
            bars = screen.query(TourBar)
            if (lines or bars) and screen.styles.padding.top != self.RESERVED_LINES + lines:
                screen.styles.padding = (self.RESERVED_LINES + lines, 0, 0, 0)
                # Its room is another one, of which Textual tells nobody: the size with its padding is the same.
                screen.post_message(Resize(self.size, self.size))
            if not lines:
                bars.remove()
            elif not bars:
                screen.mount(TourBar())
        if lines and not isinstance(self.screen, ModalScreen):
            for bar in self.screen.query(TourBar):
                bar.show(self._hint(), lines, self.RESERVED_LINES)

    def _hint(self) -> "TourHint":
        from tui.tour.bar import TourHint

        step, on = self.tour[0], self._key_text(COMMANDS["tour.go"])
        key, what = self._key_text(COMMANDS[step.command]), COMMANDS[step.command].text
        if self._requested_command() is None:
            ways = [COMMANDS[one] for one in self._command_ids() if one.endswith(CLOSE_ACTIONS)]
            out = self._key_text(ways[0]) if ways else on
            key, what = (on if out == "esc" else out), f"Back, and then {key}: {what}"
        return TourHint(
            f"{self.tour_length - len(self.tour) + 1}/{self.tour_length}",
            step.title,
            with_keys(step.text, self._key_text),
            key,
            what,
            f"{on} does it for you   {self.get_key_display(Binding('escape', ''))} ends the tour ",
        )
