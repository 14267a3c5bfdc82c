"""What can be done on the board, once: bindings, key bar, help and command palette are all made from it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from textual.binding import Binding


@dataclass(frozen=True, slots=True)
class Command:
    """One thing to do.

    Args:
        id: the name by which `keys.toml` rebinds it.
        keys: the keys, comma separated, in Textual's spelling; the first one is shown.
        action: Textual's name of the action.
        text: what it does, in a sentence without its full stop.
        rank: the key bar leaves out high ranks first.
    """

    id: str
    keys: str
    action: str
    text: str
    rank: int = 9


BOARD: Final = (
    Command("board.up", "up,k", "move(-1)", "Select the run above"),
    Command("board.down", "down,j", "move(1)", "Select the run below"),
    Command("board.first", "home", "move(-9999)", "Select the first run"),
    Command("board.last", "G", "move(9999)", "Select the last run"),
    Command("board.earlier", "left_square_bracket,left", "scrub(-1)", "Show pictures of an earlier epoch"),
    Command("board.later", "right_square_bracket,right", "scrub(1)", "Show pictures of a later epoch", 4),
    Command("board.follow", "end", "follow", "Show the latest pictures as they come"),
    Command("board.noise_down", "pagedown", "noise(1)", "Show pictures from further starting noises"),
    Command("board.noise_up", "pageup", "noise(-1)", "Show pictures from earlier starting noises"),
    Command("run.start", "enter", "start_quick", "Start the quick comparison of five schedules"),
    Command("run.stop", "x", "stop", "Stop the run after a checkpoint", 2),
    Command("run.resume", "r", "resume", "Resume the run", 2),
    Command("run.stop_all", "X", "stop_all", "Stop all runs shown that are queued or live"),
    Command("run.resume_all", "R", "resume_all", "Resume all runs shown that have stopped or failed"),
    Command("run.mark", "space", "mark", "Mark the run for comparison, or unmark it", 6),
    Command("run.compare", "c", "compare", "Compare the marked runs, or all that are shown", 3),
    Command("run.new", "n", "new", "Set up a new run", 5),
    Command("run.clone", "y", "clone", "Set up a new run with this one's settings"),
    Command("run.delete", "d,delete", "delete", "Delete the run and all its files, after asking"),
    Command("run.log", "l", "log", "Read the run's log", 7),
    Command("board.group", "g", "next_group", "Show the next group of runs, or all", 8),
)

EVERYWHERE: Final = (
    Command("app.theme", "t", "next_theme", "Change the theme: dark, light, colour-blind, mono"),
    Command("app.palette", "ctrl+p,colon", "command_palette", "Find a command by name"),
    Command("app.help", "question_mark,f1", "help", "List all keys", 1),
    Command("app.quit", "q", "quit", "Leave the dashboard; training goes on", 0),
)

COMPARE: Final = (
    Command("compare.close", "escape,q,c", "close", "Back to the board", 0),
    Command("compare.curves", "1", "view('curves')", "Show the curves alone"),
    Command("compare.pictures", "2", "view('pictures')", "Show the pictures alone"),
    Command("compare.numbers", "3", "view('numbers')", "Show numbers and settings alone"),
    Command("compare.all", "0", "view('all')", "Show all at once, where there is room"),
    Command("compare.next_view", "tab", "next_view", "Go on to the next view", 1),
    Command("compare.log_y", "y,L", "log_y", "Loss on a linear or a logarithmic axis", 3),
    Command("compare.log_x", "x,X", "log_x", "Steps on a linear or a logarithmic axis", 5),
    Command("compare.smoothing", "m", "smoothing", "Smooth the curves more, and then not at all", 4),
    Command("compare.heldout", "h", "heldout", "Training and held-out losses, or one of them", 4),
    Command("compare.earlier", "left_square_bracket,left", "scrub(-1)", "Show pictures of an earlier epoch"),
    Command("compare.later", "right_square_bracket,right", "scrub(1)", "Show pictures of a later epoch", 2),
    Command("compare.first", "home", "first", "Show the first pictures"),
    Command("compare.follow", "end", "follow", "Show the latest pictures as they come"),
    Command("compare.play", "space", "play", "Play through the epochs, or pause", 2),
    Command("compare.down", "down,j,pagedown", "rows(1)", "Show pictures from further starting noises", 6),
    Command("compare.up", "up,k,pageup", "rows(-1)", "Show pictures from earlier starting noises"),
    Command("compare.right", "full_stop,greater_than_sign", "columns(1)", "Show runs further right"),
    Command("compare.left", "comma,less_than_sign", "columns(-1)", "Show runs further left"),
)

NEW_RUN: Final = (
    Command("new.start", "f5,ctrl+r", "start", "Queue these runs", 0),
    Command("new.cancel", "escape", "cancel", "Queue nothing, back to the board", 1),
    Command("new.next", "down", "app.focus_next", "Go on to the next setting", 2),
    Command("new.previous", "up", "app.focus_previous", "Go back to the setting before"),
)

ALL: Final = (*BOARD, *EVERYWHERE, *COMPARE, *NEW_RUN)

JUMPS: Final = [Binding(str(n), f"jump({n - 1})", f"Select run {n}", show=False) for n in range(1, 10)]
"""The digits; they are not rebound and not listed one by one."""


def bindings(commands: Iterable[Command]) -> list[Binding]:
    """Textual's bindings for commands; the key bar is ours, so none is shown in Textual's footer."""
    return [
        Binding(command.keys, command.action, command.text, show=False, id=command.id) for command in commands
    ]
