"""Hints of the key bar from the current key bindings, and the hint of a run that waits."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from textual.screen import Screen

from core.runs.status import State
from tui.commands import BOARD, EVERYWHERE, TOUR, Command
from tui.state.snapshot import RunSnapshot
from tui.widgets.key_bar import KeyHint

KEY_PAIRS: Final = {"]": "[ ]", ")": "( )", "}": "{ }", "→": "← →", "+": "- +", ".": ", ."}
"""Keys that are shown together with the key of the opposite action."""
COMMANDS_BY_ID: Final = {command.id: command for command in (*BOARD, *EVERYWHERE, *TOUR)}


def waiting_hint(run: RunSnapshot, *, served: bool) -> str:
    """The text in place of a curve for a run that has not trained yet.

    Args:
        run: the run.
        served: a queue runner starts queued runs.
    """
    if run.queue:  # the reason first, because a narrow table cuts the end
        job, _, reason = run.queue.partition(": ")
        return f"{reason} ({job})" if reason else job
    if run.state is State.QUEUED:
        return "waiting for a slot" if served else "the queue is not running; r: start"
    if run.state.is_live:
        return run.status.message
    return ""


def board_hints(
    selected: RunSnapshot | None,
    *,
    marked: int,
    groups: int,
    screen: Screen[Any],
    filtered: bool = False,
    any_runs: bool = False,
) -> list[KeyHint]:
    """The hints of the board.

    Args:
        selected: the run under the cursor; None if there are no runs.
        marked: number of marked runs.
        groups: number of groups.
        screen: the board, for its key bindings, which the user may have changed.
        filtered: a filter is active.
        any_runs: there are runs, shown or not, or they have not been read yet.
    """
    keys = keys_by_command(screen)
    always = {"run.new": "new", "app.help": "help", "app.quit": "quit"}
    if selected is None and any_runs:
        words = {"board.unfilter": "clear", "board.filter": "search"} if filtered else {}
        return _key_hints(words | always, keys)
    if selected is None:
        first_steps = {
            "run.start": "start quick",
            "tour.go": "tour",
            "board.schedules": "schedules",
            "board.datasets": "datasets",
        }
        return _key_hints(first_steps | always, keys)
    words = {}
    if not selected.state.is_ended:
        words["run.stop"] = "stop"
    if selected.state is State.FINISHED:
        words["run.resume"] = "extend"
    elif selected.state.is_ended:
        words["run.resume"] = "resume"
    words["run.mark"] = "mark"
    words["run.compare"] = f"compare {marked}" if marked else "compare"
    words["board.later"] = "epoch"
    words["run.denoise"] = "denoise"
    words["board.schedules"] = "schedules"
    words["run.log"] = "log"
    if groups > 1:
        words["board.group"] = "group"
        words["board.all"] = "all runs"
    if filtered:
        words["board.unfilter"] = "clear"
    words["board.filter"] = "search"
    return _key_hints(words | always, keys)


def keys_by_command(screen: Screen[Any]) -> dict[str, list[str]]:
    """The current keys of each command by its id, as they are displayed."""
    keys: dict[str, list[str]] = {}
    for active in screen.active_bindings.values():
        if active.binding.id:
            keys.setdefault(active.binding.id, []).append(screen.app.get_key_display(active.binding))
    return keys


def digits_are_bound(screen: Screen[Any], numbers: Iterable[Command]) -> bool:
    """Return whether each of these commands is bound on a screen to its own digit and to no other key."""
    keys = keys_by_command(screen)
    return all(keys.get(command.id) == [command.keys] for command in numbers)


def screen_hints(screen: Screen[Any], commands: Iterable[Command], words: Mapping[str, str]) -> list[KeyHint]:
    """The hints of a screen: the current key and a word for each of some commands.

    Args:
        screen: the screen.
        commands: its commands.
        words: by the ids of commands, in the order of the bar.
    """
    known, keys = {command.id: command for command in commands}, keys_by_command(screen)
    hints = []
    for name, text in words.items():
        if name in keys:
            first = keys[name][0]
            hints.append(
                KeyHint(KEY_PAIRS.get(first, first), text, f"screen.{known[name].action}", known[name].rank)
            )
    return hints


def _key_hints(wanted: Mapping[str, str], keys: Mapping[str, list[str]]) -> list[KeyHint]:
    hints = []
    for command_id, text in wanted.items():
        command = COMMANDS_BY_ID[command_id]
        if command_id in keys:
            namespace = "app" if command in (*EVERYWHERE, *TOUR) else "screen"
            first = keys[command_id][0]
            hints.append(
                KeyHint(KEY_PAIRS.get(first, first), text, f"{namespace}.{command.action}", command.rank)
            )
    return hints
