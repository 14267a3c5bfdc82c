"""Bases of the screens that redraw themselves while they are open."""

from collections.abc import Sequence

from textual.screen import Screen, ScreenResultType

from tui.messages import SnapshotTaken
from tui.state.run_controller import RunController
from tui.state.snapshot import RunSnapshot, Snapshot
from tui.textual_ext.background import BackgroundScreen
from tui.textual_ext.signals import subscribe_weakly
from tui.widgets.images.render_mode import on_keymap_changed, on_render_mode_changed


class LiveScreen(Screen[ScreenResultType]):
    """Screen that updates itself when the theme, the keymap, the render mode or its size changes.

    A covered screen draws nothing, so it also updates when it is on top again.
    """

    def on_mount(self) -> None:
        subscribe_weakly(self, self.app.theme_changed_signal, self.update)
        on_render_mode_changed(self, self.update)
        on_keymap_changed(self, self.update)
        self.update()

    def on_resize(self) -> None:
        self.update()

    def on_screen_resume(self) -> None:
        self.update()

    def update(self) -> None:
        """Bring the screen in line with its state and size; draw only what changed."""


class RunsScreen(BackgroundScreen, LiveScreen[None]):
    """Live screen of some runs, which may be deleted while it is open.

    Args:
        control: of the runs folder.
        run_ids: the runs, in the order in which they are shown.
    """

    def __init__(self, control: RunController, run_ids: Sequence[str]) -> None:
        super().__init__()
        self.control = control
        self.run_ids = tuple(run_ids)
        self.snapshot = Snapshot()

    def on_mount(self) -> None:
        # Textual calls the handlers of base classes last, so `LiveScreen` updates with this snapshot.
        self.snapshot = getattr(self.app, "snapshot", None) or Snapshot()

    def on_snapshot_taken(self, message: SnapshotTaken) -> None:
        self.snapshot = message.snapshot

    @property
    def runs(self) -> list[RunSnapshot]:
        """The runs that still exist, in their order."""
        found = (self.snapshot.find(run_id) for run_id in self.run_ids)
        return [run for run in found if run is not None]
