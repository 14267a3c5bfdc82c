"""What the schedules screen shows, before it is on a screen: which schedules, at which t, over which pictures."""

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
    """Schedules that are tried out.

    Attributes:
        base: settings of the runs that would be set up, apart from the schedule.
        bench: the schedules that there are.
        chosen: the names of those that are shown.
        share: how far on the way from picture to noise, 0 to 1.
        pictures: what is noised, uint8 [N, H, W] or [N, H, W, 3]; None until they are there.
        trouble: why there are no such pictures as were asked for; empty when there are.
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
        """Start with the schedules of runs, at least one."""
        return cls(
            base=configs[0],
            schedule_set=ScheduleSet.from_config([config.schedule for config in configs]),
            chosen=frozenset(config.schedule.name for config in configs),
        )

    def entries(self, variables: Mapping[str, str]) -> list[ScheduleEntry]:
        """The schedules that are chosen, in the theme's colours; the same list while nothing changes."""
        key = (self.schedule_set, self.chosen, dict(variables))
        if self._entries is None or self._entries[0][0] is not key[0] or self._entries[0][1:] != key[1:]:
            found = [
                ScheduleEntry(series_style(place, variables), name, self.schedule_set.schedule(name))
                for place, name in enumerate(self.schedule_set.offered)
                if name in self.chosen
            ]
            self._entries = (key, found)
        return self._entries[1]

    def timesteps(self, tried: Sequence[ScheduleEntry]) -> int:
        """T, or 0 where no schedule can be made."""
        return next((one.schedule.timesteps for one in tried if one.schedule), 0)

    def t(self, tried: Sequence[ScheduleEntry]) -> int:
        """The noise level that is looked at, from 0 to T."""
        return round(self.share * self.timesteps(tried))

    def toggle(self, place: int) -> None:
        """Show the schedule at this place, or do not any more."""
        if place < len(self.schedule_set.offered):
            self.chosen ^= {self.schedule_set.offered[place]}

    def set_text(self, key: str, text: str) -> None:
        """Another number; a schedule that a power adds is shown at once."""
        before = self.schedule_set.offered
        self.schedule_set = replace(self.schedule_set, values={**self.schedule_set.values, key: text})
        if key == POWER and self.schedule_set.offered != before:
            self.chosen = frozenset(name for name in self.chosen if name in self.schedule_set.offered)
            self.chosen |= set(self.schedule_set.offered) - set(before)

    def toggle_zero_terminal_snr(self) -> None:
        """Rescale all schedules to zero terminal SNR, or do not any more."""
        self.schedule_set = replace(
            self.schedule_set, zero_terminal_snr=not self.schedule_set.zero_terminal_snr
        )

    def configs(self) -> list[RunConfig]:
        """The runs that these schedules make.

        Raises:
            UserError: a number is wrong.
        """
        schedules: list[ScheduleConfig] = [
            self.schedule_set.config(name) for name in self.schedule_set.offered if name in self.chosen
        ]
        return [msgspec.structs.replace(self.base, schedule=schedule) for schedule in schedules]

    def curves(self, tried: Sequence[ScheduleEntry]) -> dict[str, list[Line]]:
        """The lines of each chart: betas, abars, and signal-to-noise ratios in decibels."""
        made = [(style, schedule) for style, _, schedule in tried if schedule is not None]
        return {
            "betas": [Line(style.marker, style.color, schedule.betas) for style, schedule in made],
            "abars": [Line(style.marker, style.color, schedule.alphas_cumprod) for style, schedule in made],
            "snrs": [Line(style.marker, style.color, snr_decibels(schedule)) for style, schedule in made],
        }

    def column(self, one: ScheduleEntry, t: int) -> WallColumn:
        """The pictures at t under one schedule."""
        title, color = f"{one.style.marker} {one.name}", one.style.color
        if one.schedule is None:
            return WallColumn(title, None, color=color, empty="cannot be made")
        if self.images is None:
            return WallColumn(title, None, color=color, empty=self.problem or "looks for pictures")
        left = 1.0 if t == 0 else float(np.sqrt(one.schedule.alphas_cumprod[t - 1]))
        of = (one.schedule, self.images)
        before = self._noised_images.get(one.name)
        if before is None or before[1] != t or any(a is not b for a, b in zip(before[0], of, strict=True)):
            before = self._noised_images[one.name] = (of, t, add_noise(self.images, one.schedule, t))
        return WallColumn(title, before[2], f"left {percent(left)}", color)
