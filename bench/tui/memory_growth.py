"""Memory growth of the dashboard during a simulated hour.

``python -m bench.tui.memory_growth FOLDER`` prints the growth in MB. Five runs grow by the steps, epochs and sheets of
an hour, while the dashboard draws them and its screens are opened and closed. The end is compared with the end of the
first third, when all caches are warm. The arrays of losses, with their spare capacity, are not counted.
"""

import asyncio
import gc
import sys
import time
from pathlib import Path
from typing import Final

import psutil

from bench.tui.fake_live_runs import STEPS_PER_SECOND, LiveRun
from core.schedules import SCHEDULE_NAMES
from tui.app.dashboard import Dashboard
from tui.settings.schema import Settings
from tui.state.run_controller import RunController

SECONDS_PER_EPOCH: Final = 20
EPOCHS: Final = 3600 // SECONDS_PER_EPOCH
EPOCHS_PER_KEY: Final = 3
TIMEOUT: Final = 60.0
KEYS: Final = ("c", "escape", "d", "escape", "left_square_bracket", "end", "s", "escape")


async def measure_growth(root: Path, *, epochs: int = EPOCHS) -> float:
    """MB by which the memory of this process grows after the first third.

    Raises:
        TimeoutError: the dashboard does not show what is written.
    """
    steps = STEPS_PER_SECOND * SECONDS_PER_EPOCH
    runs = [LiveRun(root, index, epochs=1, steps=steps) for index in range(len(SCHEDULE_NAMES))]
    app = Dashboard(RunController(root), settings=Settings(refresh=0.1))
    process, before, presses = psutil.Process(), 0, 0
    async with app.run_test(size=(160, 50)) as pilot:
        for epoch in range(2, epochs + 1):
            for run in runs:
                run.train(steps, seconds=SECONDS_PER_EPOCH)
                run.end_epoch()
                run.write_status()
            if epoch % EPOCHS_PER_KEY == 0 or epoch == epochs:
                deadline = time.monotonic() + TIMEOUT
                while not _has_drawn(app, epoch):
                    if time.monotonic() > deadline:
                        raise TimeoutError("the dashboard does not show what is written")
                    await pilot.pause(0.005)
                await pilot.press(KEYS[presses % len(KEYS)])
                presses += 1
            if epoch == max(2, epochs // 3):
                before = _memory_used(app, process)
        for run in runs:
            run.close()
        return (_memory_used(app, process) - before) / 1e6


def _memory_used(app: Dashboard, process: psutil.Process) -> int:
    """Bytes of memory without losses; a covered screen may still hold their previous, shorter arrays."""
    gc.collect()
    arrays = [array for run in app.snapshot.runs for array in (run.steps, run.losses)] if app.snapshot else []
    whole = [array if array.base is None else array.base for array in arrays]
    return int(process.memory_info().rss) - sum(3 * array.nbytes // 2 for array in whole)


def _has_drawn(app: Dashboard, epoch: int) -> bool:
    snapshot = app.snapshot
    return snapshot is not None and [len(run.epochs) for run in snapshot.runs] == [epoch] * len(
        SCHEDULE_NAMES
    )


if __name__ == "__main__":
    print(asyncio.run(measure_growth(Path(sys.argv[1]))))
