"""Schedules as they are being tried out, and pictures under them; before any of it is on a screen."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.config import ScheduleConfig
from core.config.load import decode
from core.config.schema import Section
from core.config.tables import set_key
from core.data.folder import NotAnImageError, load_image, to_grey
from core.data.preview import first_images
from core.data.recipe import find_data_recipe
from core.errors import UserError
from core.imaging.sheet import to_channels_last, to_pixels
from core.schedules import SCHEDULE_NAMES, Array, Schedule, parse_power
from tui.state.formatting import schedule_of, setting_text
from tui.state.run_draft import Field, error_of, parsed

Pixels = NDArray[np.uint8]

POWER: Final = "power"
FIELDS: Final = (
    Field("schedule.timesteps", "T", "timesteps"),
    Field("schedule.beta_start", "beta_1"),
    Field("schedule.beta_end", "beta_T"),
    Field("schedule.periods", "periods", "of sine"),
    Field(POWER, "power", "of one more schedule x^P"),
)
"""What can be edited. `power` is no setting of its own: it names a schedule."""
MOST_POWER: Final = 100.0
SHOWN_IMAGES: Final = 4
NOISE_SEED: Final = 0


class _Holder(Section, frozen=True):
    schedule: ScheduleConfig = ScheduleConfig()


@dataclass(frozen=True, slots=True)
class ScheduleSet:
    """Schedules side by side: all share what the texts say, each has its own name.

    Attributes:
        values: the texts of `FIELDS`, by key.
        names: those that can be chosen, without the one that `power` adds.
        zero_terminal_snr: whether all are rescaled to end in pure noise.
        file: of a `custom` schedule.
    """

    values: Mapping[str, str]
    names: tuple[str, ...]
    zero_terminal_snr: bool = False
    file: str | None = None

    @classmethod
    def from_config(cls, configs: Iterable[ScheduleConfig]) -> "ScheduleSet":
        """Start from schedules, the first of which gives the numbers; from the defaults where there are none."""
        configs = list(configs)
        first = configs[0] if configs else ScheduleConfig()
        table = msgspec.to_builtins(first)
        values = {field.key: setting_text(table[field.key.split(".")[1]]) for field in FIELDS[:-1]}
        names = dict.fromkeys((*SCHEDULE_NAMES, "cosine", "sigmoid", *(config.name for config in configs)))
        file = next((config.file for config in configs if config.file), None)
        return cls(values | {POWER: ""}, tuple(names), first.zero_terminal_snr, file)

    @property
    def offered(self) -> tuple[str, ...]:
        """All names, the one that `power` adds at the end."""
        power = self.values[POWER].strip()
        added = f"x^{power}"
        return self.names if not power or self.error(POWER) or added in self.names else (*self.names, added)

    def error(self, key: str) -> str:
        """What is wrong with one text; empty when nothing is."""
        text = self.values[key]
        if key != POWER:
            return error_of(key, text)
        try:
            power = parse_power(f"x^{text.strip()}") if text.strip() else 1.0
        except UserError:
            power = None
        return "" if power is not None and power <= MOST_POWER else f"expected a number up to {MOST_POWER:g}"

    def config(self, name: str) -> ScheduleConfig:
        """The schedule of this name as it would be configured.

        Raises:
            UserError: a text is wrong.
        """
        table: dict[str, object] = {}
        for field in FIELDS[:-1]:
            set_key(table, field.key, parsed(field.key, self.values[field.key]), source="schedules")
        config = decode(table, _Holder, source="schedules").schedule
        file = self.file if name == "custom" else None
        return msgspec.structs.replace(config, name=name, file=file, zero_terminal_snr=self.zero_terminal_snr)

    def schedule(self, name: str) -> Schedule | None:
        """The schedule of this name; None where it cannot be made."""
        if any(self.error(field.key) for field in FIELDS[:-1]):
            return None
        return schedule_of(self.config(name))


def nudged(key: str, text: str, up: bool) -> str:
    """A text as it is after one step up or down: numbers of steps and betas by a fifth, the others by a half.

    >>> nudged("schedule.timesteps", "1000", True), nudged("schedule.periods", "0.5", False)
    ('1200', '0.5')
    """
    try:
        value = float(text) if text.strip() else 1.0
    except ValueError:
        return text
    if not math.isfinite(value):
        return text
    if key == "schedule.timesteps":
        return str(max(1, round(value * 1.2 + 0.5) if up else math.floor(value / 1.2)))
    if key.startswith("schedule.beta"):
        return f"{min(value * 1.2 if up else value / 1.2, 0.999):.3g}"
    return f"{max(0.5, value + (0.5 if up else -0.5)):g}"


def with_noise(images: Pixels, schedule: Schedule, t: int) -> Pixels:
    """x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps, always from the same noises.

    Args:
        pictures: x_0, uint8 [N, H, W] or [N, H, W, 3].
        schedule: the schedule.
        t: from 0, the pictures themselves, to T.
    """
    if t == 0:
        return images
    x0 = images / 127.5 - 1.0
    eps = np.random.default_rng(NOISE_SEED).standard_normal(images.shape)
    abar, rest = schedule.alphas_cumprod[t - 1], schedule.one_minus_alphas_cumprod[t - 1]
    return to_pixels(np.sqrt(abar) * x0 + np.sqrt(rest) * eps)


def decibels(schedule: Schedule) -> Array:
    """10 log10 of the signal-to-noise ratio at t = 1..T, [T]; NaN where there is no signal at all."""
    values = schedule.log_snr * (10.0 / math.log(10.0))
    return np.where(np.isfinite(values), values, np.nan)


def heldout_images(dataset: str, count: int = SHOWN_IMAGES) -> Pixels:
    """The first held-out pictures of a dataset, uint8 [N, H, W] or [N, H, W, 3], without making the whole set.

    Raises:
        UserError: there is no such dataset, or none of its pictures can be read.
    """
    return to_channels_last(first_images(find_data_recipe(dataset), count, heldout=True))


def own_image(path: str, size: int) -> Pixels:
    """A person's own picture, cut square and made `size` pixels a side: uint8 [1, S, S] or [1, S, S, 3].

    Raises:
        UserError: it cannot be read.
    """
    try:
        image, colour = load_image(Path(path).expanduser(), size)
    except NotAnImageError as reason:
        file = Path(path).expanduser()
        said = "no such file" if not file.exists() else "a folder" if file.is_dir() else str(reason)
        raise UserError(f"{path}: {said}; expected a picture") from reason
    return to_channels_last(image[None] if colour else to_grey(image[None]))
