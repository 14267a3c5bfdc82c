"""The pictures of the README, from real runs: ``python -m tests.pictures RUNS OUT``.

The dashboard runs without a terminal, is shown the runs, and each screen is drawn as its key `E` would, so that nothing
but this repository is needed.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tui.app import Dashboard
from tui.control import Control
from tui.exports.screen import Shot, screen_png

SIZE: Final = (160, 50)
SCREENS: Final = {
    "board": (),
    "compare": ("c",),
    "denoise": ("d", *["right"] * 6),
    "schedules": ("s", *["right"] * 30),
}
"""What is pressed on the board for each picture."""
PATIENCE: Final = 60.0
SETTLED: Final = 1.0
"""Seconds; screens read their pictures in threads."""


async def draw(root: Path, out: Path, size: tuple[int, int] = SIZE) -> list[Path]:
    """Draw each screen of the dashboard with the newest runs of a folder; the files."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, keys in SCREENS.items():
        app = Dashboard(Control(root.absolute()), pictures="truecolor")
        async with app.run_test(size=size) as pilot:
            async with asyncio.timeout(PATIENCE):
                while not app.is_open or app.snapshot is None or app.snapshot.unread:
                    await pilot.pause(0.05)
            await pilot.press(*keys)
            await pilot.pause(SETTLED)
            written.append(out / f"{name}.png")
            written[-1].write_bytes(screen_png(Shot.of(app)))
    return written


def main(arguments: Sequence[str]) -> int:
    """Draw, and say where; 2 for anything but a runs folder and a place."""
    if len(arguments) != 2 or not Path(arguments[0]).is_dir():
        print("expected: python -m tests.pictures RUNS OUT, with a folder of finished runs", file=sys.stderr)
        return 2
    for path in asyncio.run(draw(Path(arguments[0]), Path(arguments[1]))):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
