"""Images of the README, drawn from real runs: ``make pictures ARGS="RUNS OUT"``.

The dashboard runs without a terminal on the given runs, and each screen is drawn as its key `E` does. Nothing but this
repository is needed.
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from textual.pilot import Pilot

from core.errors import EXIT_OK, EXIT_USAGE, UserError
from core.files.sanitize import sanitize
from core.runs import RunStore
from tui.app.dashboard import Dashboard
from tui.export.screenshot import Screenshot, screen_png
from tui.screens.restore.screen import RestoreScreen
from tui.state.run_controller import RunController

SIZE: Final = (160, 50)
VISIBLE_STATE: Final = 5
"""Index of the state, of the ten that a training keeps, in which shapes become visible."""
SCREENS: Final = {
    "board": (),
    "compare": ("c",),
    "denoise": ("d", "home", *["right"] * VISIBLE_STATE),
    "schedules": ("s", *["right"] * 30),
    "levels": ("c", "4"),
    "why": ("c", "5"),
    "sweep": ("c", "6"),
    "restore": ("d", "r"),
}
"""Keys pressed on the board for each image."""
TIMEOUT: Final = 120.0
STABLE_FRAMES: Final = 5
"""Equal frames in a row after which a screen is complete, because screens read their images in threads."""


async def draw_screens(
    root: Path,
    out: Path,
    *,
    size: tuple[int, int] = SIZE,
    screens: Mapping[str, Sequence[str]] = SCREENS,
) -> list[Path]:
    """Draw screens of the dashboard with the newest runs of a folder.

    For the restore screen the first run fills in a box, whose files stay in its folder.

    Args:
        root: the runs folder.
        out: the folder for the images.
        size: columns and lines of the terminal.
        screens: the keys pressed on the board for each image.

    Returns:
        The files.

    Raises:
        UserError: there are no runs, one of them is not finished, or a screen was not complete in time.
    """
    _require_finished(root)
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, keys in screens.items():
        app = Dashboard(RunController(root.absolute()), image_mode="truecolor")
        async with app.run_test(size=size) as pilot:
            try:
                async with asyncio.timeout(TIMEOUT):
                    while not app.is_open or app.snapshot is None or app.snapshot.unread:
                        await pilot.pause(0.05)
                    await pilot.press(*keys)
                    if isinstance(app.screen, RestoreScreen):
                        await _fill_in(pilot, app.screen)
                    await _wait_until_stable(pilot)
            except TimeoutError as error:
                raise UserError(
                    f"{name}: still not drawn after {TIMEOUT:.0f} s; try again when the machine is less busy"
                ) from error
            written.append(out / f"{name}.png")
            written[-1].write_bytes(screen_png(Screenshot.capture(app)))
    return written


def _require_finished(root: Path) -> None:
    infos = RunStore(root).infos()
    if not infos:
        raise UserError(f"{root}: no runs here; train some first: core train quick --runs {root}")
    for info in infos:
        if not info.state.is_ended:
            raise UserError(
                f"{info.id} is not finished ({info.state.value}); wait for it, "
                f"or stop it: core runs stop {info.id} --runs {root}"
            )


async def _fill_in(pilot: Pilot[None], screen: RestoreScreen) -> None:
    while screen.painter is None:
        await pilot.pause(0.05)
    await pilot.press("m", "enter")
    while screen.answers is None or screen.job is not None:
        await pilot.pause(0.05)


async def _wait_until_stable(pilot: Pilot[None]) -> None:
    frame, equal = "", 0
    while equal < STABLE_FRAMES:
        await pilot.pause(0.05)
        before, frame = frame, pilot.app.export_screenshot()
        equal = equal + 1 if frame == before else 0


def main(arguments: Sequence[str]) -> int:
    """Draw the images and print their files; return 2 unless called with finished runs and an output folder."""
    if len(arguments) != 2 or not Path(arguments[0]).is_dir():
        print('expected: make pictures ARGS="RUNS OUT", with a folder of finished runs', file=sys.stderr)
        return EXIT_USAGE
    try:
        written = asyncio.run(draw_screens(Path(arguments[0]), Path(arguments[1])))
    except UserError as error:
        print(f"error: {sanitize(str(error))}", file=sys.stderr)
        return EXIT_USAGE
    for path in written:
        print(path)
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
