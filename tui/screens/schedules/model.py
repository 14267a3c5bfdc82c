"""Model of the schedules screen: the selected schedules, the timestep t and the images under noise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np

from core.config import RunConfig, ScheduleConfig
from core.schedules import Schedule
from tui.screens.schedules.noising import POWER, Pixels, ScheduleSet, add_noise, snr_decibels
from tui.screens.schedules.table import ScheduleEntry, percent
from tui.settings.series_colors import series_style
from tui.widgets.charts.schedule_chart import Line
from tui.widgets.images.image_wall import WallColumn


@dataclass
class ScheduleExplorer:
    """Schedules to try out.

    Attributes:
        base: the settings of new runs, apart from the schedule.
        schedule_set: the available schedules.
        chosen: the names of the schedules shown.
        share: the position between image and noise, 0 to 1, as a share of T.
        images: the images under noise, uint8 [N, H, W] or [N, H, W, 3]; None until they are loaded.
        problem: why the requested images cannot be loaded; empty if they can.
    """

    base: RunConfig
    schedule_set: ScheduleSet
    chosen: frozenset[str]
    share: float = 0.5
    images: Pixels | None = None
    problem: str = ""
    _entries: tuple[tuple[ScheduleSet, frozenset[str], dict[str, str]], list[ScheduleEntry]] | None = None
    _noised_images: dict[str, tuple[tuple[Schedule, Pixels], int, Pixels]] = field(default_factory=dict)

    @classmethod
    def from_config(cls, configs: Sequence[RunConfig]) -> "ScheduleExplorer":
        """Start with the schedules of configurations, at least one."""
        return cls(
            base=configs[0],
            schedule_set=ScheduleSet.from_config([config.schedule for config in configs]),
            chosen=frozenset(config.schedule.name for config in configs),
        )

    def entries(self, variables: Mapping[str, str]) -> list[ScheduleEntry]:
        """The chosen schedules in the theme's colours; the same list until something changes."""
        key = (self.schedule_set, self.chosen, dict(variables))
        if self._entries is None or self._entries[0][0] is not key[0] or self._entries[0][1:] != key[1:]:
            entries = [
                ScheduleEntry(series_style(index, variables), name, self.schedule_set.schedule(name))
                for index, name in enumerate(self.schedule_set.offered)
                if name in self.chosen
            ]
            self._entries = (key, entries)
        return self._entries[1]

    def timesteps(self, entries: Sequence[ScheduleEntry]) -> int:
        """T, or 0 if no schedule can be made."""
        return next((entry.schedule.timesteps for entry in entries if entry.schedule), 0)

    def t(self, entries: Sequence[ScheduleEntry]) -> int:
        """The current timestep, from 0 to T."""
        return round(self.share * self.timesteps(entries))

    def toggle(self, index: int) -> None:
        """Show or hide the schedule at this index."""
        if index < len(self.schedule_set.offered):
            self.chosen ^= {self.schedule_set.offered[index]}

    def set_text(self, key: str, text: str) -> None:
        """Set the text of a field; a schedule that a power adds is shown at once."""
        before = self.schedule_set.offered
        self.schedule_set = replace(self.schedule_set, values={**self.schedule_set.values, key: text})
        if key == POWER and self.schedule_set.offered != before:
            self.chosen = frozenset(name for name in self.chosen if name in self.schedule_set.offered)
            self.chosen |= set(self.schedule_set.offered) - set(before)

    def toggle_zero_terminal_snr(self) -> None:
        """Switch the rescaling of all schedules to zero terminal SNR on or off."""
        self.schedule_set = replace(
            self.schedule_set, zero_terminal_snr=not self.schedule_set.zero_terminal_snr
        )

    def configs(self) -> list[RunConfig]:
        """The configurations of runs under the chosen schedules.

        Raises:
            UserError: a number is wrong.
        """
        schedules: list[ScheduleConfig] = [
            self.schedule_set.config(name) for name in self.schedule_set.offered if name in self.chosen
        ]
        return [msgspec.structs.replace(self.base, schedule=schedule) for schedule in schedules]

    def curves(self, entries: Sequence[ScheduleEntry]) -> dict[str, list[Line]]:
        """The lines of each chart: betas, abars, and signal-to-noise ratios in decibels."""
        valid = [(style, schedule) for style, _, schedule in entries if schedule is not None]
        return {
            "betas": [Line(style.marker, style.color, schedule.betas) for style, schedule in valid],
            "abars": [Line(style.marker, style.color, schedule.alphas_cumprod) for style, schedule in valid],
            "snrs": [Line(style.marker, style.color, snr_decibels(schedule)) for style, schedule in valid],
        }

    def column(self, entry: ScheduleEntry, t: int) -> WallColumn:
        """The images at t under one schedule."""
        title, color = f"{entry.style.marker} {entry.name}", entry.style.color
        if entry.schedule is None:
            return WallColumn(title, None, color=color, empty="cannot be made")
        if self.images is None:
            return WallColumn(title, None, color=color, empty=self.problem or "loading images")
        left = 1.0 if t == 0 else float(np.sqrt(entry.schedule.alphas_cumprod[t - 1]))
        key = (entry.schedule, self.images)
        cached = self._noised_images.get(entry.name)
        if cached is None or cached[1] != t or any(a is not b for a, b in zip(cached[0], key, strict=True)):
            cached = self._noised_images[entry.name] = (key, t, add_noise(self.images, entry.schedule, t))
        return WallColumn(title, cached[2], f"{percent(left)} left", color)
