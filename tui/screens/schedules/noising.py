"""Editable noise schedules, and images noised under them."""

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
from core.data.decode import NotAnImageError
from core.data.folder import to_grey
from core.data.preview import first_images
from core.data.recipe import find_data_recipe
from core.data.survey import load_image
from core.errors import UserError
from core.imaging.sheet import to_channels_last, to_pixels
from core.schedules import Array, Schedule, parse_power
from tui.state.formatting import build_schedule, setting_text
from tui.state.run_draft import NAMED_SCHEDULES, Field, field_error, parse_value

Pixels = NDArray[np.uint8]

POWER: Final = "power"
FIELDS: Final = (
    Field("schedule.timesteps", "T", "timesteps"),
    Field("schedule.beta_start", "beta_1"),
    Field("schedule.beta_end", "beta_T"),
    Field("schedule.periods", "periods", "of sine"),
    Field(POWER, "power", "of one more schedule x^P"),
)
"""The editable fields. `power` is no setting by itself: it adds the schedule `x^P`."""
MAX_POWER: Final = 100.0
SHOWN_IMAGES: Final = 4
NOISE_SEED: Final = 0


class _ScheduleTable(Section, frozen=True):
    schedule: ScheduleConfig = ScheduleConfig()


@dataclass(frozen=True, slots=True)
class ScheduleSet:
    """Schedules that differ in their names and share all other settings.

    Attributes:
        values: the texts of `FIELDS`, by key.
        names: the available names, without the one that `power` adds.
        zero_terminal_snr: whether all schedules are rescaled to end in pure noise.
        file: the file of a `custom` schedule.
    """

    values: Mapping[str, str]
    names: tuple[str, ...]
    zero_terminal_snr: bool = False
    file: str | None = None

    @classmethod
    def from_config(cls, configs: Iterable[ScheduleConfig]) -> "ScheduleSet":
        """Start from the numbers of the first schedule and the names of all; without any, from the defaults."""
        configs = list(configs)
        first = configs[0] if configs else ScheduleConfig()
        table = msgspec.to_builtins(first)
        values = {field.key: setting_text(table[field.key.split(".")[1]]) for field in FIELDS[:-1]}
        names = dict.fromkeys((*NAMED_SCHEDULES, *(config.name for config in configs)))
        file = next((config.file for config in configs if config.file), None)
        return cls(values | {POWER: ""}, tuple(names), first.zero_terminal_snr, file)

    @property
    def offered(self) -> tuple[str, ...]:
        """All available names; the one that `power` adds is last."""
        power = self.values[POWER].strip()
        added = f"x^{power}"
        return (
            self.names if not power or self.text_error(POWER) or added in self.names else (*self.names, added)
        )

    def text_error(self, key: str) -> str:
        """The error in one text; empty if it is valid."""
        text = self.values[key]
        if key != POWER:
            return field_error(key, text)
        try:
            power = parse_power(f"x^{text.strip()}") if text.strip() else 1.0
        except UserError:
            power = None
        return "" if power is not None and power <= MAX_POWER else f"expected a number up to {MAX_POWER:g}"

    def config(self, name: str) -> ScheduleConfig:
        """The configuration of the schedule of this name.

        Raises:
            UserError: a text is wrong.
        """
        table: dict[str, object] = {}
        for field in FIELDS[:-1]:
            set_key(table, field.key, parse_value(field.key, self.values[field.key]), source="schedules")
        config = decode(table, _ScheduleTable, source="schedules").schedule
        file = self.file if name == "custom" else None
        return msgspec.structs.replace(config, name=name, file=file, zero_terminal_snr=self.zero_terminal_snr)

    def schedule(self, name: str) -> Schedule | None:
        """The schedule of this name; None if it cannot be made."""
        if any(self.text_error(field.key) for field in FIELDS[:-1]):
            return None
        return build_schedule(self.config(name))


def nudge(key: str, text: str, up: bool) -> str:
    """Step a number up or down: timesteps and betas by a factor of 1.2, the other fields by 0.5.

    >>> nudge("schedule.timesteps", "1000", True), nudge("schedule.periods", "0.5", False)
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


def add_noise(images: Pixels, schedule: Schedule, t: int) -> Pixels:
    """x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps, with the same eps on every call.

    Args:
        images: x_0, uint8 [N, H, W] or [N, H, W, 3].
        schedule: the schedule.
        t: from 0, which returns the images themselves, to T.
    """
    if t == 0:
        return images
    x0 = images / 127.5 - 1.0
    eps = np.random.default_rng(NOISE_SEED).standard_normal(images.shape)
    abar, rest = schedule.alphas_cumprod[t - 1], schedule.one_minus_alphas_cumprod[t - 1]
    return to_pixels(np.sqrt(abar) * x0 + np.sqrt(rest) * eps)


def snr_decibels(schedule: Schedule) -> Array:
    """10 log10 of the signal-to-noise ratio at t = 1..T, [T]; NaN where there is no signal."""
    values = schedule.log_snr * (10.0 / math.log(10.0))
    return np.where(np.isfinite(values), values, np.nan)


def heldout_images(dataset: str, count: int = SHOWN_IMAGES) -> Pixels:
    """The first held-out images of a dataset, uint8 [N, H, W] or [N, H, W, 3], without building the whole set.

    Raises:
        UserError: there is no such dataset, or none of its images can be read.
    """
    return to_channels_last(first_images(find_data_recipe(dataset), count, heldout=True))


def load_own_image(path: str, size: int) -> Pixels:
    """Load the user's own image, cropped to a square and resized to `size`: uint8 [1, S, S] or [1, S, S, 3].

    Raises:
        UserError: the image cannot be read.
    """
    try:
        file = Path(path).expanduser()
        exists, is_folder = file.exists(), file.is_dir()
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{path}: cannot be looked up ({error}); expected an image") from error
    if not exists or is_folder:
        raise UserError(f"{path}: {'a folder' if is_folder else 'no such file'}; expected an image")
    try:
        image, colour = load_image(file, size)
    except NotAnImageError as reason:
        raise UserError(f"{path}: {reason}; expected an image") from reason
    return to_channels_last(image[None] if colour else to_grey(image[None]))
