"""Predicted errors of samples under each schedule, for a Gaussian with the mean and covariance of a data set."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from core.data.preview import existing_dataset
from core.data.recipe import find_data_recipe
from core.errors import UserError
from core.files.sanitize import sanitize
from core.schedules import Schedule
from core.spacing import inference_timesteps
from core.statistics.gaussian_sampling import GaussianData, SamplingError, fit_gaussian, sampling_error
from tui.screens.schedules.table import ScheduleEntry
from tui.state.formatting import NOTHING, shorten

MAX_TIMESTEPS: Final = 5_000
"""Steps of the recursion; more would take seconds for each key that is typed."""
_MAX_KEPT: Final = 64


@dataclass
class Predictions:
    """Predicted errors of all schedules on one data set.

    Attributes:
        dataset: name of the data set.
        data: its Gaussian; None until it is computed, and without made images.
        busy: errors are being computed.
    """

    dataset: str
    data: GaussianData | None = None
    busy: bool = False
    _errors: dict[Schedule, SamplingError] = field(default_factory=dict)

    def load(self) -> None:
        """Fit the Gaussian to the data set if its images are made; takes a second."""
        with contextlib.suppress(UserError):  # there is nothing to predict for images that cannot be read
            images = existing_dataset(find_data_recipe(self.dataset))
            if images is not None:
                self.data = fit_gaussian(images.train)

    def error(self, schedule: Schedule | None) -> SamplingError | None:
        """Return the predicted error; None if it is not computed."""
        return self._errors.get(schedule) if schedule is not None else None

    def missing(self, entries: Sequence[ScheduleEntry]) -> list[Schedule]:
        """List the schedules whose errors can be computed and are not."""
        if self.data is None:
            return []
        schedules = [entry.schedule for entry in entries if entry.schedule is not None]
        return [one for one in schedules if one not in self._errors and one.timesteps <= MAX_TIMESTEPS]

    def compute(self, schedules: Sequence[Schedule]) -> None:
        """Compute the errors of schedules, deterministic sampling in all T steps; takes some ten milliseconds each."""
        if self.data is None:
            return
        found = {one: sampling_error(self.data, one, inference_timesteps(one.timesteps)) for one in schedules}
        self._errors = dict([*self._errors.items(), *found.items()][-_MAX_KEPT:])


def prediction_text(predictions: Predictions, entries: Sequence[ScheduleEntry], width: int) -> Content:
    """A heading and a line for each schedule: start error, step error and brightness of samples; empty without data.

    Args:
        predictions: the predictions.
        entries: the schedules.
        width: the width in cells.
    """
    if predictions.data is None:
        return Content("")
    label = min(12, max(8, *(cell_len(entry.name) for entry in entries), 0)) if entries else 8
    name = shorten(sanitize(predictions.dataset), 20)
    lines = [
        Content.styled(f"   samples of a Gaussian like {name}, in all T steps", "$text-muted"),
        Content.styled(f"   {'':{label}} {'start':>8} {'steps':>7}  brightness", "$text-muted"),
    ]
    for style, title, schedule in entries:
        error = predictions.error(schedule)
        numbers = (
            f" {NOTHING:>8}"
            if error is None
            else f" {error.start:>8.1%} {error.steps:>7.1%} {error.brightness:>10.2f}x"
        )
        lines.append(
            Content.assemble(
                (f" {style.marker} ", f"bold {style.color}"),
                (set_cell_size(shorten(title, label), label), style.color),
                numbers,
            )
        )
    return Content("\n").join(line.truncate(width, ellipsis=True) for line in lines)
