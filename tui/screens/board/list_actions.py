"""Actions on the list of runs: groups, filter, order."""

from textual.screen import Screen
from textual.widgets import Input

from tui.state.formatting import pluralize
from tui.state.selection import RunSelection


class FilterLine(Input):
    """Input for the words of a filter, over the key bar; up and down still move through the runs."""

    DEFAULT_CSS = """
    FilterLine {
        dock: bottom;
        height: 1;
        border: none;
        padding: 0 1;
        display: none;
        &.-open { display: block; }
    }
    """

    def __init__(self) -> None:
        super().__init__(
            compact=True,
            placeholder="words of any run's name, schedule, dataset, state, group; enter keeps them, esc clears them",
            select_on_focus=False,
        )

    def open(self) -> None:
        """Show the line and focus it."""
        self.add_class("-open")
        self.focus()

    def close(self) -> None:
        """Hide the line but keep its text, and give the focus back to the screen."""
        self.remove_class("-open")
        if self.has_focus:
            self.screen.set_focus(None)


class ListActionsMixin(Screen[None]):
    """Actions that change which runs of a `RunSelection` are listed, and in which order."""

    selection: RunSelection
    _filter_line: FilterLine | None = None

    def action_next_group(self) -> None:
        groups = self.selection.groups
        if len(groups) < 2:
            self.notify("there is only one group of runs" if groups else "there are no runs yet")
        else:
            self.selection.next_group()

    def action_all_runs(self) -> None:
        """Show all runs, or the group of the selected run again."""
        if len(self.selection.groups) < 2:
            self.notify(
                "there is only one group of runs" if self.selection.groups else "there are no runs yet"
            )
        else:
            self.selection.toggle_all()

    def action_next_grouping(self) -> None:
        self.selection.next_grouping()
        groups = pluralize(len(self.selection.groups), "group")
        self.notify(f"runs by {self.selection.run_list.grouping}: {groups}, g: next group", timeout=3)

    def action_filter(self) -> None:
        line = self._filter_line
        if line is None:
            self._filter_line = line = FilterLine()
            self.mount(line)
        line.value = self.selection.run_list.filter_text
        self.call_after_refresh(line.open)

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input is self._filter_line and event.input.has_class("-open"):
            self.selection.filter(event.value)

    def on_input_submitted(self) -> None:
        if self._filter_line is not None:
            self._filter_line.close()

    def action_unfilter(self) -> None:
        self.on_input_submitted()
        self.selection.filter("")

    def action_sort(self) -> None:
        self.selection.sort(self.selection.run_list.order.next())
        self._notify_order()

    def action_reverse(self) -> None:
        self.selection.sort(self.selection.run_list.order.reversed())
        self._notify_order()

    def _notify_order(self) -> None:
        self.app.clear_notifications()
        self.notify(f"sorted {self.selection.run_list.order.text or 'oldest first'}", timeout=2)

    def action_follow_runs(self) -> None:
        self.selection.follow_newest()
        live = any(run.state.is_live for run in self.selection.run_list.totals.pending)
        self.notify("follows the newest run that trains" + ("" if live else ", once there is one"), timeout=2)
