"""What the denoise screen shows, before it is on a screen: which states, of which walk, as columns of a wall."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from textual.content import Content

from core.runs.trajectory import TrajectorySpec
from core.sampling_names import SAMPLER_NAMES, SAMPLERS_WITH_ETA
from tui.state.snapshot import RunSnapshot
from tui.state.trajectories import ImageStates, TrajectoryCache, missing_reason, trajectory_spec
from tui.widgets.images.image_wall import MIN_TILE, WallColumn

SAMPLERS: Final = ("", *SAMPLER_NAMES)
"""What is shown: what the training kept, or a walk of this sampler."""
MOST_STATES: Final = 10
"""In a strip, as in the thesis's figures."""


@dataclass
class DenoiseModel:
    """Which states of which walks are looked at.

    Attributes:
        share: how far on the way from noise to picture, 0 to 1.
        start: which starting noise a strip shows.
        epoch: of what the training kept; None is the latest.
        sampler: one of `SAMPLERS`.
        steps: network calls of a computed walk; None takes each run's own number.
        foreseen: whether the picture that the network foresees is shown too.
        ways: where walks come from.
    """

    share: float = 1.0
    start: int = 0
    epoch: int | None = None
    sampler: str = SAMPLERS[0]
    steps: int | None = None
    predicted: bool = True
    trajectories: TrajectoryCache = field(default_factory=TrajectoryCache)

    def spec(self, run: RunSnapshot) -> TrajectorySpec | None:
        """The walk that is asked for; None for what the training kept."""
        return trajectory_spec(run, self.sampler, self.steps) if self.sampler else None

    def trajectory(self, run: RunSnapshot) -> ImageStates | None:
        """What there is to show of a run."""
        spec = self.spec(run)
        return (
            self.trajectories.kept(run, self.epoch) if spec is None else self.trajectories.computed(run, spec)
        )

    def longest(self, runs: Sequence[RunSnapshot]) -> ImageStates | None:
        """The way with the most states, by which all are played."""
        found = [states for run in runs if (states := self.trajectory(run))]
        return max(found, key=lambda states: len(states.timesteps), default=None)

    def frames(self, runs: Sequence[RunSnapshot]) -> int:
        """How many states the longest way has; 0 when there is none."""
        longest = self.longest(runs)
        return len(longest.timesteps) if longest is not None else 0

    def starts(self, runs: Sequence[RunSnapshot]) -> int:
        """How many starting noises there are."""
        images = [self.trajectories.image(states, 0) for run in runs if (states := self.trajectory(run))]
        return max((len(one) for one in images if one is not None), default=0)

    def place(self, states: ImageStates) -> int:
        """The state of a way that is looked at."""
        return round(self.share * (len(states.timesteps) - 1))

    def go(self, runs: Sequence[RunSnapshot], place: int) -> None:
        """Look at this state of the longest states, and at those of the others that are as far."""
        last = self.frames(runs) - 1
        self.share = min(max(0.0, place / last), 1.0) if last > 0 else 1.0

    def stale(self, runs: Sequence[RunSnapshot]) -> list[RunSnapshot]:
        """The runs that have learnt more since what is shown of them was computed."""
        if not self.sampler:
            return []
        return [run for run in runs if (states := self.trajectory(run)) and states.epoch < run.status.epoch]

    def beside(self, run: RunSnapshot, name: str, color: str, *, compute_key: str) -> list[WallColumn]:
        """A run's state for all starting noises, and in a column beside it what its network foresaw there."""
        states = self.trajectory(run)
        if states is None:
            said = WallColumn(name, None, color=color, empty=self._why_missing(run, compute_key))
            return [said, WallColumn("", None, empty="")] if self.predicted and self.sampler else [said]
        index = self.place(states)
        state = self.trajectories.image(states, index)
        columns = [WallColumn(name, state, f"t {states.timesteps[index]}", color, "cannot be read any more")]
        predicted = self.trajectories.image(states, index, predicted=True) if self.predicted else None
        if predicted is not None:
            columns.append(WallColumn("  foreseen x_0", predicted, color=color))
        return columns

    def strip(
        self, run: RunSnapshot, name: str, color: str, width: int, *, compute_key: str, both: bool
    ) -> list[WallColumn]:
        """A run's way from one starting noise, from left to right, as far as it has been played.

        Args:
            run: the run.
            name: what it is called.
            color: of its name.
            width: cells.
            compute_key: the key that has it computed.
            both: whether there is room to show below each state what was foreseen there.
        """
        states = self.trajectory(run)
        if states is None:
            return [WallColumn(name, None, color=color, empty=self._why_missing(run, compute_key))]
        now, last = self.place(states), len(states.timesteps) - 1
        count = max(2, min(last + 1, MOST_STATES, width // MIN_TILE))
        columns: list[WallColumn] = []
        reached = False
        for index in np.linspace(0, last, count).round().astype(int).tolist():
            if reached:
                columns.append(WallColumn("", None, empty=""))
                continue
            shown, reached = min(index, now), index >= now
            images = self.trajectories.strip_image(states, shown, self.start, both=both and self.predicted)
            said = f"t {states.timesteps[shown]}"
            if columns:
                columns.append(WallColumn(said, images, empty=""))
            else:
                columns.append(WallColumn(name, images, said, color, "cannot be read any more"))
        return columns

    def facts(self, runs: Sequence[RunSnapshot], *, strips: bool, compute_key: str) -> Content:
        """Where what is shown comes from, in one line."""
        ways = [states for run in runs if (states := self.trajectory(run))]
        parts = [self.sampler or "as the training kept it"]
        if self.sampler:
            steps = dict.fromkeys(spec.steps for run in runs if (spec := self.spec(run)))
            parts.append(f"{' or '.join(map(str, list(steps)[:3]))} steps")
        if self.sampler in SAMPLERS_WITH_ETA:
            etas = dict.fromkeys(run.file.config.sample.eta for run in runs)
            parts.append(f"eta {' or '.join(f'{eta:g}' for eta in list(etas)[:3])}")
        if epochs := sorted({one.epoch for one in ways}):
            parts.append(f"epoch {epochs[0]}" + (f" to {epochs[-1]}" if len(epochs) > 1 else ""))
        if strips and (starts := self.starts(runs)):
            parts.append(f"noise {min(self.start, starts - 1) + 1} of {starts}")
        text = Content.styled(f" {' · '.join(parts)}", "$text-muted")
        if not self.stale(runs):
            return text
        return Content.assemble(
            text, (f"  the training is further: {compute_key} computes it anew", "$text-warning")
        )

    def _why_missing(self, run: RunSnapshot, compute_key: str) -> str:
        return missing_reason(run, self.spec(run), compute_key)
