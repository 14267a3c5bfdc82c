"""Replay of runs that have ended: the dashboard's screens on recorded runs, played back as if they were live."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Unpack

from textual.actions import ActionParseResult, parse
from textual.binding import BindingType
from textual.dom import DOMNode
from textual.screen import ModalScreen, Screen

from tui.app.dashboard import Dashboard
from tui.app.settings_app import SettingsOptions
from tui.commands import REPLAY, bindings
from tui.messages import SnapshotTaken
from tui.replay.bar import ReplayBar
from tui.replay.clock import ReplayClock
from tui.replay.control import REFUSAL, ReplayController
from tui.replay.reader import ReplayReader, Timeline
from tui.replay.recording import Recording
from tui.widgets.key_hints import keys_by_command

REFRESH_SECONDS: Final = 0.25
SEEK_SHARE: Final = 0.05


class ReplayDashboard(Dashboard):
    """Play runs back as if they were live; a bar on every screen shows the position.

    Args:
        root: the runs folder.
        recordings: the runs, oldest first.
        clock: clock of the replay; None makes one of the right length.
        exports: folder that exports are written to.
        options: settings and keys, see `SettingsMixin`.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(REPLAY)]
    REFUSED_ACTIONS: ClassVar[frozenset[str]] = frozenset(
        (
            "stop",
            "stop_all",
            "resume",
            "resume_all",
            "delete",
            "new",
            "clone",
            "compute",
            "evaluate",
            "fit",
            "make",
        )
    )
    """Actions that would change runs or start some; they are refused before they ask anything."""
    RESERVED_LINES: ClassVar[int] = 1

    def __init__(
        self,
        root: Path,
        recordings: Sequence[Recording],
        *,
        clock: ReplayClock | None = None,
        exports: Path = Path("exports"),
        **options: Unpack[SettingsOptions],
    ) -> None:
        timeline = Timeline(recordings)
        self.clock = clock or ReplayClock(timeline.length)
        self.reader = ReplayReader(recordings, timeline, self.clock)
        control = ReplayController(root, now=lambda: timeline.wall_clock(self.clock.position))
        super().__init__(control, start=False, exports=exports, **options)

    def source(self) -> ReplayReader:
        return self.reader

    def on_mount(self) -> None:
        self.screen_change_signal.subscribe(self, self._add_bar)
        self._add_bar(self.screen)
        self.set_interval(REFRESH_SECONDS, self._update_bars)

    def on_snapshot_taken(self, message: SnapshotTaken) -> None:
        """Show the runs of all groups if there are several, because the user has named each one."""
        if self.snapshot is None and len(message.snapshot.groups) > 1:
            self.call_after_refresh(self.board.selection.show_group, None)

    def on_replay_bar_seek_requested(self, message: ReplayBar.SeekRequested) -> None:
        self.clock.seek(message.share * self.clock.length)
        self._update_bars()

    async def run_action(
        self,
        action: "str | ActionParseResult",
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """Run an action, unless it would change a run."""
        name = (parse(action) if isinstance(action, str) else action)[1]
        if name in self.REFUSED_ACTIONS:
            self.notify(REFUSAL, severity="warning", timeout=3)
            return True
        return await super().run_action(action, default_namespace, namespaces)

    def action_replay_pause(self) -> None:
        """Pause, resume, or play again from the beginning."""
        if self.clock.playing:
            self.clock.pause()
        else:
            self.clock.play()
        self._update_bars()

    def action_replay_seek(self, steps: int) -> None:
        self.clock.seek(self.clock.position + steps * SEEK_SHARE * self.clock.length)
        self._update_bars()

    def action_replay_speed(self, steps: int) -> None:
        self.clock.change_speed(steps)
        self._update_bars()

    def _add_bar(self, screen: Screen[Any]) -> None:
        """Mount the bar of the replay on a screen, and reserve its line."""
        if not isinstance(screen, ModalScreen) and not screen.query(ReplayBar):
            screen.styles.padding = (self.RESERVED_LINES, 0, 0, 0)
            screen.mount(ReplayBar())
        self.call_after_refresh(self._update_bars)

    def _update_bars(self) -> None:
        keys = {name: found[0] for name, found in keys_by_command(self.screen).items()}
        for bar in self.screen.query(ReplayBar):
            bar.show(self.clock, keys)
