"""The pictures of the README, from real runs: ``make pictures ARGS="RUNS OUT"``.

The dashboard runs without a terminal, is shown the runs, and each screen is drawn as its key `E` would, so that nothing
but this repository is needed.
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
from tui.state.run_controller import RunController

SIZE: Final = (160, 50)
FORMING: Final = 5
"""Of the ten states that a training keeps, the one in which pictures begin to be seen."""
SCREENS: Final = {
    "board": (),
    "compare": ("c",),
    "denoise": ("d", "home", *["right"] * FORMING),
    "schedules": ("s", *["right"] * 30),
}
"""What is pressed on the board for each picture."""
PATIENCE: Final = 60.0
ALIKE: Final = 5
"""Looks at a screen between which it must not change; screens read their pictures in threads."""


async def draw(
    root: Path,
    out: Path,
    *,
    size: tuple[int, int] = SIZE,
    screens: Mapping[str, Sequence[str]] = SCREENS,
) -> list[Path]:
    """Draw screens of the dashboard with the newest runs of a folder.

    Args:
        root: the runs folder.
        out: where the pictures go.
        size: of the terminal, columns and lines.
        screens: what is pressed on the board for each picture.

    Returns:
        The files.

    Raises:
        UserError: there are no runs, one of them is not finished, or a screen never came to rest.
    """
    _require_finished(root)
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, keys in screens.items():
        app = Dashboard(RunController(root.absolute()), image_mode="truecolor")
        async with app.run_test(size=size) as pilot:
            try:
                async with asyncio.timeout(PATIENCE):
                    while not app.is_open or app.snapshot is None or app.snapshot.unread:
                        await pilot.pause(0.05)
                    await pilot.press(*keys)
                    await _rest(pilot)
            except TimeoutError as error:
                raise UserError(
                    f"{name}: still not drawn after {PATIENCE:.0f} s; try again when the machine is less busy"
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


async def _rest(pilot: Pilot[None]) -> None:
    seen, alike = "", 0
    while alike < ALIKE:
        await pilot.pause(0.05)
        before, seen = seen, pilot.app.export_screenshot()
        alike = alike + 1 if seen == before else 0


def main(arguments: Sequence[str]) -> int:
    """Draw, and say where; 2 for anything but a folder of runs that have ended and a place."""
    if len(arguments) != 2 or not Path(arguments[0]).is_dir():
        print('expected: make pictures ARGS="RUNS OUT", with a folder of finished runs', file=sys.stderr)
        return EXIT_USAGE
    try:
        written = asyncio.run(draw(Path(arguments[0]), Path(arguments[1])))
    except UserError as error:
        print(f"error: {sanitize(str(error))}", file=sys.stderr)
        return EXIT_USAGE
    for path in written:
        print(path)
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
