"""What keys do to the list of runs: groups, a filter, an order."""

from textual.widgets import Input

from tui.screens.board.filter_line import FilterLine
from tui.screens.board.run_actions import RunActions
from tui.state.formatting import pluralize
from tui.state.run_controller import RunController
from tui.state.selection import RunSelection


class ListActions(RunActions):
    """A screen with a list of runs, of which a part can be shown, in any order."""

    def __init__(self, control: RunController, choice: RunSelection) -> None:
        super().__init__(control, choice)
        self._filter_line: FilterLine | None = None

    def action_next_group(self) -> None:
        groups = self.choice.groups
        if len(groups) < 2:
            self.notify("there is only one group of runs" if groups else "there are no runs yet")
        else:
            self.choice.next_group()

    def action_next_grouping(self) -> None:
        self.choice.next_grouping()
        groups = pluralize(len(self.choice.groups), "group")
        self.notify(f"runs by {self.choice.run_list.grouping}: {groups}, g goes on", timeout=3)

    def action_filter(self) -> None:
        line = self._filter_line
        if line is None:
            self._filter_line = line = FilterLine()
            self.mount(line)
        line.value = self.choice.run_list.filter_text
        self.call_after_refresh(line.open)

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input is self._filter_line and event.input.has_class("-open"):
            self.choice.filter(event.value)

    def on_input_submitted(self) -> None:
        if self._filter_line is not None:
            self._filter_line.close()

    def action_unfilter(self) -> None:
        self.on_input_submitted()
        self.choice.filter("")

    def action_sort(self) -> None:
        self.choice.sort(self.choice.run_list.order.next())
        self._tell_order()

    def action_reverse(self) -> None:
        self.choice.sort(self.choice.run_list.order.reversed())
        self._tell_order()

    def _tell_order(self) -> None:
        self.app.clear_notifications()
        self.notify(f"sorted {self.choice.run_list.order.text or 'oldest first'}", timeout=2)

    def action_follow_runs(self) -> None:
        self.choice.follow_newest()
        live = any(run.state.is_live for run in self.choice.run_list.totals.pending)
        self.notify(
            "keeps to the newest run that trains" + ("" if live else ", once there is one"), timeout=2
        )
