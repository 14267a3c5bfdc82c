"""Model of the denoise screen: which states of which trajectories are shown, as columns of a wall."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from textual.content import Content

from core.runs.trajectory import TrajectorySpec
from core.sampling_names import SAMPLER_NAMES, SAMPLERS_WITH_ETA
from tui.state.snapshot import RunSnapshot
from tui.state.trajectories import ImageStates, TrajectoryCache, missing_reason, trajectory_spec
from tui.widgets.images.image_wall import WallColumn
from tui.widgets.images.tile_size import MIN_TILE

SAMPLERS: Final = ("", *SAMPLER_NAMES)
"""Source of the states: empty for strips saved during training, else a trajectory of this sampler."""
MAX_STATES: Final = 10
"""States in a strip, as in the thesis's figures."""


@dataclass
class DenoiseModel:
    """The shown states of some runs' trajectories.

    Attributes:
        fraction: of the way from noise to image, 0 to 1.
        noise_index: the starting noise that a strip shows.
        epoch: of the strips saved during training; None is the latest.
        sampler: one of `SAMPLERS`.
        steps: network calls of a computed trajectory; None takes each run's own number.
        predicted: whether the predicted x0 is shown too.
        trajectories: reads saved strips and computed trajectories.
    """

    fraction: float = 1.0
    noise_index: int = 0
    epoch: int | None = None
    sampler: str = SAMPLERS[0]
    steps: int | None = None
    predicted: bool = True
    trajectories: TrajectoryCache = field(default_factory=TrajectoryCache)

    def spec(self, run: RunSnapshot) -> TrajectorySpec | None:
        """Return the requested trajectory; None for a strip saved during training."""
        return trajectory_spec(run, self.sampler, self.steps) if self.sampler else None

    def trajectory(self, run: RunSnapshot) -> ImageStates | None:
        """Return the states of a run; None where there are none yet."""
        spec = self.spec(run)
        return (
            self.trajectories.saved_strip(run, self.epoch)
            if spec is None
            else self.trajectories.trajectory(run, spec)
        )

    def longest_trajectory(self, runs: Sequence[RunSnapshot]) -> ImageStates | None:
        """Return the states of the longest trajectory, which determines the frames; None where there are none."""
        found = [states for run in runs if (states := self.trajectory(run))]
        return max(found, key=lambda states: len(states.timesteps), default=None)

    def frame_count(self, runs: Sequence[RunSnapshot]) -> int:
        """Return the number of states of the longest trajectory; 0 where there are none."""
        longest = self.longest_trajectory(runs)
        return len(longest.timesteps) if longest is not None else 0

    def noise_count(self, runs: Sequence[RunSnapshot]) -> int:
        """Return the number of starting noises."""
        images = [self.trajectories.image(states, 0) for run in runs if (states := self.trajectory(run))]
        return max((len(one) for one in images if one is not None), default=0)

    def state_index(self, states: ImageStates) -> int:
        """Return the index of the state shown."""
        return round(self.fraction * (len(states.timesteps) - 1))

    def seek(self, runs: Sequence[RunSnapshot], index: int) -> None:
        """Show this state of the longest trajectory, and the states of the others at the same fraction."""
        last = self.frame_count(runs) - 1
        self.fraction = min(max(0.0, index / last), 1.0) if last > 0 else 1.0

    def stale_runs(self, runs: Sequence[RunSnapshot]) -> list[RunSnapshot]:
        """Return the runs that have trained on since their trajectory was computed."""
        if not self.sampler:
            return []
        return [run for run in runs if (states := self.trajectory(run)) and states.epoch < run.status.epoch]

    def columns(self, run: RunSnapshot, name: str, color: str, *, compute_key: str) -> list[WallColumn]:
        """Return a run's state for all starting noises, and in a column beside it the predicted x0."""
        states = self.trajectory(run)
        if states is None:
            column = WallColumn(name, None, color=color, empty=self._missing_text(run, compute_key))
            return [column, WallColumn("", None, empty="")] if self.predicted and self.sampler else [column]
        index = self.state_index(states)
        state = self.trajectories.image(states, index)
        columns = [WallColumn(name, state, f"t {states.timesteps[index]}", color, "cannot be read any more")]
        predicted = self.trajectories.image(states, index, predicted=True) if self.predicted else None
        if predicted is not None:
            columns.append(WallColumn("  predicted x_0", predicted, color=color))
        return columns

    def strip_columns(
        self, run: RunSnapshot, name: str, color: str, width: int, *, compute_key: str, both: bool
    ) -> list[WallColumn]:
        """Return a run's trajectory from one starting noise, from left to right, up to the state shown.

        Args:
            run: the run.
            name: of the run.
            color: of its name.
            width: cells.
            compute_key: the key that computes missing trajectories.
            both: whether there is room for the predicted x0 below each state.
        """
        states = self.trajectory(run)
        if states is None:
            return [WallColumn(name, None, color=color, empty=self._missing_text(run, compute_key))]
        now, last = self.state_index(states), len(states.timesteps) - 1
        count = max(2, min(last + 1, MAX_STATES, width // MIN_TILE))
        columns: list[WallColumn] = []
        reached = False
        for index in np.linspace(0, last, count).round().astype(int).tolist():
            if reached:
                columns.append(WallColumn("", None, empty=""))
                continue
            shown, reached = min(index, now), index >= now
            images = self.trajectories.strip_image(
                states, shown, self.noise_index, with_x0=both and self.predicted
            )
            note = f"t {states.timesteps[shown]}"
            if columns:
                columns.append(WallColumn(note, images, empty=""))
            else:
                columns.append(WallColumn(name, images, note, color, "cannot be read any more"))
        return columns

    def description(self, runs: Sequence[RunSnapshot], *, strips: bool, compute_key: str) -> Content:
        """Return the source of the states in one line: sampler, steps, eta, epochs and starting noise."""
        shown = [states for run in runs if (states := self.trajectory(run))]
        parts = [self.sampler or "saved during training"]
        if self.sampler:
            steps = dict.fromkeys(spec.steps for run in runs if (spec := self.spec(run)))
            unit = "step" if list(steps) == [1] else "steps"
            parts.append(f"{' or '.join(map(str, list(steps)[:3]))} {unit}")
        if self.sampler in SAMPLERS_WITH_ETA:
            etas = dict.fromkeys(run.file.config.sample.eta for run in runs)
            parts.append(f"eta {' or '.join(f'{eta:g}' for eta in list(etas)[:3])}")
        if epochs := sorted({one.epoch for one in shown}):
            parts.append(f"epoch {epochs[0]}" + (f" to {epochs[-1]}" if len(epochs) > 1 else ""))
        if strips and (starts := self.noise_count(runs)):
            parts.append(f"noise {min(self.noise_index, starts - 1) + 1} of {starts}")
        text = Content.styled(f" {' · '.join(parts)}", "$text-muted")
        if not self.stale_runs(runs):
            return text
        again = f": {compute_key} computes it again" if compute_key else ""
        return Content.assemble(text, (f"  trained further since{again}", "$text-warning"))

    def _missing_text(self, run: RunSnapshot, compute_key: str) -> str:
        spec = self.spec(run)
        later = self.trajectories.later_epoch(run, spec) if spec is not None else None
        return f"computed at epoch {later}" if later is not None else missing_reason(run, spec, compute_key)
