"""Five runs that seem to train.

``python -m bench.tui.fake_live_runs RUNS`` writes as workers do, but without training.
"""

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.config import RunConfig, ScheduleConfig, TrainConfig
from core.imaging import write_sheet
from core.runs import EpochRecord, MetricsWriter, ProcessIdentity, RunDirectory, State, Status
from core.schedules import SCHEDULE_NAMES

GROUP: Final = "live"
EPOCHS: Final = 1000
STEPS_PER_SECOND: Final = 20
LINES_PER_SECOND: Final = 2
"""Rate at which a worker fetches its losses and replaces its status."""
SECONDS_PER_EPOCH: Final = 5
_CREATED: Final = datetime(2026, 6, 1, tzinfo=UTC)


class LiveRun:
    """One run that grows over time.

    Args:
        root: the runs folder.
        index: index among the five.
        epochs: number of epochs completed already.
        steps: number of steps in each of these epochs.
    """

    def __init__(self, root: Path, index: int, *, epochs: int = 0, steps: int = 100) -> None:
        schedule = ScheduleConfig(name=SCHEDULE_NAMES[index])
        config = RunConfig(recipe="quick", schedule=schedule, train=TrainConfig(epochs=EPOCHS))
        created = _CREATED + timedelta(milliseconds=index)
        self._run = RunDirectory.create(root, config, group=GROUP, created=created, run_id=f"live-{index}")
        self._run.samples.mkdir()
        self._run.reverse.mkdir()
        self._rng = np.random.default_rng(index)
        self._metrics = MetricsWriter(self._run.metrics_file)
        self._step, self._epoch, self._elapsed = 0, 0, 0.0
        process = ProcessIdentity.current()
        self._status = Status(
            state=State.RUNNING,
            epochs=EPOCHS,
            steps=EPOCHS * STEPS_PER_SECOND * SECONDS_PER_EPOCH,
            attempt=1,
            device="cpu",
            threads=1,
            host=process.host,
            pid=process.pid,
            pid_started=process.pid_started,
            boot_id=process.boot_id,
        )
        # A strip of the reverse process: ten states for each of the 16 samples.
        strip = self._rng.integers(0, 256, (160, 32, 32), dtype=np.uint8)
        write_sheet(self._run.reverse / "epoch-0001.png", strip, columns=10)
        for _ in range(epochs):
            self.train(steps, seconds=1.0)
            self.end_epoch(images=self._epoch % 10 == 9)
        self.write_status()

    def train(self, steps: int, *, seconds: float) -> None:
        """Append losses for that many steps."""
        at = np.arange(self._step, self._step + steps)
        self._losses = 0.02 + np.exp(-at / 300) + 0.002 * self._rng.standard_normal(steps)
        self._elapsed += seconds
        self._metrics.append_steps(self._step + 1, self._epoch + 1, self._elapsed, self._losses.tolist())
        self._step += steps

    def end_epoch(self, *, images: bool = True) -> None:
        """Write the mean of the last losses, and a sheet of samples."""
        self._epoch += 1
        losses = self._losses
        self._metrics.append_epoch(
            EpochRecord(
                epoch=self._epoch,
                step=self._step,
                elapsed=self._elapsed,
                mean=float(losses.mean()),
                min=float(losses.min()),
                max=float(losses.max()),
                heldout=float(losses.mean()),
                images_per_second=1000.0,
                learning_rate=1e-3,
            )
        )
        if images:
            path = self._run.samples / f"epoch-{self._epoch:04d}.png"
            write_sheet(path, _triangles(self._rng, 16), columns=8)

    def write_status(self) -> None:
        """Replace the status by the current progress."""
        self._status = msgspec.structs.replace(
            self._status,
            epoch=self._epoch,
            step=self._step,
            elapsed=self._elapsed,
            heartbeat=time.time(),
            images_per_second=1000.0 + 20 * self._rng.standard_normal(),
        )
        self._run.write_status(self._status, fsync=False)

    def close(self) -> None:
        """Stop writing."""
        self._metrics.close()


def _triangles(rng: np.random.Generator, count: int) -> NDArray[np.uint8]:
    """Noisy triangles, like samples of a network in training: uint8 [count, 32, 32]."""
    y, x = np.mgrid[0:32, 0:32]
    tiles = np.empty((count, 32, 32))
    for tile in tiles:
        left, top, size = rng.uniform(2, 12), rng.uniform(2, 12), rng.uniform(10, 18)
        inside = (x >= left) & (y >= top) & (x - left + y - top <= size)
        tile[:] = np.where(inside, 40.0, 245.0)
    noisy = tiles + 12 * rng.standard_normal(tiles.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def main(arguments: Sequence[str]) -> None:
    """Write until killed; print a line once the runs exist."""
    runs = [LiveRun(Path(arguments[0]), index, epochs=100) for index in range(len(SCHEDULE_NAMES))]
    print("there", flush=True)
    start, turn = time.monotonic(), 0
    while True:
        turn += 1
        for index, run in enumerate(runs):
            run.train(STEPS_PER_SECOND // LINES_PER_SECOND, seconds=1 / LINES_PER_SECOND)
            # Real runs that train side by side do not end their epochs at the same moment.
            if (turn + 2 * index) % (SECONDS_PER_EPOCH * LINES_PER_SECOND) == 0:
                run.end_epoch()
            run.write_status()
        time.sleep(max(0.0, start + turn / LINES_PER_SECOND - time.monotonic()))


if __name__ == "__main__":
    main(sys.argv[1:])
