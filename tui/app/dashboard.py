"""The app of the dashboard: wires the reader thread, the screens, the themes and the keys together."""

import importlib
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from textual import work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.screen import Screen
from textual.worker import get_current_worker

from core.files.sanitize import LINE_LIMIT, sanitize
from tui.app.settings_app import SettingsMixin, SettingsOptions
from tui.app.tour_app import TOUR_BINDINGS, TourMixin
from tui.commands import EVERYWHERE, bindings
from tui.messages import BoardReady, RunsPulled, SnapshotSource, SnapshotTaken
from tui.screens.splash.screen import Splash
from tui.settings.schema import THEME_NAMES
from tui.settings.series_colors import ON_DARK, series_variables
from tui.terminal.driver import DiffDriver, with_diffing
from tui.textual_ext.compat import CoveredScreensMixin, backlog_warning, driver_of, sanitize_drawn_texts

if TYPE_CHECKING:
    from core.recipes import Recipe
    from tui.screens.board.screen import Board
    from tui.state.follower import Follower
    from tui.state.run_controller import RunController
    from tui.state.snapshot import Snapshot
    from tui.state.system_load import SystemLoad
    from tui.terminal.kitty.placements import Placements
    from tui.terminal.lifecycle import TerminalGuard

SNAPSHOT_WAIT_SECONDS = 0.1
IDLE_INTERVAL = 0.25
SPLASH, BOARD = "splash", "board"


class Dashboard(SettingsMixin, TourMixin, CoveredScreensMixin, App[None]):
    """Show the runs of one folder and control them; training never depends on the dashboard.

    Args:
        control: controller of the runs folder.
        recipe: recipe to attach to, or to queue once the board is open; None only shows the runs that exist.
        start: whether the recipe may be queued; otherwise only its group is looked for.
        exports: folder that exports are written to.
        machine: reads the load of the machine; None reads that of this one.
        options: settings and keys, see `SettingsMixin`.
    """

    DEFAULT_MODE = SPLASH
    TITLE = "ddpm-tui"
    ENABLE_COMMAND_PALETTE = True
    CSS = """
    OptionList > .option-list--option-highlighted, OptionList:focus > .option-list--option-highlighted {
        background: $panel;
        color: $foreground;
        text-style: bold;
    }
    Input > .input--placeholder { color: $text-muted; }
    """
    """The cursor of lists, because Textual's own background, the primary colour, hides text in other colours."""
    BINDINGS: ClassVar[list[BindingType]] = [
        *TOUR_BINDINGS,
        *bindings(EVERYWHERE),
        Binding("ctrl+c", "quit", "Leave the dashboard", show=False, system=True),
        Binding("ctrl+q", "quit", "Leave the dashboard", show=False, priority=True, system=True),
    ]

    def __init__(
        self,
        control: "RunController",
        *,
        recipe: "Recipe | None" = None,
        start: bool = True,
        exports: Path = Path("exports"),
        machine: "Callable[[], SystemLoad] | None" = None,
        **options: Unpack[SettingsOptions],
    ) -> None:
        super().__init__(**options)
        sanitize_drawn_texts()
        self.terminal_guard: TerminalGuard | None = None
        """Notified when the screen is entered and left; set before the app runs."""
        self.startup_problems: tuple[str, ...] = ()
        """Mistakes in the files of settings, shown once the board is open; set before the app runs."""
        self.budget_warning = ""
        """Warning about the budget of images that are trained on, shown likewise."""
        self.follower: Follower | None = None
        """Pulls the runs of another host into the folder while the app runs; set before the app runs."""
        self.exports = exports
        self.machine = machine
        self.control = control
        self.recipe = recipe
        self.start = start
        self.snapshot: Snapshot | None = None
        self.is_open = False
        self._reader_stop = threading.Event()
        self._wake = threading.Event()
        """Set when there is a reason to poll the runs sooner than usual."""
        self._snapshot_handled = threading.Event()
        self._snapshot_handled.set()
        self.add_mode(SPLASH, lambda: Splash(control.root))

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return series_variables(ON_DARK)

    def get_driver_class(self) -> type[Driver]:
        return with_diffing(super().get_driver_class())

    def on_resize(self) -> None:
        if isinstance(driver := driver_of(self), DiffDriver):
            driver.invalidate()

    def on_mount(self) -> None:
        if guard := self.terminal_guard:
            guard.entered()
            self.app_suspend_signal.subscribe(self, lambda _: guard.left(), immediate=True)
            self.app_resume_signal.subscribe(self, lambda _: guard.entered(), immediate=True)
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))
        if self.placements is not None:
            self.enable_graphics(self.placements)
        self.call_after_refresh(self.read_runs)
        if self.follower is not None:
            self.call_after_refresh(self.pull_runs, self.follower)

    def enable_graphics(self, placements: "Placements") -> None:
        super().enable_graphics(placements)
        if self.terminal_guard is not None and self.placements is not None:
            self.terminal_guard.set_image_cleanup(placements.undo_all_ids())

    def on_unmount(self) -> None:
        self._reader_stop.set()
        self._wake.set()
        if self.follower is not None:
            self.follower.stop()

    def notify(self, message: str, *, title: str = "", **options: Any) -> None:
        """Show a notification, which may contain what a file contains: sanitized and shortened."""
        super().notify(
            sanitize(message, lines=True, limit=LINE_LIMIT), title=sanitize(title, limit=80), **options
        )

    def on_background_screen_finished(self) -> None:
        """Poll the runs at once, because an action may have changed them."""
        self._wake.set()

    def source(self) -> SnapshotSource:
        """The source of snapshots; called in the thread that polls it."""
        from tui.state.reader import RunsReader

        return RunsReader(self.control.root, now=self.control.now)

    @work(thread=True, group="reader")
    def read_runs(self) -> None:
        """Poll the runs folder in a thread and post what changed, one snapshot at a time.

        The board is imported here too, because that takes longer than importing Textual, and the first frame needs
        none of it.
        """
        importlib.import_module("tui.screens.board.screen")
        self.post_message(BoardReady())
        reader = self.source()
        worker = get_current_worker()
        while not worker.is_cancelled and not self._reader_stop.is_set():
            snapshot = reader.poll()
            if snapshot is not None:
                self._snapshot_handled.clear()
                self.post_message(SnapshotTaken(snapshot))
            pause = self.settings.refresh
            self._wake.wait(pause if reader.anything_live else max(pause, IDLE_INTERVAL))
            self._wake.clear()
            while not (
                self._snapshot_handled.wait(SNAPSHOT_WAIT_SECONDS)
                or worker.is_cancelled
                or self._reader_stop.is_set()
            ):
                pass

    @work(thread=True, group="follower")
    def pull_runs(self, follower: "Follower") -> None:
        """Pull the runs of another host in a thread; a message of it becomes a notification."""
        for text, is_problem in follower.run():
            self._wake.set()
            if not get_current_worker().is_cancelled:
                self.post_message(RunsPulled(text, is_problem))

    def on_runs_pulled(self, message: RunsPulled) -> None:
        """Tell the message, and redraw the state of the follower; nothing while the app closes its screens."""
        if not (self.is_running and self.screen_stack):
            return
        if message.text:
            severity = "warning" if message.is_problem else "information"
            self.notify(
                message.text, title="runs of another host", severity=severity, markup=False, timeout=10
            )
        if self.is_open and self.snapshot is not None:
            self.board.update_top()

    async def on_board_ready(self) -> None:
        """Replace the splash screen with the board, unless the app is closing, which removes all screens meanwhile."""
        from tui.screens.board.screen import Board

        if not self.is_running:
            return
        self.add_mode(BOARD, lambda: Board(self.control, read_load=self.machine, follower=self.follower))
        await self.switch_mode(BOARD)
        await self._remove_splash()
        self.is_open = True
        for problem in self.startup_problems[:3]:
            self.notify(problem, title="settings", severity="warning", markup=False, timeout=10)
        self._warn(self.budget_warning, "budget")
        self._warn(backlog_warning(driver_of(self)), "terminal")

    async def _remove_splash(self) -> None:
        if self.is_running:
            await self.remove_mode(SPLASH)

    def on_snapshot_taken(self, message: SnapshotTaken) -> None:
        """Keep the snapshot and post it to all open screens; attach to the recipe once all runs are read."""
        first = (self.snapshot is None or self.snapshot.unread > 0) and not message.snapshot.unread
        self.snapshot = message.snapshot
        for screen in self.screen_stack:
            screen.post_message(SnapshotTaken(message.snapshot))
        self._snapshot_handled.set()
        if first and self.recipe is not None:
            self.board.attach(self.recipe, message.snapshot, start=self.start)

    @property
    def board(self) -> "Board":
        """The screen at the bottom of the stack, once `is_open`."""
        from tui.screens.board.screen import Board

        board = self.screen_stack[0]
        assert isinstance(board, Board)  # on_board_ready put it there
        return board

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Refuse actions that would act on what is not shown.

        Before the board is open, only quit is possible, because the board replaces the topmost screen. A board that is
        too small is not exported.
        """
        if action == "export" and self.screen.has_class("-small"):
            return False
        return (self.is_open and super().check_action(action, parameters)) or action == "quit"

    @property
    def has_runs(self) -> bool:
        return self.snapshot is not None and bool(self.snapshot.runs)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Commands of all keys by name, and one for each theme."""
        seen = set()
        for active in screen.active_bindings.values():
            binding = active.binding
            if binding.id and binding.action not in seen and binding.action != "command_palette":
                seen.add(binding.action)
                keys = self.get_key_display(binding)
                run = partial(self.run_action, binding.action, active.node)
                yield SystemCommand(binding.description, f"key: {keys}", run)
        for name in THEME_NAMES:
            yield SystemCommand(f"Theme: {name}", "colours", partial(self.use_theme, name))

    def action_suspend(self) -> None:
        """Suspend the process and give the terminal to the shell, until its `fg`."""
        from tui.terminal.lifecycle import has_shell

        if has_shell():
            self.action_suspend_process()
        else:
            self.notify("there is no shell to go to from here", severity="warning")

    def action_export(self) -> None:
        from tui.export.runner import export

        if any(worker.group == "export" and not worker.is_finished for worker in self.workers):
            self.notify("the last export is still being written")
        else:
            self.run_worker(export(self, self.exports), group="export", exit_on_error=True)

    def action_settings(self) -> None:
        from tui.screens.settings.screen import SettingsScreen

        if not isinstance(self.screen, SettingsScreen):
            self.push_screen(SettingsScreen(self))

    def action_help(self) -> None:
        from tui.screens.help.screen import HelpScreen, key_rows

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(key_rows(self.screen)))
