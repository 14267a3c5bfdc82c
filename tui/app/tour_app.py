"""Guided tour over an app's screens: shows what to press, notices that it was done, and shows the next step."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from textual.actions import ActionParseResult, parse
from textual.binding import Binding
from textual.dom import DOMNode
from textual.events import Resize
from textual.screen import ModalScreen

from tui.commands import TOUR, Command
from tui.screens.board.layout import MIN_HEIGHT
from tui.textual_ext.compat import AppMixin
from tui.tour.steps import COMMANDS, Step, steps, with_keys

if TYPE_CHECKING:
    from textual.signal import Signal

    from tui.tour.bar import TourHint

CLOSE_ACTIONS = (".close", ".cancel")
TOUR_BINDINGS = [
    Binding(command.keys, command.action, command.text, show=False, id=command.id, priority=True)
    for command in TOUR
]
"""Bindings of `TourMixin`, for the app's own `BINDINGS`."""


class TourMixin(AppMixin):
    """Show the tour over the screens, which know nothing of it.

    A step is done when its command is, be it by its key, by a click, or from the palette. The key of the tour itself
    runs the command for users who only watch.
    """

    keymap: dict[str, str]
    keymap_changed_signal: "Signal[None]"
    """Both are set by `SettingsMixin`."""

    REFUSED_ACTIONS: ClassVar[frozenset[str]] = frozenset()
    """Actions that this app refuses."""
    RESERVED_LINES: ClassVar[int] = 0
    """Lines at the top of each screen that are in use already."""

    tour: tuple[Step, ...] = ()
    """Steps that are still to be done, the last one to end the tour; empty without a tour."""
    tour_length = 0
    """Steps of the tour, without its end."""

    @property
    def _is_typing(self) -> bool:
        if self.focused is None:
            return False
        from textual.widgets import Input  # not before the first frame, which has no focus

        return isinstance(self.focused, Input)

    @property
    def has_runs(self) -> bool:
        """True if there are runs to show."""
        return False

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Bind escape to the tour only during it; the tour's other key is text in a field, except during it."""
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
        """Run an action, and go on to the next step if it was the tour's."""
        wanted = self._requested_command() if self.tour else None
        done = await super().run_action(action, default_namespace, namespaces)
        if done and wanted is not None and self.tour and self.tour[0].command == wanted.id:
            parsed = parse(action) if isinstance(action, str) else action
            if parsed[1:] == parse(wanted.action)[1:]:
                self._next_step()
        return done

    async def action_tour(self) -> None:
        """Begin the tour; later run the step's command, from any screen, or skip a command that cannot be run."""
        if not self.tour:
            self.tour = steps(runs=self.has_runs, refused=self.REFUSED_ACTIONS)
            self.tour_length = len(self.tour) - 1
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
        """End the tour, and stay on the screen that is open."""
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

    def _requested_command(self) -> Command | None:
        """The command of the current step, if the screen that is open has it."""
        return COMMANDS[self.tour[0].command] if self.tour[0].command in self._command_ids() else None

    def _command_ids(self) -> set[str]:
        return {active.binding.id for active in self.screen.active_bindings.values() if active.binding.id}

    def _key_text(self, command: Command) -> str:
        """The key of a command as it is shown; of several not escape, because that ends the tour."""
        from tui.settings.keymap import keys_of_command

        keys = keys_of_command(command, self.keymap)
        key = next((key for key in keys if key != "escape"), keys[0])
        return self.get_key_display(Binding(key, ""))

    def _show_tour(self) -> None:
        """Show, update or remove the tour's bar on all screens."""
        from tui.tour.bar import LINES, MIN_LINES, TourBar

        room = self.size.height - self.RESERVED_LINES - MIN_HEIGHT
        lines = next((count for count in (LINES, MIN_LINES) if self.tour and room >= count), 0)
        for screen in self.screen_stack:
            if isinstance(screen, ModalScreen):
                continue
            bars = screen.query(TourBar)
            if (lines or bars) and screen.styles.padding.top != self.RESERVED_LINES + lines:
                screen.styles.padding = (self.RESERVED_LINES + lines, 0, 0, 0)
                # Textual sends no Resize for another padding, because the size that includes it stays the same.
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

        step, tour_key = self.tour[0], self._key_text(COMMANDS["tour.go"])
        key, action = self._key_text(COMMANDS[step.command]), COMMANDS[step.command].text
        if self._requested_command() is None:
            closing = [COMMANDS[name] for name in self._command_ids() if name.endswith(CLOSE_ACTIONS)]
            close_key = self._key_text(closing[0]) if closing else tour_key
            key, action = (tour_key if close_key == "esc" else close_key), f"Back, and then {key}: {action}"
        return TourHint(
            f"{self.tour_length - len(self.tour) + 2}/{self.tour_length}" if len(self.tour) > 1 else "end",
            step.title,
            with_keys(step.text, self._key_text),
            key,
            action,
            f"{tour_key} does it for you   {self.get_key_display(Binding('escape', ''))} ends the tour ",
        )
