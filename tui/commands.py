"""Commands of the dashboard, each defined once: bindings, key bar, help and command palette are made from them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from textual.binding import Binding


@dataclass(frozen=True, slots=True)
class Command:
    """A command that keys can run.

    Args:
        id: name in `keys.toml`; it never changes, because users' files hold it.
        keys: default keys, comma separated, in Textual's spelling; the first one is shown.
        action: Textual's name of the action, with its parameters.
        text: description, a verb and its object, without a full stop.
        rank: priority in the key bar, which drops high ranks first.
    """

    id: str
    keys: str
    action: str
    text: str
    rank: int = 9


def _numbers(section: str, action: str, text: str) -> tuple[Command, ...]:
    """The commands of the digits 1 to 9; their actions take the index from 0."""
    return tuple(
        Command(f"{section}.number_{n}", str(n), f"{action}({n - 1})", text.format(n)) for n in range(1, 10)
    )


BOARD: Final = (
    Command("board.up", "up,k", "move(-1)", "Select the run above"),
    Command("board.down", "down,j", "move(1)", "Select the run below"),
    Command("board.first", "home", "move(-9999)", "Select the first run"),
    Command("board.last", "G", "move(9999)", "Select the last run"),
    Command("board.earlier", "left_square_bracket,left", "scrub(-1)", "Show images of an earlier epoch"),
    Command("board.later", "right_square_bracket,right", "scrub(1)", "Show images of a later epoch", 4),
    Command("board.follow", "end", "follow", "Follow the newest images"),
    Command("board.noise_down", "pagedown", "noise(1)", "Show images from further starting noises"),
    Command("board.noise_up", "pageup", "noise(-1)", "Show images from earlier starting noises"),
    Command("run.start", "enter", "start_quick", "Start the quick comparison of five schedules", 0),
    Command("run.stop", "x", "stop", "Stop the run after a checkpoint", 2),
    Command("run.resume", "r", "resume", "Resume the run", 2),
    Command("run.stop_all", "X", "stop_all", "Stop all runs shown that are queued or live"),
    Command("run.resume_all", "R", "resume_all", "Resume all runs shown that have stopped or failed"),
    Command("run.mark", "space", "mark", "Mark the run for comparison, or unmark it", 6),
    Command("run.compare", "c", "compare", "Compare the marked runs, or all that are shown", 3),
    Command("board.schedules", "s", "schedules", "Explore noise schedules and images under them", 6),
    Command("board.datasets", "b", "datasets", "Browse datasets, with real images beside samples", 7),
    Command("run.new", "n", "new", "Set up a new run", 5),
    Command("run.clone", "y", "clone", "Set up a new run with this one's settings"),
    Command("run.denoise", "d", "denoise", "Watch the same runs turn noise into images", 6),
    Command("run.delete", "delete,D", "delete", "Delete the run and all its files, after confirmation"),
    Command("run.log", "l", "log", "Read the run's log", 7),
    Command("board.group", "g", "next_group", "Show the next group of runs, or all", 8),
    Command("board.all", "a", "all_runs", "Show all runs, or the selected run's group again", 7),
    Command("board.grouping", "v", "next_grouping", "Group runs by start, recipe, dataset or schedule"),
    Command("board.filter", "slash", "filter", "Search all runs for words", 7),
    Command("board.unfilter", "escape", "unfilter", "Clear the search"),
    Command("board.sort", "o", "sort", "Sort runs by age, losses, state, speed or pass rate"),
    Command("board.reverse", "O", "reverse", "Reverse the sort order"),
    Command("board.follow_runs", "f", "follow_runs", "Follow the newest run that trains"),
    Command("board.machine", "i", "system", "Show or hide system load and time left"),
    Command("board.bell", "m", "app.toggle_bell", "Ring when a run ends or fails, or stay silent"),
)

EVERYWHERE: Final = (
    Command("app.export", "E,f4", "export", "Export the screen to files: SVG, PNG, GIF, CSV"),
    Command("app.theme", "t", "next_theme", "Change the theme: dark, light, colour-blind, mono"),
    Command("app.zoom", "Z", "zoom_images", "Zoom images to double size, or back"),
    Command("app.settings", "T,f3", "settings", "Change settings and keys"),
    Command("app.palette", "ctrl+p,colon", "command_palette", "Find a command by name"),
    Command("app.help", "question_mark,f1", "help", "List all keys", 1),
    Command("app.suspend", "ctrl+z", "suspend", "Suspend the dashboard; fg in the shell brings it back"),
    Command("app.quit", "q", "quit", "Leave the dashboard; training goes on", 0),
)

COMPARE: Final = (
    Command("compare.close", "escape,q,c", "close", "Go back to the board", 0),
    Command("compare.curves", "1", "view('curves')", "Show only the curves"),
    Command("compare.pictures", "2", "view('images')", "Show only the images"),
    Command("compare.numbers", "3", "view('numbers')", "Show only numbers and settings"),
    Command("compare.levels", "4", "view('levels')", "Show only the error by noise level and epoch"),
    Command("compare.predicted", "p", "predicted_noise", "Show true against predicted noise, or errors", 3),
    Command("compare.why", "5", "view('why')", "Show only why runs are worse than the best"),
    Command("compare.sweep", "6", "view('sweep')", "Show only one number against one setting"),
    Command("compare.all", "0", "view('all')", "Show everything, where there is room"),
    Command("compare.next_view", "tab", "next_view", "Switch to the next view", 1),
    Command("compare.log_y", "y,L", "log_y", "Switch between linear and logarithmic loss", 3),
    Command("compare.log_x", "x,X", "log_x", "Switch between a linear and a logarithmic x axis", 5),
    Command("compare.unit", "u", "unit", "Switch the x axis: steps, epochs or training time", 4),
    Command("compare.smoothing", "m", "smoothing", "Smooth the curves more, at last not at all", 4),
    Command("compare.heldout", "h", "heldout", "Show training losses, held-out losses or both", 4),
    Command("compare.band", "b", "select(1)", "Select the next run: on top, with its range of losses", 4),
    Command("compare.solo", "s", "solo", "Draw only the selected run's curve, or all again", 4),
    Command("compare.hide", "H", "hide", "Hide the selected run's curve, or show it again", 5),
    Command("compare.zoom_in", "plus,equals_sign", "zoom(1)", "Zoom in on the curves, around the cursor", 3),
    Command("compare.zoom_out", "minus", "zoom(-1)", "Zoom out of the curves"),
    Command("compare.whole", "z", "reset_zoom", "Reset zoom of the curves"),
    Command(
        "compare.pan_on", "right_curly_bracket,shift+right", "pan(1)", "Pan to later parts of the curves", 5
    ),
    Command(
        "compare.pan_back", "left_curly_bracket,shift+left", "pan(-1)", "Pan to earlier parts of the curves"
    ),
    Command(
        "compare.read_on", "right_parenthesis,ctrl+right", "read(1)", "Move the cursor on the curves right", 3
    ),
    Command(
        "compare.read_back", "left_parenthesis,ctrl+left", "read(-1)", "Move the cursor on the curves left"
    ),
    Command("compare.earlier", "left_square_bracket,left", "scrub(-1)", "Show images of an earlier epoch"),
    Command("compare.later", "right_square_bracket,right", "scrub(1)", "Show images of a later epoch", 2),
    Command("compare.first", "home", "first", "Show the first images"),
    Command("compare.follow", "end", "follow", "Follow the newest images"),
    Command("compare.play", "space", "play", "Play through the epochs, or pause", 2),
    Command("compare.down", "down,j", "rows(1)", "Show images from further starting noises", 6),
    Command("compare.up", "up,k", "rows(-1)", "Show images from earlier starting noises"),
    Command("compare.page_down", "pagedown", "page(1)", "Scroll the numbers down, or the images", 7),
    Command("compare.page_up", "pageup", "page(-1)", "Scroll the numbers up, or the images"),
    Command("compare.metric", "n", "metric(1)", "Sweep: show the next number", 3),
    Command("compare.metric_back", "N", "metric(-1)", "Sweep: show the number before"),
    Command("compare.setting", "v", "setting(1)", "Sweep: take the next setting as x axis", 3),
    Command("compare.setting_back", "V", "setting(-1)", "Sweep: take the setting before as x axis"),
    Command("compare.denoise", "d", "denoise", "Watch the same runs turn noise into images", 6),
    Command("compare.judge", "enter", "evaluate", "Evaluate or explain the runs that lack it", 4),
    Command("compare.right", "full_stop,greater_than_sign", "columns(1)", "Show runs further right"),
    Command("compare.left", "comma,less_than_sign", "columns(-1)", "Show runs further left"),
)

DENOISE: Final = (
    Command("denoise.close", "escape,q,d", "close", "Go back to the previous screen", 0),
    Command("denoise.play", "space", "play", "Play from noise to image, or pause", 1),
    Command("denoise.forward", "right", "scrub(1)", "Go one state forward, towards the image", 2),
    Command("denoise.back", "left", "scrub(-1)", "Go one state back, towards the noise", 2),
    Command("denoise.leap", "pagedown", "jump(1)", "Go forward by a tenth of the trajectory"),
    Command("denoise.leap_back", "pageup", "jump(-1)", "Go back by a tenth of the trajectory"),
    Command("denoise.first", "home", "go(0)", "Go to the starting noise"),
    Command("denoise.last", "end", "go(1)", "Go to the finished image"),
    Command("denoise.faster", "plus,equals_sign", "speed(1)", "Play faster", 7),
    Command("denoise.slower", "minus", "speed(-1)", "Play slower", 7),
    Command("denoise.pictures", "1", "view('images')", "Show the runs side by side"),
    Command("denoise.strips", "2", "view('strips')", "Show a strip for each run, from noise to image"),
    Command("denoise.next_view", "tab", "next_view", "Switch to the next view", 3),
    Command("denoise.down", "down,j", "start(1)", "Show the next starting noise", 5),
    Command("denoise.up", "up,k", "start(-1)", "Show the previous starting noise", 5),
    Command("denoise.right", "full_stop,greater_than_sign", "further(1)", "Show further runs"),
    Command("denoise.left", "comma,less_than_sign", "further(-1)", "Show earlier runs"),
    Command("denoise.later", "right_square_bracket", "epoch(1)", "Show a later epoch of the training", 4),
    Command(
        "denoise.earlier", "left_square_bracket", "epoch(-1)", "Show an earlier epoch of the training", 4
    ),
    Command("denoise.sampler", "m", "sampler", "Switch the sampler, or show what training saved", 3),
    Command("denoise.steps", "n", "steps(1)", "Use more sampling steps", 4),
    Command("denoise.fewer", "N", "steps(-1)", "Use fewer sampling steps", 4),
    Command("denoise.compute", "enter", "compute", "Compute missing trajectories, beside the training", 2),
    Command("denoise.foreseen", "p", "predicted", "Show predicted x0 beside x_t", 6),
    Command("denoise.restore", "r", "restore", "Paint a mask on an image, and let the run fill it in", 6),
)

RESTORE: Final = (
    Command("restore.close", "escape,q,r", "close", "Go back to the previous screen", 0),
    Command("restore.right", "right,l", "move(0, 1)", "Move the brush right", 2),
    Command("restore.left", "left,h", "move(0, -1)", "Move the brush left", 2),
    Command("restore.down", "down,j", "move(1, 0)", "Move the brush down"),
    Command("restore.up", "up,k", "move(-1, 0)", "Move the brush up"),
    Command("restore.paint", "space", "paint", "Paint missing pixels, or erase them", 1),
    Command("restore.pen", "p", "pen", "Paint with each move of the brush, or stop", 3),
    Command("restore.larger", "plus,equals_sign", "brush(1)", "Take a larger brush", 3),
    Command("restore.smaller", "minus", "brush(-1)", "Take a smaller brush", 3),
    Command("restore.shape", "m", "shape", "Mask a box, the right half or the lower half", 2),
    Command("restore.clear", "c", "clear", "Clear the mask", 4),
    Command("restore.fill", "enter", "fill", "Fill in the missing pixels, each time anew", 1),
    Command("restore.further", "pagedown", "answers(1)", "Show further answers", 5),
    Command("restore.back", "pageup", "answers(-1)", "Show earlier answers"),
    Command("restore.next", "right_square_bracket", "image(1)", "Show the next image", 4),
    Command("restore.previous", "left_square_bracket", "image(-1)", "Show the previous image", 4),
    Command("restore.open", "o,ctrl+o", "open", "Open an image of your own", 5),
)

SCHEDULES: Final = (
    Command("schedules.close", "escape,q,s", "close", "Leave the field, else go back to the board", 0),
    Command("schedules.later", "right", "scrub(1)", "Add noise to the images", 1),
    Command("schedules.earlier", "left", "scrub(-1)", "Remove noise from the images", 1),
    Command("schedules.leap", "pagedown", "scrub(10)", "Add much noise to the images"),
    Command("schedules.leap_back", "pageup", "scrub(-10)", "Remove much noise from the images"),
    Command("schedules.first", "home", "go(0)", "Show the images without noise"),
    Command("schedules.last", "end", "go(1)", "Show what is left of the images at T"),
    Command("schedules.play", "space", "play", "Play from image to noise, or pause", 2),
    Command("schedules.edit", "e", "edit", "Edit numbers and image; enter or escape leaves", 2),
    Command("schedules.open", "o,ctrl+o", "open", "Open an image of your own", 5),
    Command("schedules.zero", "z", "zero", "Rescale all to end in pure noise, or undo that", 4),
    Command("schedules.down", "down", "down", "Decrease the number in a field, else scroll down", 6),
    Command("schedules.up", "up", "up", "Increase the number in a field, else scroll up"),
    Command("schedules.view", "v", "next_view", "Switch to the next view", 3),
    Command("schedules.new", "n", "new", "Set up a new run with these schedules", 2),
)

DATASETS: Final = (
    Command("datasets.close", "escape,q,b", "close", "Go back to the board", 0),
    Command("datasets.next", "right", "further(1)", "Show the next dataset", 1),
    Command("datasets.previous", "left", "further(-1)", "Show the previous dataset", 1),
    Command("datasets.open", "o,ctrl+o", "open", "Open a folder of your own, or a recipe's file", 3),
    Command("datasets.view", "v,tab", "next_view", "Show images, fitted triangles or grey values", 1),
    Command("datasets.down", "down,j", "rows(1)", "Show further images", 5),
    Command("datasets.up", "up,k", "rows(-1)", "Show earlier images", 5),
    Command("datasets.page_down", "pagedown", "page(1)", "Show the next page of images"),
    Command("datasets.page_up", "pageup", "page(-1)", "Show the previous page of images"),
    Command("datasets.first", "home", "go(0)", "Show the first images"),
    Command("datasets.last", "end,G", "go(1)", "Show the last images"),
    Command("datasets.part", "h", "part", "Show held-out images, or those for training", 3),
    Command("datasets.run", "r", "run(1)", "Show samples of the next run here, or of none", 2),
    Command("datasets.run_before", "R", "run(-1)", "Show samples of the previous run"),
    Command("datasets.earlier", "left_square_bracket", "epoch(-1)", "Show samples of an earlier epoch", 4),
    Command("datasets.later", "right_square_bracket", "epoch(1)", "Show samples of a later epoch", 4),
    Command("datasets.zoom", "z", "zoom", "Switch between smaller and larger tiles", 4),
    Command("datasets.fit", "f,enter", "fit", "Fit triangles to the images shown", 2),
    Command("datasets.make", "m", "make", "Build the whole dataset, or stop building it", 6),
    Command("datasets.new", "n", "new", "Set up a new run on this dataset", 6),
)

NEW_RUN: Final = (
    Command("new.start", "f5,ctrl+r", "start", "Queue these runs", 0),
    Command("new.cancel", "escape", "cancel", "Cancel, and go back to the board", 1),
    Command("new.open", "ctrl+o,f2", "open", "Open a folder of images", 3),
    Command("new.next", "down", "app.focus_next", "Go to the next setting", 2),
    Command("new.previous", "up", "app.focus_previous", "Go to the previous setting"),
)

PICKER: Final = (
    Command("picker.choose", "enter", "choose", "Choose the file or folder under the cursor", 0),
    Command("picker.cancel", "escape,q", "cancel", "Cancel, and go back to the previous screen", 0),
    Command("picker.up", "up,k", "cursor('cursor_up')", "Go to the line above", 2),
    Command("picker.down", "down,j", "cursor('cursor_down')", "Go to the line below"),
    Command("picker.page_up", "pageup", "cursor('page_up')", "Go a page up"),
    Command("picker.page_down", "pagedown", "cursor('page_down')", "Go a page down"),
    Command("picker.first", "home", "cursor('scroll_home')", "Go to the first line"),
    Command("picker.last", "end,G", "cursor('scroll_end')", "Go to the last line"),
    Command("picker.open", "right,l,space", "open", "Open a folder, or go into it", 1),
    Command("picker.shut", "left,h", "shut", "Close a folder, or leave it"),
    Command("picker.out", "backspace,minus", "out", "Show the parent of the first folder", 1),
    Command("picker.home", "tilde", "home", "Show your home folder"),
    Command("picker.type", "tab,shift+tab", "type", "Type a path, or go back to the tree", 1),
)

LOG: Final = (
    Command("log.close", "escape,q,l", "close", "Go back to the board", 0),
    Command("log.down", "down,j", "scroll(1)", "Scroll down", 1),
    Command("log.up", "up,k", "scroll(-1)", "Scroll up", 1),
    Command("log.page_down", "pagedown", "page(1)", "Scroll a page down"),
    Command("log.page_up", "pageup", "page(-1)", "Scroll a page up"),
    Command("log.first", "g,home", "top", "Go to the beginning", 2),
    Command("log.last", "G,end", "bottom", "Go to the end and follow", 2),
    Command("log.wrap", "w", "wrap", "Wrap long lines, or cut them", 3),
    Command("log.right", "right", "across(1)", "Scroll long lines right"),
    Command("log.left", "left", "across(-1)", "Scroll long lines left"),
)

SETTINGS: Final = (
    Command("settings.close", "escape,q", "close", "Go back to the previous screen", 0),
    Command(
        "settings.change",
        "enter,space",
        "change",
        "Choose the next value; for a command, press its new key",
        1,
    ),
    Command("settings.right", "right", "turn(1)", "Choose the next value", 3),
    Command("settings.left", "left", "turn(-1)", "Choose the previous value", 3),
    Command("settings.add", "a", "add", "Add one more key to the command", 3),
    Command("settings.usual", "backspace,delete", "usual", "Reset the value or key to its default", 2),
    Command("settings.all_usual", "D", "all_usual", "Reset the keys of all commands, after confirmation"),
    Command("settings.down", "down,j", "move(1)", "Go to the line below", 2),
    Command("settings.up", "up,k", "move(-1)", "Go to the line above", 2),
    Command("settings.page_down", "pagedown", "move(10)", "Go ten lines down"),
    Command("settings.page_up", "pageup", "move(-10)", "Go ten lines up"),
    Command("settings.first", "home", "move(-9999)", "Go to the first line"),
    Command("settings.last", "end,G", "move(9999)", "Go to the last line"),
    Command(
        "settings.next", "tab,right_square_bracket", "section(1)", "Go to the keys of the next screen", 4
    ),
    Command(
        "settings.previous",
        "shift+tab,left_square_bracket",
        "section(-1)",
        "Go to the keys of the previous screen",
        4,
    ),
)

REPLAY: Final = (
    Command("replay.pause", "P,f8", "replay_pause", "Pause, resume or restart the replay"),
    Command("replay.back", "B,f7", "replay_seek(-1)", "Go back by a twentieth of the replay"),
    Command("replay.forward", "A,f9", "replay_seek(1)", "Go forward by a twentieth of the replay"),
    Command("replay.slower", "S,f6", "replay_speed(-1)", "Replay slower, down to real time"),
    Command("replay.faster", "F,f10", "replay_speed(1)", "Replay faster, up to a thousand times"),
)

TOUR: Final = (
    Command("tour.go", "W", "tour", "Start the tour of two minutes, or continue it", 3),
    Command("tour.end", "escape", "tour_end", "End the tour, and stay here"),
)

RUN_NUMBERS: Final = _numbers("board", "jump", "Select run {}")
SCHEDULE_NUMBERS: Final = _numbers("schedules", "choose", "Show or hide schedule {}")
DATASET_NUMBERS: Final = _numbers("datasets", "choose", "Show dataset {}")
NUMBERS: Final = {
    RUN_NUMBERS: "Select the run of that number",
    SCHEDULE_NUMBERS: "Show or hide the schedule of that number",
    DATASET_NUMBERS: "Show the dataset of that number",
}
"""Descriptions of nine commands together, where each has its digit."""

SECTIONS: Final = {
    "everywhere": EVERYWHERE,
    "board": (*BOARD, *RUN_NUMBERS),
    "compare": COMPARE,
    "denoise": DENOISE,
    "restore": RESTORE,
    "schedules": (*SCHEDULES, *SCHEDULE_NUMBERS),
    "datasets": (*DATASETS, *DATASET_NUMBERS),
    "new run": NEW_RUN,
    "files": PICKER,
    "log": LOG,
    "settings": SETTINGS,
    "replay": REPLAY,
    "tour": TOUR,
}
"""Commands by section; the sections in `ON_ALL` are active on every screen."""
ON_ALL: Final = ("everywhere", "replay", "tour")
ALL: Final = tuple(command for commands in SECTIONS.values() for command in commands)


def bindings(commands: Iterable[Command]) -> list[Binding]:
    """Textual's bindings of commands; none is shown in Textual's footer, because the dashboard has its own key bar."""
    return [
        Binding(command.keys, command.action, command.text, show=False, id=command.id) for command in commands
    ]
