"""From noise to picture, for each run: what its training kept of it, or what was computed since."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from core.config import RunConfig
from core.errors import UserError
from core.files.signature import FileSignature, signature
from core.imaging.sheet import Sheet
from core.runs.trajectory import Trajectory, TrajectorySpec, read_trajectory_progress, state_timesteps
from tui.state.sheet_cache import SheetCache
from tui.state.snapshot import RunSnapshot

Pixels = NDArray[np.uint8]

STEPS: Final = (1, 2, 5, 10, 20, 50, 100, 250, 500, 1000)
"""Numbers of network calls to choose from."""
KEPT_IMAGES: Final = 512


class ImageStates(Protocol):
    """States from noise to picture: each some pictures, uint8 [N, H, W] or [N, H, W, 3]."""

    @property
    def epoch(self) -> int:
        """Epochs that the network had learnt."""

    @property
    def timesteps(self) -> Sequence[int]:
        """The noise level t of each state, from T down to 0."""

    def xt(self, index: int) -> Pixels:
        """A state."""

    def x0(self, index: int) -> Pixels | None:
        """What the network foresaw there; None where that was not kept."""


@dataclass(frozen=True, slots=True, eq=False)
class SavedStrip:
    """A way that a training kept: some of its states [S, N, H, W] or [S, N, H, W, 3], without what was foreseen."""

    epoch: int
    timesteps: tuple[int, ...]
    states: Pixels

    def xt(self, index: int) -> Pixels:
        state: Pixels = self.states[index]
        return state

    def x0(self, index: int) -> Pixels | None:
        return None


def saved_strip(sheet: Sheet, epoch: int, config: RunConfig) -> SavedStrip | None:
    """The way on a sheet, whose rows are starting noises and whose columns are states; None when it is another."""
    starts, rest = divmod(len(sheet.images), sheet.columns)
    steps = config.sample.steps or config.schedule.timesteps
    if rest or sheet.columns < 2 or steps < sheet.columns - 1:
        return None
    visited = state_timesteps(config, steps)
    shown = np.linspace(0, steps, sheet.columns).round().astype(int)
    states = sheet.images.reshape(starts, sheet.columns, *sheet.images.shape[1:]).swapaxes(0, 1)
    return SavedStrip(epoch, tuple(visited[index] for index in shown), states)


class TrajectoryCache:
    """Finds the ways of runs; reads a file again only when it has changed."""

    def __init__(self, cache: SheetCache | None = None) -> None:
        self._sheets = cache or SheetCache()
        self._strips: dict[Path, tuple[Sheet, SavedStrip | None]] = {}
        self._specs: dict[Path, tuple[FileSignature, Trajectory | None]] = {}
        self._images: OrderedDict[tuple[object, ...], tuple[ImageStates, Pixels | None]] = OrderedDict()

    def kept(self, run: RunSnapshot, epoch: int | None) -> SavedStrip | None:
        """What the training kept at an epoch, or at the latest before it; None takes the latest of all."""
        found = next((one for one in reversed(run.strips) if epoch is None or one[0] <= epoch), None)
        sheet = self._sheets.sheet(found[1]) if found else None
        if found is None or sheet is None:
            return None
        before = self._strips.get(found[1])
        if before is None or before[0] is not sheet:
            before = self._strips[found[1]] = (sheet, saved_strip(sheet, found[0], run.file.config))
        return before[1]

    def computed(self, run: RunSnapshot, spec: TrajectorySpec) -> Trajectory | None:
        """What was computed of this walk; None when nothing was that can be read."""
        path = spec.path(run.run)
        seen = signature(path)
        if seen is None:
            self._specs.pop(path, None)
            return None
        before = self._specs.get(path)
        if before is None or before[0] != seen:
            before = self._specs[path] = (seen, _opened(path))
        return before[1]

    def image(self, states: ImageStates, index: int, *, predicted: bool = False) -> Pixels | None:
        """A state [N, H, W] or [N, H, W, 3], or what was foreseen there; the same array while it is remembered.

        None is what was not kept, or cannot be read any more.
        """
        return self._remembered(states, (index, predicted), lambda: _read(states, index, predicted))

    def strip_image(self, states: ImageStates, index: int, start: int, *, both: bool) -> Pixels | None:
        """A state of one starting noise [1 or 2, H, W] or [1 or 2, H, W, 3], below it what was foreseen.

        Args:
            states: of which states.
            index: which state.
            start: which starting noise; the last one where there are not as many.
            both: whether what was foreseen is wanted too; it is left out where it was not kept.
        """

        def cut() -> Pixels | None:
            parts = [_read(states, index, predicted) for predicted in ((False, True) if both else (False,))]
            rows = [part[min(start, len(part) - 1)] for part in parts if part is not None]
            return np.stack(rows) if rows and parts[0] is not None else None

        return self._remembered(states, (index, start, both), cut)

    def _remembered(
        self, states: ImageStates, what: tuple[object, ...], make: Callable[[], Pixels | None]
    ) -> Pixels | None:
        key = (id(states), *what)
        before = self._images.get(key)
        if before is None or before[0] is not states:
            before = self._images[key] = (states, make())
        self._images.move_to_end(key)
        while len(self._images) > KEPT_IMAGES:
            self._images.popitem(last=False)
        return before[1]


def missing_reason(run: RunSnapshot, spec: TrajectorySpec | None, key: str) -> str:
    """What to say where there is no states to show.

    Args:
        run: the run.
        walk: the walk that is asked for; None for what the training kept.
        key: the key that has it computed.
    """
    if spec is None:
        if run.strips:
            return "nothing that early"
        every = run.file.config.sample.reverse_every
        return f"its first strip comes with epoch {every}" if not run.state.is_ended else "kept no strip"
    if progress := read_trajectory_progress(run.run, spec):
        done = f"computing: {100 * progress.done // max(1, progress.total)}%" if progress.done else ""
        return progress.error or done or "about to be computed"
    if not run.run.checkpoint.exists():
        return "has no checkpoint yet"
    if spec.steps > run.file.config.schedule.timesteps:
        return f"has only {run.file.config.schedule.timesteps} timesteps"
    return f"{key} computes it"


def trajectory_spec(run: RunSnapshot, sampler: str, steps: int | None) -> TrajectorySpec:
    """The walk of a run; None takes as many steps as the run itself does."""
    config = run.file.config
    return TrajectorySpec(sampler, steps or config.sample.steps or config.schedule.timesteps)


def step_choices(runs: Sequence[RunSnapshot]) -> list[int | None]:
    """Numbers of steps that all runs can take, ascending, after None, the run's own number."""
    most = min((run.file.config.schedule.timesteps for run in runs), default=1)
    return [None, *(steps for steps in STEPS if steps < most), most]


def _read(states: ImageStates, index: int, predicted: bool) -> Pixels | None:
    try:
        return states.x0(index) if predicted else states.xt(index)
    except UserError:
        return None


def _opened(path: Path) -> Trajectory | None:
    try:
        return Trajectory(path)
    except (OSError, UserError):
        return None
