"""The dashboard in another time: the same screens on runs that have ended, played back."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from textual.actions import ActionParseResult, parse
from textual.binding import BindingType
from textual.dom import DOMNode
from textual.screen import ModalScreen, Screen

from tui.app.dashboard import Dashboard
from tui.commands import REPLAY, bindings
from tui.messages import SnapshotTaken
from tui.replay.bar import ReplayBar
from tui.replay.clock import ReplayClock
from tui.replay.control import REFUSAL, ReplayController
from tui.replay.reader import ReplayReader, Timeline
from tui.replay.recording import Recording
from tui.settings.schema import ImageMode, Settings
from tui.widgets.key_hints import keys_of

REFRESH_SECONDS: Final = 0.25
SEEK_SHARE: Final = 0.05


class ReplayDashboard(Dashboard):
    """Plays runs back as if they were live; a line on every screen says where it is.

    Args:
        root: the runs folder.
        tracks: the runs, oldest first.
        time: the clock; one of the right length is made unless given.
        keymap: keys by command id, where they differ from the usual ones.
        keys: the file that keeps them; None forgets what is rebound.
        remember: the folder that keeps settings, and folders of pictures; None forgets them.
        exports: the folder that exports are written to.
        settings: as they were kept.
        image_mode: the colours of pictures on this visit.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(REPLAY)]
    REFUSED: ClassVar[frozenset[str]] = frozenset(
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
    """What would change runs or start some; what they would ask first is not asked."""
    LINES_ABOVE: ClassVar[int] = 1

    def __init__(
        self,
        root: Path,
        tracks: Sequence[Recording],
        *,
        time: ReplayClock | None = None,
        keymap: dict[str, str] | None = None,
        keys: Path | None = None,
        remember: Path | None = None,
        exports: Path = Path("exports"),
        settings: Settings | None = None,
        image_mode: ImageMode | None = None,
    ) -> None:
        timeline = Timeline(tracks)
        self.clock = time or ReplayClock(timeline.length)
        self.reader = ReplayReader(tracks, timeline, self.clock)
        control = ReplayController(root, now=lambda: timeline.wall_clock(self.clock.position))
        super().__init__(
            control,
            start=False,
            keymap=keymap,
            keys=keys,
            remember=remember,
            exports=exports,
            settings=settings,
            image_mode=image_mode,
        )

    def source(self) -> ReplayReader:
        return self.reader

    def on_mount(self) -> None:
        self.screen_change_signal.subscribe(self, self._add_bar)
        self._add_bar(self.screen)
        self.set_interval(REFRESH_SECONDS, self._show_time)

    def on_snapshot_taken(self, message: SnapshotTaken) -> None:
        """Runs of several groups are all shown: they were named one by one."""
        if self.snapshot is None and len(message.snapshot.groups) > 1:
            self.call_after_refresh(self.board.choice.show_group, None)

    def on_replay_bar_seek_requested(self, message: ReplayBar.SeekRequested) -> None:
        self.clock.seek(message.share * self.clock.length)
        self._show_time()

    async def run_action(
        self,
        action: "str | ActionParseResult",
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """Do what a key asks for, unless it would change a run."""
        name = (parse(action) if isinstance(action, str) else action)[1]
        if name in self.REFUSED:
            self.notify(REFUSAL, severity="warning", timeout=3)
            return True
        return await super().run_action(action, default_namespace, namespaces)

    def action_replay_pause(self) -> None:
        """Pause, go on, or play it all again."""
        if self.clock.playing:
            self.clock.pause()
        else:
            self.clock.play()
        self._show_time()

    def action_replay_seek(self, steps: int) -> None:
        self.clock.seek(self.clock.position + steps * SEEK_SHARE * self.clock.length)
        self._show_time()

    def action_replay_speed(self, steps: int) -> None:
        self.clock.change_speed(steps)
        self._show_time()

    def _add_bar(self, screen: Screen[Any]) -> None:
        """Give a screen the line of the replay, and room for it."""
        if not isinstance(screen, ModalScreen) and not screen.query(ReplayBar):
            screen.styles.padding = (self.LINES_ABOVE, 0, 0, 0)
            screen.mount(ReplayBar())
        self.call_after_refresh(self._show_time)

    def _show_time(self) -> None:
        keys = {name: found[0] for name, found in keys_of(self.screen).items()}
        for bar in self.screen.query(ReplayBar):
            bar.show(self.clock, keys)
