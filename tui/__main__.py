"""The command `ddpm-tui`: validates its arguments before it takes over the screen."""

import argparse
import contextlib
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from core.errors import EXIT_OK, EXIT_USAGE, UserError, os_error_text
from core.files.environment import open_closed_streams, require_working_directory, write_to_stderr
from core.files.sanitize import sanitize

if TYPE_CHECKING:
    from tui.app.settings_app import SettingsOptions
    from tui.state.follower import Follower
    from tui.state.snapshot import Snapshot

IMAGES_FORMS = ("auto", "kitty", "truecolor", "256", "16", "ascii")
DEFAULT_ADDRESS = "localhost:8000"
MIN_DESCRIPTORS = 64
"""Open files that the dashboard may need at once: its own, and those of processes that it starts."""
MAX_SLOTS = 10_000
DESCRIPTION = """\
Train small diffusion models, watch them and compare them, in the terminal.

  ddpm-tui                shows the runs in ./runs; offers the quick comparison when there are none
  ddpm-tui quick          trains the five schedules of the thesis, or shows them again
  ddpm-tui my.toml        trains a recipe of your own
  ddpm-tui FOLDER         trains on your own images
  ddpm-tui --replay RUN   plays a run that has ended back in time, as if it were live
  ddpm-tui --follow HOST:DIR
                          shows the runs of another host, copied to ./runs over ssh
  ddpm-tui --web          the same in a browser

Leaving the dashboard stops nothing: workers and queue go on, and the same command shows them again."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise a one-line error, without argparse's usage."""
        raise UserError(f"{message}; ddpm-tui --help lists what there is")


def _path(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError(
            "expected a path, got an empty one; give . for the working directory"
        )
    return Path(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="ddpm-tui",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "recipe", nargs="?", metavar="RECIPE", help="a recipe's name, the path of a .toml file, or images"
    )
    parser.add_argument(
        "--runs", type=_path, default=Path("runs"), metavar="DIR", help="the runs folder (./runs)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="change the recipe, for example --set train.epochs=3; may be given again",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:0, mps... (auto)")
    parser.add_argument(
        "--slots", type=int, metavar="N", help="runs at the same time (as the machine allows)"
    )
    parser.add_argument("--no-start", action="store_true", help="start nothing: only show the recipe's runs")
    parser.add_argument(
        "--replay",
        nargs="+",
        metavar="RUN",
        help="play runs back: ids, their beginnings, paths, groups, or latest",
    )
    parser.add_argument(
        "--follow",
        metavar="HOST:DIR",
        help="keep pulling the runs of another host's folder into the runs folder, over ssh",
    )
    parser.add_argument(
        "--exports",
        type=_path,
        default=Path("exports"),
        metavar="DIR",
        help="the folder that the key E exports the screen to (./exports)",
    )
    parser.add_argument(
        "--pictures",
        choices=IMAGES_FORMS,
        help="how images are drawn in this session: auto uses the terminal's colours, ascii draws with letters, "
        "kitty has the terminal draw them, as Kitty and Ghostty can",
    )
    parser.add_argument(
        "--web", action="store_true", help="serve the dashboard to browsers on this machine, until ctrl+c"
    )
    parser.add_argument(
        "--at",
        default=DEFAULT_ADDRESS,
        metavar="[HOST:]PORT",
        help=f"where --web serves it ({DEFAULT_ADDRESS}); anyone who reaches another host's port controls the runs",
    )
    parser.add_argument("--version", action="store_true", help="show the version")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the dashboard.

    Returns:
        0, or 2 for a mistake in the arguments, with one line on stderr before the screen is taken over.
    """
    open_closed_streams()
    try:
        words = sys.argv[1:] if arguments is None else arguments
        return _run(_parser().parse_args(words), words)
    except (UserError, OSError) as error:
        text = str(error) if isinstance(error, UserError) else os_error_text(error)
        write_to_stderr(f"error: {sanitize(text)}")
        return EXIT_USAGE


class _ImagesLine:
    """A line on stderr when images begin to be read, which takes a while before the screen opens."""

    def __init__(self) -> None:
        self._is_written = False

    def __call__(self, done: int, total: int) -> None:
        """Report images that are done."""
        if not self._is_written:
            self._is_written = True
            write_to_stderr(f"reading {total:,} images")


def _allow_descriptors() -> None:
    """Make room for as many open files as the dashboard needs, because its worst moment is in the middle of a night.

    Raises:
        UserError: this shell does not permit that.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= MIN_DESCRIPTORS:
        return
    if hard != resource.RLIM_INFINITY and hard < MIN_DESCRIPTORS:
        raise UserError(
            f"{hard} files may be open at once here, but the dashboard needs {MIN_DESCRIPTORS}; "
            "see ulimit -n, and use core train and core runs list meanwhile"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (MIN_DESCRIPTORS, hard))


def _run(options: argparse.Namespace, words: Sequence[str]) -> int:
    if options.version:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"ddpm-tui {version('ddpm-tui')}")
        except PackageNotFoundError:
            print("ddpm-tui, not installed")
        return EXIT_OK
    require_working_directory()
    if options.slots is not None and not 1 <= options.slots <= MAX_SLOTS:
        raise UserError(f"--slots {options.slots}: expected a number from 1 to {MAX_SLOTS:,}")
    if options.overrides and options.recipe is None:
        raise UserError(f"--set {options.overrides[0]}: changes a recipe, but no RECIPE was given")
    if options.runs.exists() and not options.runs.is_dir():
        raise UserError(f"--runs {options.runs}: is a file, expected a folder")
    if options.replay and (options.recipe is not None or options.no_start):
        raise UserError("--replay shows runs that have ended; it takes no RECIPE and no --no-start")
    follower = None
    if options.follow is not None:
        if options.replay:
            raise UserError("--replay shows runs that have ended; it takes no --follow")
        follower = _follower(options.follow, options.runs)
    if options.device != "auto" or options.slots is not None:
        from core.launch.devices import make_plan

        make_plan(options.device, options.slots)
    recipe, fitted_warning = None, ""
    if options.recipe is not None:
        from core.launch.own_images import find_recipe

        found = find_recipe(options.recipe, options.overrides, device=options.device, progress=_ImagesLine())
        recipe, fitted_warning = found.recipe, found.warning
        if found.summary:
            write_to_stderr(sanitize(found.summary))
    recordings = []
    if options.replay:
        from tui.replay.recording import find_recordings

        recordings = find_recordings(options.runs.absolute(), options.replay)
    if options.web and not in_browser():
        from tui.web import Address, serve

        serve(Address.parse(options.at), words)
        return EXIT_OK
    _allow_descriptors()
    if not in_browser():
        _require_terminal()

    from tui.app.dashboard import Dashboard
    from tui.settings.keymap import read_keymap
    from tui.settings.locations import keys_path, state_dir
    from tui.settings.schema import Settings, has_settings
    from tui.state.run_controller import RunController
    from tui.terminal.encoding import allow_any_encoding
    from tui.terminal.environment import correct, draw_on_stdout, lacks_utf8
    from tui.terminal.lifecycle import TerminalGuard
    from tui.terminal.watchdog import exit_with_server, exit_with_terminal

    state, keys = state_dir(), keys_path()
    settings, problems = Settings(), tuple[str, ...]()
    if has_settings(state):
        from tui.settings.store import load_settings

        settings, problems = load_settings(state)
    is_ascii = False
    if not in_browser():
        correct(os.environ)
        draw_on_stdout()
        is_ascii = lacks_utf8(sys.stdin.fileno(), sys.stdout.fileno())
    image_mode = options.pictures or settings.pictures
    if image_mode == "truecolor":
        os.environ["COLORTERM"] = "truecolor"  # or Textual would translate them for a terminal that has fewer
    placements = None
    if image_mode == "kitty":
        from tui.terminal.kitty.detect import NO_TERMINAL, detect_before_start

        handles = sys.stdin.fileno(), sys.stdout.fileno()
        placements, refusal = (None, NO_TERMINAL) if in_browser() else detect_before_start(*handles)
        problems = (refusal, *problems) if refusal else problems
    allow_any_encoding("ascii" if is_ascii else None)
    root, exports = options.runs.absolute(), options.exports.absolute()
    kept: SettingsOptions = {
        "settings": settings,
        "image_mode": options.pictures,
        "remember": state,
        "keymap": read_keymap(keys),
        "keys": keys,
    }
    if recordings:
        from tui.replay.app import ReplayDashboard

        app: Dashboard = ReplayDashboard(root, recordings, exports=exports, **kept)
    else:
        control = RunController(root, device=options.device, slots=options.slots)
        app = Dashboard(control, recipe=recipe, start=not options.no_start, exports=exports, **kept)
    app.startup_problems, app.placements, app.follower = problems, placements, follower
    app.budget_warning = fitted_warning
    leave = exit_with_server if in_browser() else exit_with_terminal
    leave(sys.stdin.fileno())
    with (
        contextlib.nullcontext() if in_browser() else TerminalGuard(sys.stdout.fileno()) as app.terminal_guard
    ):
        app.run()
    if (
        not in_browser()
        and not recordings
        and (farewell := _farewell(app.snapshot, options.runs, options.follow))
    ):
        print(sanitize(farewell))
    return app.return_code or EXIT_OK


def in_browser() -> bool:
    """Return whether textual-serve has started this process, and is at the other end of its stdin and stdout."""
    return os.environ.get("TEXTUAL_DRIVER", "").endswith(":WebDriver")


def _require_terminal() -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserError("needs a terminal; without one, use: core train, core runs list")
    if os.environ.get("TERM") == "dumb":
        raise UserError("this terminal (TERM=dumb) cannot place text; use: core train, core runs list")


def _follower(source: str, runs: Path) -> "Follower":
    """Return the follower of another host's runs.

    Raises:
        UserError: the source cannot be one, or there is no rsync.
    """
    from core.launch.pull import Puller
    from core.launch.rsync import Rsync, Source
    from tui.state.follower import Follower

    return Follower(Puller(Rsync(Source.parse(source)), runs))


def _farewell(snapshot: "Snapshot | None", runs: Path, follow: str | None = None) -> str:
    """A line on the runs that continue without the dashboard, and how to reopen it; empty when none do."""
    if snapshot is None:
        return ""
    states = [run.state for run in snapshot.runs]
    live = sum(state.is_live for state in states)
    queued = sum(not state.is_live and not state.is_ended for state in states)
    if not live and not queued:
        return ""
    where = "" if runs == Path("runs") else f" --runs {runs}"
    where += f" --follow {follow}" if follow else ""
    parts = [f"{live} running"] if live else []
    parts += [f"{queued} queued"] if queued else []
    return f"Training goes on ({', '.join(parts)}); come back with: ddpm-tui{where}"


if __name__ == "__main__":
    sys.exit(main())
