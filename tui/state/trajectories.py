"""Denoising trajectories of runs: strips saved during training, and trajectories computed later."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from core.config import RunConfig
from core.config.sampling_levels import sampling_calls
from core.errors import UserError
from core.files.signature import FileSignature, signature
from core.imaging.sheet import Sheet
from core.runs.trajectory import Trajectory, TrajectorySpec, read_trajectory_progress, state_timesteps
from tui.state.sheet_cache import SheetCache
from tui.state.snapshot import RunSnapshot

Pixels = NDArray[np.uint8]

STEP_CHOICES: Final = (1, 2, 5, 10, 20, 50, 100, 250, 500, 1000)
"""The numbers of sampling steps to choose from."""
MAX_CACHED_IMAGES: Final = 512


class ImageStates(Protocol):
    """The states of a trajectory from noise to image, each uint8 [N, H, W] or [N, H, W, 3]."""

    @property
    def epoch(self) -> int:
        """The number of epochs that the network was trained for."""

    @property
    def timesteps(self) -> Sequence[int]:
        """The timestep t of each state, from T down to 0."""

    def xt(self, index: int) -> Pixels:
        """The state x_t."""

    def x0(self, index: int) -> Pixels | None:
        """The predicted x0 at this state; None if it was not saved."""


@dataclass(frozen=True, slots=True, eq=False)
class SavedStrip:
    """A trajectory saved during training: some states [S, N, H, W] or [S, N, H, W, 3], without predicted x0."""

    epoch: int
    timesteps: tuple[int, ...]
    states: Pixels

    @classmethod
    def from_sheet(cls, sheet: Sheet, epoch: int, config: RunConfig) -> "SavedStrip | None":
        """Take a sheet apart, whose rows are starting noises and whose columns are states; None if it is no strip."""
        starts, rest = divmod(len(sheet.images), sheet.columns)
        steps = sampling_calls(config)
        if rest or sheet.columns < 2 or steps < sheet.columns - 1:
            return None
        visited = state_timesteps(config, steps)
        saved = np.linspace(0, steps, sheet.columns).round().astype(int)
        states = sheet.images.reshape(starts, sheet.columns, *sheet.images.shape[1:]).swapaxes(0, 1)
        return cls(epoch, tuple(visited[index] for index in saved), states)

    def xt(self, index: int) -> Pixels:
        state: Pixels = self.states[index]
        return state

    def x0(self, index: int) -> Pixels | None:
        return None


class TrajectoryCache:
    """Cache of the trajectories of runs; a file is reread only when it changes."""

    def __init__(self, cache: SheetCache | None = None) -> None:
        self._sheets = cache or SheetCache()
        self._strips: dict[Path, tuple[Sheet, SavedStrip | None]] = {}
        self._trajectories: dict[Path, tuple[FileSignature, Trajectory | None]] = {}
        self._images: OrderedDict[tuple[object, ...], tuple[ImageStates, Pixels | None]] = OrderedDict()

    def saved_strip(self, run: RunSnapshot, epoch: int | None) -> SavedStrip | None:
        """The strip saved at an epoch, or at the latest one before it; None takes the latest of all."""
        found = next((one for one in reversed(run.strips) if epoch is None or one[0] <= epoch), None)
        sheet = self._sheets.sheet(found[1]) if found else None
        if found is None or sheet is None:
            return None
        before = self._strips.get(found[1])
        if before is None or before[0] is not sheet:
            strip = SavedStrip.from_sheet(sheet, found[0], run.file.config)
            before = self._strips[found[1]] = (sheet, strip)
        return before[1]

    def trajectory(self, run: RunSnapshot, spec: TrajectorySpec) -> Trajectory | None:
        """The trajectory computed for a spec; None if there is none that can be read, or none that is shown yet."""
        found = self._newest(run, spec)
        return found if found is not None and run.is_shown_at(found.epoch) else None

    def later_epoch(self, run: RunSnapshot, spec: TrajectorySpec) -> int | None:
        """The epoch of a trajectory that a replay has not reached yet; None if there is none."""
        found = self._newest(run, spec)
        return found.epoch if found is not None and not run.is_shown_at(found.epoch) else None

    def _newest(self, run: RunSnapshot, spec: TrajectorySpec) -> Trajectory | None:
        """The trajectory on disk; None if there is none that can be read."""
        path = spec.path(run.run)
        current = signature(path)
        if current is None:
            self._trajectories.pop(path, None)
            return None
        before = self._trajectories.get(path)
        if before is None or before[0] != current:
            before = self._trajectories[path] = (current, _open(path))
        return before[1]

    def image(self, states: ImageStates, index: int, *, predicted: bool = False) -> Pixels | None:
        """A state [N, H, W] or [N, H, W, 3], or the predicted x0 there; the same array while it is cached.

        None if it was not saved, or can no longer be read.
        """
        return self._cached(states, (index, predicted), lambda: _read(states, index, predicted))

    def strip_image(self, states: ImageStates, index: int, start: int, *, with_x0: bool) -> Pixels | None:
        """The state of one starting noise, [1 or 2, H, W] or [1 or 2, H, W, 3], with the predicted x0 below it.

        Args:
            states: the trajectory.
            index: the index of the state.
            start: the index of the starting noise; the last one if there are fewer.
            with_x0: whether to add the predicted x0; it is left out if it was not saved.
        """

        def select() -> Pixels | None:
            parts = [
                _read(states, index, predicted) for predicted in ((False, True) if with_x0 else (False,))
            ]
            rows = [part[min(start, len(part) - 1)] for part in parts if part is not None]
            return np.stack(rows) if rows and parts[0] is not None else None

        return self._cached(states, (index, start, with_x0), select)

    def _cached(
        self, states: ImageStates, key: tuple[object, ...], make: Callable[[], Pixels | None]
    ) -> Pixels | None:
        key = (id(states), *key)
        before = self._images.get(key)
        if before is None or before[0] is not states:
            before = self._images[key] = (states, make())
        self._images.move_to_end(key)
        while len(self._images) > MAX_CACHED_IMAGES:
            self._images.popitem(last=False)
        return before[1]


def missing_reason(run: RunSnapshot, spec: TrajectorySpec | None, key: str) -> str:
    """The message for a run without a trajectory to show.

    Args:
        run: the run.
        spec: the requested trajectory; None for the strip saved during training.
        key: the key that starts computing it; empty if none does.
    """
    if spec is None:
        if run.strips:
            return "no strip that early"
        every = run.file.config.sample.reverse_every
        return f"its first strip comes with epoch {every}" if not run.state.is_ended else "saved no strip"
    if progress := read_trajectory_progress(run.run, spec):
        done = f"computing: {100 * progress.done // max(1, progress.total)}%" if progress.done else ""
        return progress.error or done or "about to be computed"
    if not run.run.checkpoint.exists():
        return "has no checkpoint yet"
    if spec.steps > run.file.config.schedule.timesteps:
        return f"has only {run.file.config.schedule.timesteps} timesteps"
    return f"{key} computes it" if key else "not computed"


def trajectory_spec(run: RunSnapshot, sampler: str, steps: int | None) -> TrajectorySpec:
    """The spec of a run's trajectory; None takes the run's own number of steps."""
    config = run.file.config
    return TrajectorySpec(sampler, steps or sampling_calls(config))


def next_steps(runs: Sequence[RunSnapshot], sampler: str, steps: int | None, more: int) -> int | None:
    """The next larger or smaller number of sampling steps that all runs can take.

    Args:
        runs: the runs, at least one.
        sampler: the sampler.
        steps: the present number; None is each run's own.
        more: 1 for a larger number, -1 for a smaller one.

    Returns:
        The number, or None if it is every run's own; the present one at the last number.
    """
    limit = min(run.file.config.schedule.timesteps for run in runs)
    own = {trajectory_spec(run, sampler, None).steps for run in runs}
    choices = sorted(
        {*(choice for choice in STEP_CHOICES if choice < limit), limit, *(own if len(own) == 1 else ())}
    )
    now = steps if steps is not None else (max if more > 0 else min)(own)
    further = [choice for choice in choices if (choice > now if more > 0 else choice < now)]
    if not further:
        return steps
    found = min(further) if more > 0 else max(further)
    return None if own == {found} else found


def _read(states: ImageStates, index: int, predicted: bool) -> Pixels | None:
    try:
        return states.x0(index) if predicted else states.xt(index)
    except UserError:
        return None


def _open(path: Path) -> Trajectory | None:
    try:
        return Trajectory(path)
    except (OSError, UserError):
        return None
