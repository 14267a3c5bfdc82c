"""System load at the foot of the board, read only while it is visible."""

import asyncio
from collections.abc import Callable
from typing import Final

from textual import work
from textual.message import Message
from textual.screen import Screen

from tui.screens.board.layout import has_room_for_system
from tui.screens.board.system_panel import SystemPanel
from tui.state.selection import RunSelection
from tui.state.system_load import SystemLoad
from tui.widgets.area import Area, place_widget

SYSTEM_INTERVAL: Final = 2.0


class SystemActionsMixin(Screen[None]):
    """Screen with a `SystemPanel`, shown where the screen is large enough or where the user asks for it.

    Attributes:
        selection: names the runs in the panel.
        read_load: reads the load; slow, so it is called in a thread.
    """

    class SystemChanged(Message, namespace="board"):
        """The load has changed, or the panel was shown or hidden."""

    selection: RunSelection
    read_load: Callable[[], SystemLoad]
    _system_wanted: bool | None = None
    _kept_lines = (0, 0, 0)
    """Width and number of pending runs for which the panel had so many lines last."""

    def on_mount(self) -> None:
        self.set_interval(SYSTEM_INTERVAL, self._refresh_system)

    def action_system(self) -> None:
        self._system_wanted = not self._system_shown
        self.post_message(self.SystemChanged())

    def _update_system(self, width: int, height: int) -> int:
        """Show or hide the panel; return the lines that it needs."""
        panel = self.query_one(SystemPanel)
        if not self._system_shown:
            panel.display = False
            return 0
        if panel.load is None:
            self._refresh_system()
        snapshot = self.selection.snapshot
        pending = snapshot.pending if snapshot is not None else ()
        lines = panel.update_lines(width, pending, self.selection.run_list.names)
        # The panel never shrinks while the same number of runs is pending, so the parts above keep their places.
        if self._kept_lines[:2] == (width, len(pending)):
            lines = max(lines, self._kept_lines[2])
        self._kept_lines = (width, len(pending), lines)
        lines = min(lines, max(1, (height - 2) // 4))
        place_widget(panel, Area(0, height - 2 - lines, width, lines))
        return lines

    @property
    def _system_shown(self) -> bool:
        if self._system_wanted is None:
            return has_room_for_system(*self.size)
        return self._system_wanted

    @work(exclusive=True, group="system")
    async def _refresh_system(self) -> None:
        """Read the load in a thread, while the panel is visible."""
        if self.app.screen is self and self._system_shown and not self.has_class("-small"):
            panel = self.query_one(SystemPanel)
            load = await asyncio.to_thread(self.read_load)
            # The dashboard may have been closed meanwhile, and the panel with it.
            if load != panel.load and panel.is_attached:
                panel.load = load
                self.post_message(self.SystemChanged())
