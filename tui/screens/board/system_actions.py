"""How busy the machine is, at the foot of a screen of runs: asked for only while it is seen."""

import asyncio
from collections.abc import Callable
from typing import Final

from textual import work
from textual.message import Message

from tui.screens.board.layout import Area, place_widget, has_room_for_system
from tui.screens.board.list_actions import ListActionsMixin
from tui.screens.board.system_panel import SystemPanel
from tui.state.run_controller import RunController
from tui.state.selection import RunSelection
from tui.state.system_load import SystemLoad, SystemLoadReader

SYSTEM_INTERVAL: Final = 2.0


class SystemActionsMixin(ListActionsMixin):
    """A list of runs with a `SystemPanel` that is shown where there is room, or when a person wants it.

    Args:
        control: of the runs folder.
        choice: which runs are shown.
        machine: says how busy the machine is; slow, and so called in a thread.
    """

    class MachineChanged(Message):
        """There is something else to say of the machine, or it is shown or hidden."""

    def __init__(
        self, control: RunController, choice: RunSelection, machine: Callable[[], SystemLoad] | None = None
    ) -> None:
        super().__init__(control, choice)
        self._read_load = machine or SystemLoadReader().read
        self._system_wanted: bool | None = None
        self._kept_lines = (0, 0, 0)

    def on_mount(self) -> None:
        self.set_interval(SYSTEM_INTERVAL, self._refresh_system)

    def action_system(self) -> None:
        self._system_wanted = not self._system_shown
        self.post_message(self.MachineChanged())

    def _update_system(self, width: int, height: int) -> int:
        """Show or hide how busy the machine is; the lines that this takes."""
        panel = self.query_one(SystemPanel)
        if not self._system_shown:
            panel.display = False
            return 0
        if panel.load is None:
            self._refresh_system()
        run_list = self.selection.run_list
        pending = self.selection.snapshot.pending if self.selection.snapshot is not None else ()
        lines = panel.update_lines(width, pending, run_list.names)
        # It never gives a line back while the same number of runs goes on, so that nothing hops about.
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

    @work(exclusive=True, group="machine")
    async def _refresh_system(self) -> None:
        """Look how busy the machine is, away from the screen, while that is shown."""
        if self.app.screen is self and self._system_shown and not self.has_class("-small"):
            panel = self.query_one(SystemPanel)
            load = await asyncio.to_thread(self._read_load)
            # Meanwhile the dashboard may have been left, and the panel with it.
            if load != panel.load and panel.is_attached:
                panel.load = load
                self.post_message(self.MachineChanged())
