"""How busy the machine is, at the foot of a screen of runs: asked for only while it is seen."""

import asyncio
from collections.abc import Callable
from typing import Final

from textual import work
from textual.message import Message

from tui.screens.board.layout import Area, place_widget, shows_machine
from tui.screens.board.list_actions import Listing
from tui.screens.board.system_panel import MachinePanel
from tui.state.run_controller import Control
from tui.state.selection import RunChoice
from tui.state.system_load import MachineLoad, MachineReader

MACHINE_INTERVAL: Final = 2.0


class MachineStrip(Listing):
    """A list of runs with a `MachinePanel` that is shown where there is room, or when a person wants it.

    Args:
        control: of the runs folder.
        choice: which runs are shown.
        machine: says how busy the machine is; slow, and so called in a thread.
    """

    class MachineChanged(Message):
        """There is something else to say of the machine, or it is shown or hidden."""

    def __init__(
        self, control: Control, choice: RunChoice, machine: Callable[[], MachineLoad] | None = None
    ) -> None:
        super().__init__(control, choice)
        self._look_at_machine = machine or MachineReader().read
        self._machine_wanted: bool | None = None
        self._panel_kept = (0, 0, 0)

    def on_mount(self) -> None:
        self.set_interval(MACHINE_INTERVAL, self._read_machine)

    def action_machine(self) -> None:
        self._machine_wanted = not self._machine_shown
        self.post_message(self.MachineChanged())

    def _update_machine(self, width: int, height: int) -> int:
        """Show or hide how busy the machine is; the lines that this takes."""
        panel = self.query_one(MachinePanel)
        if not self._machine_shown:
            panel.display = False
            return 0
        if panel.load is None:
            self._read_machine()
        roster = self.choice.roster
        pending = self.choice.snapshot.pending if self.choice.snapshot is not None else ()
        lines = panel.lines_at(width, pending, roster.names)
        # It never gives a line back while the same number of runs goes on, so that nothing hops about.
        if self._panel_kept[:2] == (width, len(pending)):
            lines = max(lines, self._panel_kept[2])
        self._panel_kept = (width, len(pending), lines)
        lines = min(lines, max(1, (height - 2) // 4))
        place_widget(panel, Area(0, height - 2 - lines, width, lines))
        return lines

    @property
    def _machine_shown(self) -> bool:
        if self._machine_wanted is None:
            return shows_machine(*self.size)
        return self._machine_wanted

    @work(exclusive=True, group="machine")
    async def _read_machine(self) -> None:
        """Look how busy the machine is, away from the screen, while that is shown."""
        if self.app.screen is self and self._machine_shown and not self.has_class("-small"):
            panel = self.query_one(MachinePanel)
            load = await asyncio.to_thread(self._look_at_machine)
            # Meanwhile the dashboard may have been left, and the panel with it.
            if load != panel.load and panel.is_attached:
                panel.load = load
                self.post_message(self.MachineChanged())
