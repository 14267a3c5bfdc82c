"""What the key bar says, and what a row says while it waits."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from textual.screen import Screen

from core.runs.status import State
from tui.commands import BOARD, EVERYWHERE, TOUR, Command
from tui.state.snapshot import RunSnapshot
from tui.widgets.key_bar import KeyHint

KEY_PAIRS: Final = {"]": "[ ]", ")": "( )", "}": "{ }", "→": "← →", "+": "- +", ".": ", ."}
"""Keys that are shown with the one that does the contrary."""
COMMANDS_BY_ID: Final = {command.id: command for command in (*BOARD, *EVERYWHERE, *TOUR)}


def waiting_hint(run: RunSnapshot, *, served: bool) -> str:
    """What to say where a run's curve will be.

    Args:
        run: the run.
        served: whether somebody starts what is queued.
    """
    if run.state is State.QUEUED:
        return "waits for a free slot" if served else "nobody serves the queue; r: start"
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
    """The key bar of the board.

    Args:
        selected: the run under the cursor; None when there are no runs.
        marked: how many runs are marked.
        groups: how many groups there are.
        screen: the board, which knows what keys a person has rebound.
        filtered: whether only runs with some words are shown.
        any_runs: whether there are runs at all, shown or not.
    """
    keys = keys_by_command(screen)
    wanted = {"run.new": "new", "app.help": "help", "app.quit": "quit"}
    if selected is None and any_runs:
        return _key_hints({"board.unfilter": "all runs", "board.filter": "filter"} | wanted, keys)
    if selected is None:
        ways = {
            "run.start": "start quick",
            "tour.go": "tour",
            "board.schedules": "schedules",
            "board.datasets": "datasets",
        }
        return _key_hints(ways | wanted, keys)
    said: dict[str, str] = {}
    if not selected.state.is_ended:
        said["run.stop"] = "stop"
    if selected.state is State.FINISHED:
        said["run.resume"] = "extend"
    elif selected.state.is_ended:
        said["run.resume"] = "resume"
    said["run.mark"] = "mark"
    said["run.compare"] = f"compare {marked}" if marked else "compare"
    said["board.later"] = "epoch"
    said["run.denoise"] = "denoise"
    said["board.schedules"] = "schedules"
    said["run.log"] = "log"
    if groups > 1:
        said["board.group"] = "group"
    if filtered:
        said["board.unfilter"] = "all runs"
    said["board.filter"] = "filter"
    return _key_hints(said | wanted, keys)


def keys_by_command(screen: Screen[Any]) -> dict[str, list[str]]:
    """The keys of each command as they are bound now, by its id, in the way they are written."""
    keys: dict[str, list[str]] = {}
    for active in screen.active_bindings.values():
        if active.binding.id:
            keys.setdefault(active.binding.id, []).append(screen.app.get_key_display(active.binding))
    return keys


def digits_are_bound(screen: Screen[Any], numbers: Iterable[Command]) -> bool:
    """Whether the commands of the digits are on a screen, each with its digit and no other key."""
    keys = keys_by_command(screen)
    return all(keys.get(command.id) == [command.keys] for command in numbers)


def screen_hints(screen: Screen[Any], commands: Iterable[Command], words: Mapping[str, str]) -> list[KeyHint]:
    """The key bar of a screen: a key, as it is bound now, and a word for each of some commands.

    Args:
        screen: the screen.
        commands: its commands.
        words: by the commands' ids, in the order of the bar.
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
            where = "app" if command in (*EVERYWHERE, *TOUR) else "screen"
            first = keys[command_id][0]
            hints.append(
                KeyHint(KEY_PAIRS.get(first, first), text, f"{where}.{command.action}", command.rank)
            )
    return hints
