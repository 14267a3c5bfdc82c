"""What the schedules screen shows, before it is on a screen: which schedules, at which t, over which pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np

from core.config import RunConfig, ScheduleConfig
from core.schedules import Schedule
from tui.screens.schedules.noising import POWER, Bench, Pixels, decibels, noised
from tui.screens.schedules.table import Tried, percent
from tui.settings.series_colors import series_style
from tui.widgets.charts.schedule_chart import Line
from tui.widgets.images.image_wall import WallColumn


@dataclass
class Trying:
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
    bench: Bench
    chosen: frozenset[str]
    share: float = 0.5
    pictures: Pixels | None = None
    trouble: str = ""
    _made: tuple[tuple[Bench, frozenset[str], dict[str, str]], list[Tried]] | None = None
    _noised: dict[str, tuple[tuple[Schedule, Pixels], int, Pixels]] = field(default_factory=dict)

    @classmethod
    def of(cls, configs: Sequence[RunConfig]) -> "Trying":
        """Start with the schedules of runs, at least one."""
        return cls(
            base=configs[0],
            bench=Bench.of([config.schedule for config in configs]),
            chosen=frozenset(config.schedule.name for config in configs),
        )

    def shown(self, variables: Mapping[str, str]) -> list[Tried]:
        """The schedules that are chosen, in the theme's colours; the same list while nothing changes."""
        key = (self.bench, self.chosen, dict(variables))
        if self._made is None or self._made[0][0] is not key[0] or self._made[0][1:] != key[1:]:
            found = [
                Tried(series_style(place, variables), name, self.bench.schedule(name))
                for place, name in enumerate(self.bench.offered)
                if name in self.chosen
            ]
            self._made = (key, found)
        return self._made[1]

    def timesteps(self, tried: Sequence[Tried]) -> int:
        """T, or 0 where no schedule can be made."""
        return next((one.schedule.timesteps for one in tried if one.schedule), 0)

    def t(self, tried: Sequence[Tried]) -> int:
        """The noise level that is looked at, from 0 to T."""
        return round(self.share * self.timesteps(tried))

    def toggle(self, place: int) -> None:
        """Show the schedule at this place, or do not any more."""
        if place < len(self.bench.offered):
            self.chosen ^= {self.bench.offered[place]}

    def take_text(self, key: str, text: str) -> None:
        """Another number; a schedule that a power adds is shown at once."""
        before = self.bench.offered
        self.bench = replace(self.bench, values={**self.bench.values, key: text})
        if key == POWER and self.bench.offered != before:
            self.chosen = frozenset(name for name in self.chosen if name in self.bench.offered)
            self.chosen |= set(self.bench.offered) - set(before)

    def toggle_zero(self) -> None:
        """Rescale all schedules to zero terminal SNR, or do not any more."""
        self.bench = replace(self.bench, zero_terminal_snr=not self.bench.zero_terminal_snr)

    def configs(self) -> list[RunConfig]:
        """The runs that these schedules make.

        Raises:
            UserError: a number is wrong.
        """
        schedules: list[ScheduleConfig] = [
            self.bench.config(name) for name in self.bench.offered if name in self.chosen
        ]
        return [msgspec.structs.replace(self.base, schedule=schedule) for schedule in schedules]

    def curves(self, tried: Sequence[Tried]) -> dict[str, list[Line]]:
        """The lines of each chart: betas, abars, and signal-to-noise ratios in decibels."""
        made = [(style, schedule) for style, _, schedule in tried if schedule is not None]
        return {
            "betas": [Line(style.marker, style.color, schedule.betas) for style, schedule in made],
            "abars": [Line(style.marker, style.color, schedule.alphas_cumprod) for style, schedule in made],
            "snrs": [Line(style.marker, style.color, decibels(schedule)) for style, schedule in made],
        }

    def column(self, one: Tried, t: int) -> WallColumn:
        """The pictures at t under one schedule."""
        title, color = f"{one.style.marker} {one.name}", one.style.color
        if one.schedule is None:
            return WallColumn(title, None, color=color, empty="cannot be made")
        if self.pictures is None:
            return WallColumn(title, None, color=color, empty=self.trouble or "looks for pictures")
        left = 1.0 if t == 0 else float(np.sqrt(one.schedule.alphas_cumprod[t - 1]))
        of = (one.schedule, self.pictures)
        before = self._noised.get(one.name)
        if before is None or before[1] != t or any(a is not b for a, b in zip(before[0], of, strict=True)):
            before = self._noised[one.name] = (of, t, noised(self.pictures, one.schedule, t))
        return WallColumn(title, before[2], f"left {percent(left)}", color)
